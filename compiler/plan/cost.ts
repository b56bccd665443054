/** Rough costs of expressions: what is worth storing rather than computing again. */
import { some } from "../../dsl/tensor/expr.ts";
import { type Expr, type Op, specialFunctions } from "../../dsl/tensor/ir.ts";

const dear = new Set<Op>([...specialFunctions, "pow", "random", "uniform", "normal", "exact_exp", "exact_inv", "exact_hash"]);

/** Contains a special function, a division of floats, or a search. */
export const isExpensive = (e: Expr): boolean =>
  some(
    e,
    (x) => (x.kind === "op" && (dear.has(x.op) || (x.op === "div" && (x.type === "f32" || x.type === "f64")))) || x.kind === "segment",
  );
