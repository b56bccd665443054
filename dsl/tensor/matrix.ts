/**
 * Sums of products that a matrix unit can do: two factors, each held in the same narrow float or in signed bytes, one of which varies with
 * the rows of the result and the other with its columns.
 */
import type { Expr } from "./ir.ts";
import { type ElemType, infoOf } from "./types.ts";

/** What a matrix unit multiplies: narrow floats, with sums in f32, or signed bytes, with sums modulo 2^32. */
export type MatrixForm = "f16" | "bf16" | "s8";
/** Elements in a word of an operand. Over the exact algebra, where an element is a word, tiles are those of the text's own form. */
export const inWord: Readonly<Record<MatrixForm, 2 | 4>> = { f16: 2, bf16: 2, s8: 4 };
type Reduce = Extract<Expr, { kind: "reduce" }>;

/** The narrow float that a matrix unit takes and this is, or stands for. */
export const matrixForm = (elem: ElemType | undefined): MatrixForm | undefined => {
  const name = elem?.standsFor ?? elem?.name;
  return name === "f16" || name === "bf16" ? name : undefined;
};
/** All of its integers fit in a signed byte. */
const inByte = (elem: ElemType): boolean => {
  const { class: kind, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = infoOf(elem);
  return kind === "integer" && min >= -128 && max <= 127;
};
/** How a tensor is stored, or the value that stands in its place where it is not. */
export type Lookup = (tensor: string) => { readonly elem?: ElemType | undefined; readonly value?: Expr | undefined };
/** In what a value may be held without a rounding that the text does not allow. */
function heldIn(e: Expr, lookup: Lookup): MatrixForm | undefined {
  switch (e.kind) {
    case "read": {
      const { elem, value } = lookup(e.tensor);
      if (e.type === "i32" && elem && inByte(elem)) return "s8";
      return matrixForm(elem) ?? (value && heldIn(value, lookup));
    }
    case "cast":
      return e.mode === "nearest" ? matrixForm(e.to) : undefined;
    case "relax":
      return matrixForm(e.to);
    case "op":
      return e.op === "to_f32" ? floatsOnly(heldIn(e.args[0]!, lookup)) : undefined;
    default:
      return undefined;
  }
}
/** As floats, bytes are no bytes. */
const floatsOnly = (form: MatrixForm | undefined): MatrixForm | undefined => (form === "s8" ? undefined : form);
/** The two factors of a sum of products of one form; undefined for any other reduction. */
export function matrixFactors(
  e: Reduce,
  lookup: Lookup,
): { readonly factors: readonly [Expr, Expr]; readonly form: MatrixForm } | undefined {
  const body = e.bodies[0]!;
  if (e.op !== "sum" || body.kind !== "op" || body.op !== "mul") return undefined;
  const [a, b] = body.args as [Expr, Expr];
  const form = heldIn(a, lookup);
  return form !== undefined && form === heldIn(b, lookup) ? { factors: [a, b], form } : undefined;
}
