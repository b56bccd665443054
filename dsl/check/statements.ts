/** Definitions and writes: indices and their extents, stored types, totality, places that differ. */
import type { Span } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { and, compare, freeIndices, indexVar, num, op, some, substitute } from "../tensor/expr.ts";
import type { Axis, Define, Expr, Output, Statement, Write } from "../tensor/ir.ts";
import { printElem, printExpr } from "../tensor/print.ts";
import { computeOf, type ElemType, isFloat, isInteger } from "../tensor/types.ts";
import { domainOf, holding, rangeCondition } from "./domain.ts";
import { inferExtent } from "./extents.ts";
import { nearest } from "./functions.ts";
import type { Point } from "./obligations.ts";
import { mayBind } from "./reductions.ts";
import { emptyScope, type Scope, withIndices } from "./scope.ts";
import { SignatureChecker } from "./signature.ts";

export abstract class StatementChecker extends SignatureChecker {
  protected abstract statement(s: ast.Statement, scope: Scope, at: Point): Statement[];

  // ---- statements
  /** A definition of one tensor; `value` overrides the syntax where a component of several is meant. */
  protected define(
    lhs: ast.Lhs,
    value: ast.Expr,
    component: ((inner: Scope) => Expr) | undefined,
    scope: Scope,
    at: Point,
    output?: Output,
  ): Define[] {
    const name = lhs.name!;
    const exists =
      this.context.tensors.has(name.text) ||
      this.context.dims.has(name.text) ||
      this.context.scalars.has(name.text) ||
      scope.indices.has(name.text);
    if (exists || (output === undefined && this.outputs.has(name.text))) {
      this.context.report(
        "W102",
        name.span,
        `\`${name.text}\` is already defined`,
        this.outputs.has(name.text) && !exists ? { help: "an output is written without `let`" } : {},
      );
      return [];
    }
    const errors = this.context.errors;
    const { axes, inner } = this.indices(lhs, [value], scope, output?.axes);
    const where = lhs.where ? holding(this.expressions.condition(lhs.where, inner), this.context.domains) : undefined;
    const bodyScope = withIndices(inner, axes, where);
    const elem = output?.elem ?? (lhs.storage ? this.expressions.elem(lhs.storage) : undefined);
    const raw = component ? component(bodyScope) : this.expressions.expr(value, bodyScope, elem ? computeOf(elem) : undefined);
    const typed = elem ? this.stored(raw, elem, value.span) : raw;
    if (this.context.errors > errors) this.context.poisoned.add(name.text);
    else {
      const point = this.obligations.axes(axes, at);
      if (where) this.obligations.value(where, point);
      const conditions = where ? [...point.conditions, where] : point.conditions;
      const inside = { ...point, conditions };
      this.obligations.value(typed, inside);
      if (elem)
        this.obligations.range(typed, elem, value.span, { ...inside, conditions: [...conditions, domainOf(typed, this.context.domains)] });
    }
    const own = and(rangeCondition(axes, this.context.domains), where, domainOf(typed, this.context.domains));
    this.context.define(
      { name: name.text, kind: output ? "output" : "definition", type: typed.type, ...(elem ? { elem } : {}), axes, span: name.span },
      own.kind === "const" && own.value === true ? undefined : own,
    );
    const plain =
      where === undefined &&
      elem === undefined &&
      axes.every((a) => a.range === undefined) &&
      !some(typed, (x) => x.kind === "reduce" || x.kind === "sweep" || x.kind === "let");
    if (plain && (typed.type === "int" || typed.type === "bool")) this.context.formulas.set(name.text, { axes, value: typed });
    return [
      {
        kind: "define",
        name: name.text,
        axes,
        ...(where ? { where } : {}),
        ...(elem ? { storage: elem } : {}),
        value: typed,
        output: output !== undefined,
        span: name.span,
      },
    ];
  }

