/** Reductions, sweeps, and what their binders bind. */
import type * as ast from "../syntax/ast.ts";
import { freshName, num } from "../tensor/expr.ts";
import type { Axis, Expr, Monoid, ReduceOp } from "../tensor/ir.ts";
import { type Compute, isFloat } from "../tensor/types.ts";
import { holding } from "./domain.ts";
import type { ExpressionChecker } from "./expressions.ts";
import { inferExtent } from "./extents.ts";
import { monoidOf } from "./monoids.ts";
import { type Scope, withIndices } from "./scope.ts";

export function reduction(
  checker: ExpressionChecker,
  e: Extract<ast.Expr, { kind: "reduce" }>,
  scope: Scope,
  want: Compute | undefined,
): Expr {
  if (e.op.text === "unique") {
    checker.context.report("W404", e.span, "`unique` states a precondition: it can stand only in the `where` of a kernel");
    return { kind: "const", value: true, type: "bool", span: e.span };
  }
  const { axes, where, inner } = bindersOf(checker, e.binders, [...(e.where ? [e.where] : []), e.body], scope, e.where);
  const opName = e.op.text as ReduceOp;
  if (e.monoid) return monoidReduction(checker, e, axes, where, inner);
  const logical = opName === "all" || opName === "any";
  const body = checker.expr(e.body, inner, logical ? undefined : want);
  if (logical) checker.truth(body);
  else if (body.type === "bool")
    checker.context.report("W205", e.body.span, `\`${opName}\` needs numbers, found bool`, { help: "count with `if … then 1 else 0`" });
  if ((opName === "mean" || opName === "logsumexp") && !isFloat(body.type))
    checker.context.report("W202", e.body.span, `\`${opName}\` needs floats, found ${body.type}`);
  const arg = opName === "argmax" || opName === "argmin";
  if (arg && axes.length !== 1) checker.context.report("W202", e.span, `\`${opName}\` takes one index`);
  const type = logical ? "bool" : arg ? "int" : body.type;
  return { kind: "reduce", op: opName, axes, ...(where ? { where } : {}), bodies: [body], component: 0, type, span: e.span };
}
function monoidReduction(
  checker: ExpressionChecker,
  e: Extract<ast.Expr, { kind: "reduce" }>,
  axes: readonly Axis[],
  where: Expr | undefined,
  inner: Scope,
): Expr {
  const monoid = monoidOf(checker, e.monoid!);
  if (monoid === undefined) return num(0, "f32", e.span);
  const bodies = bodiesOf(checker, e.body, monoid, inner);
  return {
    kind: "reduce",
    op: "monoid",
    axes,
    ...(where ? { where } : {}),
    bodies,
    monoid,
    component: 0,
    type: monoid.fields[0]!.type,
    span: e.span,
  };
}
function bodiesOf(checker: ExpressionChecker, body: ast.Expr, monoid: Monoid, scope: Scope): Expr[] {
  const items = body.kind === "tuple" ? body.items : [body];
  if (items.length !== monoid.fields.length)
    checker.context.report("W504", body.span, `monoid \`${monoid.name}\` has ${monoid.fields.length} components, found ${items.length}`);
  return monoid.fields.map((f, k) => {
    const x = items[k] ? checker.expr(items[k], scope, f.type) : num(0, f.type);
    if (x.type !== f.type)
      checker.context.report("W201", x.span, `component \`${f.name}\` of \`${monoid.name}\` is ${f.type}, found ${x.type}`);
    return x;
  });
}
/** The axes that binders bind, the condition on them, and the scope in which they stand. */
export function bindersOf(
  checker: ExpressionChecker,
  list: readonly ast.Binder[],
  uses: readonly ast.Expr[],
  scope: Scope,
  where?: ast.Expr,
): { axes: Axis[]; where?: Expr; inner: Scope } {
  const axes: Axis[] = [];
  let inner = scope;
  for (const b of list) {
    mayBind(checker, b.name, inner);
    const range = b.range
      ? { from: checker.integer(b.range.from, inner, "the start of a range"), to: checker.integer(b.range.to, inner, "the end of a range") }
      : undefined;
    const later = list.slice(list.indexOf(b) + 1).flatMap((x) => (x.range ? [x.range.from, x.range.to] : []));
    const extent = b.extent
      ? checker.integer(b.extent, inner, "an extent")
      : inferExtent(checker, b.name, [...uses, ...later], inner, range);
    // What a fn binds must not capture an index of the caller, which its arguments may hold.
    const axis: Axis = { name: scope.closed ? freshName(b.name.text) : b.name.text, extent, ...(range ? { range } : {}) };
    axes.push(axis);
    inner = withIndices(inner, [axis]);
  }
  const cond = where ? holding(checker.condition(where, inner), checker.context.domains) : undefined;
  inner = withIndices(inner, axes, cond);
  return { axes, ...(cond ? { where: cond } : {}), inner };
}
/** Rule 15: a binder shadows nothing. */
export function mayBind(checker: ExpressionChecker, name: ast.Name, scope: Scope): void {
  const c = checker.context;
  const taken = scope.indices.has(name.text)
    ? "an index"
    : c.dims.has(name.text) || scope.dims.has(name.text)
      ? "a dimension"
      : c.scalars.has(name.text)
        ? "a parameter"
        : !scope.closed && c.tensors.has(name.text)
          ? "a tensor"
          : undefined;
  if (taken)
    c.report("W102", name.span, `\`${name.text}\` is already ${taken} here; an index may not shadow it`, {
      help: `choose another name, such as \`${name.text}2\``,
    });
}
export function sweepOf(
  checker: ExpressionChecker,
  e: Extract<ast.Expr, { kind: "sweep" }>,
  scope: Scope,
  want: Compute | undefined,
): Expr {
  const over: Axis[] = [];
  let where: Expr | undefined;
  for (const n of e.indices) {
    const bound = scope.indices.get(n.text);
    if (bound === undefined) {
      checker.context.report("W309", n.span, `\`${e.op.text}(${n.text})\` sweeps an index that is in scope, and \`${n.text}\` is not`, {
        help: `give the definition the index \`${n.text}\`, or reduce with \`sum(${n.text}) …\``,
      });
      return num(0, want ?? "f32", e.span);
    }
    over.push(bound.axis);
    where = bound.where;
  }
  if (e.op.text !== "softmax" && over.length !== 1) {
    checker.context.report("W202", e.span, `\`${e.op.text}\` sweeps one index, found ${over.length}`);
    return num(0, want ?? "f32", e.span);
  }
  const common = { kind: "sweep" as const, over, ...(where ? { where } : {}), reverse: e.reverse, span: e.span };
  if (e.op.text === "scan") {
    const monoid = e.monoid ? monoidOf(checker, e.monoid) : undefined;
    if (monoid === undefined) {
      if (!e.monoid) checker.context.report("W504", e.span, "`scan` takes an index and a monoid: `scan(t, m) …`");
      return num(0, want ?? "f32", e.span);
    }
    return { ...common, op: "scan", bodies: bodiesOf(checker, e.body, monoid, scope), monoid, component: 0, type: monoid.fields[0]!.type };
  }
  const body = checker.expr(e.body, scope, want);
  if (e.op.text === "softmax" ? !isFloat(body.type) : body.type === "bool")
    checker.context.report(
      "W202",
      e.body.span,
      `\`${e.op.text}\` needs ${e.op.text === "softmax" ? "floats" : "numbers"}, found ${body.type}`,
    );
  return { ...common, op: e.op.text as "softmax" | "cumsum", bodies: [body], component: 0, type: body.type };
}
