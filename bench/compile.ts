/** How long a kernel takes from text to both sources. */
import { compile, IncrementalCompiler } from "../compiler/index.ts";
import { check } from "../dsl/index.ts";

export interface CompileRow {
  readonly kernel: string;
  readonly medianMs: number;
  /** After an edit elsewhere in the file: check, and what the compiler remembers of this kernel. */
  readonly incrementalMs: number;
  readonly leastMs: number;
  readonly runs: number;
}
export interface Timing {
  readonly kernel: string;
  /** Milliseconds for check and both compilations, after a first one that is not counted. */
  readonly times: readonly number[];
  /** The same after an edit elsewhere in the file. */
  readonly incremental: readonly number[];
}
/**
 * Text in, CUDA and WGSL out, for the first instance of each kernel of a file, in its first form: check, both compilations, no bindings. The
 * other kernels of the file are blanked out.
 */
export function timeCompile(text: string, runs: number): Timing[] {
  const names = [...new Set(check(text).instances.map((i) => i.kernel))];
  return names.map((kernel) => {
    const own = onlyKernel(text, kernel);
    const times: number[] = [];
    const incremental: number[] = [];
    const compiler = new IncrementalCompiler();
    for (let k = 0; k <= runs; k++) {
      const started = performance.now();
      const instance = check(own).instances.find((i) => i.kernel === kernel)!;
      for (const target of ["cuda", "wgsl"] as const) compile(instance, own, { target });
      if (k > 0) times.push(performance.now() - started);
      const edited = `${own}// ${k}\n`;
      const again = performance.now();
      const same = check(edited).instances.find((i) => i.kernel === kernel)!;
      for (const target of ["cuda", "wgsl"] as const) compiler.compile(same, edited, { target });
      if (k > 0) incremental.push(performance.now() - again);
    }
    return { kernel, times, incremental };
  });
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
