/** Scales that are the same for a step of a product on the matrix unit: taken out of it, codes are multiplied as they are. */
import { describe, expect, test } from "vitest";
import { prepare } from "../../runtime/index.ts";
import { numbersOf, tensorOf } from "../../verify/convert.ts";
import { runThreads } from "../../verify/levels.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const text = (factor: string, more = "", tile = "tile m: 16, n: 8, k: 64; warps 1", where = ""): string => `
kernel f[M, N, NG](x: f16[M, NG * 64], w: u4[NG * 64, N], z: u4[NG, N], s: f16[NG, N], t: f32[N]${more}) -> (y: f32[M, N])${where} {
  y[m, n] = sum(k) x[m, k] * ${factor}
}
schedule f on cuda { ${tile} }
`;
const scaled = "relax<f16>(f32(w[k, n] - z[k / 64, n]) * s[k / 64, n])";
/** Whether products of codes are sums of their own. */
const isHoisted = (source: string): boolean => {
  const made = compiled(source, "cuda");
  const loops = (list: readonly { readonly kind: string }[]): boolean =>
    list.some(
      (s) =>
        (s.kind === "for" && loops((s as unknown as { body: { kind: string }[] }).body)) ||
        (s.kind === "mma" && (s as unknown as { c: { kind: string }[] }).c.every((c) => c.kind === "const")),
    );
  return made.kernels.some((k) => loops(k.body));
};
test("a sum of a known length is one step, unless a range of it counts", async () => {
  for (const axis of ["k", "k in 4..12", "k in 0..N"]) {
    const source = `kernel f[M, N](x: f16[M, 16], w: f16[16, N]) -> (y: f32[M, N]) where N <= 16 { y[m, n] = sum(${axis}) x[m, k] * w[k, n] }
schedule f on cuda { tile m: 16, n: 8, k: 16; warps 1 }
`;
    expect(await agreesOnLevels(source, 4, 3, ["cuda"], [1, 2, 3, 9, 16])).toBeGreaterThan(40);
  }
});
describe("the scale of a group", () => {
  test.each([
    ["with its zero points", text(scaled)],
    ["of codes alone", text("relax<f16>(f32(w[k, n]) * s[k / 64, n])")],
    ["and one of the column", text("relax<f16>(t[n] * (f32(w[k, n] - 8) * s[k / 64, n]))")],
    ["of a column", text("relax<f16>(f32(w[k, n] - 8) * t[n])")],
    ["of a larger group", text("relax<f16>(f32(w[k, n] - 8) * s[k / 128, n])").replace("s: f16[NG, N]", "s: f16[(NG + 1) / 2, N]")],
    ["in halves of bf16", text(scaled).replaceAll("f16", "bf16")],
    ["in chunks", text(scaled, "", "split k: 3; tile m: 16, n: 8, k: 64; warps 1")],
    ["in shares of a step", text(scaled, "", "tile m: 16, n: 8, k: 64; warps 2")],
    ["from a group on", text(scaled).replace("sum(k)", "sum(k in min(64, NG * 64)..NG * 64)")],
    ["where rows do not count", text(scaled, ", l: i32[M]").replace("sum(k)", "sum(k where k < l[m])")],
  ])("%s leaves a step", async (_, source) => {
    expect(isHoisted(source)).toBe(true);
    expect(await agreesOnLevels(source, 10, 3, ["cuda"], [0, 1, 2, 3, 9, 17])).toBeGreaterThan(40);
  });
  test.each([
    ["that changes within a step", text("relax<f16>(f32(w[k, n] - 8) * s[k / 32, n])").replace("s: f16[NG, N]", "s: f16[2 * NG, N]")],
    ["of what may not be exact", text("relax<f16>(v[k, n] * s[k / 64, n])", ", v: f32[NG * 64, N]")],
    ["of integers beyond what halves hold", text("relax<f16>(f32(v[k, n] * 100) * s[k / 64, n])", ", v: i8[NG * 64, N]")],
    ["of nothing else", text("relax<f16>(t[n] * s[k / 64, n])")],
    ["that is rounded to a half", text(scaled.replace("relax", "").replace(/<f16>/, "f16"))],
    ["of a step that begins within a group", text(scaled).replace("sum(k)", "sum(k in min(32, NG * 64)..NG * 64)")],
    ["where points do not count", text(scaled).replace("sum(k)", "sum(k where k % 3 != 1)")],
    ["of few points for many rows", text(scaled, "", "tile m: 64, n: 8, k: 64; warps 1")],
    ["of many sums", text(scaled, "", "tile m: 16, n: 64, k: 64; warps 1")],
    [
      "that is not everywhere",
      text("relax<f16>(f32(w[k, n] - 8) * u[k / 64])")
        .replace("y[m, n] =", "let u[g: NG] where g >= 1 = s[g, 0]\n  y[m, n] =")
        .replace("-> (y: f32[M, N])", "-> (y: f32[M, N]) where N >= 1"),
    ],
  ])("%s stays", async (_, source) => {
    expect(isHoisted(source)).toBe(false);
    expect(await agreesOnLevels(source, 6, 3, ["cuda"], [1, 2, 3, 9, 17])).toBeGreaterThan(20);
  });
});
describe("the scale of a group of columns", () => {
  const grouped = (factor: string, more = "", tile = "tile m: 16, n: 32, k: 32; warps 1", type = "bf16"): string =>
    `
