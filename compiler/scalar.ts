/** What a scalar operation of the tile and thread levels computes, on the machine's own types: what both interpreters run. */
import { InternalError } from "../dsl/diagnostics.ts";
import { erf } from "../dsl/interpret/scalar.ts";
import { exactExp, exactHash, exactInverse } from "../dsl/tensor/exact.ts";
import { decode, encode, formats, meaningsOf, roundStochastic, roundTo } from "../dsl/tensor/narrow.ts";
import { philox } from "../dsl/tensor/philox.ts";
import type { Storage } from "../dsl/tensor/types.ts";
import type { Elem, MapOp } from "./tile/ir.ts";

export type ScalarFn = (a: number, b: number, c: number) => number;

const view = new DataView(new ArrayBuffer(4));
function bits(x: number, from: Elem, to: Elem): number {
  if (from === "f32") view.setFloat32(0, x);
  else view.setInt32(0, x | 0);
  return to === "f32" ? view.getFloat32(0) : to === "u32" ? view.getUint32(0) : view.getInt32(0);
}
// Operations that JavaScript has a sign for; those on bits take the low five of what they shift by, as the levels do.
const onFloats: Partial<Record<MapOp, string>> = { add: "+", sub: "-", mul: "*", div: "/" };
const onIntegers: Partial<Record<MapOp, string>> = { add: "+", sub: "-", and: "&", or: "|", xor: "^", shl: "<<" };
const comparisons: Partial<Record<MapOp, string>> = { lt: "<", le: "<=", gt: ">", ge: ">=", eq: "===", ne: "!==" };
const onBools: Partial<Record<MapOp, (a: string, b: string) => string>> = {
  // Both sides are evaluated.
  land: (a, b) => `((${a} !== 0) & (${b} !== 0))`,
  lor: (a, b) => `((${a} !== 0) | (${b} !== 0))`,
  lnot: (a) => `(${a} === 0 ? 1 : 0)`,
};
/** An operation as text in place, of operands that are text, each of which stands in it once; undefined where it takes a function. */
export function scalarText(op: MapOp, elem: Elem, a: string, b: string): string | undefined {
  const compared = comparisons[op];
  if (compared) return `(${a} ${compared} ${b} ? 1 : 0)`;
  const decided = onBools[op];
  if (decided) return decided(a, b);
  if (elem === "f32" || elem === "f64") {
    const sign = onFloats[op];
    return sign && (elem === "f32" ? `Math.fround(${a} ${sign} ${b})` : `(${a} ${sign} ${b})`);
  }
  const value = integerText(op, elem, a, b);
  return value && (elem === "u32" ? `(${value} >>> 0)` : `(${value} | 0)`);
}
function integerText(op: MapOp, elem: Elem, a: string, b: string): string | undefined {
  const sign = onIntegers[op];
  if (sign) return `(${a} ${sign} ${b})`;
  const divisor = /^\d+$/.test(b) ? Number(b) : 0;
  switch (op) {
    case "mul":
      return `Math.imul(${a}, ${b})`;
    case "shr":
      return `(${a} ${elem === "u32" ? ">>>" : ">>"} ${b})`;
    case "neg":
      return `(-(${a}))`;
    case "not":
      return `(~${a})`;
    case "min":
    case "max":
      return `Math.${op}(${a}, ${b})`;
    case "div":
      return divisor > 0 ? `Math.floor(${a} / ${b})` : undefined;
    case "mod":
      // Of what is below 0 too: the low bits say how far it is above a multiple.
      return divisor > 0 && (divisor & (divisor - 1)) === 0 ? `(${a} & ${divisor - 1})` : undefined;
    default:
      return undefined;
  }
}
const real: Partial<Record<MapOp, ScalarFn>> = {
  mod: (a, b) => a - b * Math.floor(a / b),
  neg: (a) => -a,
  abs: Math.abs,
  sign: Math.sign,
  min: (a, b) => (Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.min(a, b)),
  max: (a, b) => (Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.max(a, b)),
  clamp: (a, b, c) => Math.min(Math.max(a, b), c),
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
  round: (x) => (Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)),
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  log: Math.log,
  log2: Math.log2,
  log1p: Math.log1p,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  sin: Math.sin,
  cos: Math.cos,
  erf,
  pow: (a, b) => a ** b,
};
const floorDiv = (a: number, b: number): number => (b === 0 ? 0 : Math.floor(a / b));
const whole: Partial<Record<MapOp, ScalarFn>> = {
  div: floorDiv,
  mod: (a, b) => a - b * floorDiv(a, b),
  truncdiv: (a, b) => (b === 0 ? 0 : Math.trunc(a / b)),
  truncmod: (a, b) => (b === 0 ? 0 : a % b),
  bit_length: (a) => 32 - Math.clz32(a),
  abs: Math.abs,
  sign: Math.sign,
  clamp: (a, b, c) => Math.min(Math.max(a, b), c),
};
const f16 = formats.f16!;
const half = (word: number, k: number): number => decode(f16, (word >>> (16 * k)) & 0xffff);
/** A word of two halves, the nearest to what is given for each. */
const halves = (value: (k: 0 | 1) => number): number =>
  (encode(f16, roundTo(f16, value(0))) | (encode(f16, roundTo(f16, value(1))) << 16)) >>> 0;
