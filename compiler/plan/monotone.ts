/** How an integer expression varies with an index: what grows or shrinks all the way takes its extremes at the ends of a range. */
import { some } from "../../dsl/tensor/expr.ts";
import type { Expr } from "../../dsl/tensor/ir.ts";
import type { Plan } from "./jobs.ts";

/** `monotone`: grows or shrinks, as the sign of a size or scalar decides. */
export type Variation = "constant" | "grows" | "shrinks" | "monotone";
const turned: Readonly<Record<Variation, Variation>> = { constant: "constant", grows: "shrinks", shrinks: "grows", monotone: "monotone" };

/**
 * Undefined where neither is known. Values outside of an expression's domain count: a search gives the nearest segment there, and a subscript
 * that is out of range the nearest element.
 */
export function varies(e: Expr, index: string, plan: Pick<Plan, "tables" | "formulas">): Variation | undefined {
  const of = (x: Expr): Variation | undefined => varies(x, index, plan);
  if (!some(e, (x) => x.kind === "index" && x.name === index)) return some(e, (x) => x.kind === "reduce") ? undefined : "constant";
  switch (e.kind) {
    case "index":
      return "grows";
    case "segment":
      return of(e.arg);
    case "read": {
      const [at, ...more] = e.subscripts;
      if (at === undefined || more.length > 0) return undefined;
      if (plan.tables.get(e.tensor)?.elem.name === "offsets") return of(at);
      // The table of segments that a definition is, at its own index.
      const formula = plan.formulas.get(e.tensor);
      return formula?.value.kind === "segment" && formula.value.arg.kind === "index" ? of(at) : undefined;
    }
    case "op":
      break;
    default:
      return undefined;
  }
  const [x, y] = e.args.map(of);
  if (e.args.length !== 2 || x === undefined || y === undefined) return undefined;
  if (e.op === "add") return both(x, y);
  if (e.op === "sub") return both(x, turned[y]);
  if (e.op === "min" || e.op === "max") return both(x, y);
  if (e.op !== "mul" && e.op !== "div") return undefined;
  // Times or divided by what does not vary: the other one, up or down with its sign.
  const [by, other] = e.op === "mul" && x === "constant" ? [e.args[0]!, y] : [e.args[1]!, x];
  if (by === e.args[1] && y !== "constant") return undefined;
  if (other === "constant") return "constant";
  return by.kind !== "const" ? "monotone" : Number(by.value) >= 0 ? other : turned[other];
}
function both(x: Variation, y: Variation): Variation | undefined {
  if (x === "constant" || y === "constant") return x === "constant" ? y : x;
  return x === y && x !== "monotone" ? x : undefined;
}
