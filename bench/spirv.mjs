// Compiles the WGSL on standard input with Dawn, so that it prints the SPIR-V: `node spirv.mjs TOGGLES '["entry", ..]'`.
import fs from "node:fs";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const software = "/usr/share/vulkan/icd.d/lvp_icd.json";
if (process.env.VK_ICD_FILENAMES === undefined && fs.existsSync(software)) {
  process.env.VK_ICD_FILENAMES = software;
  process.env.VK_DRIVER_FILES = software;
}
const gpu = create([`enable-dawn-features=${process.argv[2]}`]);
const adapter = await gpu.requestAdapter();
const { maxStorageBuffersPerShaderStage } = adapter.limits;
const device = await adapter.requestDevice({ requiredLimits: { maxStorageBuffersPerShaderStage } });
const module = device.createShaderModule({ code: fs.readFileSync(0, "utf8") });
for (const entryPoint of JSON.parse(process.argv[3]))
  await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint } });
device.destroy();
