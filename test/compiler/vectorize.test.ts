/** `vectorize`: neighbours along an index to one thread, and their accesses in one. */
import { describe, expect, test } from "vitest";
import { compile, Refusal } from "../../compiler/index.ts";
import { check, type TargetName } from "../../dsl/index.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const scaled = (directives: string, where = " where N % 8 == 0", target: TargetName = "cuda"): string =>
  `kernel f[M, N](x: f32[M, N], a: f32) -> (y: f32[M, N])${where} {\n  y[i, j] = a * x[i, j] + 1.0\n}\nschedule f on ${target} { ${directives} }\n`;
const wide = (text: string, target: TargetName = "cuda"): number =>
  (compiled(text, target).artifact.source.match(target === "cuda" ? /reinterpret_cast<const float4\*>/g : /let wide\w* = x\[/g) ?? [])
    .length;

describe("neighbours to a thread", () => {
  test.each([
    ["eight, 16 bytes at a time", "vectorize j: 8", 2],
    ["four of a tile", "tile j: 64; vectorize j: 4", 1],
    ["of two rows", "tile i: 4, j: 64; vectorize i: 2, j: 4", 2],
    ["of one definition", "vectorize y.j: 4", 1],
  ])("%s", async (_, directives, accesses) => {
    for (const target of ["cuda", "wgsl"] as const) {
      const text = scaled(directives, undefined, target);
      expect(wide(text, target), target).toBe(accesses);
      expect(await agreesOnLevels(text, 14, 5, [target], [0, 1, 2, 8, 24, 72])).toBeGreaterThan(100);
    }
  });
  test("those of rows of any length are read one by one", async () => {
    const text = scaled("vectorize j: 4", "");
    expect(wide(text)).toBe(0);
    expect(await agreesOnLevels(text, 4, 6, ["cuda"], [0, 1, 3, 5, 66])).toBeGreaterThan(50);
  });
  test("a tile that is left open has neighbours for all threads", () => {
    const { threads, grid } = compiled(scaled("vectorize j: 8"), "cuda").kernels[0]!;
    expect([threads, JSON.stringify(grid.at(-1)!.blocks)]).toEqual([64, JSON.stringify(["ceildiv", "N", 512])]);
  });
  test("what was derived can be said", () => {
    const text = `kernel f[M, N, D: static](q: f32[M, D], k: f32[N, D], v: f32[N, D]) -> (o: f32[M, D]) where N >= 1 {
  let p[i, j] = softmax(j) (sum(d) q[i, d] * k[j, d])
  o[i, d] = sum(j) p[i, j] * v[j, d]
}
instance f { D: 8 }
`;
    const { directives } = compiled(text, "wgsl");
    expect(directives.join("\n")).toMatch(/^vectorize \w+\.\w+: \d+/m);
    const again = compiled(`${text}schedule f on wgsl { ${directives.filter((d) => !d.startsWith("//")).join("; ")} }\n`, "wgsl");
    expect(again.kernels.map((k) => [k.threads, k.grid])).toEqual(compiled(text, "wgsl").kernels.map((k) => [k.threads, k.grid]));
  });
});
describe("refused", () => {
  const refused = (text: string): unknown => {
    const checked = check(text);
    expect(checked.diagnostics).toEqual([]);
    return compile(checked.instances[0]!, text, { target: "cuda", schedule: checked.schedules[0] });
  };
  const product = "kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f32[M, N]) { c[i, j] = sum(k) a[i, k] * b[k, j] }\n";
  test.each([
    ["along rows of a product on a matrix unit", `${product}schedule f on cuda { tile i: 16, j: 16, k: 16; vectorize i: 4 }\n`],
    ["along an index that is only summed over", `${product}schedule f on cuda { vectorize k: 4 }\n`],
  ])("%s", (_, text) => expect(() => refused(text)).toThrow(Refusal));
  test("a size that is no power of two is an error", () => {
    expect(check(scaled("vectorize j: 3")).diagnostics.map((d) => d.code)).toEqual(["W603"]);
  });
});
