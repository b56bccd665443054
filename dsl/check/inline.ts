/** Calls of fns: bodies with arguments in place of parameters, tensors as views with open axes. */
import type * as ast from "../syntax/ast.ts";
import { and, freeIndices, freshName, indexVar, isTrue, mapAxis, op, substitute } from "../tensor/expr.ts";
import type { Expr } from "../tensor/ir.ts";
import { printExpr } from "../tensor/print.ts";
import { unused } from "../tensor/program.ts";
import { isInteger } from "../tensor/types.ts";
import type { ExpressionChecker } from "./expressions.ts";
import { bindersOf } from "./reductions.ts";
import { emptyScope, type Scope, type View, withVar } from "./scope.ts";

/** The results of a fn at a call: its body with arguments in place of parameters. */
export function inlineCall(checker: ExpressionChecker, fn: ast.Fn, e: Extract<ast.Expr, { kind: "call" }>, scope: Scope): Expr[] {
  if (checker.calls.includes(fn.name.text)) {
    checker.context.report("W104", e.span, `\`${fn.name.text}\` calls itself; recursion is not part of the language`);
    return [];
  }
  if (e.args.length !== fn.params.length) {
    checker.context.report("W104", e.span, `\`${fn.name.text}\` takes ${fn.params.length} arguments, found ${e.args.length}`);
    return [];
  }
  const inner = { vars: new Map<string, Expr>(), views: new Map<string, View>(), dims: new Map<string, Expr>() };
  const bindings: { name: string; value: Expr }[] = [];
  fn.params.forEach((p, k) => {
    const arg = e.args[k]!;
    if (p.type.axes === undefined) {
      const type = checker.scalarOf(p.type.scalar, { ...scope, dims: inner.dims });
      const value = checker.expr(arg, scope, type);
      const fits = value.type === type || (type === "int" && isInteger(value.type));
      if (!fits)
        checker.context.report("W201", arg.span, `argument \`${p.name.text}\` of \`${fn.name.text}\` is ${type}, found ${value.type}`);
      if (value.kind === "const" || value.kind === "var" || value.kind === "index" || value.kind === "dim" || value.kind === "scalar") {
        inner.vars.set(p.name.text, value);
        return;
      }
      const name = freshName(p.name.text);
      bindings.push({ name, value });
      inner.vars.set(p.name.text, { kind: "var", name, type: value.type, span: arg.span });
      return;
    }
    const view = viewOf(checker, arg, scope);
    if (view === undefined) return;
    const open = view.tensor.axes.filter((_, i) => view.subscripts[i] === undefined);
    if (open.length !== p.type.axes.length) {
      checker.context.report(
        "W105",
        arg.span,
        `argument \`${p.name.text}\` of \`${fn.name.text}\` has ${p.type.axes.length} axes, this view leaves ${open.length} open`,
      );
      return;
    }
    p.type.axes.forEach((a, i) => {
      if (a.extent?.kind === "name" && fn.dims.some((d) => d.text === (a.extent as { name: string }).name)) {
        const old = inner.dims.get(a.extent.name);
        if (old && !checker.context.prover().proves(op("eq", [old, open[i]!.extent], "bool")))
          checker.context.report(
            "W301",
            arg.span,
            `\`${a.extent.name}\` of \`${fn.name.text}\` would be both ${printExpr(old)} and ${printExpr(open[i]!.extent)}`,
          );
        inner.dims.set(a.extent.name, open[i]!.extent);
      }
    });
    inner.views.set(p.name.text, view);
  });
  checker.calls.push(fn.name.text);
  let body: Scope = { ...emptyScope, ...inner, closed: true };
  const names: { name: string; value: Expr }[] = [];
  const locals = (): ReadonlyMap<string, Expr> => valuesOf([...bindings, ...names]);
  for (const s of fn.body) {
    const lhs = s.kind === "let" ? s.results[0] : undefined;
    if (s.kind !== "let" || s.results.length !== 1 || lhs?.name === undefined) {
      checker.context.report("W404", s.span, "a fn holds definitions of one result each, then `return`");
      continue;
    }
    if (lhs.places.length > 0) {
      body = { ...body, views: new Map(body.views).set(lhs.name.text, tensorIn(checker, fn, lhs, s.value, body, scope, locals())) };
      continue;
    }
    const value = checker.expr(s.value, body);
    const name = freshName(lhs.name.text);
    names.push({ name, value });
    body = withVar(body, lhs.name.text, { kind: "var", name, type: value.type, span: lhs.span });
  }
  const results = fn.returns.map((r, k) => {
    const type = fn.results[k] ? checker.scalarOf(fn.results[k].scalar, body) : undefined;
    const value = checker.expr(r, body, type);
    if (type && value.type !== type && !(type === "int" && isInteger(value.type)))
      checker.context.report("W201", r.span, `\`${fn.name.text}\` gives ${type}, this is ${value.type}`);
    return [...bindings, ...names].reduceRight<Expr>(
      (inner, b) => ({ kind: "let", name: b.name, value: b.value, body: inner, type: inner.type, span: e.span }),
      value,
    );
  });
  checker.calls.pop();
  return results;
}
/** Names bound one after the other, each as its value over what lies outside. */
function valuesOf(list: readonly { readonly name: string; readonly value: Expr }[]): ReadonlyMap<string, Expr> {
  const out = new Map<string, Expr>();
  for (const b of list) out.set(b.name, substitute(b.value, out));
  return out;
}
/**
 * A tensor that a fn defines: a definition of the kernel, before the statement that calls, over the caller's indices that it depends on and
 * its own. Inside the fn it is a view with its own axes open.
 */
