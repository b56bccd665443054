/** Devices and compilers that tests use; what is missing is skipped visibly, or an error where WEFT_REQUIRE names it. */
import { execFileSync } from "node:child_process";
import { afterAll } from "vitest";
import type { WebGpuDevice } from "../../runtime/webgpu/index.ts";
import { openWebGpu } from "../../runtime/webgpu/node.ts";
import { compilerVersion } from "../../verify/cuda-cpu/build.ts";

const required = new Set((process.env["WEFT_REQUIRE"] ?? "").split(",").filter(Boolean));

export function missing(what: string, why: string): undefined {
  if (required.has(what)) throw new Error(`WEFT_REQUIRE names ${what}, and there is none: ${why}`);
  console.warn(`SKIPPED: no ${what} here (${why})`);
  return undefined;
}
let gpu: Promise<WebGpuDevice | undefined> | undefined;
/** The device of a file of tests, opened at its first call and closed at its end: files follow each other in one process. */
export function webgpu(): Promise<WebGpuDevice | undefined> {
  if (gpu === undefined) {
    const own = openWebGpu({ notice: () => undefined }).catch((e: Error) => missing("webgpu", e.message));
    gpu = own;
    afterAll(async () => {
      gpu = undefined;
      await (await own)?.[Symbol.asyncDispose]();
    });
  }
  return gpu;
}
export async function gxx(): Promise<string | undefined> {
  return (await compilerVersion()) ?? missing("gxx", "g++ is not on the path");
}
export function nvcc(): string | undefined {
  try {
    return /release ([\d.]+)/.exec(execFileSync("nvcc", ["--version"], { encoding: "utf8" }))?.[1] ?? "unknown";
  } catch {
    return missing("nvcc", "nvcc is not on the path");
  }
}