kernel f[M, N, K](x: bf16[M, K], w: u4[K, N], z: u4[K, (N + 63) / 64], s: f16[K, (N + 63) / 64]${more}) -> (y: f32[M, N]) {
  y[m, n] = sum(k) x[m, k] * relax<bf16>(${factor})
}
schedule f on cuda { ${tile} }
`.replaceAll("bf16", type);
  const both = "f32(w[k, n] - z[k, n / 64]) * s[k, n / 64]";
  const isMoved = (source: string): boolean => compiled(source, "cuda").artifact.source.includes("weft_isfinite(");
  const sizes = [1, 3, 9, 17, 40, 70, 100];
  test.each([
    ["with its zero points", grouped(both)],
    ["of codes alone, on a tile that is a group", grouped("f32(w[k, n] - 8) * s[k, n / 64]", "", "tile m: 16, n: 64, k: 32; warps 2")],
    ["of a larger group", grouped("f32(w[k, n] - 8) * t[k, n / 128]", ", t: f32[K, (N + 127) / 128]")],
    ["of each input", grouped("f32(w[k, n]) * s[k, 0]").replace("{\n", "where N >= 1 {\n")],
    ["that an operand in shared memory takes", grouped(both).replace("{\n", "where K % 8 == 0 {\n")],
    ["in chunks", grouped(both, "", "split k: 3; tile m: 16, n: 32, k: 32; warps 1")],
    ["in shares of a step", grouped(both, "", "tile m: 16, n: 32, k: 64; warps 4")],
    ["where rows do not count", grouped(both, ", l: i32[M]").replace("sum(k)", "sum(k where k < l[m])")],
    ["in part of the sum", grouped(both).replace("sum(k)", "sum(k in min(5, K)..K)")],
  ])("%s goes to the rows", async (_, source) => {
    expect(isMoved(source)).toBe(true);
    expect(await agreesOnLevels(source, 12, 3, ["cuda"], sizes)).toBeGreaterThan(40);
  });
  test.each([
    ["in halves", grouped(both, "", undefined, "f16")],
    ["that changes within the tile", grouped("f32(w[k, n] - 8) * t[k, n / 3]", ", t: f32[K, (N + 2) / 3]")],
    ["that changes with each column", grouped("f32(w[k, n] - 8) * t[k, n]", ", t: f32[K, N]")],
    ["that is rounded", grouped(both).replace("relax<bf16>", "bf16")],
    ["where points do not count", grouped(both).replace("sum(k)", "sum(k where k % 3 != 1)")],
    ["of many rows", grouped(both, "", "tile m: 32, n: 32, k: 32; warps 1")],
    ["beside one of the output", grouped("f32(w[k, n]) * (s[k, 0] * u[n])", ", u: f32[N]").replace("{\n", "where N >= 1 {\n")],
    ["of what may not be exact", grouped("v[k, n] * s[k, n / 64]", ", v: f32[K, N]")],
  ])("%s stays", async (_, source) => {
    expect(isMoved(source)).toBe(false);
    expect(await agreesOnLevels(source, 12, 3, ["cuda"], sizes)).toBeGreaterThan(20);
  });
  test("that would overflow leaves a code of 0 its 0, and infinities what they are", () => {
    const made = compiled(grouped("f32(w[k, n]) * t[k, n / 64]", ", t: f32[K, (N + 63) / 64]"), "cuda");
    const run = (code: number, x = 2 ** 100, t = 2 ** 100): number => {
      // The other points of the step are 0.
      const column = (first: number, others = 0): number[] => [first, ...new Array<number>(31).fill(others)];
      const args = {
        ...{ x: tensorOf("bf16", [1, 32], column(x)), w: tensorOf("u4", [32, 1], column(code)), t: tensorOf("f32", [32, 1], column(t, 1)) },
        ...{ z: tensorOf("u4", [32, 1], column(0)), s: tensorOf("f16", [32, 1], column(0)) },
      };
      return numbersOf(runThreads(made, prepare(made.artifact, args)).result.outputs["y"]!)[0]!;
    };
    expect(run(0)).toBe(0);
    expect(run(1)).toBeGreaterThan(0);
    const { POSITIVE_INFINITY: infinity, NaN: none } = Number;
    expect([run(1, infinity, -1), run(2, -3, infinity), run(1, -infinity, -infinity)]).toEqual([-infinity, -infinity, infinity]);
    expect([run(0, infinity), run(0, 1, infinity), run(1, 0, infinity), run(1, none), run(1, 1, none)]).toEqual([
      none,
      none,
      none,
      none,
      none,
    ]);
  });
});
