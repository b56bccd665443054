/** The derived bounds bite: a product dropped from a sum of 64, a narrow accumulator, a wrong scale each leave them. */
import { describe, expect, test } from "vitest";
import { check } from "../../dsl/index.ts";
import { profiles } from "../../dsl/interpret/accuracy.ts";
import { Interpreter } from "../../dsl/interpret/interpreter.ts";
import { formats, roundTo } from "../../dsl/tensor/narrow.ts";
import { seeded } from "../../verify/generate.ts";

const K = 64;
const program = check("kernel dot[M, K](a: f16[M, K], b: f16[K], s: f32) -> (y: f32[M]) { y[i] = s * sum(k) a[i, k] * b[k] }\n")
  .instances[0]!.program;
const random = seeded(3);
const half = (n: number): Float64Array => Float64Array.from({ length: n }, () => roundTo(formats.f16!, random() * 2 - 1));
const M = 200;
const [a, b, s] = [half(M * K), half(K), Math.fround(0.37)];
const inputs = { dims: { M, K }, scalars: { s }, tensors: { a: { shape: [M, K], values: a }, b: { shape: [K], values: b } } };
/** A serial f32 kernel, with a fault where one is planted. */
const serial = (row: number, fault: "none" | "dropped" | "narrow" | "scale"): number => {
  let sum = 0;
  for (let k = 0; k < K - (fault === "dropped" ? 1 : 0); k++) {
    sum = Math.fround(sum + Math.fround(a[row * K + k]! * b[k]!));
    if (fault === "narrow") sum = roundTo(formats.f16!, sum);
  }
  return Math.fround(sum * (fault === "scale" ? Math.fround(s * (1 + 2 ** -10)) : s));
};
const outside = (profile: string, fault: "none" | "dropped" | "narrow" | "scale"): number => {
  const machine = new Interpreter(program, inputs, profiles[profile]);
  let n = 0;
  for (let i = 0; i < M; i++) {
    const e = machine.elementAt("y", i);
    if (Math.abs(serial(i, fault) - e.value) > e.bound) n++;
  }
  return n / M;
};
describe.each(["cuda", "wgsl"])("%s", (profile) => {
  test("a correct kernel is inside", () => expect(outside(profile, "none")).toBe(0));
  test.each(["dropped", "narrow", "scale"] as const)("%s is outside", (fault) => expect(outside(profile, fault)).toBeGreaterThan(0.5));
});
test("integers are exact, and so is what is computed from them", () => {
  const p = check("kernel f[N](x: f32[N]) -> (y: f32[], m: f32[N]) { y = sum(i) x[i] * x[i]\n  m[i] = max(x[i], 0.5) * 2.0 }\n")
    .instances[0]!.program;
  const machine = new Interpreter(
    p,
    { dims: { N: 50 }, scalars: {}, tensors: { x: { shape: [50], values: Array.from({ length: 50 }, (_, i) => i - 20) } } },
    profiles["wgsl"],
  );
  expect(machine.elementAt("y", 0)).toMatchObject({
    value: Array.from({ length: 50 }, (_, i) => (i - 20) ** 2).reduce((x, y) => x + y),
    bound: 0,
  });
  expect(machine.elementAt("m", 3)).toMatchObject({ bound: 0, value: 1 });
});
test("a decision within the bounds is open, one outside is not", () => {
  const p = check("kernel f[N](x: f32[N], y: f32[N]) -> (a: i32[N]) { a[i] = if exp(x[i]) > y[i] then 1 else 0 }\n").instances[0]!.program;
  const at = (y: number) =>
    new Interpreter(
      p,
      { dims: { N: 1 }, scalars: {}, tensors: { x: { shape: [1], values: [1] }, y: { shape: [1], values: [y] } } },
      profiles["cuda"],
    ).elementAt("a", 0).open;
  expect([at(Math.E), at(2.7), at(2.8)]).toEqual([true, false, false]);
});
