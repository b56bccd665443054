/**
 * softmax, logsumexp and mean as what they stand for: definitions of a maximum, a sum and a quotient (rule 40). What is left reduces by
 * sum, prod, max, min, argmax, argmin, all, any or a monoid, and sweeps by cumsum or scan.
 */
import { and, compare, conjuncts, freeIndices, indexVar, isTrue, mapChildren, not, num, op } from "./expr.ts";
import type { Axis, Define, Expr, Program, Statement } from "./ir.ts";
import { printAxis, printExpr } from "./print.ts";
import { namesIn, namesOf, unused } from "./program.ts";
import { type Compute, isNarrow } from "./types.ts";

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
  const part = (e: Expr, axes: readonly Axis[]): Expr => expression(e, { axes, whole: false }, made);
  const test = (where: Expr | undefined, axes: readonly Axis[]): { where?: Expr } => (where ? { where: part(where, axes) } : {});
  switch (s.kind) {
    case "define":
      return [...collect({ ...s, value: expression(s.value, { axes: s.axes, whole: !narrows(s) }, made), ...test(s.where, s.axes) })];
    case "write":
      return [
        ...collect({
          ...s,
          value: part(s.value, s.axes),
          subscripts: s.subscripts.map((x) => part(x, s.axes)),
          ...test(s.where, s.axes),
        }),
      ];
    case "fold": {
      // States are stored by launches of their own: what they hold is computed by definitions.
      const states = s.states.map((x) => ({ ...x, init: part(x.init, x.axes) }));
      const before = made.list.splice(0);
      const inner = new Map(known);
      const body = s.body.flatMap((b) => statement(b, taken, inner));
      const nexts = s.nexts.map((n) => ({ ...n, value: part(n.value, n.axes), ...test(n.where, n.axes) }));
      const emits = s.emits.map((d) => ({ ...d, value: part(d.value, d.axes), ...test(d.where, d.axes) }));
      return [...before, { ...s, states, body: [...body, ...made.list], nexts, emits }];
    }
    default: {
      const axes = [...s.outer, ...s.over];
      return [...collect({ ...s, ...(s.body ? { body: part(s.body, axes) } : {}), ...test(s.where, axes) })];
    }
  }
  function* collect(last: Statement): Generator<Statement> {
    yield* made.list;
    yield last;
  }
}

/** The value is rounded before it is stored: a sweep is not the whole of it. */
const narrows = (d: Define): boolean => d.storage !== undefined && isNarrow(d.storage);
function condition(...parts: (Expr | undefined)[]): { where?: Expr } {
  const where = and(...parts);
  return isTrue(where) ? {} : { where };
}
/** The indices around an expression, and the conditions under which it is evaluated. */
interface Place {
  readonly axes: readonly Axis[];
  /** The branch in which it stands. */
  readonly guard?: Expr;
  /** The expression is the whole value of a definition. */
  readonly whole: boolean;
}
const within = (place: Place, test: Expr): Place => ({ ...place, guard: and(place.guard, test) });

function expression(e: Expr, outer: Place, made: Made): Expr {
  const place: Place = { ...outer, whole: false };
  if (e.kind === "reduce") {
    const axes = [...place.axes, ...e.axes];
    const where = e.where && expression(e.where, { ...place, axes }, made);
    const inner: Place = { ...place, axes };
    const bodies = e.bodies.map((b) => expression(b, inner, made));
    const same = where === e.where && bodies.every((b, i) => b === e.bodies[i]);
    const reduced = same ? e : { ...e, bodies, ...(where ? { where } : {}) };
    if (e.op === "logsumexp") return logSumExp(reduced, place, made);
    if (e.op === "mean") return mean(reduced, place, made);
    return reduced;
  }
  if (e.kind === "sweep") {
    // Its `where` is the domain of the index, as the binder has it.
    const where = e.where && expression(e.where, place, made);
    const row = alongRow(place, e.over);
    const swept = { ...e, ...(where ? { where } : {}), bodies: e.bodies.map((b) => expression(b, row, made)) };
    if (e.op === "softmax") return softmax(swept, outer, made);
    return outer.whole ? swept : define("sweep", swept, row, where, made);
  }
  if (e.kind === "if") {
    const cond = expression(e.cond, place, made);
    const [then, other] = [expression(e.then, within(place, cond), made), expression(e.else, within(place, not(cond)), made)];
    return cond === e.cond && then === e.then && other === e.else ? e : { ...e, cond, then, else: other };
  }
  if (e.kind === "op" && (e.op === "land" || e.op === "lor")) {
    const [a, b] = e.args as [Expr, Expr];
    const first = expression(a, place, made);
    const second = expression(b, within(place, e.op === "land" ? first : not(first)), made);
    return first === a && second === b ? e : { ...e, args: [first, second] };
  }
  return mapChildren(e, (c) => expression(c, place, made));
}

/** The row is walked whole, whichever of its points take the branch, and whatever other indices range over at each of them. */
function alongRow(place: Place, over: readonly Axis[]): Place {
  const swept = new Set(over.map((a) => a.name));
  const mentions = (e: Expr): boolean => [...freeIndices(e)].some((n) => swept.has(n));
  const axes = place.axes.map(({ range, ...a }) => (range && !mentions(range.from) && !mentions(range.to) ? { ...a, range } : a));
  return { ...place, axes, guard: and(...conjuncts(place.guard).filter((c) => !mentions(c))) };
}

/** A definition of `value` over those of the axes that it depends on, where `where` holds and the branch around it is taken. */
function define(base: string, value: Expr, place: Pick<Place, "axes" | "guard">, where: Expr | undefined, made: Made): Expr {
  const needed = dependsOn([value, ...(where ? [where] : [])], place.axes);
  const names = new Set(needed.map((a) => a.name));
  // What a branch that depends on other indices guards is not evaluated here.
  const guard = conjuncts(place.guard).filter((c) => [...freeIndices(c)].every((n) => names.has(n)));
  const { where: whole } = condition(where, ...guard);
  const name = made.define(base, needed, whole, value);
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
  const axes = place.axes.filter((a) => swept.has(a.name));
  const { where } = e;
  const x = body.kind === "read" ? body : define("x", body, alongRow(place, e.over), undefined, made);
  const row = alongRow(place, e.over);
  const { max, sum } = shifted(x, axes, where, { ...row, axes: row.axes.filter((a) => !swept.has(a.name)) }, made);
  const weight = op("exp", [op("sub", [x, max], e.type, e.span)], e.type, e.span);
  const share = op("div", [weight, sum], e.type, e.span);
  // Inside a larger expression the weights are a definition of their own, to be stored or not.
  return place.whole ? share : define("weight", share, place, where, made);
}
function shifted(
  x: Expr,
  axes: readonly Axis[],
  where: Expr | undefined,
  outer: Pick<Place, "axes" | "guard">,
  made: Made,
): { max: Expr; sum: Expr } {
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
  const { max, sum } = shifted(e.bodies[0]!, e.axes, e.where, place, made);
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
  const count = define("count", { ...total, bodies: [one], type: "int" }, place, undefined, made);
  const value = op("div", [total, op(e.type === "f64" ? "to_f64" : "to_f32", [count], e.type, e.span)], e.type, e.span);
  return define("mean", value, place, compare("gt", count, num(0)), made);
}
