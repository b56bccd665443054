import { Float16Array } from "@petamoriken/float16";
import { describe, expect, test } from "vitest";
import { decode, encode, formats, roundStochastic, roundTo, stepAt } from "../../dsl/tensor/narrow.ts";
import type { Storage } from "../../dsl/tensor/types.ts";

describe.each(["f16", "bf16", "f8e4m3", "f8e5m2"] as Storage[])("%s", (name) => {
  const f = formats[name]!;
  const all = Array.from({ length: 2 ** f.bits }, (_, b) => b);
  const values = all.map((b) => decode(f, b));
  const finite = [...new Set(values.filter((v) => Number.isFinite(v)))].sort((a, b) => a - b);
  test("every code decodes and encodes to itself", () => {
    const wrong = all.filter((b) => {
      const v = values[b]!;
      return Number.isNaN(v) ? !Number.isNaN(decode(f, encode(f, v))) : encode(f, v) !== b;
    });
    expect(wrong).toEqual([]);
  });
  test("rounds to the nearest value, ties to even", () => {
    for (let k = 0; k + 1 < finite.length; k += Math.max(1, Math.floor(finite.length / 3000))) {
      const [a, b] = [finite[k]!, finite[k + 1]!];
      const middle = (a + b) / 2;
      const even = encode(f, a) % 2 === 0 ? a : b;
      expect(roundTo(f, middle) + 0).toBe(even + 0);
      expect(roundTo(f, a + (b - a) * 0.49) + 0).toBe(a + 0);
      expect(roundTo(f, a + (b - a) * 0.51) + 0).toBe(b + 0);
      expect(Math.abs(roundTo(f, a + (b - a) * 0.99, "toward_zero"))).toBe(Math.min(Math.abs(a), Math.abs(b)));
    }
  });
  test("overflow as the type has it", () => {
    const over = f.max + stepAt(f, f.max);
    expect(roundTo(f, over)).toBe(f.overflow === "saturate" ? f.max : Number.POSITIVE_INFINITY);
    expect(roundTo(f, -over)).toBe(f.overflow === "saturate" ? -f.max : Number.NEGATIVE_INFINITY);
    expect(roundTo(f, f.max + stepAt(f, f.max) * 0.49)).toBe(f.max);
  });
  test("stochastic rounding leaves exact values alone and goes up as often as the fraction says", () => {
    const x = 1 + stepAt(f, 1) * 0.25;
    expect(roundStochastic(f, 1, 0)).toBe(1);
    const ups = Array.from({ length: 1000 }, (_, k) => roundStochastic(f, x, Math.floor((k / 1000) * 2 ** 32)) > 1).filter(Boolean).length;
    expect(ups).toBe(250);
  });
});
test("f16 agrees with an independent implementation on every exponent", () => {
  const f = formats.f16!;
  for (let e = -26; e < 17; e++)
    for (let k = 0; k < 50; k++) {
      const x = 2 ** e * (1 + k / 50.3);
      expect(roundTo(f, x)).toBe(new Float16Array([x])[0]);
    }
});
