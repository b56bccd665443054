/** Statistics of rows: what a mean divides by, and rows that threads share out 16 bytes at a time. */
import { describe, expect, test } from "vitest";
import { launchesOf } from "../../compiler/tile/ir.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { gxx } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const norm = (elem: string, where: string): string => `kernel f[M, N](x: ${elem}[M, N], w: f32[N]) -> (y: ${elem}[M, N]) where ${where} {
  let mu[i] = mean(j) f32(x[i, j])
  let v[i] = mean(j) (f32(x[i, j]) - mu[i]) * (f32(x[i, j]) - mu[i])
  y[i, j] = ${elem}((f32(x[i, j]) - mu[i]) * rsqrt(v[i] + 0.01) * w[j])
}
`;
const launches = (text: string, target: "cuda" | "wgsl"): string[] => launchesOf(compiled(text, target).tiles.steps).map((l) => l.name);
const compiler = await gxx();

describe("what a mean divides by", () => {
  test("is the extent of a whole axis: nothing is counted", async () => {
    for (const target of ["cuda", "wgsl"] as const) expect(launches(norm("f32", "N >= 1"), target)).toEqual(["f_mu", "f_v", "f_y"]);
    expect(await agreesOnLevels(norm("f32", "N >= 1"), 4, 3)).toBeGreaterThan(100);
  });
  test("is counted where only some points are defined", async () => {
    const text = `kernel f[M, N](x: f32[M, N]) -> (y: f32[M]) {
  let p[i, j] where j <= i = x[i, j]
  y[i] = (mean(j) p[i, j]) else -1.0
}
`;
    for (const target of ["cuda", "wgsl"] as const) expect(launches(text, target).length).toBeGreaterThan(1);
    expect(await agreesOnLevels(text, 6, 3)).toBeGreaterThan(50);
  });
  test("is all of a row or nothing where rows are defined as wholes, and where there are none", async () => {
    const text = `kernel f[M, N](x: f32[M, N], n: i32[M]) -> (y: f32[M], z: f32[M]) {
  let p[i, j] where n[i] > 0 = x[i, j]
  y[i] = (mean(j) p[i, j]) else -1.0
  z[i] = (mean(j) x[i, j]) else -2.0
}
`;
    for (const target of ["cuda", "wgsl"] as const) expect(launches(text, target).join()).not.toMatch(/count/);
    expect(await agreesOnLevels(text, 8, 3, ["cuda", "wgsl"], [0, 1, 2, 5, 33])).toBeGreaterThan(50);
  });
});

const sums = (
  elem: string,
  where: string,
): string => `kernel f[M, N](x: ${elem}[M, N]) -> (y: f32[M], z: f32[M], k: index<N>[M]) where ${where} {
  y[i] = sum(j) f32(x[i, j]) * f32(x[i, j])
  z[i] = max(j) f32(x[i, j])
  k[i] = argmax(j) f32(x[i, j])
}
`;
describe.each([
  ["f32", "N % 4 == 0, N >= 1", /float4\*>\(&x\[/, /x: array<vec4<f32>>/, [4, 8, 124, 128, 132, 260]],
  ["f16", "N % 8 == 0, N >= 1", /uint4\*>\(&x\[/, /x: array<vec4<u32>>/, [8, 16, 248, 256, 264, 520]],
] as const)("rows of %s", (elem, where, cuda, wgsl, sizes) => {
  test("are read 16 bytes at a time, by neighbouring threads", async () => {
    const text = sums(elem, where);
    const { source } = compiled(text, "cuda").artifact;
    expect(source).toMatch(cuda);
    expect(source).not.toMatch(/[^&]x\[/);
    expect(compiled(text, "wgsl").artifact.source).toMatch(wgsl);
    expect(await agreesOnLevels(text, 6, 4, ["cuda", "wgsl"], [1, 3, ...sizes])).toBeGreaterThan(30);
  });
  test("of any length are read element by element", async () => {
    const text = sums(elem, "N >= 1");
    expect(compiled(text, "cuda").artifact.source).not.toMatch(cuda);
    expect(await agreesOnLevels(text, 4, 4, ["cuda", "wgsl"], [1, 3, 31, 33, 65])).toBeGreaterThan(20);
  });
  test.skipIf(compiler === undefined)("agree as emitted CUDA", async () => {
    const random = seeded(5);
    for (const exact of [true, false]) {
      const { artifact } = compiled(sums(elem, where), "cuda", exact);
      const made = generate(artifact, random, { sizes, most: 6000, style: exact ? "bits" : "plain" })!;
      const call = prepare(artifact, made.args, { dims: made.dims });
      const machine = interpreterFor(call, "cuda");
      const { result, faults } = await new CpuCudaDevice().watch(call);
      expect(faults).toEqual([]);
      expect(agree(call, result, machine).disagreements.map(words)).toEqual([]);
    }
  });
});
