/** What PTX instructions compute, on bits: registers hold unsigned bits, as bigints of 64 or numbers of 32, and types say what they mean. */

const scratch = new DataView(new ArrayBuffer(8));
export const asFloat = (bits: number): number => {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
};
export const floatBits = (x: number): number => {
  scratch.setFloat32(0, x);
  return scratch.getUint32(0);
};
export const asDouble = (bits: bigint): number => {
  scratch.setBigUint64(0, bits);
  return scratch.getFloat64(0);
};
export const doubleBits = (x: number): bigint => {
  scratch.setFloat64(0, x);
  return scratch.getBigUint64(0);
};
export type Rounding = "rn" | "rz" | "rm" | "rp";

/** The float next to x, towards minus or plus infinity. */
function neighbour(x: number, up: boolean): number {
  if (x === 0) return up ? 2 ** -149 : -(2 ** -149);
  const bits = floatBits(x);
  return asFloat(up === x > 0 ? bits + 1 : bits - 1);
}
/** s + rest rounded to f32, where s is f64 and rest what it lacks of the exact value. */
export function roundExact(s: number, rest: number, mode: Rounding): number {
  if (!Number.isFinite(s)) return s;
  let odd = s;
  if (rest !== 0) {
    // Rounded to odd in f64 first, so that the second rounding sees what was cut.
    const bits = doubleBits(s);
    if ((bits & 1n) === 0n) odd = asDouble(rest > 0 === s > 0 || s === 0 ? bits + 1n : bits - 1n);
  }
  const x = Math.fround(odd);
  if (mode === "rn" || !Number.isFinite(x)) return x;
  const above = x > s || (x === s && rest < 0);
  const below = x < s || (x === s && rest > 0);
  if (mode === "rm" || (mode === "rz" && s > 0)) return above ? neighbour(x, false) : x;
  return below ? neighbour(x, true) : x;
}
export function add(a: number, b: number, mode: Rounding): number {
  const s = a + b;
  const back = s - a;
  return roundExact(s, Number.isFinite(s) ? a - (s - back) + (b - back) : 0, mode);
}
/** a * b + c, rounded once: the product of two f32 is exact in f64. */
export const fma = (a: number, b: number, c: number, mode: Rounding): number => {
  const p = a * b;
  return add64(p, c, mode);
};
function add64(p: number, c: number, mode: Rounding): number {
  const s = p + c;
  if (!Number.isFinite(s)) return Math.fround(s);
  const back = s - p;
  return roundExact(s, p - (s - back) + (c - back), mode);
}
export const roundEven = (x: number): number => (Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/** Bits of an integer type out of any integer. */
export const wrap = (v: bigint, bits: number): bigint => BigInt.asUintN(bits, v);
/** The value of unsigned bits under a type: `s32`, `u64`, `b16`. */
export const integerOf = (bits: bigint, type: string): bigint => {
  const n = Number(type.slice(1));
  return type[0] === "s" ? BigInt.asIntN(n, bits) : BigInt.asUintN(n, bits);
};
export const bitsOfType = (type: string): number => (type === "pred" ? 1 : Number(/\d+/.exec(type)?.[0] ?? 32));
