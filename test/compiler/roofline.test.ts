/** What `weft explain --roofline` counts, against what can be counted by hand. */
import { describe, expect, test } from "vitest";
import { chips } from "../../compiler/cost/chips.ts";
import { countBlock } from "../../compiler/cost/count.ts";
import { rooflineOf } from "../../compiler/cost/roofline.ts";
import { evaluateSize } from "../../runtime/abi.ts";
import { compiled } from "../support/levels.ts";

/** Sums over all blocks of the first launch. */
function total(text: string, values: Record<string, number>) {
  const [kernel] = compiled(text, "cuda").kernels;
  const blocks = evaluateSize(kernel!.blocks, values);
  const regions = countBlock(kernel!, values);
  const sum = (key: "matrixFlops" | "special" | "globalBytes"): number => blocks * regions.reduce((n, r) => n + r.turns * r[key], 0);
  return { regions, matrixFlops: sum("matrixFlops"), special: sum("special"), globalBytes: sum("globalBytes") };
}
describe("counts", () => {
  test("a copy moves each byte once in and once out", () => {
    const { globalBytes, regions } = total("kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i] }\n", { N: 4096 });
    expect(globalBytes).toBe(2 * 4 * 4096);
    expect(regions.map((r) => r.path)).toEqual([[]]);
  });
  test("a column read row by row moves a sector for each element", () => {
    const text = "kernel f[N, M](x: f32[N, M]) -> (y: f32[N]) where M >= 1 { y[i] = x[i, M - 1] }\n";
    const { globalBytes } = total(text, { N: 1024, M: 64 });
    expect(globalBytes).toBe(32 * 1024 + 4 * 1024);
  });
  test("each element takes one exponential", () => {
    expect(total("kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = exp(x[i]) }\n", { N: 2048 }).special).toBe(2048);
  });
  test("a product of matrices takes 2 M N K operations of the unit, in a loop over k", () => {
    const text =
      "kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f32[M, N]) where K % 64 == 0, N % 64 == 0 { c[i, j] = sum(k) a[i, k] * b[k, j] }\n";
    const { matrixFlops, regions } = total(text, { M: 256, N: 256, K: 512 });
    expect(matrixFlops).toBe(2 * 256 * 256 * 512);
    expect(regions.map((r) => r.path.join())).toContain("k");
  });
  test("a triangle turns half as often as a square, and a tile", () => {
    const text = `kernel f[N, D: static](q: f16[N, D], k: f16[N, D], v: f16[N, D]) -> (o: f32[N, D]) {
  let s[i, j] where j <= i = sum(d) q[i, d] * k[j, d]
  o[i, d] = sum(j) relax<f16>(softmax(j) s[i, j]) * v[j, d]
}
instance f { D: 64 }
`;
    const [kernel] = compiled(text, "cuda").kernels;
    const [full, mixed] = countBlock(kernel!, { N: 1024, D: 64 }).filter((r) => r.path.length === 1);
    // Of 8 blocks of 128 rows, each looked at once, the k-th has 2 k tiles of 64 keys whole, and two in part.
    expect([full!.turns, mixed!.turns]).toEqual([7, 2]);
    const { loops, blocks } = rooflineOf(kernel!, { N: 1024, D: 64 }, chips.a100);
    expect(blocks).toBe(8);
    expect(loops.find((l) => l.path.join() === "j")!.clocks["matrix unit"]).toBe((2 * 2 * 128 * 64 * 64) / chips.a100.matrixFlops);
  });
});
