/** `npm run bench -- COMMAND`: what can be measured on this machine; `report` writes it into docs/performance.md. */
import { fork } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { Command } from "commander";
import { build } from "esbuild";
import { heapOptions } from "../compiler/index.ts";
import { library } from "../kernels/index.ts";
import type { CompileRow, Order, Timing } from "./compile.ts";
import type { GpuOptions } from "./gpu/main.ts";
import { median } from "./median.ts";
import { writeReport } from "./report.ts";
import { saveResults } from "./results.ts";
import { staticRows } from "./static.ts";
import { visitsRows } from "./visits.ts";

/** The compiler as the package ships it: bundled, without the wrappers that a loader of TypeScript puts around functions. */
async function shipped(): Promise<string> {
  const root = path.resolve(import.meta.dirname, "..");
  const outfile = path.join(root, "node_modules", ".cache", "weft", "bench-compile.mjs");
  await build({
    entryPoints: [path.join(root, "bench", "compile.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    logLevel: "error",
  });
  return outfile;
}
/** What a process of its own, with these options of Node, takes for it. */
async function timings(module: string, order: Order, execArgv: readonly string[]): Promise<Timing[]> {
  const child = fork(module, { execArgv: [...execArgv] });
  child.send(order);
  return await new Promise<Timing[]>((resolve, reject) => {
    child.once("message", (found) => resolve(found as Timing[]));
    child.once("exit", (code) => reject(new Error(`the process that compiles ended with ${code}`)));
  });
}
interface Shown {
  readonly json?: boolean;
  readonly save?: boolean;
}
/** Prints each row as it comes, and keeps all of them where that is asked for. */
async function show<T>(name: string, rows: AsyncIterable<T> | Iterable<T>, options: Shown, line: (row: T) => string): Promise<void> {
  const all: T[] = [];
  for await (const r of rows) {
    console.log(options.json ? JSON.stringify(r) : line(r));
    all.push(r);
  }
  if (options.save) saveResults(name, all);
}
const command = (name: string, description: string): Command =>
  program
    .command(name)
    .description(description)
    .option("--json", "a line of JSON for each figure")
    .option("--save", `write bench/results/${name}.jsonl as well`);

/** With the heap of `weft build --watch`, then with Node's own. */
async function compileRows(runs: number): Promise<CompileRow[]> {
  const texts = Object.values(library).map((file) => fs.readFileSync(file, "utf8"));
  const module = await shipped();
  const roomy = await timings(module, { texts, runs }, heapOptions);
  const plain = await timings(module, { texts, runs }, []);
  const rounded = (t: number): number => Number(t.toFixed(2));
  return roomy.map(({ kernel, first, times, incremental }, k) => ({
    kernel,
    firstMs: rounded(first),
    medianMs: rounded(median(times)),
    incrementalMs: rounded(median(incremental)),
    leastMs: rounded(Math.min(...times)),
    plainHeapMs: rounded(median(plain[k]!.times)),
    runs,
  }));
}
const program = new Command("bench").description("Benchmarks; each prints its figures and passes no judgement.");
command("compile", "text in, both sources out, without nvcc, in a process like that of `weft build --watch`")
  .option("--runs <n>", "measured runs after those that warm up", "100")
  .action(async (options: Shown & { readonly runs: string }) => {
    const runs = Number(options.runs);
    if (!Number.isInteger(runs) || runs < 1) program.error(`--runs takes a whole number from 1, not \`${options.runs}\``);
    await show(
      "compile",
      await compileRows(runs),
      options,
      (r) =>
        `${r.kernel.padEnd(18)} median ${r.medianMs.toFixed(1)} ms, least ${r.leastMs.toFixed(1)} ms, first ${r.firstMs.toFixed(1)} ms, after an edit elsewhere ${r.incrementalMs.toFixed(1)} ms; with Node's own heap median ${r.plainHeapMs.toFixed(1)} ms; ${r.runs} runs`,
    );
  });
command("static", "counted without a GPU: bytes, operations, bank conflicts, registers, spills, occupancy, instructions, SPIR-V operations")
  .option("--only <kernel>", "one kernel")
  .action(async (options: Shown & { readonly only?: string }) => {
    if (options.save && options.only !== undefined) program.error("--save keeps all kernels: leave --only out");
    await show(
      "static",
      staticRows(options.only),
      options,
      (r) =>
        `${`${r.kernel} ${r.instance}`.padEnd(30)} ${r.target.padEnd(5)} bytes ${r.bytesOverMinimum.toFixed(2)} x least, ${r.operationsOverMinimum ?? "-"} x the operations, ${r.bankConflicts} bank conflicts, ${Math.round(100 * r.wideShare)} % by 16 bytes, ${r.spillBytes ?? "-"} spill bytes, ${r.registers ?? "-"} registers, ${r.occupancy ?? "-"} of all warps, ${r.matrixInstructions ?? "-"} mma, SPIR-V ${r.spirvRobustOverPlain ?? "-"}`,
    );
  });
command("visits", "tiles that streamed kernels visit, of those they could").action((options: Shown) =>
  show(
    "visits",
    visitsRows(),
    options,
    (r) => `${r.kernel.padEnd(18)} ${r.target.padEnd(5)} ${r.what}: ${r.visited} of ${r.of}, ${r.ratio} (at most ${r.most})`,
  ),
);
program.command("report").description("docs/performance.md and its charts, drawn again from bench/results").action(writeReport);
command("web", "against onnxruntime-web, tfjs and jax-js on the software device, in Chromium and in Node; ratios of one run")
  .option("--rounds <n>", "samples of each, taken in turn", "9")
  .option("--where <place>", "chromium or node; both by default")
  .action(async (options: Shown & { readonly rounds: string; readonly where?: string }) => {
    const rounds = Number(options.rounds);
    if (!Number.isInteger(rounds) || rounds < 1) program.error(`--rounds takes a whole number from 1, not \`${options.rounds}\``);
    const places = (["chromium", "node"] as const).filter((p) => options.where === undefined || options.where === p);
    if (places.length === 0) program.error(`--where is chromium or node, not \`${options.where}\``);
    const { webRows } = await import("./web/main.ts");
    await show("web", await webRows(rounds, places), options, (r) =>
      r.error
        ? `${r.op} ${r.where} ${r.peer}: ${r.error}`
        : `${r.op.padEnd(24)} ${r.where.padEnd(9)} ${r.oursMs} ms, ${r.peer} ${r.peerMs} ms: ${r.ratio} x`,
    );
  });
command("gpu", "against cuBLAS, SDPA, flex_attention, Triton, int4pack and fused AdamW on an NVIDIA GPU; needs Python with torch there")
  .option("--rounds <n>", "samples of each, taken in turn", "20")
  .option("--only <text>", "cases whose name has this in it")
  .option("--plan <file>", "write what would be measured, for bench/gpu/measure.py on a machine without Node, and measure nothing")
  .option("--rows <file>", "take what bench/gpu/measure.py printed there")
  .action(async (options: GpuOptions) => {
    const { gpu } = await import("./gpu/main.ts");
    await gpu(options).catch((e: Error) => program.error(e.message));
  });
await program.parseAsync();