  /** The indices of a left-hand side: each is new, with its extent as declared, written or inferred. */
  protected indices(lhs: ast.Lhs, uses: readonly ast.Expr[], scope: Scope, declared?: readonly Axis[]): { axes: Axis[]; inner: Scope } {
    const axes: Axis[] = [];
    let inner = scope;
    if (declared && declared.length !== lhs.places.length)
      this.context.report(
        "W105",
        lhs.span,
        `\`${lhs.name?.text}\` has ${declared.length} axes, this gives ${lhs.places.length} ${lhs.places.length === 1 ? "index" : "indices"}`,
      );
    lhs.places.forEach((p, k) => {
      if (p.expr.kind !== "name") {
        this.context.report("W404", p.expr.span, "the left-hand side of a definition lists indices, not expressions");
        return;
      }
      const name = { text: p.expr.name, span: p.expr.span };
      mayBind(this.expressions, name, inner);
      const range = p.range
        ? {
            from: this.expressions.integer(p.range.from, inner, "the start of a range"),
            to: this.expressions.integer(p.range.to, inner, "the end of a range"),
          }
        : undefined;
      const later = lhs.places.slice(k).flatMap((x) => (x.range ? [x.range] : []));
      const extra: ast.Expr[] = [...(lhs.where ? [lhs.where] : []), ...later.flatMap((r) => [r.from, r.to])];
      const ranges: ast.Expr[] = p.range || later.length === 0 ? [] : later.map((r) => rangeUse(r));
      const extent = p.extent
        ? this.expressions.integer(p.extent, inner, "an extent")
        : (declared?.[k]?.extent ?? inferExtent(this.expressions, name, [...uses, ...extra, ...ranges], inner, range));
      const axis: Axis = { name: name.text, extent, ...(range ? { range } : {}) };
      axes.push(axis);
      inner = withIndices(inner, [axis]);
    });
    return { axes, inner };
  }
  /** A value as it is stored: int becomes a stored integer, f32 widens to f64; anything else must already have the type. */
  protected stored(e: Expr, elem: ElemType, span: Span): Expr {
    const to = computeOf(elem);
    if (e.type === to) return e;
    if (isInteger(e.type) && isInteger(to) && (e.type === "int" || to === "int")) return e.kind === "const" ? { ...e, type: to } : e;
    if (e.type === "f32" && to === "f64") return op("to_f64", [e], "f64", span);
    const help =
      isFloat(to) && isInteger(e.type)
        ? `\`f32(…)\``
        : isInteger(to) && isFloat(e.type)
          ? `\`${to === "u32" ? "u32" : "i32"}(round(…))\``
          : `\`${to}(…)\``;
    this.context.report("W201", span, `this is ${e.type}, and ${printElem(elem)} is stored here`, { help: `convert it: ${help}` });
    return num(0, to, span);
  }

  /** `(a[..], b[..]) = …`: components of a monoid, or results of a fn. */
  protected several(s: Extract<ast.Statement, { kind: "let" | "assign" }>, scope: Scope, at: Point): Statement[] {
    const value = s.value;
    return s.results.flatMap((lhs, k) => {
      if (lhs.name === undefined) return [];
      const output = s.kind === "assign" ? this.outputs.get(lhs.name.text) : undefined;
      if (s.kind === "assign" && output === undefined) {
        this.context.report("W404", lhs.span, `\`${lhs.name.text}\` is not an output`);
        return [];
      }
      if (output) this.claim(lhs.name);
      return this.define(
        lhs,
        value,
        (inner) => {
          if (value.kind === "call") {
            const fn = this.context.declarations.fns.get(this.context.binding.fns.get(value.callee.text) ?? value.callee.text);
            if (fn && fn.returns.length === s.results.length)
              return this.expressions.inline(fn, value, inner)[k] ?? num(0, "f32", value.span);
          }
          const all = this.expressions.expr(value, inner);
          if ((all.kind === "reduce" || all.kind === "sweep") && all.monoid && all.monoid.fields.length === s.results.length)
            return { ...all, component: k, type: all.monoid.fields[k]!.type };
          this.context.report("W404", value.span, `${s.results.length} results, but the right-hand side does not give that many`);
          return all;
        },
        scope,
        at,
        output,
      );
    });
  }

  protected claim(name: ast.Name): void {
    const before = this.written.get(name.text);
    if (before)
      this.context.report(this.outputs.has(name.text) ? "W401" : "W402", name.span, `\`${name.text}\` is written twice`, {
        notes: [{ span: before, text: "first written here" }],
      });
    this.written.set(name.text, name.span);
  }

