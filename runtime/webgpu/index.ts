/** WebGPU where this runs: Node or a browser. */
import type { WebGpuDevice } from "./device.ts";

export { WebGpuDevice } from "./device.ts";
export async function openWebGpu(): Promise<WebGpuDevice> {
  const node = typeof process !== "undefined" && process.versions?.node !== undefined;
  return node ? (await import("./node.ts")).openWebGpu() : (await import("./browser.ts")).openWebGpu();
}
