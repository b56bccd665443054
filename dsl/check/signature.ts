/** The signature of a kernel instance: parameters, outputs, layouts and preconditions. */
import type { Span } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { bool, compare, num } from "../tensor/expr.ts";
import type { Axis, Expr, Output, Param, Unique } from "../tensor/ir.ts";
import { printElem } from "../tensor/print.ts";
import { computeOf } from "../tensor/types.ts";
import { ExpressionChecker } from "./expressions.ts";
import { LayoutChecker } from "./layouts.ts";
import { Obligations } from "./obligations.ts";
import { bindersOf } from "./reductions.ts";
import { type Context, emptyScope, type Scope, withIndices } from "./scope.ts";

export class SignatureChecker {
  protected readonly kernel: ast.Kernel;
  protected readonly context: Context;
  protected readonly expressions: ExpressionChecker;
  protected readonly obligations: Obligations;
  protected readonly params: Param[] = [];
  protected readonly outputs = new Map<string, Output>();
  protected readonly unique: Unique[] = [];
  protected readonly written = new Map<string, Span>();
  /** Index results of topk, compact and group: distinct along their last axis; those of a total group are all indices. */
  protected readonly distinct = new Map<string, "distinct" | "permutation">();

  constructor(kernel: ast.Kernel, context: Context) {
    this.kernel = kernel;
    this.context = context;
    this.expressions = new ExpressionChecker(context);
    this.obligations = new Obligations(context);
  }

