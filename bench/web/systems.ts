/** Weft and its peers as things that run an operation on inputs that lie on the device already. */
import type { Artifact } from "../../runtime/abi.ts";
import { call } from "../../runtime/call.ts";
import { WebGpuDevice } from "../../runtime/webgpu/device.ts";
import type { WebOp } from "./ops.ts";
// Untyped: the peers are installed when the benchmark runs, and not before.
// @ts-expect-error a module without declarations
import * as peers from "./peers.mjs";

export const peerNames = ["jax-js", "tfjs", "onnxruntime-web"] as const;
export type PeerName = (typeof peerNames)[number];

export interface Running {
  /** Runs once and resolves when the device is done: milliseconds from the first submission. */
  run(): Promise<number>;
  read(): Promise<Float32Array>;
}
export interface System {
  prepare(op: WebOp): Promise<Running>;
}
/** What the page or process is given by whoever starts it. */
export interface Given {
  readonly artifacts: Readonly<Record<string, readonly Artifact[]>>;
  /** Elements of each operation's result, as the reference has them, and how far any WebGPU device may be from that. */
  readonly expected: Readonly<Record<string, readonly { readonly at: number; readonly value: number; readonly bound: number }[]>>;
  /** ONNX models by operation, as bytes. */
  readonly models: Readonly<Record<string, readonly number[]>>;
  /** Where ONNX Runtime's module and WebAssembly are. */
  readonly ort: string;
}
let firstSubmit: number | undefined;
/** Notes when work is first handed to a queue, whoever does it. */
export function watchSubmissions(): void {
  const proto = GPUQueue.prototype;
  const submit = proto.submit;
  proto.submit = function (buffers) {
    firstSubmit ??= performance.now();
    return submit.call(this, buffers);
  };
}
/** How a peer is opened, and how it is told to time itself. */
type Open = (given: Given, timed: (queue: GPUQueue, work: () => unknown) => Promise<number>) => Promise<System>;
const { jax, tfjs, ort } = peers as Readonly<Record<"jax" | "tfjs" | "ort", Open>>;

async function timed(queue: GPUQueue, work: () => unknown): Promise<number> {
  firstSubmit = undefined;
  await work();
  await queue.onSubmittedWorkDone();
  return performance.now() - firstSubmit!;
}
async function weft(given: Given): Promise<System> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("no WebGPU adapter");
  const device = new WebGpuDevice(adapter.info, await adapter.requestDevice());
  return {
    prepare: async (op) => {
      const once = () => call(device, given.artifacts[op.kernel]!, op.inputs);
      return {
        run: async () => (await once()).timeMs,
        read: async () => (await once()).outputs[op.output.name]!.data as Float32Array,
      };
    },
  };
}
const open: Readonly<Record<"weft" | PeerName, Open>> = { weft, "jax-js": jax, tfjs, "onnxruntime-web": ort };
export const openSystem = (name: "weft" | PeerName, given: Given): Promise<System> => open[name](given, timed);
