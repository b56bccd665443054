/** Sums of products cut over blocks: each piece on the matrix unit, from where its chunk begins to where it ends. */
import { describe, expect, test } from "vitest";
import { agreesOnLevels, compiled } from "../support/levels.ts";

/** Extents that are multiples of 8, which chunks of every kind come from. */
const eights = [0, 8, 16, 24, 40, 72, 136];
const product = (where: string, directives: string): string => `
kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f32[M, N])${where} {
  c[i, j] = sum(k) a[i, k] * b[k, j]
}
schedule f on cuda { ${directives} }
`;
const tile = "tile i: 16, j: 16, k: 32; warps 1";

describe("split products", () => {
  test.each([
    ["chunks of whole steps", " where K % 32 == 0, N % 8 == 0", [32, 64, 96, 160], "a_tile"],
    ["chunks that begin within a step", " where K % 8 == 0, N % 8 == 0", eights, "a_tile"],
    ["chunks that begin within a piece", "", [0, 1, 7, 9, 33, 50], ""],
  ] as const)("%s", async (_, where, sizes, ring) => {
    const text = product(where, `split k: 3; ${tile}`);
    const { source, temps } = compiled(text, "cuda").artifact;
    expect(source).toContain("weft_mma_f16(");
    if (ring) expect(source, "operands go through shared memory").toContain(ring);
    expect(temps.map((t) => t.name)).toEqual(["c_part"]);
    expect(await agreesOnLevels(text, 20, 5, ["cuda"], sizes)).toBeGreaterThan(100);
  });
  test("what combines the chunks has a tile of its own", () => {
    const { directives } = compiled(product(" where K % 8 == 0, N % 8 == 0", `split k: 4; ${tile}`), "cuda");
    expect(directives.filter((d) => d.includes("c_part."))).toEqual(["// tile c_part.i: 16, c_part.j: 16, c_part.k: 32"]);
    expect(directives.filter((d) => d.includes(" c."))).toEqual(["tile c.j: 256"]);
  });
  test("memory is read whatever a condition says that stands before it", () => {
    const text = `
kernel f[M, N](x: f32[M, N]) -> (y: f32[M]) { y[i] = logsumexp(j) x[i, j] else 0.0 }
schedule f on cuda { stream j; split j: 4 }
`;
    const { source } = compiled(text, "cuda").artifact;
    expect(source).toMatch(/ \| \(\w+\[/);
    expect(source).not.toMatch(/(&&|\|\|) \(?\w+\[/);
  });
});
