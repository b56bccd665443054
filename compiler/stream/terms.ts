/** Summands taken apart: which factors and terms vary with the streamed index, and which hang on reductions over it that are not finished. */
import { op, some } from "../../dsl/tensor/expr.ts";
import type { Expr } from "../../dsl/tensor/ir.ts";
import type { ElemType } from "../../dsl/tensor/types.ts";

/** How a term relates to the streamed index: `element` varies with it, `total` reads an unfinished reduction over it, `mixed` does both. */
export type Colour = "free" | "element" | "total" | "mixed";
export interface Streamed {
  /** Name of the index in the reduction at hand. */
  readonly index: string;
  readonly isTotal: (e: Expr) => boolean;
}
export function colourOf(e: Expr, s: Streamed): Colour {
  const element = some(e, (x) => x.kind === "index" && x.name === s.index);
  const total = some(e, s.isTotal);
  return element ? (total ? "mixed" : "element") : total ? "total" : "free";
}
export interface Factor {
  readonly e: Expr;
  /** It divides. */
  readonly inverse: boolean;
  /** The narrower type in which the text allows it to be held. */
  readonly relax?: ElemType;
}
/** The factors of a product of floats. A factor that does not mix is not opened. `relax` allows a narrower type at a place: it is kept beside what it is about. */
export function factorsOf(e: Expr, s: Streamed, inverse = false): Factor[] {
  if (e.kind === "relax" && colourOf(e, s) === "mixed") return factorsOf(e.arg, s, inverse).map((f) => ({ ...f, relax: f.relax ?? e.to }));
  if (e.kind === "op" && colourOf(e, s) === "mixed") {
    const [a, b] = e.args;
    if (e.op === "mul") return [...factorsOf(a!, s, inverse), ...factorsOf(b!, s, inverse)];
    if (e.op === "div") return [...factorsOf(a!, s, inverse), ...factorsOf(b!, s, !inverse)];
  }
  return [{ e, inverse }];
}
export interface Term {
  readonly e: Expr;
  readonly negative: boolean;
}
/** The terms of a sum; one that does not mix is not opened. */
export function termsOf(e: Expr, s: Streamed, negative = false): Term[] {
  if (e.kind === "op" && colourOf(e, s) === "mixed") {
    const [a, b] = e.args;
    if (e.op === "add") return [...termsOf(a!, s, negative), ...termsOf(b!, s, negative)];
    if (e.op === "sub") return [...termsOf(a!, s, negative), ...termsOf(b!, s, !negative)];
    if (e.op === "neg") return termsOf(a!, s, !negative);
  }
  return [{ e, negative }];
}
export function productOf(list: readonly Factor[], one: Expr): Expr {
  return list.reduce((x, f) => (x === one && !f.inverse ? f.e : op(f.inverse ? "div" : "mul", [x, f.e], one.type, f.e.span)), one);
}
/** undefined for no terms. */
export function sumOf(list: readonly Term[]): Expr | undefined {
  let sum: Expr | undefined;
  for (const t of list)
    sum =
      sum === undefined
        ? t.negative
          ? op("neg", [t.e], t.e.type, t.e.span)
          : t.e
        : op(t.negative ? "sub" : "add", [sum, t.e], t.e.type, t.e.span);
  return sum;
}
