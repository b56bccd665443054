/** Integers modulo 2^32 where C++ leaves signed ones undefined: data wraps by way of unsigned integers, places in memory stay as they are. */
import { describe, expect, test } from "vitest";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const source = (text: string): string => compiled(text, "cuda").artifact.source;
const body = (value: string, more = ""): string =>
  `kernel f[N](x: i32[N], g: index<N>[N], s: i32${more}) -> (y: i32[N]) { y[i] = ${value} }`;

describe("integers that wrap", () => {
  test.each([
    ["a sum", "x[i] + s", "(int)((unsigned)x[at] + (unsigned)s)"],
    ["a difference", "x[i] - 1", "(int)((unsigned)x[at] + (unsigned)(-1))"],
    ["a product", "x[i] * x[i]", "(int)((unsigned)x_1 * (unsigned)x_1)"],
    ["what the caller gives", "s * 3", "(int)((unsigned)s * (unsigned)3)"],
    ["a negation", "-x[i]", "(int)(0u - (unsigned)x[at])"],
    ["a magnitude", "abs(x[i])", "weft_abs(x[at])"],
  ])("%s", async (_, value, text) => {
    expect(source(body(value))).toContain(text);
    expect(await agreesOnLevels(body(value), 4, 2)).toBeGreaterThan(20);
  });
  test("places and sizes do not", () => {
    const text = "kernel f[M, N](x: f32[M, N], g: index<M>[M]) -> (y: f32[M, N]) { y[i, j] = x[g[i], j] + x[M - 1 - i, N - 1 - j] }";
    expect(source(text)).not.toContain("(unsigned)");
  });
});
