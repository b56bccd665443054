/** Runs artifacts on an NVIDIA GPU. */
import { evaluateSize, unroll } from "../abi.ts";
import type { CallOptions, CallResult, Device, PreparedCall } from "../call.ts";
import { WeftError } from "../errors.ts";
import { launchOf, manyTable } from "../many.ts";
import { bytesOf, type HostTensor } from "../tensor.ts";
import { type Cuda, loadCuda, mostDynamicShared, notReady } from "./driver.ts";

const attribute = { major: 75, minor: 76 } as const;

/** @throws WeftError R201 with what is missing */
export async function openCuda(ordinal = 0): Promise<CudaDevice> {
  const cuda = await loadCuda();
  cuda.call("cuInit", 0);
  const count: number[] = [0];
  cuda.call("cuDeviceGetCount", count);
  if (ordinal >= count[0]!) throw new WeftError("R201", `no CUDA device ${ordinal}: the driver has ${count[0]}`);
  const device: number[] = [0];
  cuda.call("cuDeviceGet", device, ordinal);
  const name = new Uint8Array(128);
  cuda.call("cuDeviceGetName", name, 128, device[0]);
  const version = [attribute.major, attribute.minor].map((a) => {
    const v: number[] = [0];
    cuda.call("cuDeviceGetAttribute", v, a, device[0]);
    return v[0]!;
  });
  const context: unknown[] = [null];
  cuda.call("cuDevicePrimaryCtxRetain", context, device[0]);
  return new CudaDevice(
    cuda,
    device[0]!,
    new TextDecoder().decode(name).replace(/\0.*$/s, ""),
    `sm_${version[0]}${version[1]}`,
    context[0],
  );
}

/** Chips whose `mma` takes floats of 8 bits; for the others from sm_90 on ptxas makes halves of them, which kernels do better themselves. */
const withEightBits = /^sm_(?:89|12\d)$/;
/** What schedules may ask of a CUDA device (docs/language.md, "Schedules"). */
export const featuresOf = (arch: string): ReadonlySet<string> => new Set(withEightBits.test(arch) ? ["f8"] : []);

export class CudaDevice implements Device {
  readonly target = "cuda" as const;
  readonly name: string;
  readonly arch: string;
  readonly features: ReadonlySet<string>;
  private readonly cuda: Cuda;
  private readonly ordinal: number;
  private readonly context: unknown;
  private readonly modules = new Map<string, unknown>();

  constructor(cuda: Cuda, ordinal: number, name: string, arch: string, context: unknown) {
    this.cuda = cuda;
    this.ordinal = ordinal;
    this.name = name;
    this.arch = arch;
    this.features = featuresOf(arch);
    this.context = context;
  }

