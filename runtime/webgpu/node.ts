/** A WebGPU device in Node: Dawn from the `webgpu` package, on a GPU, on lavapipe, or on SwiftShader out of the npm development dependencies. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import zlib from "node:zlib";
import { WeftError } from "../errors.ts";
import { WebGpuDevice, wantedOf } from "./device.ts";

/** What `create()` returns must stay referenced, or promises of its devices never settle. */
const alive = new Set<unknown>();
let told = false;

export interface OpenOptions {
  /** `software` skips any GPU; `swiftshader` and `lavapipe` name the software device. */
  readonly driver?: "any" | "software" | "swiftshader" | "lavapipe";
  /** Receives the one notice that a software device is used. Default: standard error. */
  readonly notice?: (text: string) => void;
}

/** @throws WeftError R201 with what is missing and how to get it */
export async function openWebGpu(options: OpenOptions = {}): Promise<WebGpuDevice> {
  let dawn: typeof import("webgpu");
  try {
    dawn = await import("webgpu");
  } catch {
    throw new WeftError("R201", "WebGPU in Node needs the package `webgpu`: npm install webgpu");
  }
  Object.assign(globalThis, dawn.globals);
  const driver = options.driver ?? "any";
  let languageFeatures: Iterable<string> = [];
  const attempt = async (): Promise<GPUAdapter | undefined> => {
    const gpu = dawn.create([]);
    alive.add(gpu);
    const adapter = await gpu.requestAdapter();
    if (adapter === null) alive.delete(gpu);
    else languageFeatures = gpu.wgslLanguageFeatures;
    return adapter ?? undefined;
  };
  let adapter = driver === "any" && hasVulkanLoader() ? await quietly(attempt) : undefined;
  const software = adapter === undefined;
  if (adapter === undefined) {
    const icds = driver === "swiftshader" ? [swiftshader()] : driver === "lavapipe" ? [lavapipe()] : [lavapipe(), swiftshader()];
    for (const icd of icds) {
      if (icd === undefined) continue;
      process.env["VK_ICD_FILENAMES"] = icd;
      process.env["VK_DRIVER_FILES"] = icd;
      adapter = await quietly(attempt);
      if (adapter) break;
    }
  }
  if (adapter === undefined)
    throw new WeftError(
      "R201",
      "no WebGPU adapter: no GPU driver was found, and no software one (npm install --save-dev @sparticuz/chromium, or Debian's mesa-vulkan-drivers 25 or later)",
    );
  const device = await adapter.requestDevice(wantedOf(adapter));
  const made = new WebGpuDevice(adapter.info, device, { sleepShare: 0.5, languageFeatures });
  if (software && !told) {
    told = true;
    (options.notice ?? ((text: string) => process.stderr.write(`${text}\n`)))(
      `weft: no GPU here, WebGPU runs on the software device ${made.name}`,
    );
  }
  return made;
}
async function quietly<T>(f: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await f();
  } catch {
    return undefined;
  }
}
function lavapipe(): string | undefined {
  return ["/usr/share/vulkan/icd.d/lvp_icd.json", "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"].find((p) => fs.existsSync(p));
}
/** Whether there is a Vulkan loader to ask; elsewhere than on Linux, Dawn has other ways to a GPU. */
function hasVulkanLoader(): boolean {
  if (process.platform !== "linux") return true;
  return ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/lib/aarch64-linux-gnu"].some((d) =>
    fs.existsSync(`${d}/libvulkan.so.1`),
  );
}
/** Unpacks SwiftShader from `@sparticuz/chromium` once, and loads its Vulkan loader where the system has none. */
function swiftshader(): string | undefined {
  const require = createRequire(import.meta.url);
  let archive: string;
  try {
    archive = path.join(path.dirname(require.resolve("@sparticuz/chromium")), "..", "bin", "swiftshader.tar.br");
    if (!fs.existsSync(archive))
      archive = path.join(path.dirname(require.resolve("@sparticuz/chromium")), "..", "..", "bin", "swiftshader.tar.br");
    if (!fs.existsSync(archive)) return undefined;
  } catch {
    return undefined;
  }
  const dir = path.join(os.tmpdir(), `weft-swiftshader-${process.getuid?.() ?? 0}`);
  const icd = path.join(dir, "vk_swiftshader_icd.json");
  if (!fs.existsSync(icd)) {
    // Unpacked beside its place and moved there whole: two processes may do this at once.
    const fresh = fs.mkdtempSync(`${dir}-`);
    fs.writeFileSync(path.join(fresh, "s.tar"), zlib.brotliDecompressSync(fs.readFileSync(archive)));
    execFileSync("tar", ["xf", "s.tar"], { cwd: fresh });
    fs.rmSync(path.join(fresh, "s.tar"));
    try {
      fs.renameSync(fresh, dir);
    } catch {
      fs.rmSync(fresh, { recursive: true });
    }
  }
  const loader = path.join(dir, "libvulkan.so.1");
  if (!hasVulkanLoader() && fs.existsSync(loader)) {
    try {
      require("koffi").load(loader, { global: true });
    } catch {
      return undefined;
    }
  }
  return icd;
}
