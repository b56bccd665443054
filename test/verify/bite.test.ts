/** The derived bound bites: small faults in a product of 64 terms leave it, and a right evaluation in any order does not. */
import { Float16Array } from "@petamoriken/float16";
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { prepare, tensor } from "../../runtime/index.ts";
import { agree } from "../../verify/agree.ts";
import { seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";

const [M, N, K] = [24, 24, 64];
const text = "kernel product[M, N, K](a: f16[M, K], b: f16[K, N], s: f32) -> (y: f32[M, N]) { y[i, j] = s * sum(k) a[i, k] * b[k, j] }\n";
const instance = check(text).instances[0]!;
const random = seeded(12);
const halves = (n: number): Float16Array => Float16Array.from({ length: n }, () => random() * 2 - 1);
const bits = (x: Float16Array): Uint16Array<ArrayBuffer> => new Uint16Array(x.buffer as ArrayBuffer, x.byteOffset, x.length);
const [a, b, s] = [halves(M * K), halves(K * N), 0.75];
const half = new Float16Array(1);
const f16 = (x: number): number => {
  half[0] = x;
  return half[0]!;
};

/** Share of the outputs that lie outside the bound of a target. */
function outside(target: "cuda" | "wgsl", element: (i: number, j: number) => number): number {
  const { artifact } = compile(instance, text, { target });
  const call = prepare(artifact, { a: tensor("f16", [M, K], bits(a)), b: tensor("f16", [K, N], bits(b)), s });
  const y = Float32Array.from({ length: M * N }, (_, at) => element(Math.floor(at / N), at % N));
  const result = { outputs: { y: tensor("f32", [M, N], y) }, timeMs: 0 };
  const report = agree(call, result, interpreterFor(call, target));
  expect(report.compared).toBe(M * N);
  return report.disagreements.length / report.compared;
}
const terms = (i: number, j: number): number[] => Array.from({ length: K }, (_, k) => a[i * K + k]! * b[k * N + j]!);
const add = (x: number, y: number): number => Math.fround(x + y);
const f32 = (list: readonly number[]): number => list.map(Math.fround).reduce(add, 0);
const tree = (list: readonly number[]): number =>
  list.length === 1 ? Math.fround(list[0]!) : add(tree(list.slice(0, list.length >> 1)), tree(list.slice(list.length >> 1)));

describe.each(["cuda", "wgsl"] as const)("%s", (target) => {
  test.each<[string, (i: number, j: number) => number]>([
    ["in order", (i, j) => Math.fround(s * f32(terms(i, j)))],
    ["backwards", (i, j) => Math.fround(s * f32(terms(i, j).reverse()))],
    ["as a tree", (i, j) => Math.fround(s * tree(terms(i, j)))],
    ["the scale inside", (i, j) => f32(terms(i, j).map((t) => t * s))],
  ])("inside: %s", (_, element) => expect(outside(target, element)).toBe(0));
  test.each<[string, number, (i: number, j: number) => number]>([
    ["one product dropped", 0.95, (i, j) => Math.fround(s * f32(terms(i, j).slice(1)))],
    ["an f16 accumulator", 0.9, (i, j) => Math.fround(s * terms(i, j).reduce((x, t) => f16(x + t), 0))],
    ["a scale one f16 ulp off", 0.9, (i, j) => Math.fround(s * (1 + 2 ** -10) * f32(terms(i, j)))],
    [
      "bf16-like partial sums of 16",
      0.8,
      (i, j) => {
        const part = (k: number): number => Math.round(f32(terms(i, j).slice(k, k + 16)) * 128) / 128;
        return Math.fround(s * (part(0) + part(16) + part(32) + part(48)));
      },
    ],
  ])("outside: %s, in more than %d of the outputs", (_, share, element) => expect(outside(target, element)).toBeGreaterThan(share));
});
