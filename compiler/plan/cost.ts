/** Rough costs of expressions: what is worth storing rather than computing again. */
import { some } from "../../dsl/tensor/expr.ts";
import type { Expr, Op } from "../../dsl/tensor/ir.ts";

const dear = new Set<Op>([
  "exp",
  "exp2",
  "expm1",
  "log",
  "log2",
  "log1p",
  "sqrt",
  "rsqrt",
  "tanh",
  "sigmoid",
  "sin",
  "cos",
  "erf",
  "pow",
  "random",
  "uniform",
  "normal",
]);

/** Contains a special function, a division of floats, or a search. */
export const isExpensive = (e: Expr): boolean =>
  some(
    e,
    (x) => (x.kind === "op" && (dear.has(x.op) || (x.op === "div" && (x.type === "f32" || x.type === "f64")))) || x.kind === "segment",
  );
