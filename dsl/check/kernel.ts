/** One instance of one kernel: its signature, then its statements in order, into a tensor program. */
import type { Diagnostics } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { and, compare, indexVar, num, op, substitute } from "../tensor/expr.ts";
import type { Axis, Define, Expr, NewAxis, Program, Result, Statement } from "../tensor/ir.ts";
import { printElem } from "../tensor/print.ts";
import { type Compute, computeOf, type ElemType, isInteger, storage } from "../tensor/types.ts";
import { domainOf, holding } from "./domain.ts";
import type { Point } from "./obligations.ts";
import { bindersOf } from "./reductions.ts";
import { type Binding, Context, type Declarations, emptyScope, type Scope, withIndices } from "./scope.ts";
import { StatementChecker } from "./statements.ts";

export function checkKernel(kernel: ast.Kernel, binding: Binding, declarations: Declarations, diagnostics: Diagnostics): Program {
  return new KernelChecker(kernel, new Context(binding, declarations, diagnostics)).run();
}

/** The names that a kernel gives to tensors: parameters, outputs, and what its statements define. */
function tensorNames(k: ast.Kernel): string[] {
  const of = (s: ast.Statement): ast.Lhs[] =>
    s.kind === "fold" ? [...s.states.map((x) => x.lhs), ...s.body.flatMap(of), ...s.emits.map((x) => x.lhs)] : [...s.results];
  return [...k.params, ...k.outputs, ...k.body.flatMap(of)].flatMap((x) => (x.name ? [x.name.text] : []));
}

class KernelChecker extends StatementChecker {
  run(): Program {
    const k = this.kernel;
    const { binding } = this.context;
    for (const name of k.broken ?? []) this.context.poisoned.add(name);
    for (const name of tensorNames(k)) this.context.taken.add(name);
    for (const d of k.dims) {
      if (this.context.dims.has(d.name.text)) this.context.report("W102", d.name.span, `dimension \`${d.name.text}\` is declared twice`);
      const value = binding.dims.get(d.name.text);
      this.context.dims.set(d.name.text, { span: d.name.span, ...(value === undefined ? {} : { value }) });
    }
    this.functionParameters();
    for (const p of k.params) this.parameter(p);
    for (const o of k.outputs) this.output(o);
    for (const w of k.where) this.precondition(w);
    this.layouts();
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

  // ---- statements
  protected statement(s: ast.Statement, scope: Scope, at: Point): Statement[] {
    const made = this.whole(s, scope, at);
    return [...this.hoisted(at), ...made];
  }
  /** Definitions that fns made on the way, checked like others. */
  private hoisted(at: Point): Statement[] {
    const list = this.context.hoisted.splice(0);
    for (const d of list) {
      const point = this.obligations.axes(d.axes, at);
      if (d.where) this.obligations.value(d.where, point);
      this.obligations.value(d.value, { ...point, conditions: [...point.conditions, ...(d.where ? [d.where] : [])] });
    }
    return list;
  }
  private whole(s: ast.Statement, scope: Scope, at: Point): Statement[] {
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

  // ---- topk, compact, group
  protected newAxis(
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
    const { axes: over, where, inner } = bindersOf(this.expressions, binders, syntax, outerScope, condition);
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
        ? op(
            "to_int",
            [{ kind: "read", tensor: first.name.text, subscripts: outer.map((a) => indexVar(a.name)), type: "u32", span: s.span }],
            "int",
          )
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
      if (output && output.axes.length !== m.axes.length)
        this.context.report(
          "W105",
          m.lhs.span,
          `\`${name.text}\` has ${output.axes.length} axes, and \`${value.kind}\` gives ${m.axes.length} here`,
        );
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
      if (k === 1) this.distinct.set(name.text, value.kind === "group" && m.domain === undefined ? "permutation" : "distinct");
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
        conditions = [...conditions, substitute(cond, new Map(axes.map((a, k) => [a.name, indexVar(r.axes[k]?.name ?? a.name)])))];
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
  protected fold(s: Extract<ast.Statement, { kind: "fold" }>, scope: Scope, at: Point): Statement[] {
    const { axes, inner } = bindersOf(
      this.expressions,
      [s.binder],
      [...s.body.flatMap((b) => (b.kind === "fold" ? [] : [b.value])), ...s.nexts.map((n) => n.value)],
      scope,
    );
    const axis = axes[0]!;
    const where = s.where ? holding(this.expressions.condition(s.where, inner), this.context.domains) : undefined;
    const states = s.states.flatMap(({ lhs, value }) => {
      if (lhs.name === undefined) {
        this.context.report("W404", lhs.span, "a state needs a name");
        return [];
      }
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
      const cond = lhs.where ? holding(this.expressions.condition(lhs.where, nextScope), this.context.domains) : undefined;
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
    body.push(...this.hoisted(step));
    return [{ kind: "fold", axis, ...(where ? { where } : {}), states, body, nexts, emits, span: s.span }];
  }
  /** `emit y[s, …] = e`: one slice of y for each step. */
  protected emit(lhs: ast.Lhs, value: ast.Expr, scope: Scope, step: Axis, at: Point): Define[] {
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
