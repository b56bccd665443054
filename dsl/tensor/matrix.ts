/**
 * Sums of products that a matrix unit can do: two factors, each held in the same narrow float, one of which varies with the rows of the
 * result and the other with its columns.
 */
import type { Expr } from "./ir.ts";
import type { ElemType } from "./types.ts";

export type MatrixForm = "f16" | "bf16";
type Reduce = Extract<Expr, { kind: "reduce" }>;

/** The narrow float that a matrix unit takes and this is, or stands for. */
export const matrixForm = (elem: ElemType | undefined): MatrixForm | undefined => {
  const name = elem?.standsFor ?? elem?.name;
  return name === "f16" || name === "bf16" ? name : undefined;
};
/** How a tensor is stored, or the value that stands in its place where it is not. */
export type Lookup = (tensor: string) => { readonly elem?: ElemType | undefined; readonly value?: Expr | undefined };
/** The narrow float in which a value may be held without a rounding that the text does not allow. */
function heldIn(e: Expr, lookup: Lookup): MatrixForm | undefined {
  switch (e.kind) {
    case "read": {
      const { elem, value } = lookup(e.tensor);
      return matrixForm(elem) ?? (value && heldIn(value, lookup));
    }
    case "cast":
      return e.mode === "nearest" ? matrixForm(e.to) : undefined;
    case "relax":
      return matrixForm(e.to);
    case "op":
      return e.op === "to_f32" ? heldIn(e.args[0]!, lookup) : undefined;
    default:
      return undefined;
  }
}
/** The two factors of a sum of products of one narrow float; undefined for any other reduction. */
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
