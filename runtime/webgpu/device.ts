/** Runs artifacts on a GPUDevice: the same code in Node (Dawn) and in a browser. */
import { evaluateSize, type LaunchAbi, unroll } from "../abi.ts";
import { type CallOptions, type CallResult, type Device, lacking, type PreparedCall } from "../call.ts";
import { WeftError } from "../errors.ts";
import { bytesOf, type HostTensor } from "../tensor.ts";
import { Durations } from "./durations.ts";
import { withPackedDots } from "./packed-dots.ts";

/** Most workgroups along one dimension (WebGPU default limit). */
const mostGroups = 65535;
const padded = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

export interface WebGpuOptions {
  /** Waits without a pending promise for this share of the expected time: Dawn in Node spins while one is pending. 0 in a browser. */
  readonly sleepShare?: number;
  /** Called when the device is closed: lets go of what keeps it alive. */
  readonly release?: () => void;
  /** `GPU.wgslLanguageFeatures`; default: none, and what they would do is done without them. */
  readonly languageFeatures?: Iterable<string>;
}

/** What an adapter is called, as far as it says; browsers say little. */
export const adapterName = (info: GPUAdapterInfo): string =>
  info.description || info.device || `${info.vendor} ${info.architecture}`.trim() || "WebGPU";
/** Whether an adapter is a CPU that plays a GPU. */
export const isSoftware = (info: Pick<GPUAdapterInfo, "isFallbackAdapter" | "architecture" | "device" | "description">): boolean =>
  info.isFallbackAdapter === true || /swiftshader|llvmpipe|basic render/i.test(`${info.architecture} ${info.device} ${info.description}`);

/** What is asked of an adapter: features where it has them, buffers as large as it has them, and else the limits of core WebGPU. */
export const wantedOf = ({ features, limits }: GPUAdapter): GPUDeviceDescriptor => ({
  requiredFeatures: (["subgroups", "shader-f16"] as const).filter((f) => features.has(f)),
  requiredLimits: { maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize, maxBufferSize: limits.maxBufferSize },
});
/**
 * What schedules may ask of a device (docs/language.md, "Schedules"): `subgroups`, and `subgroups8` and so on for as many lanes as every
 * subgroup has at least, where a kernel can number its threads by them; `f16`; `software`.
 */
export function featuresOf(
  info: Pick<GPUAdapterInfo, "subgroupMinSize"> & Parameters<typeof isSoftware>[0],
  device: Iterable<string>,
  language: ReadonlySet<string>,
): ReadonlySet<string> {
  const out = new Set<string>();
  for (const f of device) {
    if (f === "shader-f16") out.add("f16");
    else if (f !== "subgroups") out.add(f);
    else if (language.has("subgroup_id")) {
      out.add(f);
      for (let lanes = 8; lanes <= (info.subgroupMinSize ?? 0); lanes *= 2) out.add(`${f}${lanes}`);
    }
  }
  if (isSoftware(info)) out.add("software");
  return out;
}

/** Where a tensor or a temporary lies: in a buffer, from a byte on; the name of an arena is that of its buffer. */
interface Region {
  readonly buffer: GPUBuffer;
  readonly at: number;
}
type Memory = ReadonlyMap<string, Region>;
/** Makes a buffer that lives as long as the run. */
type Make = (bytes: number, usage: number) => GPUBuffer;

export class WebGpuDevice implements Device {
  readonly target = "wgsl" as const;
  readonly name: string;
  readonly features: ReadonlySet<string>;
  private readonly device: GPUDevice;
  private readonly options: WebGpuOptions;
  private readonly languageFeatures: ReadonlySet<string>;
  private readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();
  /** Milliseconds that a kernel took last time, by artifact. */
  private readonly durations = new Durations();
  private lost: string | undefined;
  private readonly whenLost: Promise<never>;

  /** @param info of the adapter: what it is called, and whether it is a CPU */
  constructor(info: GPUAdapterInfo, device: GPUDevice, options: WebGpuOptions = {}) {
    this.name = adapterName(info);
    this.device = device;
    this.options = options;
    this.languageFeatures = new Set(options.languageFeatures);
    this.features = featuresOf(info, device.features, this.languageFeatures);
    this.whenLost = device.lost.then((info) => {
      this.lost = info.message || info.reason;
      throw new WeftError("R202", this.lost);
    });
    this.whenLost.catch(() => undefined);
  }

