/** Weights of 4 bits as an operand of the matrix unit: words beside each other in a lane, and two fields at a time as halves. */
import { describe, expect, test } from "vitest";
import { scalarFn } from "../../compiler/scalar.ts";
import { decode, encode, formats, roundTo } from "../../dsl/tensor/narrow.ts";
import { seeded } from "../../verify/generate.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const weights = (where: string, zero: string, value: string, place = "word: (k / 8) * N + n, bit: 4 * (k % 8)"): string => `
layout words[K, N](k, n) = (${place})
kernel f[M, N](x: f16[M, 64], w: u4[64, N] layout words, z: u4[2, N], s: f16[2, N]) -> (y: f32[M, N])${where} {
  let zero[g, n] = ${zero}
  y[m, n] = sum(k) x[m, k] * relax<f16>(${value})
}
schedule f on cuda { tile m: 16, n: 32, k: 32; warps 1 }
`;
const scaled = "f32(w[k, n] - zero[k / 32, n]) * s[k / 32, n]";
/** More sums to a thread than are kept beside those of a step: scales are multiplied with their codes. */
const manySums = (text: string): string => text.replace("n: 32", "n: 64");
const source = (text: string): string => compiled(text, "cuda").artifact.source;

/** Weights in the order of fragments: 16 bytes of a lane are its share of four instructions (Frantar et al. 2024, "MARLIN"). */
const inFragments = (columns: number, warps: number): string => `
layout fragments[K, N](k, n) = (
  word: (k / 16) * (2 * N) + (n / 64) * 128 + (n % 8) * 16 + (k % 8) / 2 * 4 + (n % 64) / 16,
  bit: 4 * ((k / 8) % 2) + 8 * ((n / 8) % 2) + 16 * (k % 2)
)
kernel f[M, N](x: f16[M, 48], w: u4[48, N] layout fragments, s: f16[3, N]) -> (y: f32[M, N]) where N % 64 == 0 {
  y[m, n] = sum(k) x[m, k] * relax<f16>(f32(w[k, n] - 8) * s[k / 16, n])
}
schedule f on cuda { tile m: 16, n: ${columns}, k: 16; warps ${warps} }
`;

describe("packed weights", () => {
  test("a lane reads four words at a time where rows are a multiple of 8", async () => {
    const text = weights(" where N % 8 == 0", "z[g, n]", scaled);
    expect(source(text).match(/wide\w* = \*reinterpret_cast<const uint4\*>\(&w\[/g)).toHaveLength(8);
    expect(source(weights("", "z[g, n]", scaled))).not.toContain("uint4");
    expect(await agreesOnLevels(text, 5, 3, ["cuda"], [0, 1, 2, 8, 16, 24])).toBeGreaterThan(100);
  });
  test("two fields of a byte become halves together", async () => {
    const text = manySums(weights("", "z[g, n] + 1", scaled));
    expect(source(text)).toContain("weft_multiply_f16x2(weft_nibbles_f16(");
    expect(await agreesOnLevels(text, 5, 4, ["cuda"], [0, 1, 2, 9, 17])).toBeGreaterThan(100);
  });
  test.each([
    ["one warp", 64, 1],
    ["two warps", 128, 2],
  ])("in the order of fragments 16 bytes are words of instructions, decoded two halves at a time: %s", async (_, columns, warps) => {
    const text = inFragments(columns, warps);
    const cuda = source(text);
    // Of the first step, and of the next within the loop.
    expect(cuda.match(/= \*reinterpret_cast<const uint4\*>\(&w\[/g)).toHaveLength(2);
    expect(cuda.match(/weft_fields_f16\(w_word_now/g)).toHaveLength(16);
    expect(cuda).not.toMatch(/nibbles_f16|small_to_float\(/);
    expect(await agreesOnLevels(text, 4, 3, ["cuda"], [0, 1, 2, 17, 64])).toBeGreaterThan(100);
  });
  test("reads that fall together in the first step are apart in the next", async () => {
    const text = `kernel f[M, N, NG](x: f16[M, NG * 32], w: u4[NG * 32, N], s: f16[2 * NG]) -> (y: f32[M, N]) {
  y[m, n] = sum(k) x[m, k] * relax<f16>(f32(w[k, n]) * (s[k / 32] + s[2 * (k / 32)]))
}
schedule f on cuda { tile m: 16, n: 8, k: 32; warps 1 }
`;
    expect(new Set(source(text).match(/ s_now\w* = /g)).size).toBe(2);
    expect(await agreesOnLevels(text, 5, 3, ["cuda"], [1, 2, 3, 9])).toBeGreaterThan(100);
  });
  test("what a step reads of packed weights is read a step early, where there are registers for it", async () => {
    const text = (rows: number): string =>
      weights(" where N % 8 == 0", "z[g, n]", scaled).replace("tile m: 16, n: 32", `tile m: ${rows}, n: 32`);
    expect(source(text(16))).toContain("w_word_now");
    expect(source(text(128))).not.toContain("_now");
    expect(await agreesOnLevels(text(128), 2, 3, ["cuda"], [0, 1, 8, 130])).toBeGreaterThan(100);
  });
  test.each([
    ["a zero that may be negative", "z[g, n] - 1", scaled],
    ["a zero beyond what stays exact", "z[g, n] * 5", scaled],
    ["a scale that is no half", "z[g, n]", "f32(w[k, n] - zero[k / 32, n]) * (s[k / 32, n] * 3.0)"],
    ["a sum after the scale", "z[g, n]", `${scaled} + 1.0`],
  ])("%s takes the long way", async (_, zero, value) => {
    const text = manySums(weights("", zero, value));
    expect(source(text)).not.toContain("nibbles");
    expect(await agreesOnLevels(text, 3, 6, ["cuda"], [1, 2, 9, 17])).toBeGreaterThan(50);
  });
  test("fields that are not those of a byte take the long way", async () => {
    const text = weights("", "z[g, n]", scaled, "word: (k / 2) * N + n, bit: 8 * (k % 2)");
    expect(source(text)).not.toContain("nibbles");
    expect(await agreesOnLevels(text, 3, 6, ["cuda"], [1, 2, 9, 17])).toBeGreaterThan(50);
  });
  test("an integer is converted by an addition where it is small enough", () => {
    const converted = (by: number): string => source(`kernel f[N](w: u4[N]) -> (y: f32[N]) { y[i] = f32(w[i] * ${by}) }`);
    expect(converted(279_620)).toContain("weft_small_to_float(");
    expect(converted(279_621)).not.toContain("weft_small_to_float(");
  });
  test("products of halves are what f32 gives, rounded to a half", () => {
    const f16 = formats.f16!;
    const pairs = [
      [scalarFn("nibbles_f16", "u32", "u32", 3), 8, 4],
      [scalarFn("fields_f16", "u32", "u32", 3), 4, 16],
    ] as const;
    const multiply = scalarFn("multiply_f16x2", "u32", "u32", 2);
    const random = seeded(8);
    for (let run = 0; run < 4000; run++) {
      const word = Math.floor(random() * 2 ** 32);
      const [pair, step, apart] = pairs[run % 2]!;
      const at = step * Math.floor(random() * 4);
      const zero = Math.floor(random() * 64);
      const [s, t] = [0, 1].map(() => decode(f16, Math.floor(random() * 0x7c00) | (random() < 0.5 ? 0x8000 : 0)));
      const code = (k: number, by: number): number =>
        encode(f16, roundTo(f16, Math.fround(Math.fround(((word >>> (at + apart * k)) & 15) - zero) * by)));
      const scales = (encode(f16, s!) | (encode(f16, t!) << 16)) >>> 0;
      expect(multiply(pair(word, at, zero), scales, 0), `${word} ${at} ${zero} ${s} ${t}`).toBe((code(0, s!) | (code(1, t!) << 16)) >>> 0);
    }
  });
});
