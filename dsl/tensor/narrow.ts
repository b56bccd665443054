/** Narrow number formats: rounding, and the bits in memory. Sources: IEEE 754-2019 (f16), OCP 8-bit floating point 1.0 (e4m3, e5m2), bf16 as the upper half of f32. */
import type { Storage } from "./types.ts";

export interface FloatFormat {
  readonly bits: number;
  readonly exponentBits: number;
  /** Significand bits without the hidden one. */
  readonly mantissaBits: number;
  readonly bias: number;
  /** Largest finite value. */
  readonly max: number;
  /** What lies beyond `max` after rounding. */
  readonly overflow: "infinity" | "saturate";
}
export const formats: Partial<Record<Storage, FloatFormat>> = {
  f16: { bits: 16, exponentBits: 5, mantissaBits: 10, bias: 15, max: 65504, overflow: "infinity" },
  bf16: { bits: 16, exponentBits: 8, mantissaBits: 7, bias: 127, max: (2 - 2 ** -7) * 2 ** 127, overflow: "infinity" },
  f8e4m3: { bits: 8, exponentBits: 4, mantissaBits: 3, bias: 7, max: 448, overflow: "saturate" },
  f8e5m2: { bits: 8, exponentBits: 5, mantissaBits: 2, bias: 15, max: 57344, overflow: "infinity" },
};

/** The least positive number of a format that is not subnormal. */
export const leastNormal = (name: Storage): number => 2 ** (1 - formats[name]!.bias);

const scratch = new DataView(new ArrayBuffer(8));
/** floor(log2 |x|) of a finite non-zero double. */
export function exponentOf(x: number): number {
  scratch.setFloat64(0, x);
  const e = (scratch.getUint32(0) >>> 20) & 0x7ff;
  return e === 0 ? Math.floor(Math.log2(Math.abs(x))) : e - 1023;
}
/** The distance between neighbours of the format around x. */
export function stepAt(f: FloatFormat, x: number): number {
  const least = 1 - f.bias;
  const e = x === 0 || !Number.isFinite(x) ? least : Math.max(exponentOf(x), least);
  return 2 ** (e - f.mantissaBits);
}
/** x rounded to the format, as a double: nearest even, or toward zero; NaN stays NaN. */
export function roundTo(f: FloatFormat, x: number, mode: "nearest" | "toward_zero" = "nearest"): number {
  if (x === 0 || Number.isNaN(x)) return x;
  if (!Number.isFinite(x)) return f.overflow === "saturate" ? Math.sign(x) * f.max : x;
  const step = stepAt(f, x);
  const q = x / step;
  let r = mode === "toward_zero" ? Math.trunc(q) : Math.round(q);
  if (mode === "nearest" && Math.abs(q - Math.trunc(q)) === 0.5) r = 2 * Math.round(q / 2);
  const y = r * step;
  if (Math.abs(y) <= f.max) return y === 0 ? Math.sign(x) * 0 : y;
  return f.overflow === "saturate" || mode === "toward_zero" ? Math.sign(x) * f.max : Math.sign(x) * Number.POSITIVE_INFINITY;
}
/** Rounds away from zero iff floor(2^32 * fraction of the step) > bits (rule 11). */
export function roundStochastic(f: FloatFormat, x: number, bits: number): number {
  const down = roundTo(f, x, "toward_zero");
  if (down === x || !Number.isFinite(x)) return roundTo(f, x);
  const step = stepAt(f, x);
  const fraction = Math.abs(x - down) / step;
  if (Math.floor(fraction * 2 ** 32) <= bits) return down;
  return roundTo(f, down + Math.sign(x) * step);
}

/** The bits of a value that the format holds exactly. */
export function encode(f: FloatFormat, x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 1 << (f.bits - 1) : 0;
  const top = ((1 << f.exponentBits) - 1) << f.mantissaBits;
  if (Number.isNaN(x)) return f.overflow === "saturate" ? 0x7f : top | (1 << (f.mantissaBits - 1));
  const a = Math.abs(x);
  if (a === 0) return sign;
  if (!Number.isFinite(a)) return sign | (f.overflow === "saturate" ? encode(f, f.max) : top);
  const e = Math.max(exponentOf(a), 1 - f.bias);
  const q = a / 2 ** (e - f.mantissaBits);
  const hidden = 1 << f.mantissaBits;
  return q < hidden ? sign | q : sign | ((e + f.bias) << f.mantissaBits) | (q - hidden);
}
function decoded(f: FloatFormat, bits: number): number {
  const sign = bits >> (f.bits - 1) ? -1 : 1;
  const e = (bits >> f.mantissaBits) & ((1 << f.exponentBits) - 1);
  const m = bits & ((1 << f.mantissaBits) - 1);
  const topExponent = (1 << f.exponentBits) - 1;
  if (e === topExponent && f.overflow === "infinity") return m === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (e === topExponent && m === (1 << f.mantissaBits) - 1 && f.overflow === "saturate") return Number.NaN;
  if (e === 0) return sign * m * 2 ** (1 - f.bias - f.mantissaBits);
  return sign * (m + (1 << f.mantissaBits)) * 2 ** (e - f.bias - f.mantissaBits);
}
const meanings = new Map<FloatFormat, Float64Array>();
/** What each of the at most 2^16 codes of a format means, by the code. */
export function meaningsOf(f: FloatFormat): Float64Array {
  let all = meanings.get(f);
  if (all === undefined) {
    all = Float64Array.from({ length: 2 ** f.bits }, (_, code) => decoded(f, code));
    meanings.set(f, all);
  }
  return all;
}
export const decode = (f: FloatFormat, bits: number): number => meaningsOf(f)[bits]!;
