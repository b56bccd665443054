/** One kernel on many sets of arguments at once. */
import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check, type TargetName } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { call, callMany, type Device, type HostTensor, prepare } from "../../runtime/index.ts";
import { manyTable } from "../../runtime/many.ts";
import { CpuCudaDevice, EmulatedLibrary, manyOf } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { ReferenceDevice } from "../../verify/reference-device.ts";
import { gxx, webgpu } from "../support/devices.ts";

const cpp = await gxx();
const gpu = await webgpu();
const artifactsOf = (text: string, target: TargetName) => {
  const checked = check(text);
  const [instance] = checked.instances;
  return variantsOf(checked, instance!, target)
    .filter((v) => (v.schedule?.features ?? []).length === 0)
    .map(({ schedule }) => compile(instance!, text, { target, schedule }).artifact);
};
const adamw = fs.readFileSync(library.adamw, "utf8");
const sizes = [8, 0, 1, 7, 300, 64, 1025, 2048, 16];
/** Names that the entry for many calls might take itself, and parameters of every width. */
const awkward = `kernel f[N](low: f64, x: f32[N], high: i32, at: u32, count: f32, calls: f64[N]) -> (firsts: f64[N], entry: i32[N]) {
  firsts[i] = (f64(x[i]) * low + calls[i]) * f64(count)
  entry[i] = high + i32(at) + i32(x[i])
}
`;
const bitsOf = (outputs: Readonly<Record<string, HostTensor>>): unknown =>
  Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, [...t.data]]));

/** What a device gives for many calls is what it gives for each, bit by bit. */
async function agrees(device: Device, text: string): Promise<number> {
  const artifacts = artifactsOf(text, device.target === "wgsl" ? "wgsl" : "cuda");
  const random = seeded(3);
  const list = sizes.map((N) => generate(artifacts.find((a) => a.when === undefined)!, random, { dims: { N } })!.args);
  const alone: unknown[] = [];
  for (const args of list) alone.push(bitsOf((await call(device, artifacts, structuredClone(args))).outputs));
  const together = await callMany(device, artifacts, structuredClone(list));
  expect(together.map((r) => bitsOf(r.outputs))).toEqual(alone);
  return together.length;
}

describe.skipIf(cpp === undefined)("CUDA text on the CPU", () => {
  test.each([
    ["adamw", adamw],
    ["names and widths", awkward],
  ])("%s: one launch for each variant", async (_, text) => {
    const device = new CpuCudaDevice();
    expect(await agrees(device, text)).toBe(sizes.length);
  });
  test("every order of threads, without a fault", async () => {
    const [artifact] = artifactsOf(adamw, "cuda").filter((a) => a.when === undefined);
    const emulated = await EmulatedLibrary.build([manyOf(artifact!)!]);
    for (let mode = 0; mode < 6; mode++) {
      const calls = sizes.map((N) => prepare(artifact!, generate(artifact!, seeded(N), { dims: { N } })!.args));
      expect(emulated.runMany(0, calls, mode).faults).toEqual([]);
    }
  });
});
describe.skipIf(gpu === undefined)("WebGPU", () => {
  test("adamw: one submission for each variant", async () => {
    expect(await agrees(gpu!, adamw)).toBe(sizes.length);
  });
});
test("a device that has no way of its own runs them one by one", async () => {
  expect(await agrees(new ReferenceDevice(), adamw)).toBe(sizes.length);
});
test("no calls are no work", async () => {
  expect(await callMany(new ReferenceDevice(), artifactsOf(adamw, "cuda"), [])).toEqual([]);
});
test("what does not fit is said before anything runs", async () => {
  let ran = 0;
  const device: Device = {
    ...{ name: "a fake device", target: "cuda", arch: "sm_80" },
    run: async () => {
      ran++;
      return { outputs: {}, timeMs: 0 };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  const artifacts = artifactsOf(adamw, "cuda");
  const good = generate(artifacts[0]!, seeded(1), { dims: { N: 8 } })!.args;
  const { lr: _, ...bad } = good;
  await expect(callMany(device, artifacts, [good, bad])).rejects.toThrow(/R101: call 1 of 2: adamw: argument `lr` is missing/);
  expect(ran).toBe(0);
  await callMany(device, artifacts, [good, good]);
  expect(ran).toBe(2);
});
describe("the entry for many calls", () => {
  test("is there for kernels of one launch without shared memory", () => {
    const made = (text: string) => artifactsOf(text, "cuda")[0]!.many !== undefined;
    expect(made(adamw)).toBe(true);
    expect(made("kernel f[N](x: f32[N]) -> (s: f32[]) { s = sum(i) x[i] }")).toBe(false);
    expect(made("kernel f[N](x: f32[N]) -> (y: f32[N]) { let m = sum(i) x[i]\n y[i] = x[i] - m }")).toBe(false);
    const product = "kernel f[M, N, K](a: f32[M, K], b: f32[K, N]) -> (c: f32[M, N]) { c[i, j] = sum(k) a[i, k] * b[k, j] }";
    expect(artifactsOf(product, "cuda")[0]!.steps).toHaveLength(1);
    expect(made(product)).toBe(false);
    expect(artifactsOf(adamw, "wgsl").some((a) => a.many)).toBe(false);
  });
  test("reads a table with the alignment of C, without calls of nothing", () => {
    const [artifact] = artifactsOf(awkward, "cuda");
    const step = artifact!.steps[0]!;
    if (step.kind !== "launch") throw new Error("one launch");
    const calls = [3, 0, 300].map((N) => prepare(artifact!, generate(artifact!, seeded(N), { dims: { N } })!.args));
    const table = manyTable(step.launch, calls, (k, name) => BigInt(16 * (k + 1) + step.launch.buffers.findIndex((b) => b.name === name)));
    expect([table.count, [...table.firsts], table.blocks]).toEqual([2, [0, 1], 1 + Math.ceil(300 / step.launch.threads)]);
    const view = new DataView(table.calls.buffer);
    // Four pointers, then N, low (at a multiple of 8), high, at, count, and room up to a multiple of 8.
    expect(artifact!.uniforms.map((u) => u.name)).toEqual(["N", "low", "high", "at", "count"]);
    expect(table.calls.length).toBe(2 * (32 + 8 + 8 + 16));
    expect([0, 1].map((row) => Number(view.getBigUint64(row * 64, true)))).toEqual([16, 48]);
    expect([0, 1].map((row) => view.getInt32(row * 64 + 32, true))).toEqual([3, 300]);
    expect([0, 2].map((k, row) => view.getFloat64(row * 64 + 40, true) === calls[k]!.values["low"])).toEqual([true, true]);
  });
});