const dot4 = (byte: (word: number, k: number) => number, a: number, b: number): number =>
  [0, 1, 2, 3].reduce((sum, k) => sum + byte(a, k) * byte(b, k), 0);
const saturate = (x: number, lo: number, hi: number): number => (Number.isNaN(x) ? 0 : Math.min(Math.max(Math.trunc(x), lo), hi));

let owned = 0;
/**
 * A function of its own that calls f: V8 puts f in line where no other function is ever called. Functions of equal texts would be one to it,
 * so each has a number.
 */
export const owning = (text: string, f: ScalarFn): unknown => new Function("f", `/* ${owned++} */ return ${text};`)(f);
/** f with what it gives rounded or wrapped. */
const own = (text: string, f: ScalarFn): ScalarFn => owning(`(a, b, c) => ${text}`, f) as ScalarFn;
const known = new Map<string, ScalarFn>();
/** The operation on operands of type `from`, with its result wrapped or rounded to `elem`; bools are 0 and 1. */
export function scalarFn(op: MapOp, elem: Elem, from: Elem, arity: number): ScalarFn {
  const key = `${op} ${elem} ${from} ${arity}`;
  let f = known.get(key);
  if (f === undefined) {
    f = made(op, elem, from, arity);
    known.set(key, f);
  }
  return f;
}
function made(op: MapOp, elem: Elem, from: Elem, arity: number): ScalarFn {
  const text = scalarText(op, elem, "a", "b");
  if (text) return new Function("a", "b", `return ${text};`) as ScalarFn;
  if (op === "select") return (a, b, c) => (a !== 0 ? b : c);
  if (op === "isfinite") return (a) => Number(Number.isFinite(a));
  if (op === "again") return (a) => a;
  if (op === "bitcast") return (a) => bits(a, from, elem);
  const narrow = /^(round|chop|stochastic|encode|decode)_(\w+)$/.exec(op);
  if (narrow) {
    const f = formats[narrow[2] as Storage]!;
    const [all, mask] = [meaningsOf(f), 2 ** f.bits - 1];
    const table: Record<string, ScalarFn> = {
      round: (x) => roundTo(f, x),
      chop: (x) => roundTo(f, x, "toward_zero"),
      stochastic: (x, r) => roundStochastic(f, x, r),
      encode: (x) => encode(f, roundTo(f, x)),
      decode: (code) => all[code & mask]!,
    };
    return table[narrow[1]!]!;
  }
  if (op === "nibbles_f16") return (word, at, zero) => halves((k) => ((word >>> (at + 4 * k)) & 15) - zero);
  if (op === "fields_f16") return (word, at, zero) => halves((k) => ((word >>> (at + 16 * k)) & 15) - zero);
  const widened = /^widen_(\w+)$/.exec(op);
  if (widened) {
    const f = formats[widened[1] as Storage]!;
    return (word, at) => halves((k) => decode(f, (word >>> (at + 8 * k)) & 255));
  }
  if (op === "multiply_f16x2") return (a, b) => halves((k) => half(a, k) * half(b, k));
  if (op === "dot4_i8") return (a, b) => dot4((word, k) => (word << (24 - 8 * k)) >> 24, a, b);
  if (op === "dot4_u8") return (a, b) => dot4((word, k) => (word >>> (8 * k)) & 255, a, b);
  if (op === "exact_exp") return exactExp;
  if (op === "exact_inv") return exactInverse;
  if (op === "exact_hash") return arity === 3 ? exactHash : (id, x) => exactHash(id, x);
  if (op === "random" || op === "uniform" || op === "normal") {
    const word = (args: readonly number[], flip: number): number =>
      arity === 3 ? philox(args[0]!, args[1]!, (args[2]! ^ flip) >>> 0) : philox(args[0]!, 0, (args[1]! ^ flip) >>> 0);
    if (op === "random") return (a, b, c) => word([a, b, c], 0);
    if (op === "uniform") return (a, b, c) => (word([a, b, c], 0) >>> 8) * 2 ** -24;
    return (a, b, c) => {
      const t = 2 * Math.PI * ((word([a, b, c], 1) >>> 8) * 2 ** -24);
      return Math.fround(
        Math.sqrt(-2 * Math.log(((word([a, b, c], 0) >>> 8) + 1) * 2 ** -24)) *
          (((arity === 3 ? c : b) & 1) === 1 ? Math.sin(t) : Math.cos(t)),
      );
    };
  }
  if (op === "to_i32") return from === "f32" || from === "f64" ? (x) => saturate(x, -(2 ** 31), 2 ** 31 - 1) : (x) => x | 0;
  if (op === "to_u32") return from === "f32" || from === "f64" ? (x) => saturate(x, 0, 2 ** 32 - 1) : (x) => x >>> 0;
  if (op === "to_f32" || op === "small_to_f32") return (x) => Math.fround(x);
  if (op === "to_f64") return (x) => x;
  if (elem === "f32" || elem === "f64") {
    const f = real[op];
    if (f === undefined) throw new InternalError(`no meaning for ${op} on ${elem}`);
    return elem === "f32" ? own("Math.fround(f(a, b, c))", f) : f;
  }
  const f = whole[op];
  if (f === undefined) throw new InternalError(`no meaning for ${op} on ${elem}`);
  return own(elem === "u32" ? "f(a, b, c) >>> 0" : "f(a, b, c) | 0", f);
}
