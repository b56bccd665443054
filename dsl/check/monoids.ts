/** A user's monoid: its parts checked once, its combine as a function of two tuples. */
import type * as ast from "../syntax/ast.ts";
import { num, substitute } from "../tensor/expr.ts";
import type { Expr, Monoid } from "../tensor/ir.ts";
import type { ExpressionChecker } from "./expressions.ts";
import { nearest } from "./functions.ts";
import { emptyScope, type Scope } from "./scope.ts";

/** The declared monoid of that name, its parts checked once. */
export function monoidOf(checker: ExpressionChecker, name: ast.Name): Monoid | undefined {
  const known = checker.context.monoids.get(name.text);
  if (known) return known;
  const m = checker.context.declarations.monoids.get(name.text);
  if (m === undefined) {
    const near = nearest(name.text, checker.context.declarations.monoids.keys());
    checker.context.report("W503", name.span, `there is no monoid \`${name.text}\``, near ? { help: `did you mean \`${near}\`?` } : {});
    return undefined;
  }
  const fields = m.fields.map((f) => ({ name: f.name.text, type: checker.scalarOf(f.type, emptyScope) }));
  const parts = (e: ast.Expr, scope: Scope, what: string): Expr[] => {
    const items = e.kind === "tuple" ? e.items : [e];
    if (items.length !== fields.length)
      checker.context.report("W504", e.span, `${what} of \`${m.name.text}\` has ${items.length} components, the monoid ${fields.length}`);
    return fields.map((f, k) => {
      const x = items[k] ? checker.expr(items[k], scope, f.type) : num(0, f.type);
      if (x.type !== f.type) checker.context.report("W504", x.span, `component \`${f.name}\` is ${f.type}, ${what} gives ${x.type}`);
      return x;
    });
  };
  const vars = new Map<string, Expr>();
  for (const side of ["x", "y"] as const) {
    const own = side === "x" ? m.left.text : m.right.text;
    for (const f of fields) {
      const v: Expr = { kind: "var", name: `${side}.${f.name}`, type: f.type, span: m.span };
      vars.set(`${own}.${f.name}`, v);
      if (fields.length === 1) vars.set(own, v);
    }
  }
  const scope: Scope = { ...emptyScope, closed: true };
  const monoid: Monoid = {
    name: m.name.text,
    fields,
    commutative: m.commutative,
    identity: parts(m.identity, scope, "the identity"),
    combine: parts(m.combine, { ...scope, vars }, "combine"),
  };
  checker.context.monoids.set(name.text, monoid);
  return monoid;
}

/** Replaces the vars of a monoid's `combine` by two tuples. */
export function combined(monoid: Monoid, x: readonly Expr[], y: readonly Expr[]): Expr[] {
  const by = new Map(monoid.fields.flatMap((f, k) => [[`x.${f.name}`, x[k]!] as const, [`y.${f.name}`, y[k]!] as const]));
  return monoid.combine.map((e) => substitute(e, by));
}
