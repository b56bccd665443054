/**
 * Sums of products that a matrix unit can do: two factors, each held in the same narrow float or in signed bytes, one of which varies with
 * the rows of the result and the other with its columns. Halves hold every float of 8 bits, so that those are multiplied as halves are: a unit
 * that takes them as they are cuts products at 13 bits below the largest, which a text has to allow.
 */
import type { Expr } from "./ir.ts";
import { formats } from "./narrow.ts";
import { type ElemType, infoOf, type Storage } from "./types.ts";

/** What a matrix unit multiplies: narrow floats, with sums in f32, or signed bytes, with sums modulo 2^32. */
export type MatrixForm = "f16" | "bf16" | "s8" | EightBits;
export type EightBits = "f8e4m3" | "f8e5m2";
/** Elements in a word of an operand. Over the exact algebra, where an element is a word, tiles are those of the text's own form. */
export const inWord: Readonly<Record<MatrixForm, 2 | 4>> = { f16: 2, bf16: 2, f8e4m3: 4, f8e5m2: 4, s8: 4 };
export const isEightBits = (form: string): form is EightBits => form === "f8e4m3" || form === "f8e5m2";
type Reduce = Extract<Expr, { kind: "reduce" }>;

/** Forms that hold a type, itself or what it stands for, its own first. */
const holding: Partial<Record<Storage, readonly MatrixForm[]>> = {
  f16: ["f16"],
  bf16: ["bf16"],
  f8e4m3: ["f8e4m3", "f16", "bf16"],
  f8e5m2: ["f8e5m2", "f16", "bf16"],
};
export const matrixForms = (elem: ElemType | undefined): readonly MatrixForm[] => (elem && holding[elem.standsFor ?? elem.name]) ?? [];
/** All of its integers fit in a signed byte. */
const inByte = (elem: ElemType): boolean => {
  const { class: kind, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = infoOf(elem);
  return kind === "integer" && min >= -128 && max <= 127;
};
/** How a tensor is stored, or the value that stands in its place where it is not. */
export type Lookup = (tensor: string) => { readonly elem?: ElemType | undefined; readonly value?: Expr | undefined };
/** In what a value may be held without a rounding that the text does not allow, best first. */
function heldIn(e: Expr, lookup: Lookup): readonly MatrixForm[] {
  switch (e.kind) {
    case "read": {
      const { elem, value } = lookup(e.tensor);
      if (e.type === "i32" && elem && inByte(elem)) return ["s8"];
      const own = matrixForms(elem);
      return own.length === 0 && value ? heldIn(value, lookup) : own;
    }
    case "cast":
      return e.mode === "nearest" ? matrixForms(e.to) : [];
    case "relax":
      // The value may stay as it is, or be rounded to this type: to no other.
      return matrixForms(e.to).slice(0, 1);
    case "op":
      // As floats, bytes are no bytes.
      return e.op === "to_f32" ? heldIn(e.args[0]!, lookup).filter((form) => form !== "s8") : [];
    default:
      return [];
  }
}
export interface MatrixFactors {
  readonly factors: readonly [Expr, Expr];
  readonly form: MatrixForm;
  /** Floats of 8 bits whose products the text lets a unit cut. */
  readonly cut: boolean;
}
/**
 * The two factors of a sum of products of one form; undefined for any other reduction.
 * @param words how many elements a word holds, where that is given
 */
export function matrixFactors(e: Reduce, lookup: Lookup, words?: 2 | 4): MatrixFactors | undefined {
  const body = e.bodies[0]!;
  const product = body.kind === "relax" ? body.arg : body;
  if (e.op !== "sum" || product.kind !== "op" || product.op !== "mul") return undefined;
  const [a, b] = product.args as [Expr, Expr];
  const others = heldIn(b, lookup);
  const form = heldIn(a, lookup).find((f) => others.includes(f) && (words === undefined || inWord[f] === words));
  return form && { factors: [a, b], form, cut: body.kind === "relax" && isEightBits(form) && mayCut(body.to) };
}
/**
 * Products that may be rounded to this type may be cut by a unit that adds 32 at a time: 31 are off by less than 2^-13 of the largest, the
 * sum by 2^-13 of itself, and that is no more than 2^-8 of each, which a rounding to bf16 is.
 */
const mayCut = (to: ElemType): boolean => (formats[to.standsFor ?? to.name]?.mantissaBits ?? Number.POSITIVE_INFINITY) <= 7;
