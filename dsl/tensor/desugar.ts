/**
 * softmax, logsumexp and mean as what they stand for: definitions of a maximum, a sum and a quotient (rule 40). What is left reduces by
 * sum, prod, max, min, argmax, argmin, all, any or a monoid, and sweeps by cumsum or scan.
 */
import { and, compare, freeIndices, indexVar, isTrue, mapChildren, num, op } from "./expr.ts";
import type { Axis, Define, Expr, Program, Statement } from "./ir.ts";
import { printAxis, printExpr } from "./print.ts";
import { namesIn, namesOf, unused } from "./program.ts";
import type { Compute } from "./types.ts";

export function desugar(program: Program): Program {
  const taken = namesIn(program);
  const known = new Map<string, string>();
  return { ...program, statements: program.statements.flatMap((s) => statement(s, taken, known)) };
}

/** Definitions made so far, by what they say: a maximum that two statements need is one. */
class Made {
  readonly list: Define[] = [];
  owner = "";
  private readonly taken: Set<string>;
  private readonly known: Map<string, string>;

  constructor(taken: Set<string>, known: Map<string, string>) {
    this.taken = taken;
    this.known = known;
  }
  /** The name of a definition of `value` over `axes`: a new one, or the one that says the same. */
  define(part: string, axes: readonly Axis[], where: Expr | undefined, value: Expr): string {
    const text = `${axes.map(printAxis).join()} ${where ? printExpr(where) : ""} ${printExpr(value)}`;
    const old = this.known.get(text);
    if (old) return old;
    const name = unused(`${this.owner}_${part}`, this.taken);
    this.known.set(text, name);
    this.list.push({ kind: "define", name, axes, ...(where ? { where } : {}), value, output: false, span: value.span });
    return name;
  }
}

function statement(s: Statement, taken: Set<string>, known: Map<string, string>): Statement[] {
  const made = new Made(taken, known);
  made.owner = namesOf(s)[0] ?? "x";
  const rewrite = (e: Expr, axes: readonly Axis[], where?: Expr): Expr =>
    expression(e, { axes, ...(where ? { where } : {}), whole: true }, made);
  switch (s.kind) {
    case "define":
      return [...collect({ ...s, value: rewrite(s.value, s.axes, s.where) })];
    case "write":
      return [...collect({ ...s, value: rewrite(s.value, s.axes, s.where) })];
    case "fold": {
      const states = s.states.map((x) => ({ ...x, init: rewrite(x.init, x.axes) }));
      const before = made.list.splice(0);
      const inner = new Map(known);
      const body = s.body.flatMap((b) => statement(b, taken, inner));
      const nexts = s.nexts.map((n) => ({ ...n, value: rewrite(n.value, n.axes, n.where) }));
      const emits = s.emits.map((d) => ({ ...d, value: rewrite(d.value, d.axes, d.where) }));
      return [...before, { ...s, states, body: [...body, ...made.list], nexts, emits }];
    }
    default:
      return [...collect({ ...s, ...(s.body ? { body: rewrite(s.body, [...s.outer, ...s.over], s.where) } : {}) })];
  }
  function* collect(last: Statement): Generator<Statement> {
    yield* made.list;
    yield last;
  }
}

function condition(...parts: (Expr | undefined)[]): { where?: Expr } {
  const where = and(...parts);
  return isTrue(where) ? {} : { where };
}
/** The indices around an expression, and the condition under which it is evaluated. */
interface Place {
  readonly axes: readonly Axis[];
  readonly where?: Expr;
  /** The expression is the whole value of a definition. */
  readonly whole: boolean;
}

function expression(e: Expr, place: Place, made: Made): Expr {
  if (e.kind === "reduce") {
    const inner: Place = { axes: [...place.axes, ...e.axes], whole: false, ...condition(place.where, e.where) };
    const bodies = e.bodies.map((b) => expression(b, inner, made));
    const reduced = { ...e, bodies };
    if (e.op === "logsumexp") return logSumExp(reduced, place, made);
    if (e.op === "mean") return mean(reduced, place, made);
    return bodies.every((b, i) => b === e.bodies[i]) ? e : reduced;
  }
  if (e.kind === "sweep" && e.op === "softmax")
    return softmax({ ...e, bodies: e.bodies.map((b) => expression(b, { ...place, whole: false }, made)) }, place, made);
  const part: Place = { ...place, whole: false };
  return mapChildren(e, (c) => expression(c, part, made));
}