  /** @throws WeftError R202 to R204, naming the kernel */
  async run(call: PreparedCall, options: CallOptions = {}): Promise<CallResult> {
    return (await this.session([call], options, (memory) => this.launches(call, memory[0]!)))[0]!;
  }
  /** @throws WeftError R202 to R204, naming the kernel */
  async runMany(calls: readonly PreparedCall[], options: CallOptions = {}): Promise<CallResult[]> {
    const launch = calls.length > 1 ? launchOf(calls[0]!) : undefined;
    return this.session(calls, options, (memory, allocate) => {
      if (launch === undefined) return calls.forEach((c, k) => this.launches(c, memory[k]!));
      const { kernel, many } = calls[0]!.artifact;
      const { blocks, ...table } = manyTable(launch, calls, (k, name) => memory[k]!.get(name)!);
      if (blocks === 0) return;
      const [at, firsts] = [table.calls, table.firsts].map((t) => {
        const pointer = allocate(t.byteLength);
        this.cuda.call("cuMemcpyHtoD", pointer, new Uint8Array(t.buffer), t.byteLength);
        return new BigUint64Array([pointer]);
      });
      this.launch(this.module(many!.source, kernel), many!.entry, blocks, launch.threads, 0, [at, firsts, new Int32Array([table.count])]);
    });
  }
  /** Memory for calls, what `launch` does with it, and what they give. */
  private async session(
    calls: readonly PreparedCall[],
    options: CallOptions,
    launch: (memory: readonly ReadonlyMap<string, bigint>[], allocate: (bytes: number) => bigint) => void,
  ): Promise<CallResult[]> {
    const { cuda } = this;
    const { kernel } = calls[0]!.artifact;
    cuda.call("cuCtxSetCurrent", this.context);
    const pointers: bigint[] = [];
    const allocate = (bytes: number): bigint => {
      const at: (bigint | number)[] = [0n];
      cuda.call("cuMemAlloc", at, Math.max(16, bytes));
      pointers.push(BigInt(at[0]!));
      return pointers.at(-1)!;
    };
    const events: unknown[] = [];
    try {
      const memory = calls.map(({ artifact, tensors, values }) => {
        // A kernel that does not compile takes no memory.
        this.module(artifact.source, kernel);
        const own = new Map<string, bigint>();
        for (const [name, t] of tensors) {
          own.set(name, allocate(t.data.byteLength));
          if (t.data.byteLength > 0) cuda.call("cuMemcpyHtoD", own.get(name), bytesOf(t), t.data.byteLength);
        }
        for (const t of artifact.temps) own.set(t.name, allocate(evaluateSize(t.count, values) * (t.elem === "f64" ? 8 : 4)));
        return own;
      });
      for (let k = 0; k < 2; k++) {
        const e: unknown[] = [null];
        cuda.call("cuEventCreate", e, 0);
        events.push(e[0]);
      }
      cuda.call("cuEventRecord", events[0], null);
      launch(memory, allocate);
      cuda.call("cuEventRecord", events[1], null);
      await this.wait(kernel, events[1], options.timeoutMs ?? 60_000);
      const ms: number[] = [0];
      cuda.call("cuEventElapsedTime", ms, events[0], events[1]);
      return calls.map((c, k) => ({ outputs: this.readBack(c, memory[k]!), timeMs: ms[0]! }));
    } catch (e) {
      if (e instanceof WeftError && e.code === "R202") throw new WeftError("R202", `${kernel}: ${e.message.replace(/^R202: /, "")}`);
      throw e;
    } finally {
      for (const p of pointers) cuda.release("cuMemFree", p);
      for (const e of events) cuda.release("cuEventDestroy", e);
    }
  }
  private launches({ artifact, values }: PreparedCall, memory: ReadonlyMap<string, bigint>): void {
    const module = this.module(artifact.source, artifact.kernel);
    for (const { launch, steps } of unroll(artifact.steps, values)) {
      const blocks = evaluateSize(launch.grid, { ...values, ...steps });
      if (blocks <= 0) continue;
      const args = [
        ...launch.buffers.map((b) => new BigUint64Array([memory.get(b.name)!])),
        ...artifact.uniforms.map((u) => {
          const v = u.kind === "step" ? (steps[u.name] ?? 0) : values[u.name]!;
          return u.type === "f64"
            ? new Float64Array([v])
            : u.type === "f32"
              ? new Float32Array([v])
              : u.type === "u32"
                ? new Uint32Array([v])
                : new Int32Array([v]);
        }),
      ];
      this.launch(module, launch.entry, blocks, launch.threads, launch.sharedBytes, args);
    }
  }
  private launch(module: unknown, entry: string, blocks: number, threads: number, sharedBytes: number, args: readonly unknown[]): void {
    const { cuda } = this;
    const fn: unknown[] = [null];
    cuda.call("cuModuleGetFunction", fn, module, entry);
    if (sharedBytes > 48 << 10) cuda.call("cuFuncSetAttribute", fn[0], mostDynamicShared, sharedBytes);
    cuda.call("cuLaunchKernel", fn[0], blocks, 1, 1, threads, 1, 1, sharedBytes, null, args, null);
  }
  private readBack(call: PreparedCall, memory: ReadonlyMap<string, bigint>): Record<string, HostTensor> {
    const outputs: Record<string, HostTensor> = {};
    for (const p of call.artifact.params) {
      if (p.kind !== "tensor" || p.role === "in") continue;
      const t = call.tensors.get(p.name)!;
      if (t.data.byteLength > 0) this.cuda.call("cuMemcpyDtoH", bytesOf(t), memory.get(p.name), t.data.byteLength);
      outputs[p.name] = t;
    }
    return outputs;
  }
  private async wait(kernel: string, event: unknown, timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const code = this.cuda.query(event);
      if (code === 0) return;
      if (code !== notReady) throw new WeftError("R202", `${kernel}: CUDA error ${code}`);
      if (performance.now() > end) throw new WeftError("R203", `${kernel}: no result after ${timeoutMs} ms`);
      await new Promise((r) => setImmediate(r));
    }
  }
  private module(source: string, kernel: string): unknown {
    const old = this.modules.get(source);
    if (old !== undefined) return old;
    const cubin = this.cuda.compile(source, this.arch, kernel);
    const module: unknown[] = [null];
    this.cuda.call("cuModuleLoadData", module, cubin);
    this.modules.set(source, module[0]);
    return module[0];
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const m of this.modules.values()) this.cuda.call("cuModuleUnload", m);
    this.modules.clear();
    this.cuda.call("cuDevicePrimaryCtxRelease", this.ordinal);
  }
}