  // ---- the signature
  /** Further parameters of a bound fn join the kernel's signature (rule 35). */
  protected functionParameters(): void {
    for (const g of this.kernel.generics) {
      if (g.kind !== "fn") continue;
      const name = this.context.binding.fns.get(g.name.text);
      const fn = name === undefined ? undefined : this.context.declarations.fns.get(name);
      if (fn === undefined) continue;
      if (fn.params.length < g.params.length)
        this.context.report(
          "W501",
          g.name.span,
          `\`${name}\` takes ${fn.params.length} arguments, \`${g.name.text}\` passes ${g.params.length}`,
        );
      for (const d of fn.dims) if (!this.context.dims.has(d.text)) this.context.dims.set(d.text, { span: d.span });
      for (const p of fn.params.slice(g.params.length)) this.parameter({ name: p.name, inout: false, type: p.type });
    }
  }
  protected parameter(p: ast.Parameter): void {
    if (p.onlyIf) {
      const cond = this.expressions.condition(p.onlyIf, emptyScope);
      if (cond.kind !== "const")
        this.context.report("W501", p.onlyIf.span, "whether a parameter exists is decided by constants and static dimensions");
      else if (!cond.value) {
        this.context.absent.add(p.name.text);
        return;
      }
    }
    if (this.taken(p.name)) return;
    const elem = this.expressions.elem(p.type.scalar);
    if (p.type.axes === undefined) {
      if (p.inout)
        this.context.report("W404", p.name.span, `\`${p.name.text}\` is passed by value and cannot be inout`, {
          help: `declare a device scalar: \`${printElem(elem)}[]\``,
        });
      if (elem.name === "offsets") this.context.report("W202", p.type.span, "offsets are a table: write `offsets<N>[R + 1]`");
      this.context.scalars.set(p.name.text, { elem, span: p.name.span });
      const self: Expr = { kind: "scalar", name: p.name.text, type: computeOf(elem), span: p.name.span };
      if (elem.name === "index") this.context.requires.push(compare("ge", self, num(0)), compare("lt", self, elem.bound!));
      this.params.push({ name: p.name.text, role: "in", elem, span: p.name.span });
      return;
    }
    const { axes, where } = this.shape(p.name.text, p.type, p.where);
    if (elem.name === "offsets" && axes.length !== 1)
      this.context.report("W202", p.type.span, `offsets are a table of one axis, this has ${axes.length}`);
    this.params.push({
      name: p.name.text,
      role: p.inout ? "inout" : "in",
      elem,
      axes,
      ...(where ? { where } : {}),
      span: p.name.span,
    });
    this.context.define({ name: p.name.text, kind: "param", type: computeOf(elem), elem, axes, inout: p.inout, span: p.name.span }, where);
  }
  protected output(o: ast.Output): void {
    if (this.taken(o.name)) return;
    const elem = this.expressions.elem(o.type.scalar);
    const { axes, where } = this.shape(o.name.text, { ...o.type, axes: o.type.axes ?? [] }, o.where, true);
    this.outputs.set(o.name.text, { name: o.name.text, elem, axes, ...(where ? { where } : {}), span: o.name.span });
  }
  protected taken(name: ast.Name): boolean {
    const c = this.context;
    if (!c.dims.has(name.text) && !c.scalars.has(name.text) && !c.tensors.has(name.text) && !this.outputs.has(name.text)) return false;
    c.report("W102", name.span, `\`${name.text}\` is declared twice`);
    return true;
  }
  protected shape(name: string, type: ast.Type, where: ast.Expr | undefined, late = false): { axes: Axis[]; where?: Expr } {
    const axes = (type.axes ?? []).map((a, k) => ({
      name: a.name?.text ?? `${name}.${k}`,
      extent: a.extent ? this.expressions.integer(a.extent, emptyScope, "an extent") : num(1),
    }));
    if (where === undefined) return { axes };
    // The domain of an output may speak of other outputs: it is resolved when the output is written.
    if (late) return { axes, where: bool(true) };
    return { axes, where: this.expressions.condition(where, withIndices(emptyScope, axes)) };
  }
  /** Layouts may name tables and preconditions: they are resolved when all of the signature is known. */
  protected layouts(): void {
    const distinct = new Set(this.unique.flatMap(wholeTable));
    const layouts = new LayoutChecker(this.context, this.expressions, this.obligations, distinct);
    for (const x of [...this.kernel.params, ...this.kernel.outputs]) {
      if (x.layout === undefined || this.context.absent.has(x.name.text)) continue;
      const output = this.outputs.get(x.name.text);
      const k = this.params.findIndex((p) => p.name === x.name.text);
      const own = output ?? this.params[k];
      if (own?.axes === undefined) {
        if (own) this.context.report("W505", x.layout.span, `\`${x.name.text}\` is passed by value and has no layout`);
        continue;
      }
      const layout = layouts.of(x.layout, { ...own, axes: own.axes, written: output !== undefined || this.params[k]!.role === "inout" });
      if (layout === undefined) continue;
      if (output) this.outputs.set(output.name, { ...output, layout });
      else this.params[k] = { ...this.params[k]!, layout };
    }
  }
  protected precondition(w: ast.Expr): void {
    const unique = this.uniqueness(w, emptyScope, []);
    if (unique) {
      this.unique.push(unique);
      return;
    }
    const c = this.expressions.condition(w, emptyScope);
    this.obligations.value(c, { axes: [], conditions: [] });
    this.context.requires.push(c);
  }
  /** `unique(t where c) e`, alone or under `all(b)`. */
  protected uniqueness(w: ast.Expr, scope: Scope, outer: readonly Axis[]): Unique | undefined {
    if (w.kind !== "reduce") return undefined;
    if (w.op.text === "all" && w.body.kind === "reduce") {
      const inner = bindersOf(this.expressions, w.binders, [w.body], scope, w.where);
      return this.uniqueness(w.body, inner.inner, [...outer, ...inner.axes]);
    }
    if (w.op.text !== "unique") return undefined;
    const { axes, where, inner } = bindersOf(this.expressions, w.binders, [...(w.where ? [w.where] : []), w.body], scope, w.where);
    const keys = (w.body.kind === "tuple" ? w.body.items : [w.body]).map((k) => this.expressions.integer(k, inner, "a key of `unique`"));
    return { outer, axes, ...(where ? { where } : {}), keys, span: w.span };
  }
}
/** The table of which `unique(a, b) table[a, b]` speaks as a whole. */
function wholeTable(u: Unique): string[] {
  const [key] = u.keys;
  const whole =
    u.keys.length === 1 &&
    key?.kind === "read" &&
    u.outer.length === 0 &&
    u.where === undefined &&
    key.subscripts.length === u.axes.length &&
    key.subscripts.every((s, k) => s.kind === "index" && s.name === u.axes[k]!.name);
  return whole && key.kind === "read" ? [key.tensor] : [];
}
