/** How much there is to compute, before anything is. */
import { evaluateInteger } from "../dsl/check/evaluate.ts";
import { children } from "../dsl/tensor/expr.ts";
import type { Axis, Expr, Program, Statement } from "../dsl/tensor/ir.ts";

/**
 * Points of all definitions, each with those of the sums inside it, for given sizes: what an interpreter visits at most. Conditions and ranges
 * leave out none.
 */
export function workOf(p: Program, dims: Readonly<Record<string, number>>): number {
  const values = new Map(Object.entries(dims));
  const points = (axes: readonly Axis[]): number => axes.reduce((n, a) => n * Math.max(1, evaluateInteger(a.extent, values) ?? 1), 1);
  const inside = (e: Expr): number => {
    const own = children(e).reduce((n, x) => n + inside(x), 0);
    return e.kind === "reduce" ? points(e.axes) * Math.max(1, own) : own;
  };
  const all = (list: readonly (Expr | undefined)[]): number => list.reduce((n, e) => n + (e === undefined ? 0 : inside(e)), 1);
  const statement = (s: Statement): number => {
    switch (s.kind) {
      case "define":
        return points(s.axes) * all([s.value, s.where]);
      case "write":
        return points(s.axes) * all([s.value, s.where, ...s.subscripts]);
      case "fold":
        return (
          points([s.axis]) *
          [...s.body, ...s.emits]
            .map(statement)
            .concat(s.nexts.map((n) => points(n.axes) * all([n.value, n.where])))
            .reduce((a, b) => a + b, 0)
        );
      default:
        return points([...s.outer, ...s.over]) * all([s.body, s.where, s.count]);
    }
  };
  return p.statements.reduce((n, s) => n + statement(s), 0);
}
