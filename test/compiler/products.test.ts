/** Plain products on software adapters: many rows and columns to a thread, straight from storage. */
import { describe, expect, test } from "vitest";
import { prepare } from "../../runtime/call.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { Tape } from "../../verify/random/tape.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { scale, seed } from "../support/campaigns.ts";
import { webgpu } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const gpu = await webgpu();
const product = (params: string, value: string, where: string, dims = "M, N, K"): string =>
  `kernel f[${dims}](${params}) -> (c: f32[M, N])${where} { c[i, j] = ${value} }\n`;
const even = " where M % 16 == 0, N % 8 == 0, K % 4 == 0";
const operands = "a: f32[M, K], b: f32[K, N]";
const value = "sum(k) a[i, k] * b[k, j]";
const on = (text: string, directives = ""): string => `${text}schedule f on wgsl with software { ${directives} }\n`;
const directivesOf = (text: string): string => compiled(on(text), "wgsl").directives.join("; ");
const usual = "tile c.i: 32, c.j: 32";

describe("a thread's part", () => {
  test("16 rows and 8 columns of a plain product, a word of each operand to a step", () => {
    const expected = "tile c.i: 32, c.j: 64; vectorize c.i: 16, c.j: 8";
    expect(directivesOf(product(operands, value, even))).toBe(expected);
    expect(directivesOf(product("a: f32[K, M], b: f32[N, K]", "sum(k) b[j, k] * a[k, i]", even))).toBe(expected);
    const halves = product("a: f16[M, K], b: f16[K, N]", value, even);
    expect(directivesOf(halves)).toBe(`${expected}; unroll c.k: 2`);
  });
  test.each([
    [32, 64],
    [64, 32],
    [256, 8],
  ])("%i rows where there are %i columns", (rows, columns) => {
    const text = `${product(operands, value, even, "M, N: static, K")}instance f { N: ${columns} }\n`;
    expect(directivesOf(text)).toContain(`tile c.i: ${rows}, c.j: ${columns}; vectorize c.i: 16, c.j: 8`);
  });
  test.each([
    ["sides that need conditions", product(operands, value, "")],
    ["rows that need conditions", product(operands, value, even.replace("M % 16", "M % 8"))],
    ["another operation on terms", product(operands, "sum(k) a[i, k] * exp(b[k, j] + a[i, k])", even)],
    ["another reduction", product(operands, "max(k) a[i, k] * b[k, j] else 0.0", even)],
    ["two sums", product(operands, `(${value}) + (${value.replaceAll("k", "m")})`, even)],
  ])("as near square as goes: %s", (_, text) => expect(directivesOf(text)).toContain(usual));
  test("a tile that known sides leave too small", () => {
    const text = `${product(operands, value, even, "M: static, N: static, K")}instance f { M: 16, N: 32 }\n`;
    expect(directivesOf(text)).toContain("tile c.i: 16, c.j: 32");
    expect(directivesOf(text)).not.toContain("vectorize");
  });
  test("is for software adapters alone", () => {
    for (const target of ["wgsl", "cuda"] as const)
      expect(compiled(product(operands, value, even), target).directives.join("; ")).not.toContain("vectorize");
  });
  test("what is derived prints as directives that mean the same", () => {
    const text = product(operands, value, even);
    const derived = compiled(on(text), "wgsl");
    expect(compiled(on(text, derived.directives.join("; ")), "wgsl").artifact.source).toBe(derived.artifact.source);
  });
});

/** A product that a thread may take 16 x 8 of: operands of either orientation, batches, conditions and epilogues. */
function randomPlain(tape: Tape): string {
  const batch = tape.chance(40) ? ["B", "b"] : undefined;
  const at = (names: string[], side: 0 | 1): string => [...(batch ? [batch[side]!] : []), ...names].join(", ");
  const operand = (name: string, extent: string, index: string): [string, string] => {
    const turned = tape.chance(50);
    const [dims, subscripts] = turned
      ? [
          ["K", extent],
          ["k", index],
        ]
      : [
          [extent, "K"],
          [index, "k"],
        ];
    return [`${name}: f32[${at(dims, 0)}]`, `${name}[${at(subscripts, 1)}]`];
  };
  const [x, a] = operand("x", "M", "i");
  const [y, b] = operand("y", "N", "j");
  const where = tape.pick(["", "", " where k <= i", " where k >= j", " where k % 3 != 1"]);
  const sum = `(sum(k${where}) ${tape.chance(50) ? `${a} * ${b}` : `${b} * ${a}`})`;
  const form = tape.pick(["PRODUCT", "0.5 * PRODUCT", "PRODUCT + bias[j]", "if j <= i then PRODUCT else 0.25"]);
  const columns = tape.pick([0, 0, 8, 32, 64, 136]);
  const requires = ["M % 16 == 0", ...(columns ? [] : ["N % 8 == 0"])];
  const dims = ["M", columns ? "N: static" : "N", "K", ...(batch ? ["B"] : [])].join(", ");
  const params = [x, y, ...(form.includes("bias") ? ["bias: f32[N]"] : [])].join(", ");
  return `kernel f[${dims}](${params}) -> (c: f32[${at(["M", "N"], 0)}]) where ${requires.join(", ")} {
  c[${at(["i", "j"], 1)}] = ${form.replace("PRODUCT", sum)}
}
${columns ? `instance f { N: ${columns} }\n` : ""}`;
}
const sizes = [0, 1, 2, 3, 4, 8, 16, 32, 48];
test("random plain products agree on every level", async () => {
  const count = Math.max(10, Math.round(60 * scale));
  let [plain, compared] = [0, 0];
  for (let k = 0; k < count; k++) {
    const text = randomPlain(new Tape([], seeded(seed + k)));
    if (directivesOf(text).includes("vectorize")) plain++;
    compared += await agreesOnLevels(on(text), 1, seed + k, ["wgsl"], sizes);
  }
  expect(plain).toBeGreaterThan(count / 2);
  expect(compared).toBeGreaterThan(count * 20);
});
test.skipIf(gpu === undefined)("and on a device", async () => {
  let compared = 0;
  for (let k = 0; k < 4; k++) {
    const { artifact } = compiled(on(randomPlain(new Tape([], seeded(seed + 500 + k)))), "wgsl");
    const made = generate(artifact, seeded(k), { sizes, most: 20_000 })!;
    const call = prepare(artifact, made.args, { dims: made.dims });
    const a = agree(call, await gpu!.run(call), interpreterFor(call, "wgsl"));
    expect(a.disagreements.map(words), JSON.stringify(made.dims)).toEqual([]);
    compared += a.compared;
  }
  expect(compared).toBeGreaterThan(100);
});
