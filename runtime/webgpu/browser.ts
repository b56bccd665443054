/** A WebGPU device in a browser. */
import { WeftError } from "../errors.ts";
import { WebGpuDevice, wantedOf } from "./device.ts";

/** @throws WeftError R201 where the browser or the machine has no WebGPU */
export async function openWebGpu(): Promise<WebGpuDevice> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new WeftError("R201", "this browser offers no WebGPU adapter");
  const device = await adapter.requestDevice(wantedOf(adapter));
  return new WebGpuDevice(adapter.info, device, { languageFeatures: navigator.gpu.wgslLanguageFeatures });
}