  /** @throws WeftError R202 to R206, naming the kernel */
  async run(call: PreparedCall, options: CallOptions = {}): Promise<CallResult> {
    return (await this.runMany([call], options))[0]!;
  }
  /**
   * Runs calls of one artifact in one submission.
   * @throws WeftError R202 to R206, naming the kernel
   */
  async runMany(calls: readonly PreparedCall[], options: CallOptions = {}): Promise<CallResult[]> {
    const { artifact } = calls[0]!;
    const { device } = this;
    if (this.lost !== undefined) throw new WeftError("R202", `${artifact.kernel}: the device was lost (${this.lost})`);
    const missing = lacking(artifact, this);
    if (missing !== undefined)
      throw new WeftError("R206", `${artifact.kernel}: this variant is for devices with ${missing}, and ${this.name} has none`);
    const buffers: GPUBuffer[] = [];
    const make = (bytes: number, usage: number): GPUBuffer => {
      const b = device.createBuffer({ size: padded(bytes), usage });
      buffers.push(b);
      return b;
    };
    try {
      const memory = calls.map((c) => this.memoryOf(c, make));
      const work = await Promise.all(calls.flatMap((c, k) => this.launchesOf(c, memory[k]!, make)));
      device.pushErrorScope("validation");
      const encoder = device.createCommandEncoder();
      for (const { pipeline, entries, blocks } of work) {
        const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(Math.min(blocks, mostGroups), Math.ceil(blocks / mostGroups));
        pass.end();
      }
      const started = performance.now();
      device.queue.submit([encoder.finish()]);
      const scope = device.popErrorScope();
      await this.wait(artifact.kernel, artifact.source, options.timeoutMs ?? 60_000);
      const timeMs = performance.now() - started;
      const error = await scope;
      if (error) throw new WeftError("R204", `${artifact.kernel}: ${error.message.split("\n")[0]}`);
      const results: CallResult[] = [];
      for (const [k, c] of calls.entries()) results.push({ outputs: await this.readBack(c, memory[k]!, make), timeMs });
      return results;
    } finally {
      for (const b of buffers) b.destroy();
    }
  }
  /** Buffers of a call: its tensors, filled, and its temporaries. */
  private memoryOf({ artifact, values, tensors }: PreparedCall, make: Make): Memory {
    const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const memory = new Map<string, Region>();
    const own = (name: string, bytes: number): Region => {
      this.fits(artifact.kernel, name, bytes);
      return { buffer: make(bytes, storage), at: 0 };
    };
    for (const { name, size, members } of artifact.arenas ?? []) {
      const region = own(members.map((m) => m.name).join(", "), 16 * evaluateSize(size, values));
      memory.set(name, region);
      for (const m of members) memory.set(m.name, { ...region, at: 16 * evaluateSize(m.at, values) });
    }
    for (const [name, t] of tensors) {
      const region = memory.get(name) ?? own(name, t.data.byteLength);
      if (t.data.byteLength > 0) this.device.queue.writeBuffer(region.buffer, region.at, wholeWords(bytesOf(t)));
      memory.set(name, region);
    }
    for (const t of artifact.temps) if (!memory.has(t.name)) memory.set(t.name, own(t.name, evaluateSize(t.count, values) * 4));
    return memory;
  }
  /** The dispatches of a call that have blocks, in order. */
  private launchesOf(
    call: PreparedCall,
    memory: Memory,
    make: Make,
  ): Promise<{ readonly pipeline: GPUComputePipeline; readonly entries: GPUBindGroupEntry[]; readonly blocks: number }>[] {
    const { artifact, values } = call;
    return unroll(artifact.steps, values).flatMap(({ launch, steps }) => {
      const blocks = evaluateSize(launch.grid, { ...values, ...steps });
      if (blocks <= 0) return [];
      const usesArgs = /\bargs\./.test(entryText(artifact.source, launch.entry));
      const entries: GPUBindGroupEntry[] = launch.buffers.map((b) => ({
        binding: b.binding,
        resource: { buffer: memory.get(b.name)!.buffer },
      }));
      if (usesArgs) {
        const uniforms = make(artifact.uniforms.length * 4, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
        this.device.queue.writeBuffer(uniforms, 0, uniformBytes(call, steps));
        entries.unshift({ binding: 0, resource: { buffer: uniforms } });
      }
      return [this.pipeline(artifact.source, launch, artifact.kernel).then((pipeline) => ({ pipeline, entries, blocks }))];
    });
  }
  private fits(kernel: string, name: string, bytes: number): void {
    const most = Math.min(this.device.limits.maxStorageBufferBindingSize, this.device.limits.maxBufferSize);
    if (padded(bytes) > most) throw new WeftError("R205", `${kernel}: \`${name}\` takes ${bytes} bytes, the device binds ${most}`);
  }
  private pipeline(source: string, launch: LaunchAbi, kernel: string): Promise<GPUComputePipeline> {
    const key = `${launch.entry} ${source}`;
    let p = this.pipelines.get(key);
    if (p === undefined) {
      p = this.build(source, launch, kernel);
      this.pipelines.set(key, p);
    }
    return p;
  }
  private async build(source: string, launch: LaunchAbi, kernel: string): Promise<GPUComputePipeline> {
    const module = this.device.createShaderModule({ code: withPackedDots(source, this.languageFeatures) });
    const info = await module.getCompilationInfo();
    const bad = info.messages.find((m) => m.type === "error");
    if (bad) throw new WeftError("R204", `${kernel}: generated WGSL line ${bad.lineNum}: ${bad.message}`);
    try {
      return await this.device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: launch.entry } });
    } catch (e) {
      throw new WeftError("R204", `${kernel}: ${(e as Error).message.split("\n")[0]}`);
    }
  }
  private async wait(kernel: string, key: string, timeoutMs: number): Promise<void> {
    const started = performance.now();
    const sleep = this.durations.expected(key) * (this.options.sleepShare ?? 0);
    if (sleep > 1) await new Promise((r) => setTimeout(r, Math.min(sleep, timeoutMs)));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new WeftError("R203", `${kernel}: no result after ${timeoutMs} ms`)), Math.max(1, timeoutMs - sleep));
    });
    try {
      await Promise.race([this.device.queue.onSubmittedWorkDone(), late, this.whenLost]);
    } catch (e) {
      throw e instanceof WeftError && e.code === "R202" ? new WeftError("R202", `${kernel}: the device was lost (${this.lost})`) : e;
    } finally {
      clearTimeout(timer);
    }
    this.durations.record(key, performance.now() - started);
  }
  private async readBack(call: PreparedCall, memory: Memory, make: Make): Promise<Record<string, HostTensor>> {
    const outputs: Record<string, HostTensor> = {};
    const pending: { t: HostTensor; name: string; read: GPUBuffer }[] = [];
    const encoder = this.device.createCommandEncoder();
    for (const p of call.artifact.params) {
      if (p.kind !== "tensor" || p.role === "in") continue;
      const t = call.tensors.get(p.name)!;
      outputs[p.name] = t;
      if (t.data.byteLength === 0) continue;
      const from = memory.get(p.name)!;
      const read = make(t.data.byteLength, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
      encoder.copyBufferToBuffer(from.buffer, from.at, read, 0, read.size);
      pending.push({ t, name: p.name, read });
    }
    this.device.queue.submit([encoder.finish()]);
    for (const { t, read } of pending) {
      await Promise.race([read.mapAsync(GPUMapMode.READ), this.whenLost]);
      bytesOf(t).set(new Uint8Array(read.getMappedRange(), 0, t.data.byteLength));
      read.unmap();
    }
    return outputs;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.device.destroy();
    this.options.release?.();
  }
}

/** writeBuffer takes whole words. */
function wholeWords(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  out.set(bytes);
  return out;
}
/** The text of one entry point, up to the next. */
function entryText(source: string, entry: string): string {
  const start = source.indexOf(`fn ${entry}(`);
  const end = source.indexOf("@compute", start);
  return source.slice(start, end < 0 ? undefined : end);
}
function uniformBytes(call: PreparedCall, steps: Readonly<Record<string, number>>): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(Math.max(4, call.artifact.uniforms.length * 4)));
  call.artifact.uniforms.forEach((u, k) => {
    const v = u.kind === "step" ? (steps[u.name] ?? 0) : u.kind === "place" ? evaluateSize(u.at, call.values) : call.values[u.name]!;
    if (u.type === "f32") view.setFloat32(4 * k, v, true);
    else if (u.type === "u32") view.setUint32(4 * k, v, true);
    else view.setInt32(4 * k, v, true);
  });
  return view.buffer as ArrayBuffer;
}