/** A definition of `value` over those of `axes` that it depends on. */
function define(base: string, value: Expr, axes: readonly Axis[], where: Expr | undefined, made: Made): Expr {
  const needed = dependsOn([value, ...(where ? [where] : [])], axes);
  const name = made.define(base, needed, where, value);
  return { kind: "read", tensor: name, subscripts: needed.map((a) => indexVar(a.name)), type: value.type, span: value.span };
}
/** The axes whose index occurs in the expressions, or in the range of one that does. */
function dependsOn(list: readonly Expr[], axes: readonly Axis[]): Axis[] {
  const used = new Set(list.flatMap((e) => [...freeIndices(e)]));
  for (let i = axes.length - 1; i >= 0; i--) {
    const a = axes[i]!;
    if (used.has(a.name) && a.range) for (const x of [a.range.from, a.range.to]) for (const n of freeIndices(x)) used.add(n);
  }
  return axes.filter((a) => used.has(a.name));
}

const reduceOver = (op_: "max" | "sum" | "any", axes: readonly Axis[], where: Expr | undefined, body: Expr, type: Compute): Expr => ({
  kind: "reduce",
  op: op_,
  axes,
  ...(where ? { where } : {}),
  bodies: [body],
  component: 0,
  type,
  span: body.span,
});

/** exp(x - m) / l, with m the maximum and l the sum of exp(x - m) along the swept indices. */
function softmax(e: Extract<Expr, { kind: "sweep" }>, place: Place, made: Made): Expr {
  const body = e.bodies[0]!;
  const swept = new Set(e.over.map((a) => a.name));
  const outer = place.axes.filter((a) => !swept.has(a.name));
  const axes = place.axes.filter((a) => swept.has(a.name));
  const where = place.where ?? e.where;
  const x = body.kind === "read" ? body : define("x", body, dependsOn([body], place.axes), undefined, made);
  const { max, sum } = shifted(x, axes, where, outer, made);
  const weight = op("exp", [op("sub", [x, max], e.type, e.span)], e.type, e.span);
  const share = op("div", [weight, sum], e.type, e.span);
  // Inside a larger expression the weights are a definition of their own, to be stored or not.
  return place.whole ? share : define("weight", share, place.axes, where, made);
}
function shifted(x: Expr, axes: readonly Axis[], where: Expr | undefined, outer: readonly Axis[], made: Made): { max: Expr; sum: Expr } {
  const max = define("max", reduceOver("max", axes, where, x, x.type), outer, undefined, made);
  const sum = define(
    "sum",
    reduceOver("sum", axes, where, op("exp", [op("sub", [x, max], x.type)], x.type), x.type),
    outer,
    undefined,
    made,
  );
  return { max, sum };
}
/** m + log l. */
function logSumExp(e: Extract<Expr, { kind: "reduce" }>, place: Place, made: Made): Expr {
  const { max, sum } = shifted(e.bodies[0]!, e.axes, e.where, place.axes, made);
  return op("add", [max, op("log", [sum], e.type, e.span)], e.type, e.span);
}
/** The sum over |S| divided by |S|, where S is not empty. */
function mean(e: Extract<Expr, { kind: "reduce" }>, place: Place, made: Made): Expr {
  const total = { ...e, op: "sum" as const };
  const one: Expr = {
    kind: "if",
    cond: { kind: "defined", arg: e.bodies[0]!, type: "bool", span: e.span },
    then: num(1),
    else: num(0),
    type: "int",
    span: e.span,
  };
  const count = define("count", { ...total, bodies: [one], type: "int" }, place.axes, undefined, made);
  const value = op("div", [total, op(e.type === "f64" ? "to_f64" : "to_f32", [count], e.type, e.span)], e.type, e.span);
  return define("mean", value, place.axes, compare("gt", count, num(0)), made);
}
