/** A WebGPU device in a browser. */
import { WeftError } from "../errors.ts";
import { WebGpuDevice, wantedFeatures } from "./device.ts";

/** @throws WeftError R201 where the browser or the machine has no WebGPU */
export async function openWebGpu(): Promise<WebGpuDevice> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new WeftError("R201", "this browser offers no WebGPU adapter");
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: wantedFeatures(adapter),
    requiredLimits: { maxStorageBufferBindingSize, maxBufferSize },
  });
  return new WebGpuDevice(adapter.info, device, { languageFeatures: navigator.gpu.wgslLanguageFeatures });
}