function tensorIn(
  checker: ExpressionChecker,
  fn: ast.Fn,
  lhs: ast.Lhs,
  valueSyntax: ast.Expr,
  body: Scope,
  caller: Scope,
  locals: ReadonlyMap<string, Expr>,
): View {
  const { context } = checker;
  const binders = lhs.places.flatMap((p): ast.Binder[] => {
    if (p.expr.kind === "name")
      return [
        {
          name: { text: p.expr.name, span: p.expr.span },
          ...(p.extent ? { extent: p.extent } : {}),
          ...(p.range ? { range: p.range } : {}),
        },
      ];
    context.report("W404", p.expr.span, "the left-hand side of a definition lists indices, not expressions");
    return [];
  });
  const { axes, where, inner } = bindersOf(checker, binders, [valueSyntax, ...(lhs.where ? [lhs.where] : [])], body, lhs.where);
  const value = substitute(checker.expr(valueSyntax, inner), locals);
  const used = freeIndices(value);
  const outer = [...caller.indices.values()].filter((i) => used.has(i.axis.name) && !axes.some((a) => a.name === i.axis.name));
  const condition = and(...outer.map((i) => i.where), where ? substitute(where, locals) : undefined);
  const name = unused(`${fn.name.text}_${lhs.name!.text}`, context.taken);
  const all = [...outer.map((i) => i.axis), ...axes.map((a) => mapAxis(a, (x) => substitute(x, locals)))];
  context.hoist({
    kind: "define",
    name,
    axes: all,
    ...(isTrue(condition) ? {} : { where: condition }),
    value,
    output: false,
    span: lhs.span,
  });
  return { tensor: context.tensors.get(name)!, subscripts: [...outer.map((i) => indexVar(i.axis.name)), ...axes.map(() => undefined)] };
}
function viewOf(checker: ExpressionChecker, arg: ast.Expr, scope: Scope): View | undefined {
  const name = arg.kind === "name" ? arg.name : arg.kind === "index" ? arg.base.text : undefined;
  const outer = name === undefined ? undefined : scope.views.get(name);
  const tensor = outer?.tensor ?? (name === undefined || scope.closed ? undefined : checker.tensor(name));
  if (tensor === undefined) {
    checker.context.report("W104", arg.span, "this argument must be a tensor, with `_` for the axes it leaves open");
    return undefined;
  }
  const base = outer?.subscripts ?? tensor.axes.map(() => undefined);
  if (arg.kind !== "index") return { tensor, subscripts: base };
  let at = 0;
  const given = arg.args.map((a) => (a ? checker.integer(a, scope, "a subscript") : undefined));
  return { tensor, subscripts: base.map((s) => s ?? given[at++]) };
}
