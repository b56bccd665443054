/** One instance of one kernel: its signature, then its statements in order, into a tensor program. */
import type { Diagnostics, Span } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { and, bool, compare, indexVar, num, op, some, substitute } from "../tensor/expr.ts";
import type { Axis, Define, Expr, MemoryLayout, NewAxis, Output, Param, Program, Result, Statement, Unique, Write } from "../tensor/ir.ts";
import { printElem, printExpr } from "../tensor/print.ts";
import { type Compute, computeOf, type ElemType, isFloat, isInteger, storage } from "../tensor/types.ts";
import { domainOf, rangeCondition } from "./domain.ts";
import { ExpressionChecker } from "./expressions.ts";
import { inferExtent } from "./extents.ts";
import { nearest } from "./functions.ts";
import { Obligations, type Point } from "./obligations.ts";
import { type Binding, Context, type Declarations, emptyScope, type Scope, withIndices } from "./scope.ts";

export function checkKernel(kernel: ast.Kernel, binding: Binding, declarations: Declarations, diagnostics: Diagnostics): Program {
  return new KernelChecker(kernel, new Context(binding, declarations, diagnostics)).run();
}

class KernelChecker {
  private readonly kernel: ast.Kernel;
  private readonly context: Context;
  private readonly expressions: ExpressionChecker;
  private readonly obligations: Obligations;
  private readonly params: Param[] = [];
  private readonly outputs = new Map<string, Output>();
  private readonly unique: Unique[] = [];
  private readonly written = new Map<string, Span>();
  /** Results of topk, compact and group, whose elements are distinct. */
  private readonly distinct = new Set<string>();

  constructor(kernel: ast.Kernel, context: Context) {
    this.kernel = kernel;
    this.context = context;
    this.expressions = new ExpressionChecker(context);
    this.obligations = new Obligations(context);
  }

  run(): Program {
    const k = this.kernel;
    const { binding } = this.context;
    for (const name of k.broken ?? []) this.context.poisoned.add(name);
    for (const d of k.dims) {
      if (this.context.dims.has(d.name.text)) this.context.report("W102", d.name.span, `dimension \`${d.name.text}\` is declared twice`);
      const value = binding.dims.get(d.name.text);
      this.context.dims.set(d.name.text, { span: d.name.span, ...(value === undefined ? {} : { value }) });
    }
    this.functionParameters();
    for (const p of k.params) this.parameter(p);
    for (const o of k.outputs) this.output(o);
    for (const w of k.where) this.precondition(w);
    const statements = k.body.flatMap((s) => this.statement(s, emptyScope, { axes: [], conditions: [] }));
    for (const o of this.outputs.values())
      if (!this.written.has(o.name) && !this.context.poisoned.has(o.name))
        this.context.report("W401", o.span, `output \`${o.name}\` is never written`);
    for (const p of this.params)
      if (p.role === "inout" && !this.written.has(p.name) && !this.context.poisoned.has(p.name))
        this.context.report("W401", p.span, `\`${p.name}\` is inout and never written`, { help: "drop `inout`, or write it with `:=`" });
    for (const t of this.context.tensors.values())
      if (t.kind === "definition" && !this.context.used.has(t.name) && !t.name.startsWith("_"))
        this.context.warn("W106", t.span, `\`${t.name}\` is never read`);
    return {
      kernel: k.name.text,
      doc: k.doc,
      binding: Object.fromEntries([...binding.types, ...binding.dims, ...binding.consts, ...binding.fns]),
      dims: [...this.context.dims].map(([name, d]) => ({ name, ...(d.value === undefined ? {} : { value: d.value }) })),
      params: this.params,
      outputs: [...this.outputs.values()],
      requires: this.context.requires,
      unique: this.unique,
      statements,
      span: k.span,
    };
  }

