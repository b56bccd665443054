/** Rules 13 and 14: the extent of an index follows from where it subscripts directly, or it is an error that says why. */
import type * as ast from "../syntax/ast.ts";
import { compare, num, sub } from "../tensor/expr.ts";
import type { Expr } from "../tensor/ir.ts";
import { printExpr } from "../tensor/print.ts";
import type { ExpressionChecker } from "./expressions.ts";
import type { Scope, TensorInfo, View } from "./scope.ts";

interface Use {
  readonly extent: Expr;
  readonly at: ast.Expr;
}

export function inferExtent(
  checker: ExpressionChecker,
  name: ast.Name,
  uses: readonly ast.Expr[],
  scope: Scope,
  range?: { from: Expr; to: Expr },
): Expr {
  const found: Use[] = [];
  for (const e of uses) collect(checker, name.text, e, scope, found);
  const distinct: Use[] = [];
  const prover = checker.context.prover();
  for (const u of found)
    if (!distinct.some((d) => printExpr(d.extent) === printExpr(u.extent) || prover.proves(compare("eq", d.extent, u.extent))))
      distinct.push(u);
  if (distinct.length === 1) return distinct[0]!.extent;
  if (distinct.length > 1) {
    const [a, b] = distinct as [Use, Use];
    checker.context.report(
      "W301",
      name.span,
      `the extent of \`${name.text}\` is ambiguous: ${printExpr(a.extent)} or ${printExpr(b.extent)}`,
      {
        notes: [a, b].map((u) => ({ span: u.at.span, text: `${printExpr(u.extent)} from here` })),
        help: `write \`${name.text}: ${printExpr(a.extent)}\`, or state \`where ${printExpr(a.extent)} == ${printExpr(b.extent)}\` on the kernel`,
      },
    );
    return a.extent;
  }
  const bound = range ? boundOf(checker, range.to) : undefined;
  if (bound) return bound;
  checker.context.report("W302", name.span, `nothing determines the extent of \`${name.text}\``, {
    help: `write \`${name.text}: N\` with the extent it should have`,
  });
  return num(1);
}

/** The least dimension that bounds the end of a range by its type. */
function boundOf(checker: ExpressionChecker, to: Expr): Expr | undefined {
  if (to.kind === "read") {
    const elem = checker.context.tensors.get(to.tensor)?.elem;
    if (elem?.name === "index") return sub(elem.bound!, num(1));
    if (elem?.name === "offsets") return elem.bound;
  }
  if (to.kind === "dim" || to.kind === "const") return to;
  if (to.kind === "op" && to.op === "min") return boundOf(checker, to.args[0]!) ?? boundOf(checker, to.args[1]!);
  if (to.kind === "op" && to.args.every((a) => boundOf(checker, a) === a)) return to;
  return undefined;
}

function collect(checker: ExpressionChecker, name: string, e: ast.Expr, scope: Scope, out: Use[]): void {
  const go = (x: ast.Expr | undefined): void => {
    if (x) collect(checker, name, x, scope, out);
  };
  const tensorOf = (base: string): { info: TensorInfo; view?: View } | undefined => {
    const view = scope.views.get(base);
    if (view) return { info: view.tensor, view };
    const info = scope.closed ? undefined : checker.context.tensors.get(base);
    return info ? { info } : undefined;
  };
  const isName = (x: ast.Expr | undefined): boolean => x?.kind === "name" && x.name === name;
  const binders = (list: readonly ast.Binder[]): void => {
    for (const b of list) {
      if (b.range) segmentUse(b.range);
      go(b.range?.from);
      go(b.range?.to);
    }
  };
  /** `in start[i]..start[i + 1]` gives R. */
  const segmentUse = (r: { from: ast.Expr; to: ast.Expr }): void => {
    if (r.from.kind !== "index" || r.to.kind !== "index" || r.from.base.text !== r.to.base.text || !isName(r.from.args[0])) return;
    const t = tensorOf(r.from.base.text)?.info;
    if (t?.elem?.name === "offsets") out.push({ extent: sub(t.axes[0]!.extent, num(1)), at: r.from });
  };
  switch (e.kind) {
    case "index": {
      const t = tensorOf(e.base.text);
      const open = t?.view ? t.info.axes.filter((_, k) => t.view!.subscripts[k] === undefined) : t?.info.axes;
      e.args.forEach((a, k) => {
        if (isName(a) && t && t.info.elem?.name !== "offsets" && open?.[k]) out.push({ extent: open[k].extent, at: e });
        go(a);
      });
      return;
    }
    case "call":
      if (e.callee.text === "segment" && isName(e.args[1]) && e.args[0]?.kind === "name") {
        const bound = tensorOf(e.args[0].name)?.info.elem?.bound;
        if (bound) out.push({ extent: bound, at: e });
      }
      e.args.forEach(go);
      return;
    case "unary":
    case "cast":
    case "relax":
    case "bitcast":
      return go(e.arg);
    case "binary":
      go(e.lhs);
      return go(e.rhs);
    case "if":
      go(e.cond);
      go(e.then);
      return go(e.else);
    case "else":
      go(e.value);
      return go(e.other);
    case "let":
      go(e.value);
      return go(e.body);
    case "member":
      return go(e.base);
    case "tuple":
      return e.items.forEach(go);
    case "reduce":
      binders(e.binders);
      go(e.where);
      return go(e.body);
    case "sweep":
      return go(e.body);
    case "topk":
      binders([e.binder]);
      go(e.where);
      return go(e.body);
    case "compact":
      binders([e.binder]);
      return go(e.where);
    case "group":
      binders(e.binders);
      return go(e.key);
    default:
      return;
  }
}
