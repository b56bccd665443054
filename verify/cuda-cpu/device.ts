/** Runs emitted CUDA text on the CPU: every thread a fiber, every access watched. Slow, and right where a GPU may be right by luck. */
import { type Artifact, evaluateSize, unroll } from "../../runtime/abi.ts";
import type { CallOptions, CallResult, Device, PreparedCall } from "../../runtime/call.ts";
import { WeftError } from "../../runtime/errors.ts";
import type { HostTensor } from "../../runtime/tensor.ts";
import { buildLibrary, entryName } from "./build.ts";

/**
 * How a launch runs: an even number lays shared memory out as a device does, so that arrays which share it by mistake do; an odd one gives
 * each array red zones. Half of it is the order of the threads of a block: first to last, last to first, or shuffled by a seed above 1.
 */
export type RunMode = number;

export type MatrixModel = "exact" | "serial" | "hopper" | "ampere";

interface Native {
  readonly allocate: (name: string, data: Uint8Array | null, bytes: number, writable: number, initialised: number) => unknown;
  readonly read: (from: unknown, into: Uint8Array, bytes: number) => void;
  readonly release: () => void;
  readonly run: (entry: string, args: unknown[], blocks: number, threads: number, shared: number, order: number, spread: number) => number;
  readonly matrixModel: (model: number) => void;
  readonly faultCount: () => number;
  readonly fault: (k: number) => string;
  readonly clear: () => void;
  readonly address: (pointer: unknown) => bigint;
}
const bytesOf = (t: HostTensor): Uint8Array => new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength);

/** Artifacts compiled together; each is run by its place in the list. */
export class EmulatedLibrary {
  private readonly native: Native;
  private readonly artifacts: readonly Artifact[];

  private constructor(native: Native, artifacts: readonly Artifact[]) {
    this.native = native;
    this.artifacts = artifacts;
  }
  /** @throws WeftError R201 where g++ or koffi is missing, R204 where g++ refuses the text */
  static async build(artifacts: readonly Artifact[]): Promise<EmulatedLibrary> {
    const file = await buildLibrary(artifacts);
    let koffi: typeof import("koffi");
    try {
      koffi = (await import("koffi")).default as unknown as typeof import("koffi");
    } catch {
      throw new WeftError("R201", "running CUDA text on the CPU needs the package `koffi`: npm install koffi");
    }
    const lib = koffi.load(file);
    const fn = <T>(text: string): T => lib.func(text) as unknown as T;
    return new EmulatedLibrary(
      {
        allocate: fn("void *weft_allocate(const char *, const void *, size_t, int, int)"),
        read: fn("void weft_read(void *, void *, size_t)"),
        release: fn("void weft_release()"),
        run: fn("int weft_run(const char *, void **, int, int, int, int, int)"),
        matrixModel: fn("void weft_matrix_model(int)"),
        faultCount: fn("int weft_fault_count()"),
        fault: fn("const char *weft_fault(int)"),
        clear: fn("void weft_clear()"),
        address: (p) => koffi.address(p as never) as bigint,
      },
      artifacts,
    );
  }
  /** How matrix instructions add: in f64 and rounded once, in f32 in order, as Hopper does, as Ampere does. */
  setMatrixModel(model: MatrixModel): void {
    this.native.matrixModel(["exact", "serial", "hopper", "ampere"].indexOf(model));
  }
  /** Runs a call of the k-th artifact; its outputs are written even where there are faults. */
  run(k: number, call: PreparedCall, mode: RunMode = 0): { result: CallResult; faults: string[] } {
    const artifact = this.artifacts[k]!;
    const { native } = this;
    const started = performance.now();
    const faults: string[] = [];
    const memory = new Map<string, unknown>();
    native.clear();
    try {
      for (const p of artifact.params) {
        if (p.kind !== "tensor") continue;
        const t = call.tensors.get(p.name)!;
        memory.set(p.name, native.allocate(p.name, bytesOf(t), t.data.byteLength, Number(p.role !== "in"), Number(p.role !== "out")));
      }
      for (const t of artifact.temps) {
        const bytes = evaluateSize(t.count, call.values) * (t.elem === "f64" ? 8 : 4);
        memory.set(t.name, native.allocate(t.name, null, bytes, 1, 0));
      }
      for (const { launch, steps } of unroll(artifact.steps, call.values)) {
        const blocks = evaluateSize(launch.grid, { ...call.values, ...steps });
        if (blocks <= 0) continue;
        const stated = new RegExp(`__launch_bounds__\\((\\d+), 1\\) ${launch.entry}\\(`).exec(artifact.source)?.[1];
        if (Number(stated) !== launch.threads)
          faults.push(`${launch.entry}: launch bounds of ${stated}, launched with ${launch.threads} threads`);
        const args = [
          ...launch.buffers.map((b) => new BigUint64Array([native.address(memory.get(b.name))])),
          ...artifact.uniforms.map((u) => {
            const v = u.kind === "step" ? (steps[u.name] ?? 0) : call.values[u.name]!;
            return u.type === "f64"
              ? Float64Array.of(v)
              : u.type === "f32"
                ? Float32Array.of(v)
                : u.type === "u32"
                  ? Uint32Array.of(v)
                  : Int32Array.of(v);
          }),
        ];
        const entry = entryName(k, launch.entry);
        if (native.run(entry, args, blocks, launch.threads, launch.sharedBytes, mode >> 1, mode & 1) !== 0)
          faults.push(`${launch.entry}: the text has no such kernel`);
        if (native.faultCount() > 0) break;
      }
      for (let i = 0; i < native.faultCount(); i++) faults.push(native.fault(i));
      const outputs: Record<string, HostTensor> = {};
      for (const p of artifact.params) {
        if (p.kind !== "tensor" || p.role === "in") continue;
        const t = call.tensors.get(p.name)!;
        native.read(memory.get(p.name), bytesOf(t), t.data.byteLength);
        outputs[p.name] = t;
      }
      return { result: { outputs, timeMs: performance.now() - started }, faults };
    } finally {
      native.release();
    }
  }
}

/** The emulator as a device: kernels are compiled when they are first run. */
export class CpuCudaDevice implements Device {
  readonly name = "CUDA text on the CPU (emulated)";
  readonly target = "cuda" as const;
  readonly arch = "sm_80";
  private readonly built = new Map<string, Promise<EmulatedLibrary>>();

  /** @throws WeftError R202 with the first fault that the emulator saw */
  async run(call: PreparedCall, _options: CallOptions = {}): Promise<CallResult> {
    const { result, faults } = await this.watch(call);
    if (faults.length > 0) throw new WeftError("R202", faults[0]!);
    return result;
  }
  async watch(call: PreparedCall, mode: RunMode = 0): Promise<{ result: CallResult; faults: string[] }> {
    const { source } = call.artifact;
    let library = this.built.get(source);
    if (library === undefined) {
      library = EmulatedLibrary.build([call.artifact]);
      this.built.set(source, library);
    }
    return (await library).run(0, call, mode);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.built.clear();
  }
}
