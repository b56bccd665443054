/** A sum with a product is one instruction on CUDA, rounded once, with the signs where they belong; WGSL has no such promise. */
import { expect, test } from "vitest";
import { prepare } from "../../runtime/index.ts";
import { tensor } from "../../runtime/tensor.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { seeded } from "../../verify/generate.ts";
import { gxx } from "../support/devices.ts";
import { compiled } from "../support/levels.ts";

const forms: Readonly<Record<string, (a: number, b: number, c: number) => number>> = {
  "a[i] * b[i] + c[i]": (a, b, c) => a * b + c,
  "c[i] + a[i] * b[i]": (a, b, c) => c + a * b,
  "a[i] * b[i] - c[i]": (a, b, c) => a * b - c,
  "c[i] - a[i] * b[i]": (a, b, c) => c - a * b,
};
const text = (value: string): string => `kernel f[N](a: f32[N], b: f32[N], c: f32[N]) -> (y: f32[N]) { y[i] = ${value} }\n`;
const compiler = await gxx();
test.skipIf(compiler === undefined).each(Object.entries(forms))("%s", async (value, meaning) => {
  const { artifact } = compiled(text(value), "cuda");
  expect(artifact.source).toContain("fmaf(");
  expect(compiled(text(value), "wgsl").artifact.source).not.toContain("fma");
  // In [1, 2): products and sums of three are exact in f64, so that rounding it to f32 is rounding once.
  const random = seeded(11);
  const n = 500;
  const draw = (): Float32Array<ArrayBuffer> => Float32Array.from({ length: n }, () => 1 + random());
  const [a, b, c] = [draw(), draw(), draw()];
  const args = { a: tensor("f32", [n], a), b: tensor("f32", [n], b), c: tensor("f32", [n], c) };
  const { result, faults } = await new CpuCudaDevice().watch(prepare(artifact, args));
  expect(faults).toEqual([]);
  const got = [...(result.outputs["y"]!.data as Float32Array)];
  expect(got).toEqual(got.map((_, i) => Math.fround(meaning(a[i]!, b[i]!, c[i]!))));
  // And not twice.
  const twice = got.filter((v, i) => v !== Math.fround(meaning(Math.fround(a[i]! * b[i]!), 1, c[i]!)));
  expect(twice.length).toBeGreaterThan(n / 20);
});
test("a product that is needed elsewhere stays one", () => {
  const { source } = compiled(
    "kernel f[N](a: f32[N]) -> (y: f32[N]) { let p[i] = a[i] * a[i]\n  y[i] = p[i] * (p[i] + 1.0) }\n",
    "cuda",
  ).artifact;
  expect(source).not.toContain("fmaf(");
});
