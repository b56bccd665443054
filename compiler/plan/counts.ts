/** Counts that need no counting: what a mean over a whole axis divides by is its extent. */
import { type Domains, domainOf } from "../../dsl/check/domain.ts";
import { freeIndices, isTrue, num, product } from "../../dsl/tensor/expr.ts";
import type { Define, Expr } from "../../dsl/tensor/ir.ts";

/**
 * The definition; in place of the number of points where something is defined, the number of all points where that holds at each of them or at
 * none, whichever they are.
 */
export function withoutCounting(d: Define, domains: Domains): Define {
  const e = d.value;
  if (e.kind !== "reduce" || e.op !== "sum" || e.where || e.axes.some((a) => a.range)) return d;
  const [body] = e.bodies;
  if (body?.kind !== "if" || body.cond.kind !== "defined" || !isNumber(body.then, 1) || !isNumber(body.else, 0)) return d;
  const domain = domainOf(body.cond.arg, domains);
  const named = freeIndices(domain);
  if (e.axes.some((a) => named.has(a.name))) return d;
  const all = product(e.axes.map((a) => a.extent));
  return { ...d, value: isTrue(domain) ? all : { kind: "if", cond: domain, then: all, else: num(0), type: "int", span: d.span } };
}
const isNumber = (e: Expr, value: number): boolean => e.kind === "const" && e.value === value;
