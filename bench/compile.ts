/** How long a kernel takes from text to both sources. */
import { compile, IncrementalCompiler } from "../compiler/index.ts";
import { type CheckedInstance, check } from "../dsl/index.ts";

/** Milliseconds. */
export interface CompileRow {
  readonly kernel: string;
  /** In a process that has not compiled it before. */
  readonly firstMs: number;
  readonly medianMs: number;
  /** After an edit elsewhere in the file: check, and what the compiler remembers of this kernel. */
  readonly incrementalMs: number;
  readonly leastMs: number;
  /** The median in a process with the heap that Node has where nothing is said. */
  readonly plainHeapMs: number;
  readonly runs: number;
}
export interface Timing {
  readonly kernel: string;
  /** Milliseconds for the first time, in a process that has not compiled this kernel before. */
  readonly first: number;
  /** Milliseconds for check and both compilations, each time after those that warm up. */
  readonly times: readonly number[];
  /** The same after an edit elsewhere in the file. */
  readonly incremental: readonly number[];
}
/**
 * Text in, CUDA and WGSL out, for the first instance of each kernel of some files, in its first form: check, both compilations, no bindings. The
 * other kernels of its file are blanked out. Kernels take turns, so that none pays for what all of them warm up, or for a moment when the
 * machine is slow.
 */
function timeCompile(texts: readonly string[], runs: number): Timing[] {
  const kernels = texts.flatMap((text) =>
    [...new Set(check(text).instances.map((i) => i.kernel))].map((kernel) => new Stopwatch(kernel, text)),
  );
  for (let k = 0; k < warmUp + runs; k++) for (const watch of kernels) watch.turn(k);
  return kernels.map(({ kernel, times, incremental }) => ({
    kernel,
    first: times[0]!,
    times: times.slice(warmUp),
    incremental: incremental.slice(warmUp),
  }));
}
/** In a process of its own: texts and the number of runs come as a message, and the timings go back. */
process.once("message", ({ texts, runs }: Order) => {
  process.send!(timeCompile(texts, runs), undefined, undefined, () => process.disconnect());
});
export interface Order {
  readonly texts: readonly string[];
  readonly runs: number;
}
/** Turns that are not counted: medians are those of a warm compiler. */
const warmUp = 20;
class Stopwatch {
  readonly kernel: string;
  readonly times: number[] = [];
  readonly incremental: number[] = [];
  private readonly own: string;
  private readonly compiler = new IncrementalCompiler();

  constructor(kernel: string, text: string) {
    this.kernel = kernel;
    this.own = onlyKernel(text, kernel);
  }
  /** Compiles once as it is, and once after the k-th edit. */
  turn(k: number): void {
    const started = performance.now();
    const instance = this.instance(this.own);
    for (const target of ["cuda", "wgsl"] as const) compile(instance, this.own, { target });
    this.times.push(performance.now() - started);
    const edited = `${this.own}// ${k}\n`;
    const again = performance.now();
    const same = this.instance(edited);
    for (const target of ["cuda", "wgsl"] as const) this.compiler.compile(same, edited, { target });
    this.incremental.push(performance.now() - again);
  }
  private instance(text: string): CheckedInstance {
    return check(text).instances.find((i) => i.kernel === this.kernel)!;
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
