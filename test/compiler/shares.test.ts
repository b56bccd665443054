/** Warps that share out the sum of a product: what each adds up comes together through shared memory. */
import { describe, expect, test } from "vitest";
import { launchesOf } from "../../compiler/tile/ir.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const product = (elem: string, where: string, schedule: string, condition = ""): string => `
kernel f[M, N, K](a: ${elem}[M, K], b: ${elem}[N, K]) -> (c: ${elem === "i8" ? "i32" : "f32"}[M, N])${where} {
  c[i, j] = sum(k${condition}) a[i, k] * b[j, k]
}
schedule f on cuda { ${schedule} }
`;
/** Bits of a layout's warps that step along the index summed over. */
const sharing = (text: string): number => {
  const { layout } = launchesOf(compiled(text, "cuda").tiles.steps)[0]!;
  return (layout.over(["k.unroll"]).columns.get("warp") ?? []).filter((c) => c > 0).length;
};

describe("shares of a sum", () => {
  test.each([
    ["f16", " where K % 8 == 0", "tile i: 16, j: 8, k: 64; warps 4", 2],
    ["bf16", "", "tile i: 16, j: 16, k: 32; warps 4", 1],
    ["i8", " where K % 16 == 0", "tile i: 16, j: 8, k: 128; warps 4", 2],
    ["f16", " where K % 32 == 0", "tile i: 32, j: 8, k: 64; warps 8", 2],
  ])("%s%s, %s", async (elem, where, schedule, bits) => {
    const text = product(elem, where, schedule);
    expect(sharing(text)).toBe(bits);
    expect(await agreesOnLevels(text, 6, 5, ["cuda"], [0, 1, 8, 16, 32, 48, 64, 96, 144])).toBeGreaterThan(100);
  });
  test.each([" where k <= i", " where k >= j", " where k % 3 != 1"])("points that do not count:%s", async (condition) => {
    const text = product("f16", " where K % 8 == 0", "tile i: 16, j: 8, k: 64; warps 4", condition);
    expect(sharing(text)).toBe(2);
    expect(await agreesOnLevels(text, 6, 7, ["cuda"], [0, 1, 8, 16, 40, 72])).toBeGreaterThan(100);
  });
  test("warps that have a place along rows and columns share nothing", () => {
    expect(sharing(product("f16", "", "tile i: 32, j: 16, k: 64; warps 4"))).toBe(0);
  });
  test("a split sum, in chunks that end where pieces do", async () => {
    const text = product("f16", " where K % 32 == 0", "split k: 2; tile i: 16, j: 8, k: 64; warps 2").replace(
      "b: f16[N, K]",
      "b: i8[N, K]",
    );
    const computed = text.replace("b[j, k]", "relax<f16>(f32(b[j, k]))");
    expect(sharing(computed)).toBe(1);
    expect(await agreesOnLevels(computed, 6, 9, ["cuda"], [0, 1, 9, 32, 96, 128, 160])).toBeGreaterThan(100);
  });
});
