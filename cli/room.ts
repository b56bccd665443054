/** The process of a command that compiles until it is stopped: it runs with the heap that suits compiling. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { heapOptions } from "../compiler/index.ts";

const given = (option: string): boolean =>
  [...process.execArgv, ...(process.env["NODE_OPTIONS"] ?? "").split(" ")].some((o) => o.split("=")[0] === option.split("=")[0]);
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs it here where this process has the heap, or another that its user chose; else the whole command in a process that has, on the same terminal and
 * with its exit code as ours. That one ends with this one, however this one ends.
 */
export async function withRoom(run: () => Promise<void>): Promise<void> {
  if (heapOptions.every(given)) {
    if (process.send) process.once("disconnect", () => process.exit());
    return run();
  }
  const child = spawn(process.execPath, [...heapOptions, ...process.execArgv, ...process.argv.slice(1)], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
  for (const s of signals) process.on(s, () => child.kill(s));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
}
