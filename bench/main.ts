/** `npm run bench -- compile`: how long a kernel takes from text to both sources; `static`: what its text moves and holds. */
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Command } from "commander";
import { build } from "esbuild";
import { library } from "../kernels/index.ts";
import { median } from "./median.ts";
import { staticRows } from "./static.ts";
import { visitsRows } from "./visits.ts";

/** The compiler as the package ships it: bundled, without the wrappers that a loader of TypeScript puts around functions. */
async function shipped(): Promise<typeof import("./compile.ts")> {
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
  return await import(pathToFileURL(outfile).href);
}
async function compileBench(options: { readonly json?: boolean; readonly runs: string }): Promise<void> {
  const runs = Number(options.runs);
  if (!Number.isInteger(runs) || runs < 1) program.error(`--runs takes a whole number from 1, not \`${options.runs}\``);
  const { timeCompile } = await shipped();
  for (const file of Object.values(library))
    for (const { kernel, times } of timeCompile(fs.readFileSync(file, "utf8"), runs)) {
      const medianMs = Number(median(times).toFixed(2));
      const leastMs = Number(Math.min(...times).toFixed(2));
      if (options.json) console.log(JSON.stringify({ kernel, medianMs, leastMs, runs }));
      else console.log(`${kernel.padEnd(18)} median ${medianMs.toFixed(1)} ms, least ${leastMs.toFixed(1)} ms of ${runs} runs`);
    }
}

const program = new Command("bench").description("Benchmarks; each prints its figures and passes no judgement.");
program
  .command("compile")
  .description("text in, both sources out, without nvcc")
  .option("--runs <n>", "measured runs after the first", "50")
  .option("--json", "a line a kernel: kernel, medianMs")
  .action(compileBench);
program
  .command("static")
  .description("counted without a GPU: bytes, bank conflicts, registers, spills, SPIR-V operations")
  .option("--json", "a line for each kernel, instance and target")
  .option("--only <kernel>", "one kernel")
  .action(async (options: { readonly json?: boolean; readonly only?: string }) => {
    for await (const r of staticRows(options.only)) {
      if (options.json) console.log(JSON.stringify(r));
      else
        console.log(
          `${`${r.kernel} ${r.instance}`.padEnd(30)} ${r.target.padEnd(5)} bytes ${r.bytesOverMinimum.toFixed(2)} x least, ${r.bankConflicts} bank conflicts, ${r.spillBytes ?? "-"} spill bytes, ${r.registers ?? "-"} registers, ${r.matrixInstructions ?? "-"} mma, SPIR-V ${r.spirvRobustOverPlain ?? "-"}`,
        );
    }
  });
program
  .command("visits")
  .description("tiles that streamed kernels visit, of those they could")
  .option("--json", "a line for each case and target")
  .action((options: { readonly json?: boolean }) => {
    for (const r of visitsRows())
      if (options.json) console.log(JSON.stringify(r));
      else console.log(`${r.kernel.padEnd(18)} ${r.target.padEnd(5)} ${r.what}: ${r.visited} of ${r.of}, ${r.ratio} (at most ${r.most})`);
  });
program
  .command("web")
  .description("against onnxruntime-web, tfjs and jax-js on the software device, in Chromium and in Node; ratios of one run")
  .option("--json", "a line for each operation, place and peer")
  .option("--rounds <n>", "samples of each, taken in turn", "9")
  .option("--where <place>", "chromium or node; both by default")
  .action(async (options: { readonly json?: boolean; readonly rounds: string; readonly where?: string }) => {
    const rounds = Number(options.rounds);
    if (!Number.isInteger(rounds) || rounds < 1) program.error(`--rounds takes a whole number from 1, not \`${options.rounds}\``);
    const places = (["chromium", "node"] as const).filter((p) => options.where === undefined || options.where === p);
    if (places.length === 0) program.error(`--where is chromium or node, not \`${options.where}\``);
    const { webRows } = await import("./web/main.ts");
    for (const r of await webRows(rounds, places))
      if (options.json) console.log(JSON.stringify(r));
      else if (r.error) console.log(`${r.op} ${r.where} ${r.peer}: ${r.error}`);
      else console.log(`${r.op.padEnd(24)} ${r.where.padEnd(9)} ${r.oursMs} ms, ${r.peer} ${r.peerMs} ms: ${r.ratio} x`);
  });
await program.parseAsync();
