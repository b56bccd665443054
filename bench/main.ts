/** `npm run bench -- compile`: how long a kernel takes from text to both sources. */
import fs from "node:fs";
import { Command } from "commander";
import { compile } from "../compiler/index.ts";
import { check } from "../dsl/index.ts";
import { library } from "../kernels/index.ts";

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;

/**
 * Text in, CUDA and WGSL out, for the first instance of each kernel, in its first form: check, both compilations, no bindings. The other
 * kernels of the file are blanked out.
 */
function compileBench(options: { readonly json?: boolean; readonly runs: string }): void {
  const runs = Number(options.runs);
  for (const file of Object.values(library)) {
    const text = fs.readFileSync(file, "utf8");
    const names = [...new Set(check(text).instances.map((i) => i.kernel))];
    for (const kernel of names) {
      const times: number[] = [];
      for (let k = 0; k <= runs; k++) {
        const started = performance.now();
        const instance = check(onlyKernel(text, kernel)).instances.find((i) => i.kernel === kernel)!;
        for (const target of ["cuda", "wgsl"] as const) compile(instance, text, { target });
        if (k > 0) times.push(performance.now() - started);
      }
      const medianMs = Number(median(times).toFixed(2));
      if (options.json) console.log(JSON.stringify({ kernel, medianMs, leastMs: Number(Math.min(...times).toFixed(2)), runs }));
      else console.log(`${kernel.padEnd(18)} median ${medianMs.toFixed(1)} ms, least ${Math.min(...times).toFixed(1)} ms of ${runs} runs`);
    }
  }
}
/** The text with the first instance of one kernel, and none of the other kernels. */
function onlyKernel(text: string, kernel: string): string {
  let seen = false;
  return text
    .replace(/^kernel (\w+)[\s\S]*?^\}\n/gm, (all, name: string) => (name === kernel ? all : all.replace(/[^\n]/g, " ")))
    .replace(/^instance (\w+) \{[^}]*\}\n/gm, (all, name: string) => {
      if (name !== kernel || seen) return all.replace(/[^\n]/g, " ");
      seen = true;
      return all.replace(/(\w+): (\w+)( \| \w+)+/g, "$1: $2");
    });
}

const program = new Command("bench").description("Benchmarks; each prints its figures and passes no judgement.");
program
  .command("compile")
  .description("text in, both sources out, without nvcc")
  .option("--runs <n>", "measured runs after the first", "30")
  .option("--json", "a line a kernel: kernel, medianMs")
  .action(compileBench);
await program.parseAsync();
