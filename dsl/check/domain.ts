/** Where an expression is defined: the formula D(e) of docs/language.md, "Partial tensors", as a bool expression that is itself always defined. */
import { and, bool, compare, mapAxis, not, num, or, substitute } from "../tensor/expr.ts";
import type { Axis, Expr } from "../tensor/ir.ts";

/** The domain of a tensor over its own axes; undefined: everywhere. */
export interface TensorDomain {
  readonly axes: readonly Axis[];
  readonly domain: Expr | undefined;
}
export type Domains = ReadonlyMap<string, TensorDomain>;

const always = bool(true);
const all = (list: readonly Expr[], domains: Domains): Expr => and(...list.map((e) => domainOf(e, domains)));

/** D(e): true exactly where `e` is defined. */
export function domainOf(e: Expr, domains: Domains): Expr {
  switch (e.kind) {
    case "const":
    case "dim":
    case "scalar":
    case "index":
    case "var":
    case "defined":
      return always;
    case "read":
      return and(all(e.subscripts, domains), domainAt(e, domains));
    case "op": {
      const [a, b] = e.args;
      if (e.op === "land") return and(domainOf(a!, domains), implies(a!, domainOf(b!, domains)));
      if (e.op === "lor") return and(domainOf(a!, domains), implies(not(a!), domainOf(b!, domains)));
      return all(e.args, domains);
    }
    case "cast":
      return and(domainOf(e.arg, domains), e.bits ? domainOf(e.bits, domains) : always);
    case "relax":
    case "bitcast":
      return domainOf(e.arg, domains);
    case "if": {
      const then = domainOf(e.then, domains);
      const other = domainOf(e.else, domains);
      return and(domainOf(e.cond, domains), and(implies(e.cond, then), implies(not(e.cond), other)));
    }
    case "else":
      return or(domainOf(e.value, domains), domainOf(e.other, domains));
    case "let":
      return and(domainOf(e.value, domains), substitute(domainOf(e.body, domains), new Map([[e.name, e.value]])));
    case "reduce":
      return ["max", "min", "mean", "argmax", "argmin", "logsumexp"].includes(e.op) ? notEmpty(e, domains) : always;
    case "sweep":
      return and(e.where ? and(domainOf(e.where, domains), e.where) : always, all(e.bodies, domains));
    case "segment": {
      const arg = e.arg;
      const first: Expr = { kind: "read", tensor: e.table, subscripts: [num(0)], type: "int", span: e.span };
      const table = domains.get(e.table);
      const count = table?.axes[0]?.extent;
      if (count === undefined) return domainOf(arg, domains);
      const last: Expr = {
        kind: "read",
        tensor: e.table,
        subscripts: [{ kind: "op", op: "sub", args: [count, num(1)], type: "int", span: e.span }],
        type: "int",
        span: e.span,
      };
      return and(domainOf(arg, domains), compare("ge", arg, first), compare("lt", arg, last));
    }
    default:
      return e satisfies never;
  }
}
/** a => b, kept simple where either side is known. */
const implies = (a: Expr, b: Expr): Expr => (b.kind === "const" && b.value === true ? always : or(not(a), b));

/** A condition on a domain: where it is undefined, it does not hold (rule 19). */
export const holding = (c: Expr, domains: Domains): Expr => and(domainOf(c, domains), c);

/** The domain of the tensor at the subscripts of a read. */
export function domainAt(e: Extract<Expr, { kind: "read" }>, domains: Domains): Expr {
  const t = domains.get(e.tensor);
  if (t?.domain === undefined) return always;
  return substitute(t.domain, new Map(t.axes.map((a, i) => [a.name, e.subscripts[i] ?? num(0)])));
}

/** The condition under which an element takes part in a reduction: its `where`, and that its bodies are defined. */
export function member(e: Extract<Expr, { kind: "reduce" | "sweep" }>, domains: Domains): Expr {
  const where = e.where ? and(domainOf(e.where, domains), e.where) : always;
  return and(where, ...e.bodies.map((b) => domainOf(b, domains)));
}

function notEmpty(e: Extract<Expr, { kind: "reduce" }>, domains: Domains): Expr {
  const { where: _, monoid: __, ...open } = e;
  const ranges = and(...e.axes.flatMap((a) => (a.range ? [domainOf(a.range.from, domains), domainOf(a.range.to, domains)] : [])));
  return and(ranges, { ...open, op: "any", type: "bool", bodies: [member(e, domains)], component: 0 });
}

/** The range of an axis as a condition on its index: what the extent alone does not say. */
export function rangeCondition(axes: readonly Axis[], domains: Domains): Expr {
  return and(
    ...axes.flatMap((a) => {
      if (!a.range) return [];
      const i: Expr = { kind: "index", name: a.name, type: "int", span: { start: 0, end: 0 } };
      // A range that is undefined holds nothing.
      return [domainOf(a.range.from, domains), domainOf(a.range.to, domains), compare("ge", i, a.range.from), compare("lt", i, a.range.to)];
    }),
  );
}
/** Axes with everything bound outside replaced. */
export const substituteAxes = (axes: readonly Axis[], by: ReadonlyMap<string, Expr>): Axis[] =>
  axes.map((a) => mapAxis(a, (x) => substitute(x, by)));
