/** Instructions of one thread that only compute: bits in, bits out. Source: PTX ISA 9, "Instruction Set". */
import { decode, encode, formats, roundTo } from "../../dsl/tensor/narrow.ts";
import {
  add,
  asDouble,
  asFloat,
  bitsOfType,
  doubleBits,
  floatBits,
  fma,
  integerOf,
  type Rounding,
  roundEven,
  roundExact,
  wrap,
} from "./arithmetic.ts";

type Bits = bigint;
const f32 = (b: Bits): number => asFloat(Number(BigInt.asUintN(32, b)));
const toF32 = (x: number): Bits => BigInt(floatBits(x));
const flush = (x: number, on: boolean): number => (on && Math.abs(x) < 2 ** -126 ? x * 0 : x);
const truth = (b: boolean): Bits => (b ? 1n : 0n);

/** @returns the result's bits, or undefined for an instruction that is not known */
export function compute(op: readonly string[], x: readonly Bits[]): Bits | undefined {
  const type = op.at(-1)!;
  const [name] = op;
  if (name === "mov" || name === "cvta") return x[0];
  if (name === "cvt" && op.some((p) => p.endsWith("f16x2"))) return convertPair(op, x);
  if (name === "cvt") return convert(op, x[0]!);
  if (type === "f16x2") return halves(name!, x);
  if (name === "setp") return compare(op, x);
  if (name === "selp") return x[2] === 1n ? x[0] : x[1];
  if (type === "f32") return float(op, x.map(f32));
  if (type === "f64") return double(op, x.map(asDouble));
  if (type === "pred") return logic(name!, x);
  return whole(op, x);
}
function float(op: readonly string[], [a = 0, b = 0, c = 0]: readonly number[]): Bits | undefined {
  const ftz = op.includes("ftz");
  const mode = (op.find((p) => ["rn", "rz", "rm", "rp"].includes(p)) ?? "rn") as Rounding;
  const p = flush(a, ftz);
  const q = flush(b, ftz);
  const out = (v: number): Bits => toF32(flush(v, ftz));
  switch (op[0]) {
    case "add":
      return out(add(p, q, mode));
    case "sub":
      return out(add(p, -q, mode));
    case "mul":
      return out(roundExact(p * q, 0, mode));
    case "fma":
      return out(fma(p, q, flush(c, ftz), mode));
    case "div":
      return out(Math.fround(p / q));
    case "rcp":
      return out(Math.fround(1 / p));
    case "sqrt":
      return out(Math.fround(Math.sqrt(p)));
    case "rsqrt":
      return out(Math.fround(1 / Math.sqrt(p)));
    case "ex2":
      return out(Math.fround(2 ** p));
    case "lg2":
      return out(Math.fround(Math.log2(p)));
    case "tanh":
      return out(Math.fround(Math.tanh(p)));
    case "neg":
      return toF32(-a);
    case "abs":
      return toF32(Math.abs(a));
    case "min":
    case "max":
      return toF32(Number.isNaN(a) ? b : Number.isNaN(b) ? a : op[0] === "min" ? Math.min(a, b) : Math.max(a, b));
    case "copysign":
      return toF32(Object.is(a, -0) || a < 0 ? -Math.abs(b) : Math.abs(b));
    default:
      return undefined;
  }
}
function double(op: readonly string[], [a = 0, b = 0]: readonly number[]): Bits | undefined {
  const results: Record<string, number> = { add: a + b, sub: a - b, mul: a * b, div: a / b, neg: -a, abs: Math.abs(a) };
  const r = results[op[0]!];
  return r === undefined ? undefined : doubleBits(r);
}
function logic(name: string, [a = 0n, b = 0n]: readonly Bits[]): Bits | undefined {
  const results: Record<string, Bits> = { and: a & b, or: a | b, xor: a ^ b, not: a ^ 1n };
  return results[name];
}
function whole(op: readonly string[], x: readonly Bits[]): Bits | undefined {
  const type = op.at(-1)!;
  const n = bitsOfType(type);
  const [a = 0n, b = 0n, c = 0n] = x.map((v) => integerOf(v, type));
  const wide = op.includes("wide");
  const product = (): bigint => (op.includes("hi") ? (a * b) >> BigInt(n) : a * b);
  const shift = (v: Bits): bigint => (BigInt.asUintN(32, v) > BigInt(n) ? BigInt(n) : BigInt.asUintN(32, v));
  switch (op[0]) {
    case "add":
      return wrap(a + b, n);
    case "sub":
      return wrap(a - b, n);
    case "mul":
      return wrap(product(), wide ? 2 * n : n);
    case "mad":
      return wide ? wrap(a * b + integerOf(x[2]!, `${type[0]}${2 * n}`), 2 * n) : wrap(product() + c, n);
    case "div":
      return b === 0n ? wrap(-1n, n) : wrap(a / b, n);
    case "rem":
      return b === 0n ? wrap(-1n, n) : wrap(a % b, n);
    case "neg":
      return wrap(-a, n);
    case "abs":
      return wrap(a < 0n ? -a : a, n);
    case "min":
    case "max":
      return wrap(a < b === (op[0] === "min") ? a : b, n);
    case "and":
      return wrap(a & b, n);
    case "or":
      return wrap(a | b, n);
    case "lop3": {
      // Bit i of the table is the result where the bits of a, b and c are those of i.
      const minterm = (i: bigint): Bits => (i & 4n ? a : ~a) & (i & 2n ? b : ~b) & (i & 1n ? c : ~c);
      return wrap(
        [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n].reduce((r, i) => ((x[3]! >> i) & 1n ? r | minterm(i) : r), 0n),
        n,
      );
    }
    case "xor":
      return wrap(a ^ b, n);
    case "not":
      return wrap(~a, n);
    case "shl":
      return wrap(a << shift(x[1]!), n);
    case "shr":
      return wrap(a >> shift(x[1]!), n);
    case "clz":
      return BigInt(n - (a === 0n ? 0 : BigInt.asUintN(n, a).toString(2).length));
    case "popc":
      return BigInt([...BigInt.asUintN(n, a).toString(2)].filter((d) => d === "1").length);
    case "bfi": {
      // Places field a of x[3] bits at x[2] into b.
      const mask = ((1n << x[3]!) - 1n) << x[2]!;
      return wrap((b & ~mask) | ((a << x[2]!) & mask), n);
    }
    case "bfe":
      return type[0] === "s" ? wrap(BigInt.asIntN(Number(c), a >> b), n) : wrap((a >> b) & ((1n << c) - 1n), n);
    case "prmt": {
      const bytes = Array.from({ length: 8 }, (_, k) => ((k < 4 ? x[0]! : x[1]!) >> BigInt(8 * (k % 4))) & 255n);
      return Array.from({ length: 4 }, (_, k) => {
        const pick = Number((x[2]! >> BigInt(4 * k)) & 15n);
        const v = bytes[pick & 7]!;
        return (pick & 8 ? (v & 128n ? 255n : 0n) : v) << BigInt(8 * k);
      }).reduce((s, v) => s | v, 0n);
    }
    default:
      return undefined;
  }
}
function compare(op: readonly string[], x: readonly Bits[]): Bits | undefined {
  const type = op.at(-1)!;
  const floats = type === "f32" || type === "f64";
  const [a, b] = x.slice(0, 2).map((v) => (floats ? (type === "f32" ? f32(v) : asDouble(v)) : integerOf(v, type))) as [number, number];
  const unordered = floats && (Number.isNaN(a) || Number.isNaN(b));
  const results: Record<string, boolean> = {
    ...{
      eq: a === b,
      ne: a !== b && !unordered,
      lt: a < b,
      le: a <= b,
      gt: a > b,
      ge: a >= b,
      lo: a < b,
      ls: a <= b,
      hi: a > b,
      hs: a >= b,
    },
    ...{
      equ: a === b || unordered,
      neu: a !== b,
      ltu: !(a >= b),
      leu: !(a > b),
      gtu: !(a <= b),
      geu: !(a < b),
      num: !unordered,
      nan: unordered,
    },
  };
  const r = results[op[1]!];
  if (r === undefined) return undefined;
  // setp.lt.and.f32 p, a, b, q
  const joined = op.find((p) => p === "and" || p === "or");
  return truth(joined === "and" ? r && x[2] === 1n : joined === "or" ? r || x[2] === 1n : r);
}
/** Packed arithmetic of halves: each result rounded once. */
function halves(name: string, x: readonly Bits[]): Bits | undefined {
  const f16 = formats.f16!;
  const at = (k: number, part: bigint): number => decode(f16, Number(((x[k] ?? 0n) >> part) & 0xffffn));
  const one = (part: bigint): number => (name === "fma" ? at(0, part) * at(1, part) + at(2, part) : at(0, part) * at(1, part));
  if (name !== "fma" && name !== "mul") return undefined;
  return [16n, 0n].reduce((word, part) => (word << 16n) | BigInt(encode(f16, roundTo(f16, one(part)))), 0n);
}
/** Two f32 as a word of two narrow ones; the first operand goes to the upper half. Two floats of 8 bits as halves. */
function convertPair(op: readonly string[], [high, low]: readonly Bits[]): Bits {
  if (op.at(-1) === "e4m3x2") {
    const half = (code: Bits): number => encode(formats.f16!, decode(formats.f8e4m3!, Number(code & 255n)));
    return BigInt((half(high! >> 8n) * 2 ** 16 + half(high!)) >>> 0);
  }
  const to = op.at(-2)!.slice(0, -2);
  const code = (b: Bits | undefined): Bits => convert([...op.slice(0, -2), to, "f32"], b!)!;
  return (code(high) << 16n) | code(low);
}
function convert(op: readonly string[], x: Bits): Bits | undefined {
  const [to, from] = op.slice(-2) as [string, string];
  const how = op.find((p) => /^r[nzmp]i$/.test(p));
  const saturate = op.includes("sat");
  const value =
    from === "f32" ? f32(x) : from === "f64" ? asDouble(x) : from === "f16" ? decode(formats.f16!, Number(x & 0xffffn)) : undefined;
  if (value === undefined) {
    const v = integerOf(x, from);
    if (to === "f32") return toF32(Math.fround(Number(v)));
    if (to === "f64") return doubleBits(Number(v));
    return wrap(v, bitsOfType(to));
  }
  const round: Record<string, (v: number) => number> = { rni: roundEven, rzi: Math.trunc, rmi: Math.floor, rpi: Math.ceil };
  const v = flush(how ? round[how]!(value) : value, op.includes("ftz"));
  if (to === "f32") return toF32(saturate ? (Number.isNaN(v) ? 0 : Math.min(Math.max(v, 0), 1)) : Math.fround(v));
  if (to === "f64") return doubleBits(v);
  if (to === "f16" || to === "bf16") return BigInt(encode(formats[to]!, roundTo(formats[to]!, v)));
  const n = bitsOfType(to);
  const [least, most] = to[0] === "s" ? [-(2n ** BigInt(n - 1)), 2n ** BigInt(n - 1) - 1n] : [0n, 2n ** BigInt(n) - 1n];
  if (Number.isNaN(v)) return 0n;
  const w = Number.isFinite(v) ? BigInt(Math.trunc(v)) : v > 0 ? most : least;
  return wrap(w < least ? least : w > most ? most : w, n);
}
