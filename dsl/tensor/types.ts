/** Element types: how a number lies in memory, and the type that arithmetic on it has (docs/language.md, "Types"). */
import type { Expr } from "./ir.ts";

/** Arithmetic happens in these. `int` is an exact integer: dimensions, indices and what mixes with them. */
export type Compute = "f64" | "f32" | "i32" | "u32" | "bool" | "int";

export interface StorageInfo {
  readonly bits: number;
  readonly compute: Compute;
  readonly class: "float" | "integer" | "bool";
  /** Least and largest value, for integers. */
  readonly min?: number;
  readonly max?: number;
  /** Significand bits with the hidden one, for floats. */
  readonly precision?: number;
}
const float = (bits: number, precision: number, compute: Compute): StorageInfo => ({ bits, precision, compute, class: "float" });
const integer = (bits: number, signed: boolean, compute: Compute): StorageInfo => ({
  bits,
  compute,
  class: "integer",
  min: signed ? -(2 ** (bits - 1)) : 0,
  max: signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1,
});
export const storage = {
  f64: float(64, 53, "f64"),
  f32: float(32, 24, "f32"),
  f16: float(16, 11, "f32"),
  bf16: float(16, 8, "f32"),
  f8e4m3: float(8, 4, "f32"),
  f8e5m2: float(8, 3, "f32"),
  i32: integer(32, true, "i32"),
  u32: integer(32, false, "u32"),
  i16: integer(16, true, "i32"),
  u16: integer(16, false, "i32"),
  i8: integer(8, true, "i32"),
  u8: integer(8, false, "i32"),
  i4: integer(4, true, "i32"),
  u4: integer(4, false, "i32"),
  // Three-bit codes lie in fields of four bits, so that no code straddles a word.
  u3: { ...integer(4, false, "i32"), max: 7 },
  u2: integer(2, false, "i32"),
  bool: { bits: 8, compute: "bool", class: "bool" },
  index: { bits: 32, compute: "int", class: "integer" },
  offsets: { bits: 32, compute: "int", class: "integer" },
} as const satisfies Record<string, StorageInfo>;
export type Storage = keyof typeof storage;

/** A storage type; `index<N>` and `offsets<N>` carry their bound, `offsets<..N>` is open. */
export interface ElemType {
  readonly name: Storage;
  readonly bound?: Expr;
  readonly open?: boolean;
  /** Over the exact algebra: the narrow float in whose place this integer stands. */
  readonly standsFor?: Storage;
}
export const infoOf = (elem: ElemType): StorageInfo => storage[elem.name];
export const computeOf = (elem: ElemType): Compute => infoOf(elem).compute;
export const isStorage = (name: string): name is Storage => Object.hasOwn(storage, name);
export const isFloat = (type: Compute): boolean => type === "f32" || type === "f64";
export const isInteger = (type: Compute): boolean => type === "i32" || type === "u32" || type === "int";
/** Whether a write to `elem` rounds, so that the stored value differs from the computed one. */
export const isNarrow = (elem: ElemType): boolean => infoOf(elem).class === "float" && infoOf(elem).bits < 32;
/** The storage type that holds a compute type unchanged. */
export const elemFor = (type: Compute): ElemType => ({ name: type === "int" ? "i32" : type });
