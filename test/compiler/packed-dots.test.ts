/** Sums of products of bytes that share words: four at a time on targets that have packed dot products, and the same where a device has none. */
import { parseWgsl, validate } from "naga-wasm";
import { describe, expect, test } from "vitest";
import { scalarFn } from "../../compiler/scalar.ts";
import { prepare } from "../../runtime/call.ts";
import { withPackedDots } from "../../runtime/webgpu/packed-dots.ts";
import { agree } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { webgpu } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const kernel = (a: string, b: string, term: string, where = "K % 4 == 0"): string =>
  `kernel f[M, N, K](a: ${a}[M, K], b: ${b}[N, K], c: ${b}[K, N]) -> (y: i32[M, N]) where ${where} {\n  y[i, j] = sum(k) ${term}\n}\n`;
const dots = (text: string): string[] => compiled(text, "wgsl").artifact.source.match(/dot4[IU]8Packed(?=\()/g) ?? [];
const sizes = [0, 1, 3, 4, 8, 12, 20];

describe("four bytes at a time", () => {
  test.each([
    ["signed", "i8", "i8", "dot4I8Packed"],
    ["natural", "u8", "u8", "dot4U8Packed"],
  ])("%s bytes", async (_, a, b, name) => {
    const text = kernel(a, b, "a[i, k] * b[j, k]");
    expect(new Set(dots(text))).toEqual(new Set([name]));
    // Nothing is left of the bytes on their own.
    expect(compiled(text, "wgsl").artifact.source).not.toContain("& 255u");
    expect(await agreesOnLevels(text, 12, 3, ["wgsl"], sizes)).toBeGreaterThan(100);
  });
  test("a thread has as many columns as 16 bytes of results hold, where rows begin there", () => {
    const text = kernel("i8", "i8", "a[i, k] * b[j, k]", "K % 16 == 0, N % 8 == 0");
    const halves = text.replace("y: i32", "y: f16").replace("sum(k)", "f32(sum(k)").replace("\n}", ")\n}");
    const stores = (x: string): number => compiled(x, "wgsl").artifact.source.match(/ y\[[^\]]*\] = vec4</g)?.length ?? 0;
    expect(stores(text)).toBe(4);
    expect(stores(halves)).toBe(4);
    expect(stores(halves.replace(", N % 8 == 0", ""))).toBe(0);
    expect(compiled(halves, "wgsl").directives.join()).toContain("tile y.i: 32, y.j: 64");
    expect(compiled(text, "wgsl").directives.join()).toContain("tile y.i: 32, y.j: 32");
  });
  test("two words at a time, and a square", async () => {
    const text = `kernel f[M, K](a: i8[M, K]) -> (y: i32[M]) where K % 8 == 0 {
  y[i] = sum(k) a[i, k] * a[i, k]
}
schedule f on wgsl { tile i: 4; unroll k: 8 }
`;
    expect(dots(text)).toHaveLength(2);
    expect(await agreesOnLevels(text, 12, 3, ["wgsl"], [0, 1, 3, 8, 16, 24])).toBeGreaterThan(50);
  });
  test("bytes of other places of the same words are multiplied one by one", async () => {
    const text = `kernel f[M, N, K](a: i8[M, K], b: i8[N, K + 4]) -> (y: i32[M, N]) where K % 4 == 0 {
  y[i, j] = sum(k: K) a[i, k] * b[j, k + 1 - 2 * (k % 2)]
}
`;
    const { source } = compiled(text, "wgsl").artifact;
    // The bytes of a word, each at its place, and none of them in a product of four.
    for (const place of ["", " >> 8u", " >> 16u", " >> 24u"]) expect(source).toMatch(new RegExp(`\\(+b_word${place}\\)? & 255u\\)`));
    expect(dots(text)).toEqual([]);
    expect(await agreesOnLevels(text, 8, 4, ["wgsl"], sizes)).toBeGreaterThan(20);
  });
  test.each([
    ["a signed factor and a natural one", "i8", "u8", "a[i, k] * b[j, k]", undefined],
    ["bytes that lie in other words", "i8", "i8", "a[i, k] * c[k, j]", undefined],
    ["rows of any length", "i8", "i8", "a[i, k] * b[j, k]", "M >= 0"],
    ["sums of bytes", "i8", "i8", "(a[i, k] + b[j, k])", undefined],
    ["half words", "i16", "i16", "a[i, k] * b[j, k]", undefined],
    ["floats", "i8", "i8", "i32(f32(a[i, k]) * f32(b[j, k]))", undefined],
  ])("%s are multiplied one by one", async (_, a, b, term, where) => {
    const text = kernel(a, b, term, where);
    expect(dots(text)).toEqual([]);
    expect(await agreesOnLevels(text, 8, 4, ["wgsl"], sizes)).toBeGreaterThan(20);
  });
});

const device = await webgpu();
test.skipIf(device === undefined)("a device gives the same with and without", async () => {
  for (const elem of ["i8", "u8"]) {
    const made = compiled(kernel(elem, elem, "a[i, k] * b[j, k]"), "wgsl");
    const { args } = generate(made.artifact, seeded(5), { dims: { M: 9, N: 7, K: 20 }, most: 4000, style: "plain" })!;
    const run = async (source: string): Promise<ArrayLike<unknown>> => {
      const call = prepare({ ...made.artifact, source }, structuredClone(args));
      const { outputs } = await device!.run(call);
      const a = agree(call, { outputs, timeMs: 0 }, interpreterFor(call, "wgsl"));
      expect([a.compared, a.disagreements.length]).toEqual([63, 0]);
      return outputs["y"]!.data as ArrayLike<unknown>;
    };
    const { source } = made.artifact;
    const without = withPackedDots(source, new Set());
    expect(without).not.toBe(source);
    expect(await run(without)).toEqual(await run(source));
    for (const text of [source, without]) validate(parseWgsl(text)).free();
  }
});

test("the instructions' meaning: the four products, signs and all", () => {
  const [signed, natural] = [scalarFn("dot4_i8", "i32", "u32", 2), scalarFn("dot4_u8", "i32", "u32", 2)];
  expect(signed(0x80_ff_01_7f, 0x80_02_03_7f, 0)).toBe(128 * 128 - 2 + 3 + 127 * 127);
  expect(natural(0x80_ff_01_7f, 0x80_02_03_7f, 0)).toBe(128 * 128 + 510 + 3 + 127 * 127);
});

describe("a device whose WGSL has no packed dot products", () => {
  const source = "let x = dot4I8Packed(a, b);";
  test("gets them as functions, those that the module calls", () => {
    expect(withPackedDots(source, new Set())).toContain("fn dot4I8Packed(a: u32, b: u32) -> i32");
    expect(withPackedDots(source, new Set())).not.toContain("dot4U8Packed");
    expect(withPackedDots("let x = a;", new Set())).toBe("let x = a;");
  });
  test("one that has them gets nothing", () => {
    expect(withPackedDots(source, new Set(["packed_4x8_integer_dot_product"]))).toBe(source);
  });
});