  protected assign(s: Extract<ast.Statement, { kind: "assign" }>, lhs: ast.Lhs, scope: Scope, at: Point): Statement[] {
    const name = lhs.name!;
    const output = this.outputs.get(name.text);
    const param = this.params.find((p) => p.name === name.text);
    if (output && s.op !== "=") this.context.report("W404", name.span, `an output is written with \`=\`, not \`${s.op}\``);
    if (!output && param?.role !== "inout") {
      const near = nearest(name.text, this.outputs.keys());
      const known = param ? `\`${name.text}\` is an input` : `\`${name.text}\` is neither an output nor an inout parameter`;
      this.context.report("W404", name.span, known, {
        help: param ? `declare it \`inout ${name.text}\`` : near ? `did you mean \`${near}\`?` : `define it with \`let ${name.text}\``,
      });
      return [];
    }
    if (!output && s.op === "=") this.context.report("W404", name.span, `an inout parameter is written with \`:=\` or \`+=\``);
    this.claim(name);
    const plain = lhs.places.every(
      (p, k) =>
        p.expr.kind === "name" &&
        !this.known(p.expr.name, scope) &&
        lhs.places.findIndex((q) => q.expr.kind === "name" && q.expr.name === (p.expr as { name: string }).name) === k,
    );
    if (output && plain) {
      const defined = this.define(lhs, s.value, undefined, scope, at, output);
      for (const d of defined) this.total(output, d, at);
      return defined;
    }
    return this.write(
      s,
      lhs,
      { name: name.text, elem: output?.elem ?? param!.elem, axes: output?.axes ?? param!.axes ?? [] },
      scope,
      at,
      output,
    );
  }
  protected known(name: string, scope: Scope): boolean {
    return scope.indices.has(name) || this.context.dims.has(name) || this.context.scalars.has(name) || this.context.tensors.has(name);
  }
  protected total(output: Output, d: Define, at: Point): void {
    if (this.context.poisoned.has(d.name)) return;
    const declared = this.kernel.outputs.find((o) => o.name.text === output.name)?.where;
    let conditions = at.conditions;
    if (declared) {
      const axes = output.axes.map((a, k) => ({
        ...a,
        name: this.kernel.outputs.find((o) => o.name.text === output.name)!.type.axes?.[k]?.name?.text ?? a.name,
      }));
      const where = this.expressions.condition(declared, withIndices(emptyScope, axes));
      this.outputs.set(output.name, { ...output, axes, where });
      conditions = [...conditions, substitute(where, new Map(axes.map((a, k) => [a.name, indexVar(d.axes[k]?.name ?? a.name)])))];
      this.context.domains.set(output.name, { axes, domain: where });
    } else this.context.domains.set(output.name, { axes: d.axes, domain: undefined });
    const goal = and(rangeCondition(d.axes, this.context.domains), d.where, domainOf(d.value, this.context.domains));
    this.obligations.total(
      `${d.name}[${d.axes.map((a) => a.name).join(", ")}]`,
      goal,
      { axes: [...at.axes, ...d.axes.map(({ name, extent }) => ({ name, extent }))], conditions },
      d.span,
      d.value,
    );
  }

