/** What runs in the page: the runtime as a browser gets it. Calls come as JSON, the bytes of tensors in base 64. */
import type { Artifact } from "../../runtime/abi.ts";
import { type Argument, prepare } from "../../runtime/call.ts";
import { bytesOf, type HostTensor, zeros } from "../../runtime/tensor.ts";
import { openWebGpu, type WebGpuDevice } from "../../runtime/webgpu/index.ts";

export interface WireTensor {
  readonly elem: HostTensor["elem"];
  readonly shape: readonly number[];
  readonly units: number;
  readonly bytes: string;
}
export interface WireCall {
  readonly artifact: Artifact;
  readonly args: Readonly<Record<string, number | boolean | WireTensor>>;
  readonly dims: Readonly<Record<string, number>>;
}
export const toWire = (t: HostTensor): WireTensor => {
  let text = "";
  for (const b of bytesOf(t)) text += String.fromCharCode(b);
  return { elem: t.elem, shape: t.shape, units: t.data.length, bytes: btoa(text) };
};
export function fromWire(w: WireTensor): HostTensor {
  const t: HostTensor = { elem: w.elem, shape: w.shape, data: zeros(w.elem, w.units) };
  bytesOf(t).set(Uint8Array.from(atob(w.bytes), (c) => c.charCodeAt(0)));
  return t;
}
export interface PageApi {
  /** Name of the adapter, and what schedules may ask of it. */
  open(): Promise<{ readonly name: string; readonly features: readonly string[] }>;
  run(call: WireCall): Promise<Record<string, WireTensor>>;
}
let device: WebGpuDevice | undefined;
const api: PageApi = {
  async open() {
    device = await openWebGpu();
    return { name: device.name, features: [...device.features] };
  },
  async run({ artifact, args, dims }) {
    const given = Object.entries(args).map(([name, a]): [string, Argument] => [name, typeof a === "object" ? fromWire(a) : a]);
    const { outputs } = await device!.run(prepare(artifact, Object.fromEntries(given), { dims }));
    return Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, toWire(t)]));
  },
};
(globalThis as { weft?: PageApi }).weft = api;
