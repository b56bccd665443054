/** Runs emitted CUDA text on the CPU: every thread a fiber, every access watched. Slow, and right where a GPU may be right by luck. */
import { type Artifact, evaluateSize, type LaunchAbi, type StepAbi, unroll } from "../../runtime/abi.ts";
import type { CallOptions, CallResult, Device, PreparedCall } from "../../runtime/call.ts";
import { featuresOf } from "../../runtime/cuda/device.ts";
import { WeftError } from "../../runtime/errors.ts";
import { manyTable } from "../../runtime/many.ts";
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
    const { results, faults } = this.session(artifact, [call], (memory, launchOne) => {
      for (const { launch, steps } of unroll(artifact.steps, call.values)) {
        const blocks = evaluateSize(launch.grid, { ...call.values, ...steps });
        if (blocks <= 0) continue;
        const args = [
          ...launch.buffers.map((b) => new BigUint64Array([memory[0]!.get(b.name)!])),
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
        if (!launchOne(entryName(k, launch.entry), launch, args, blocks, mode)) break;
      }
    });
    return { result: results[0]!, faults };
  }
  /** Runs calls of the artifact whose entry for many calls the k-th is (`manyOf`). */
  runMany(k: number, calls: readonly PreparedCall[], mode: RunMode = 0): { results: CallResult[]; faults: string[] } {
    const artifact = this.artifacts[k]!;
    return this.session(artifact, calls, (memory, launchOne) => {
      const { launch } = artifact.steps[0] as Extract<StepAbi, { kind: "launch" }>;
      const { blocks, count, ...table } = manyTable(launch, calls, (c, name) => memory[c]!.get(name)!);
      if (blocks === 0) return;
      const [at, firsts] = [table.calls, table.firsts].map((t, n) => {
        const data = new Uint8Array(t.buffer);
        return new BigUint64Array([this.native.address(this.native.allocate(n === 0 ? "calls" : "firsts", data, data.length, 0, 1))]);
      });
      launchOne(entryName(k, launch.entry), launch, [at!, firsts!, Int32Array.of(count)], blocks, mode);
    });
  }
  /** Memory for calls, what is launched on it, and what they give. */
  private session(
    artifact: Artifact,
    calls: readonly PreparedCall[],
    launch: (memory: readonly ReadonlyMap<string, bigint>[], launchOne: LaunchOne) => void,
  ): { results: CallResult[]; faults: string[] } {
    const { native } = this;
    const started = performance.now();
    const faults: string[] = [];
    native.clear();
    try {
      const held = calls.map((call) => {
        const memory = new Map<string, unknown>();
        for (const p of artifact.params) {
          if (p.kind !== "tensor") continue;
          const t = call.tensors.get(p.name)!;
          memory.set(p.name, native.allocate(p.name, bytesOf(t), t.data.byteLength, Number(p.role !== "in"), Number(p.role !== "out")));
        }
        for (const t of artifact.temps) {
          const bytes = evaluateSize(t.count, call.values) * (t.elem === "f64" ? 8 : 4);
          memory.set(t.name, native.allocate(t.name, null, bytes, 1, 0));
        }
        return memory;
      });
      const addresses = held.map((m) => new Map([...m].map(([name, at]) => [name, native.address(at)])));
      launch(addresses, (entry, { entry: name, threads, sharedBytes }, args, blocks, mode) => {
        const stated = new RegExp(`__launch_bounds__\\((\\d+), \\d+\\) ${name}\\(`).exec(artifact.source)?.[1];
        if (Number(stated) !== threads) faults.push(`${name}: launch bounds of ${stated}, launched with ${threads} threads`);
        if (native.run(entry, [...args], blocks, threads, sharedBytes, mode >> 1, mode & 1) !== 0)
          faults.push(`${name}: the text has no such kernel`);
        return native.faultCount() === 0;
      });
      for (let i = 0; i < native.faultCount(); i++) faults.push(native.fault(i));
      const results = calls.map((call, c) => {
        const outputs: Record<string, HostTensor> = {};
        for (const p of artifact.params) {
          if (p.kind !== "tensor" || p.role === "in") continue;
          const t = call.tensors.get(p.name)!;
          native.read(held[c]!.get(p.name), bytesOf(t), t.data.byteLength);
          outputs[p.name] = t;
        }
        return { outputs, timeMs: performance.now() - started };
      });
      return { results, faults };
    } finally {
      native.release();
    }
  }
}
/** @returns whether nothing was seen that a device would hide */
type LaunchOne = (entry: string, launch: LaunchAbi, args: readonly unknown[], blocks: number, mode: RunMode) => boolean;

/** The entry for many calls of an artifact as an artifact of its own. */
export function manyOf(artifact: Artifact): Artifact | undefined {
  const [step] = artifact.steps;
  if (artifact.many === undefined || step?.kind !== "launch") return undefined;
  const { entry, source } = artifact.many;
  return { ...artifact, source, steps: [{ kind: "launch", launch: { ...step.launch, entry } }] };
}

/** The emulator as a device: kernels are compiled when they are first run. */
export class CpuCudaDevice implements Device {
  readonly name = "CUDA text on the CPU (emulated)";
  readonly target = "cuda" as const;
  readonly arch = "sm_89";
  readonly features: ReadonlySet<string> = featuresOf(this.arch);
  private readonly built = new Map<string, Promise<EmulatedLibrary>>();

  /** @throws WeftError R202 with the first fault that the emulator saw */
  async run(call: PreparedCall, _options: CallOptions = {}): Promise<CallResult> {
    const { result, faults } = await this.watch(call);
    if (faults.length > 0) throw new WeftError("R202", faults[0]!);
    return result;
  }
  /** @throws WeftError R202 with the first fault that the emulator saw */
  async runMany(calls: readonly PreparedCall[], options: CallOptions = {}): Promise<CallResult[]> {
    const many = manyOf(calls[0]!.artifact);
    if (many === undefined) return Promise.all(calls.map((c) => this.run(c, options)));
    const { results, faults } = (await this.library(many)).runMany(0, calls);
    if (faults.length > 0) throw new WeftError("R202", faults[0]!);
    return results;
  }
  async watch(call: PreparedCall, mode: RunMode = 0): Promise<{ result: CallResult; faults: string[] }> {
    return (await this.library(call.artifact)).run(0, call, mode);
  }
  private library(artifact: Artifact): Promise<EmulatedLibrary> {
    let library = this.built.get(artifact.source);
    if (library === undefined) {
      library = EmulatedLibrary.build([artifact]);
      this.built.set(artifact.source, library);
    }
    return library;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.built.clear();
  }
}
