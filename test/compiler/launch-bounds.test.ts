/** How many blocks a multiprocessor is to have at a time, and loops whose turns go two in one: what keeps a product of few rows busy. */
import { expect, test } from "vitest";
import { compiled } from "../support/levels.ts";

const product = (tile: string): string =>
  `kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f32[M, N]) where K % 8 == 0, N % 8 == 0 { c[i, j] = sum(k) a[i, k] * b[k, j] }
schedule f on cuda { tile ${tile} }
`;
const packed = (tile: string): string =>
  `kernel f[M, N, K](a: f16[M, 8 * K], b: u4[N, 8 * K]) -> (c: f32[M, N]) { c[i, j] = sum(k) a[i, k] * f16(b[j, k]) }
schedule f on cuda { tile ${tile} }
`;
const boundsOf = (text: string): string[] =>
  [...compiled(text, "cuda").artifact.source.matchAll(/__launch_bounds__\((\d+, \d+)\)/g)].map((m) => m[1]!);
const twice = (text: string): boolean => compiled(text, "cuda").artifact.source.includes("#pragma unroll 2");

test("a thread with few results of a product leaves registers to other blocks, as many as there are for 128 each", () => {
  expect(boundsOf(product("i: 16, j: 128, k: 32; warps 4"))).toEqual(["128, 4"]);
  expect(boundsOf(product("i: 16, j: 64, k: 32; warps 1"))).toEqual(["32, 16"]);
  expect(boundsOf(product("i: 16, j: 128, k: 32; warps 1")), "64 results").toEqual(["32, 1"]);
  expect(boundsOf(product("i: 128, j: 128, k: 32; warps 4")), "128 results").toEqual(["128, 1"]);
});
test("two products of one launch share the registers", () => {
  const both = `kernel f[M, N, D: static](q: f16[M, D], k: f16[N, D], v: f16[N, D]) -> (o: f16[M, D]) {
  let s[i, j] = sum(d) q[i, d] * k[j, d]
  let p[i, j] = softmax(j) s[i, j]
  o[i, d] = sum(j) relax<f16>(p[i, j]) * v[j, d]
}
instance f { D: 64 }
schedule f on cuda { stream j; tile i: 16, j: 32; warps 1 }
`;
  expect(compiled(both, "cuda").artifact.source).toContain("weft_mma_f16(");
  expect(boundsOf(both)).toEqual(["32, 1"]);
});
test("what is no product says nothing of other blocks", () => {
  expect(boundsOf("kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = 2.0 * x[i] }\n")).toEqual(["256, 1"]);
});
test("a loop that reads a turn early goes two turns at a time where it carries few results", () => {
  expect(twice(packed("i: 16, j: 128, k: 64; warps 4"))).toBe(true);
  expect(twice(packed("i: 128, j: 128, k: 64; warps 4")), "128 results").toBe(false);
  expect(twice(product("i: 16, j: 128, k: 32; warps 4")), "operands that lie in a ring").toBe(false);
  const scattered = `kernel f[M, N, K](a: f16[M, K], b: f16[N, K]) -> (c: f32[M, N]) { c[i, j] = sum(k) a[i, k] * b[j, k] }
schedule f on cuda { tile i: 16, j: 128, k: 64; warps 4 }
`;
  expect(compiled(scattered, "cuda").artifact.source).toContain("weft_mma_f16(");
  expect(twice(scattered), "elements that lie anywhere").toBe(false);
});