  // ---- the signature
  /** Further parameters of a bound fn join the kernel's signature (rule 35). */
  private functionParameters(): void {
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
  private parameter(p: ast.Parameter): void {
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
    const layout = p.layout ? this.layout(p.layout, axes, elem) : undefined;
    this.params.push({
      name: p.name.text,
      role: p.inout ? "inout" : "in",
      elem,
      axes,
      ...(where ? { where } : {}),
      ...(layout ? { layout } : {}),
      span: p.name.span,
    });
    this.context.define({ name: p.name.text, kind: "param", type: computeOf(elem), elem, axes, inout: p.inout, span: p.name.span }, where);
  }
  private output(o: ast.Output): void {
    if (this.taken(o.name)) return;
    const elem = this.expressions.elem(o.type.scalar);
    const { axes, where } = this.shape(o.name.text, { ...o.type, axes: o.type.axes ?? [] }, o.where, true);
    this.outputs.set(o.name.text, { name: o.name.text, elem, axes, ...(where ? { where } : {}), span: o.name.span });
  }
  private taken(name: ast.Name): boolean {
    const c = this.context;
    if (!c.dims.has(name.text) && !c.scalars.has(name.text) && !c.tensors.has(name.text) && !this.outputs.has(name.text)) return false;
    c.report("W102", name.span, `\`${name.text}\` is declared twice`);
    return true;
  }
  private shape(name: string, type: ast.Type, where: ast.Expr | undefined, late = false): { axes: Axis[]; where?: Expr } {
    const axes = (type.axes ?? []).map((a, k) => ({
      name: a.name?.text ?? `${name}.${k}`,
      extent: a.extent ? this.expressions.integer(a.extent, emptyScope, "an extent") : num(1),
    }));
    if (where === undefined) return { axes };
    // The domain of an output may speak of other outputs: it is resolved when the output is written.
    if (late) return { axes, where: bool(true) };
    return { axes, where: this.expressions.condition(where, withIndices(emptyScope, axes)) };
  }
  private layout(name: ast.Name, axes: readonly Axis[], elem: ElemType): MemoryLayout | undefined {
    const l = this.context.declarations.layouts.get(name.text);
    if (l === undefined) {
      const near = nearest(name.text, this.context.declarations.layouts.keys());
      this.context.report("W503", name.span, `there is no layout \`${name.text}\``, near ? { help: `did you mean \`${near}\`?` } : {});
      return undefined;
    }
    if (l.indices.length !== axes.length || l.dims.length !== axes.length) {
      this.context.report(
        "W505",
        name.span,
        `layout \`${name.text}\` is of ${l.indices.length} indices, this tensor has ${axes.length} axes`,
      );
      return undefined;
    }
    if (storage[elem.name].bits >= 32)
      this.context.report("W505", name.span, `a layout places elements in bits of a word; ${printElem(elem)} fills one`);
    const dims = new Map(l.dims.map((d, k) => [d.text, axes[k]!.extent]));
    const scope: Scope = {
      ...withIndices(
        emptyScope,
        axes.map((a, k) => ({ name: l.indices[k]!.text, extent: a.extent })),
      ),
      dims,
      closed: true,
    };
    return {
      name: name.text,
      indices: l.indices.map((i) => i.text),
      word: this.expressions.integer(l.word, scope, "a word"),
      bit: this.expressions.integer(l.bit, scope, "a bit"),
    };
  }
  private precondition(w: ast.Expr): void {
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
  private uniqueness(w: ast.Expr, scope: Scope, outer: readonly Axis[]): Unique | undefined {
    if (w.kind !== "reduce") return undefined;
    if (w.op.text === "all" && w.body.kind === "reduce") {
      const inner = this.expressions.binders(w.binders, [w.body], scope, w.where);
      return this.uniqueness(w.body, inner.inner, [...outer, ...inner.axes]);
    }
    if (w.op.text !== "unique") return undefined;
    const { axes, where, inner } = this.expressions.binders(w.binders, [...(w.where ? [w.where] : []), w.body], scope, w.where);
    const keys = (w.body.kind === "tuple" ? w.body.items : [w.body]).map((k) => this.expressions.integer(k, inner, "a key of `unique`"));
    return { outer, axes, ...(where ? { where } : {}), keys, span: w.span };
  }

  // ---- statements
  private statement(s: ast.Statement, scope: Scope, at: Point): Statement[] {
    if (s.kind === "fold") return this.fold(s, scope, at);
    if (s.value.kind === "topk" || s.value.kind === "compact" || s.value.kind === "group") return this.newAxis(s, s.value, scope, at);
    if (s.results.length > 1) return this.several(s, scope, at);
    const lhs = s.results[0];
    if (lhs?.name === undefined) {
      if (lhs) this.context.report("W404", lhs.span, "`_` drops one of several results; this definition has one");
      return [];
    }
    if (s.kind === "let") return this.define(lhs, s.value, undefined, scope, at);
    return this.assign(s, lhs, scope, at);
  }

  /** A definition of one tensor; `value` overrides the syntax where a component of several is meant. */
  private define(
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
    const where = lhs.where ? this.expressions.condition(lhs.where, inner) : undefined;
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
  private indices(lhs: ast.Lhs, uses: readonly ast.Expr[], scope: Scope, declared?: readonly Axis[]): { axes: Axis[]; inner: Scope } {
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
      this.expressions.free(name, inner);
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
  private stored(e: Expr, elem: ElemType, span: Span): Expr {
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
  private several(s: Extract<ast.Statement, { kind: "let" | "assign" }>, scope: Scope, at: Point): Statement[] {
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

  private claim(name: ast.Name): void {
    const before = this.written.get(name.text);
    if (before)
      this.context.report(this.outputs.has(name.text) ? "W401" : "W402", name.span, `\`${name.text}\` is written twice`, {
        notes: [{ span: before, text: "first written here" }],
      });
    this.written.set(name.text, name.span);
  }

  private assign(s: Extract<ast.Statement, { kind: "assign" }>, lhs: ast.Lhs, scope: Scope, at: Point): Statement[] {
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
  private known(name: string, scope: Scope): boolean {
    return scope.indices.has(name) || this.context.dims.has(name) || this.context.scalars.has(name) || this.context.tensors.has(name);
  }
  private total(output: Output, d: Define, at: Point): void {
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
  private write(
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
    const where = lhs.where ? this.expressions.condition(lhs.where, inner) : undefined;
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
    return [write];
  }
  /** Different points write different places: rules 30 and 31. */
  private injective(w: Write, at: Point, output: Output | undefined): void {
    const direct = new Set(w.subscripts.flatMap((s) => (s.kind === "index" ? [s.name] : [])));
    const open = w.axes.filter((a) => !direct.has(a.name));
    const computed = w.subscripts.filter((s) => s.kind !== "index");
    const places = `${w.tensor}[${w.subscripts.map((s) => printExpr(s)).join(", ")}]`;
    if (output && !(open.length === 1 && computed.length === 1 && computed[0]!.kind === "read" && this.distinct.has(computed[0]!.tensor)))
      this.context.report(
        "W306",
        w.span,
        `\`${places}\`: an output is written at its own indices, or through a permutation from \`group\``,
        { help: "make it an inout parameter, or write it at plain indices" },
      );
    if (open.length === 0) return;
    if (computed.length === 1 && open.length === 1) {
      const s = computed[0]!;
      if (s.kind === "read" && this.distinct.has(s.tensor)) return;
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

  // ---- topk, compact, group
  private newAxis(
    s: Extract<ast.Statement, { kind: "let" | "assign" }>,
    value: Extract<ast.Expr, { kind: "topk" | "compact" | "group" }>,
    scope: Scope,
    at: Point,
  ): Statement[] {
    const results = s.results;
    if (results.length !== 2) {
      this.context.report("W404", s.span, `\`${value.kind}\` gives two results`, {
        help: {
          topk: "`let (value[r], index[r]) = topk(j, K) …`",
          compact: "`let (n, kept[u]) = compact(j where …)`",
          group: "`let (start[e], order[s]) = group(t by key, E)`",
        }[value.kind],
      });
      return [];
    }
    const assigned = s.kind === "assign";
    if (assigned)
      for (const r of results)
        if (r.name && !this.outputs.has(r.name.text)) this.context.report("W404", r.span, `\`${r.name.text}\` is not an output`);
    const lead = value.kind === "compact" ? results[0]! : value.kind === "topk" ? (results.find((r) => r.name) ?? results[0]!) : undefined;
    // Outer indices: those of the first result, less the new axis of topk.
    const outerPlaces =
      value.kind === "group"
        ? []
        : value.kind === "topk"
          ? lead!.places.slice(0, -1)
          : results[0]!.name
            ? results[0]!.places
            : results[1]!.places.slice(0, -1);
    const syntax =
      value.kind === "group" ? [value.key] : value.kind === "topk" ? [value.body, ...(value.where ? [value.where] : [])] : [value.where];
    const declaredOuter = lead?.name && assigned ? this.outputs.get(lead.name.text)?.axes.slice(0, outerPlaces.length) : undefined;
    const { axes: outer, inner: outerScope } = this.indices(
      { places: outerPlaces, subscripted: true, span: s.span, name: { text: value.kind, span: s.span } },
      syntax,
      scope,
      declaredOuter,
    );
    const binders = value.kind === "group" ? value.binders : [value.binder];
    const condition = value.kind === "group" ? undefined : value.where;
    const { axes: over, where, inner } = this.expressions.binders(binders, syntax, outerScope, condition);
    const point = this.obligations.axes(over, this.obligations.axes(outer, at));
    if (where) this.obligations.value(where, point);
    const inside: Point = { ...point, conditions: [...point.conditions, ...(where ? [where] : [])] };
    let body: Expr | undefined;
    let count: Expr | undefined;
    const n = over.map((a) => a.extent).reduce((a, b) => op("mul", [a, b], "int"));
    const made: { lhs: ast.Lhs; axes: Axis[]; elem: ElemType; domain: Expr | undefined }[] = [];
    const newIndex = (lhs: ast.Lhs, extent: Expr): Axis => {
      const p = lhs.places.at(-1);
      return { name: p?.expr.kind === "name" ? p.expr.name : `${value.kind}.axis`, extent };
    };
    if (value.kind === "topk") {
      body = this.expressions.expr(value.body, inner);
      this.obligations.value(body, inside);
      count = this.expressions.integer(value.count, scope, "the count of topk");
      const member = and(where, domainOf(body, this.context.domains));
      const alive = member.kind === "const" && member.value === true && over[0]!.range === undefined ? num(0) : undefined;
      const size: Expr = alive
        ? over[0]!.extent
        : { kind: "reduce", op: "sum", axes: over, bodies: [num(1)], where: member, component: 0, type: "int", span: s.span };
      for (const [k, lhs] of results.entries()) {
        const axis = newIndex(lhs, count);
        const domain = compare("lt", indexVar(axis.name), size);
        made.push({
          lhs,
          axes: [...outer, axis],
          elem:
            k === 0
              ? { name: body.type === "f64" ? "f64" : body.type === "f32" ? "f32" : body.type === "u32" ? "u32" : "i32" }
              : { name: "index", bound: over[0]!.extent },
          domain: this.context.prover(outer.concat(axis)).proves(domain) ? undefined : domain,
        });
      }
    } else if (value.kind === "compact") {
      const [first, second] = results as [ast.Lhs, ast.Lhs];
      const axis = newIndex(second, n);
      const elem: ElemType = { name: "u32" };
      made.push({ lhs: first, axes: [...outer], elem, domain: undefined });
      const total: Expr = first.name
        ? { kind: "read", tensor: first.name.text, subscripts: outer.map((a) => indexVar(a.name)), type: "u32", span: s.span }
        : { kind: "reduce", op: "sum", axes: over, ...(where ? { where } : {}), bodies: [num(1)], component: 0, type: "int", span: s.span };
      made.push({
        lhs: second,
        axes: [...outer, axis],
        elem: { name: "index", bound: n },
        domain: compare("lt", indexVar(axis.name), total),
      });
    } else {
      body = this.expressions.integer(value.key, inner, "the key of group");
      count = this.expressions.integer(value.count, scope, "the number of groups");
      this.obligations.value(body, inside);
      const keyed: Point = { ...inside, conditions: [...inside.conditions, domainOf(body, this.context.domains)] };
      this.obligations.range(body, { name: "index", bound: count }, value.key.span, keyed);
      const partial = domainOf(body, this.context.domains);
      const open = !(partial.kind === "const" && partial.value === true);
      const [first, second] = results as [ast.Lhs, ast.Lhs];
      made.push({
        lhs: first,
        axes: [newIndex(first, op("add", [count, num(1)], "int"))],
        elem: { name: "offsets", bound: n, ...(open ? { open: true } : {}) },
        domain: undefined,
      });
      const axis = newIndex(second, n);
      const last: Expr = { kind: "read", tensor: first.name?.text ?? "", subscripts: [count], type: "int", span: s.span };
      made.push({
        lhs: second,
        axes: [axis],
        elem: { name: "index", bound: n },
        domain: open && first.name ? compare("lt", indexVar(axis.name), last) : undefined,
      });
    }
    const out: Result[] = made.map((m, k) => {
      if (m.lhs.name === undefined) return { axes: m.axes, elem: m.elem, output: false };
      const name = m.lhs.name;
      const output = assigned ? this.outputs.get(name.text) : undefined;
      if (output) this.claim(name);
      if (
        output &&
        output.elem.name !== m.elem.name &&
        !(isInteger(computeOf(output.elem)) && isInteger(computeOf(m.elem))) &&
        !(storage[output.elem.name].class === "float" && m.elem.name === "f32")
      )
        this.context.report(
          "W201",
          name.span,
          `\`${name.text}\` is ${printElem(output.elem)}, and \`${value.kind}\` gives ${printElem(m.elem)} here`,
        );
      const elem = output?.elem ?? m.elem;
      if (!output && (this.context.tensors.has(name.text) || this.outputs.has(name.text)))
        this.context.report("W102", name.span, `\`${name.text}\` is already defined`);
      const type: Compute = output ? computeOf(elem) : computeOf(m.elem);
      this.context.define({ name: name.text, kind: output ? "output" : "definition", type, elem, axes: m.axes, span: name.span }, m.domain);
      if (value.kind !== "group" ? k === 1 : k === 1) this.distinct.add(name.text);
      return { name: name.text, axes: m.axes, elem, output: output !== undefined };
    });
    // Declared domains of outputs are resolved once all results exist.
    out.forEach((r) => {
      const output = r.output && r.name ? this.outputs.get(r.name) : undefined;
      if (output === undefined) return;
      const declared = this.kernel.outputs.find((o) => o.name.text === output.name);
      const own = this.context.domains.get(output.name)?.domain;
      const axes = output.axes.map((a, k) => ({ ...a, name: declared?.type.axes?.[k]?.name?.text ?? a.name }));
      let conditions = at.conditions;
      if (declared?.where) {
        const cond = this.expressions.condition(declared.where, withIndices(emptyScope, axes));
        this.outputs.set(output.name, { ...output, axes, where: cond });
        conditions = [...conditions, substitute(cond, new Map(axes.map((a, k) => [a.name, indexVar(r.axes[k]!.name)])))];
      }
      if (own)
        this.obligations.total(
          `${output.name}[${r.axes.map((a) => a.name).join(", ")}]`,
          own,
          { axes: [...at.axes, ...r.axes], conditions },
          output.span,
          undefined,
        );
    });
    const statement: NewAxis = {
      kind: value.kind,
      results: out,
      outer,
      over,
      ...(where ? { where } : {}),
      ...(count ? { count } : {}),
      ...(body ? { body } : {}),
      span: s.span,
    };
    return [statement];
  }

  // ---- fold
  private fold(s: Extract<ast.Statement, { kind: "fold" }>, scope: Scope, at: Point): Statement[] {
    const { axes, inner } = this.expressions.binders(
      [s.binder],
      [...s.body.flatMap((b) => (b.kind === "fold" ? [] : [b.value])), ...s.nexts.map((n) => n.value)],
      scope,
    );
    const axis = axes[0]!;
    const where = s.where ? this.expressions.condition(s.where, inner) : undefined;
    const states = s.states.flatMap(({ lhs, value }) => {
      const [d] = this.define(lhs, value, undefined, scope, at);
      if (d === undefined) return [];
      const goal = and(d.where, domainOf(d.value, this.context.domains));
      this.obligations.total(`state ${d.name}`, goal, { axes: [...at.axes, ...d.axes], conditions: at.conditions }, d.span, d.value);
      const info = this.context.tensors.get(d.name)!;
      this.context.define({ ...info, kind: "state" }, undefined);
      return [{ name: d.name, axes: d.axes, ...(d.storage ? { storage: d.storage } : {}), type: d.value.type, init: d.value }];
    });
    const step: Point = { axes: [...at.axes, axis], conditions: where ? [...at.conditions, where] : at.conditions };
    const body = s.body.flatMap((b) => this.statement(b, inner, step));
    const nexts = s.nexts.flatMap(({ lhs, value }) => {
      const state = states.find((x) => x.name === lhs.name?.text);
      if (state === undefined) {
        this.context.report("W404", lhs.span, `\`${lhs.name?.text ?? "_"}\` is not a state of this fold`);
        return [];
      }
      this.context.used.add(state.name);
      const { axes: own, inner: nextScope } = this.indices(lhs, [value], inner, state.axes);
      const cond = lhs.where ? this.expressions.condition(lhs.where, nextScope) : undefined;
      const raw = this.expressions.expr(value, withIndices(nextScope, own, cond), state.type);
      const typed = state.storage ? this.stored(raw, state.storage, value.span) : raw;
      if (typed.type !== state.type)
        this.context.report("W201", value.span, `state \`${state.name}\` is ${state.type}, its next is ${typed.type}`);
      const point = this.obligations.axes(own, step);
      const inside: Point = { ...point, conditions: [...point.conditions, ...(cond ? [cond] : [])] };
      this.obligations.value(typed, inside);
      if (state.storage) this.obligations.range(typed, state.storage, value.span, inside);
      return [{ state: state.name, axes: own, ...(cond ? { where: cond } : {}), value: typed }];
    });
    for (const x of states)
      if (!nexts.some((n) => n.state === x.name)) this.context.report("W404", s.span, `state \`${x.name}\` has no \`next\``);
    const emits = s.emits.flatMap(({ lhs, value }) => this.emit(lhs, value, inner, axis, step));
    return [{ kind: "fold", axis, ...(where ? { where } : {}), states, body, nexts, emits, span: s.span }];
  }
  /** `emit y[s, …] = e`: one slice of y for each step. */
  private emit(lhs: ast.Lhs, value: ast.Expr, scope: Scope, step: Axis, at: Point): Define[] {
    const k = lhs.places.findIndex((p) => p.expr.kind === "name" && p.expr.name === step.name);
    if (lhs.name === undefined || k < 0) {
      this.context.report("W404", lhs.span, `\`emit\` keeps one slice a step: its target is subscripted by \`${step.name}\``);
      return [];
    }
    const output = this.outputs.get(lhs.name.text);
    if (output) this.claim(lhs.name);
    const rest = { ...lhs, places: lhs.places.filter((_, i) => i !== k) };
    const declared = output?.axes.filter((_, i) => i !== k);
    const defined = this.define(rest, value, undefined, scope, at, output ? { ...output, axes: declared! } : undefined);
    return defined.map((d) => {
      const axes = [...d.axes.slice(0, k), step, ...d.axes.slice(k)];
      const info = this.context.tensors.get(d.name)!;
      this.context.define({ ...info, axes }, this.context.domains.get(d.name)?.domain);
      return { ...d, axes };
    });
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
