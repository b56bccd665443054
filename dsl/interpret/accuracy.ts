/**
 * What each target promises of a single f32 operation, as a bound on its absolute error. Sources: WGSL specification, "Floating Point
 * Accuracy" (2026-08); CUDA C++ Programming Guide, "Mathematical Functions" (no fast flags; half an ulp is added, since its table counts
 * from the correctly rounded result). `k ulp` means k * 2^-23 * |z|. Functions that a target lacks are emitted by us from others: their
 * rows are derived from that composition.
 */
import type { Op } from "../tensor/ir.ts";

const ulp = 2 ** -23;

/** Error of f(x), given x, the error bound of x, and |f(x)| enlarged by what the error of x does to it. */
export type ErrorRule = (x: number, e: number, z: number, y?: number) => number;

export interface Accuracy {
  readonly name: string;
  /** Relative error of + - * in f32. */
  readonly unit: number;
  /** Division and square root are correctly rounded, for every operand; otherwise a divisor beyond 2^126 or below 2^-126 has no bound. */
  readonly correctlyRounded: boolean;
  /** Relative error of a / b. */
  readonly divide: number;
  /** A sum of products of narrow floats may be done by a matrix unit. */
  readonly matrix: boolean;
  /** True where a driver may regroup a chain of + and -. */
  readonly regroups: boolean;
  /** Magnitude below which a result or an input may become 0. */
  readonly flush: number;
  /** Magnitude below which an f16 that is read may become 0. */
  readonly flushHalf: number;
  readonly functions: Partial<Record<Op, ErrorRule>>;
  /** The depth bound: no sum or product is a longer chain of operations than this. Default: as long as it has terms. */
  readonly depth?: number;
}

/** Whether it is a multiple of 2^-10. Sums of such numbers are exact in f32, in any order, where their magnitudes together stay within 2^14. */
export const onGrid = (x: number): boolean => Number.isInteger(x * 1024);
/** Whether sums of numbers on the grid are exact. */
export const sumsExactly = (magnitude: number): boolean => magnitude * 1024 <= 2 ** 24;

const relative =
  (k: number): ErrorRule =>
  (_x, _e, z) =>
    k * ulp * z;
/** A rule of several roundings, whose products the sum of single ones leaves out: each is below 2^-15, and there are few. */
const composed =
  (rule: ErrorRule): ErrorRule =>
  (x, e, z, y) =>
    rule(x, e, z, y) * (1 + 2 ** -12);
/** The share of exp(x) in 1 + exp(x). */
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** The value itself, no error: what the language means. */
export const ideal: Accuracy = {
  name: "ideal",
  unit: 0,
  correctlyRounded: true,
  divide: 0,
  matrix: false,
  regroups: false,
  flush: 0,
  flushHalf: 0,
  functions: {},
};

/**
 * In ulp of the result: ex2.approx.ftz (PTX ISA: 2, and half of one more) of x log2 e, where the product is off by half an ulp and log2 e by
 * 1.34e-8 of itself, both times |x| in the exponent.
 */
const cudaExp = (x: number, e: number): number => 2.5 + 0.62 * (Math.abs(x) + e);
export const cuda: Accuracy = {
  name: "cuda",
  unit: 2 ** -24,
  correctlyRounded: true,
  divide: 2 ** -24,
  matrix: true,
  regroups: false,
  flush: 0,
  flushHalf: 0,
  functions: {
    sqrt: relative(0.5),
    rsqrt: relative(2.5),
    exp: composed((x, e, z) => cudaExp(x, e) * ulp * z + 2 ** -126),
    exp2: (_x, _e, z) => 2.5 * ulp * z + 2 ** -126,
    expm1: relative(1.5),
    log: relative(1.5),
    log2: relative(1.5),
    log1p: relative(1.5),
    tanh: relative(2.5),
    sin: relative(2.5),
    cos: relative(2.5),
    erf: relative(2.5),
    pow: relative(4.5),
    // 1 / (1 + exp(-x))
    sigmoid: composed((x, e, z) => (cudaExp(x, e) * sigmoid(e - x) + 0.5 + 0.5) * ulp * z + 2 ** -126),
  },
};

const wgslExp = (x: number, e: number): number => 3 + 2 * (Math.abs(x) + e);
const wgslLog: ErrorRule = (x, e, z) => (x - e < 0.5 || x + e > 2 ? 3 * ulp * z : 2 ** -21);
const wgslTrig: ErrorRule = (x, e) => (Math.abs(x) + e <= Math.PI ? 2 ** -11 : Number.POSITIVE_INFINITY);
export const wgsl: Accuracy = {
  name: "wgsl",
  unit: 2 ** -23,
  correctlyRounded: false,
  divide: 2.5 * ulp,
  matrix: false,
  regroups: true,
  flush: 2 ** -126,
  flushHalf: 2 ** -14,
  functions: {
    sqrt: relative(4.6),
    rsqrt: relative(2),
    exp: (x, e, z) => wgslExp(x, e) * ulp * z,
    exp2: (x, e, z) => wgslExp(x, e) * ulp * z,
    // exp(x) - 1
    expm1: composed((x, e, z) => wgslExp(x, e) * ulp * Math.exp(x + e) + ulp * z),
    log: wgslLog,
    log2: wgslLog,
    // log(1 + x): the rounding of 1 + x moves the argument by one ulp of it.
    log1p: composed((x, e, z) => wgslLog(1 + x, e + ulp * (1 + Math.abs(x)), z) + ulp),
    // sign(x) * (1 - 2 / (exp(2 |x|) + 1)), |x| cut at 20
    tanh: composed((x, e) => {
      const y = Math.min(2 * Math.abs(x) + 2 * e, 40);
      return (1 - Math.tanh(Math.max(y / 2 - e, 0))) * (wgslExp(y, 0) + 5) * ulp + 2 * ulp;
    }),
    sigmoid: composed((x, e, z) => (wgslExp(x, e) * sigmoid(e - x) + 1 + 2.5) * ulp * z),
    // exp2(y * log2(x))
    pow: composed((x, e, z, y = 1) => {
      const exponent = Math.abs(y * Math.log2(Math.abs(x) || 1));
      const inner = Math.abs(y) * wgslLog(Math.abs(x), e, Math.abs(Math.log2(Math.abs(x) || 1))) + ulp * exponent;
      return z * (Math.expm1(Math.LN2 * inner) + wgslExp(exponent, inner) * ulp);
    }),
    sin: wgslTrig,
    cos: wgslTrig,
    // Abramowitz and Stegun 7.1.26: 1.5e-7, then a polynomial of degree 5 with coefficients that sum to 4.5 in magnitude, times exp(-x^2).
    erf: (x) => 1.5e-7 + (wgslExp(x * x, 0) + 16) * ulp * Math.exp(-x * x) * 4.5 + 2 * ulp,
  },
};

/**
 * WGSL as every desktop driver known does it: + - * round to nearest, and operations stay in the order of the text. Tests use it once a
 * probe has confirmed it of the adapter at hand.
 */
export const wgslNearest: Accuracy = { ...wgsl, name: "wgsl rne", unit: 2 ** -24, regroups: false };

export const profiles: Readonly<Record<string, Accuracy>> = { ideal, cuda, wgsl, "wgsl rne": wgslNearest };