  /** A write at computed places, or in place. */
  protected write(
    s: Extract<ast.Statement, { kind: "assign" }>,
    lhs: ast.Lhs,
    target: { name: string; elem: ElemType; axes: readonly Axis[] },
    scope: Scope,
    at: Point,
    output: Output | undefined,
  ): Statement[] {
    if (lhs.places.length !== target.axes.length) {
      this.context.report(
        "W105",
        lhs.span,
        `\`${target.name}\` has ${target.axes.length} axes, written with ${lhs.places.length} subscripts`,
      );
      return [];
    }
    const axes: Axis[] = [];
    let inner = scope;
    const uses = [...lhs.places.map((p) => p.expr), s.value, ...(lhs.where ? [lhs.where] : [])];
    const bind = (name: ast.Name, extent: Expr): void => {
      const axis = { name: name.text, extent };
      axes.push(axis);
      inner = withIndices(inner, [axis]);
    };
    lhs.places.forEach((p, k) => {
      if (p.expr.kind === "name" && !this.known(p.expr.name, inner)) bind({ text: p.expr.name, span: p.expr.span }, target.axes[k]!.extent);
    });
    for (const p of lhs.places)
      for (const n of namesIn(p.expr))
        if (!this.known(n.text, inner) && !this.context.declarations.fns.has(n.text))
          bind(n, inferExtent(this.expressions, n, uses, inner));
    const where = lhs.where ? holding(this.expressions.condition(lhs.where, inner), this.context.domains) : undefined;
    const body = withIndices(inner, axes, where);
    const subscripts = lhs.places.map((p) => this.expressions.integer(p.expr, body, "a subscript"));
    const value = this.stored(this.expressions.expr(s.value, body, computeOf(target.elem)), target.elem, s.value.span);
    const point = this.obligations.axes(axes, at);
    if (where) this.obligations.value(where, point);
    const inside: Point = { ...point, conditions: [...point.conditions, ...(where ? [where] : [])] };
    this.obligations.value(value, inside);
    const defined: Point = { ...inside, conditions: [...inside.conditions, domainOf(value, this.context.domains)] };
    this.obligations.range(value, target.elem, s.value.span, defined);
    if (output)
      this.context.define(
        { name: target.name, kind: "output", type: computeOf(target.elem), elem: target.elem, axes: output.axes, span: lhs.span },
        undefined,
      );
    this.obligations.value({ kind: "read", tensor: target.name, subscripts, type: computeOf(target.elem), span: lhs.span }, defined);
    const write: Write = {
      kind: "write",
      tensor: target.name,
      mode: s.op === "+=" ? "add" : "set",
      axes,
      ...(where ? { where } : {}),
      subscripts,
      value,
      span: lhs.name!.span,
    };
    if (write.mode === "set") this.injective(write, inside, output);
    if (output)
      this.obligations.total(
        `${target.name}[${subscripts.map((x) => printExpr(x)).join(", ")}]`,
        and(where, domainOf(value, this.context.domains)),
        point,
        lhs.span,
        value,
      );
    return [write];
  }
  /** What is known of a subscript that reads an index result at `axis` itself and nowhere else. */
  private distinctAlong(s: Expr, axis: Axis): "distinct" | "permutation" | undefined {
    if (s.kind !== "read") return undefined;
    const last = s.subscripts.at(-1);
    const own = last?.kind === "index" && last.name === axis.name && s.subscripts.slice(0, -1).every((x) => !freeIndices(x).has(axis.name));
    const whole = own && printExpr(axis.extent) === printExpr(this.context.tensors.get(s.tensor)!.axes.at(-1)!.extent);
    const known = own ? this.distinct.get(s.tensor) : undefined;
    return known === "permutation" && !whole ? "distinct" : known;
  }
  /** Different points write different places: rules 30 and 31. */
  protected injective(w: Write, at: Point, output: Output | undefined): void {
    const direct = new Set(w.subscripts.flatMap((s) => (s.kind === "index" ? [s.name] : [])));
    const open = w.axes.filter((a) => !direct.has(a.name));
    const computed = w.subscripts.filter((s) => s.kind !== "index");
    const places = `${w.tensor}[${w.subscripts.map((s) => printExpr(s)).join(", ")}]`;
    // `order[t]` for every t, with what stands before t held.
    const through = open.length === 1 && computed.length === 1 ? this.distinctAlong(computed[0]!, open[0]!) : undefined;
    if (output && through !== "permutation")
      this.context.report(
        "W306",
        w.span,
        `\`${places}\`: an output is written at its own indices, or through a permutation from \`group\``,
        { help: "make it an inout parameter, or write it at plain indices" },
      );
    if (open.length === 0 || through) return;
    if (computed.length === 1 && open.length === 1) {
      const s = computed[0]!;
      const other = indexVar(`${open[0]!.name}'`);
      const moved = substitute(s, new Map([[open[0]!.name, other]]));
      const prover = this.context.prover(
        [...at.axes, { ...open[0]!, name: `${open[0]!.name}'` }],
        [...at.conditions, compare("lt", indexVar(open[0]!.name), other)],
      );
      if (prover.proves(compare("ne", s, moved)) || prover.proves(compare("lt", s, moved)) || prover.proves(compare("gt", s, moved)))
        return;
    }
    const texts = new Set(computed.map((s) => printExpr(s)));
    for (const u of this.unique) {
      if (u.axes.length !== open.length) continue;
      const by = new Map(u.axes.map((a, k) => [a.name, indexVar(open[k]!.name)] as const));
      for (const o of u.outer) by.set(o.name, indexVar(o.name));
      if (!u.keys.every((k) => texts.has(printExpr(substitute(k, by))))) continue;
      if (u.where === undefined || this.context.prover(at.axes, at.conditions).proves(substitute(u.where, by))) return;
    }
    const keys = [...texts];
    this.context.report(
      "W403",
      w.span,
      `\`${places}\`: nothing says that different ${open.map((a) => `\`${a.name}\``).join(", ")} write different places`,
      {
        help: `state \`where unique(${open.map((a) => a.name).join(", ")}) ${keys.length === 1 ? keys[0] : `(${keys.join(", ")})`}\` on the kernel, or accumulate with \`+=\``,
      },
    );
  }
}

/** A range as one expression, for extent inference: `in start[i]..start[i + 1]` is a use of i. */
const rangeUse = (range: { from: ast.Expr; to: ast.Expr }): ast.Expr => ({
  kind: "reduce",
  op: { text: "sum", span: range.from.span },
  binders: [{ name: { text: "", span: range.from.span }, range }],
  body: { kind: "missing", span: range.from.span },
  span: range.from.span,
});
function namesIn(e: ast.Expr): ast.Name[] {
  switch (e.kind) {
    case "name":
      return [{ text: e.name, span: e.span }];
    case "index":
      return e.args.flatMap((a) => (a ? namesIn(a) : []));
    case "call":
      return e.args.flatMap((a, k) => (e.callee.text === "segment" && k === 0 ? [] : namesIn(a)));
    case "unary":
    case "cast":
      return namesIn(e.arg);
    case "binary":
      return [...namesIn(e.lhs), ...namesIn(e.rhs)];
    default:
      return [];
  }
}
