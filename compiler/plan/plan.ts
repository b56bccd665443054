/** What is stored and what is recomputed, and which launches there are: tensor IR to a list of jobs. */
import { domainOf, rangeCondition, type TensorDomain } from "../../dsl/check/domain.ts";
import type { TableType } from "../../dsl/check/facts.ts";
import { Prover } from "../../dsl/check/prove.ts";
import { and, compare, conjuncts, indexVar, isTrue, mapChildren, num, op, some } from "../../dsl/tensor/expr.ts";
import type { Axis, Define, Expr, Fold, MemoryLayout, NewAxis, Program, Statement, Write } from "../../dsl/tensor/ir.ts";
import { printAxis, printExpr } from "../../dsl/tensor/print.ts";
import { atSubscripts, namesIn, unused } from "../../dsl/tensor/program.ts";
import { type ElemType, isFloat, isNarrow } from "../../dsl/tensor/types.ts";
import { multiplesIn } from "./bounds.ts";
import { isExpensive } from "./cost.ts";
import { withoutCounting } from "./counts.ts";
import { inPlaceJobs } from "./in-place.ts";
import type { Job, Plan, PlannedStep, Stored, StoreItem } from "./jobs.ts";
import { merge } from "./merge.ts";
import { Uses } from "./uses.ts";

export interface PlanOptions {
  /** Definitions that a schedule names. */
  readonly materialize: ReadonlySet<string>;
  readonly fuse: ReadonlySet<string>;
  readonly lineOf: (offset: number) => number;
}

const laid = (x: { readonly layout?: MemoryLayout } | undefined) => (x?.layout ? { layout: x.layout } : {});

export function plan(program: Program, options: PlanOptions): Plan {
  return new Planner(program, options).run();
}

class Planner {
  private readonly program: Program;
  private readonly options: PlanOptions;
  private readonly stored = new Map<string, Stored>();
  private readonly domains = new Map<string, TensorDomain>();
  private readonly tables = new Map<string, TableType>();
  private readonly inlined = new Map<string, Define>();
  private readonly made = new Map<string, Define>();
  private readonly proven = new Map<string, boolean>();
  private readonly uses = new Uses();
  /** Writes to parameters: after everything that reads them. */
  private readonly late: Write[] = [];
  private readonly taken: Set<string>;

  constructor(program: Program, options: PlanOptions) {
    this.program = program;
    this.options = options;
    this.taken = namesIn(program);
  }
  private unused(base: string): string {
    return unused(base, this.taken);
  }

  run(): Plan {
    for (const p of this.program.params) {
      if (p.axes === undefined) continue;
      this.put({ name: p.name, elem: p.elem.name, axes: p.axes, role: "param", ...laid(p) }, p.elem, p.where);
    }
    for (const s of this.program.statements) this.uses.collect(s, false);
    const steps = this.merged(this.statements(this.program.statements));
    return {
      program: this.program,
      stored: this.stored,
      domains: this.domains,
      tables: this.tables,
      inlined: this.inlined,
      formulas: this.formulas(),
      multiples: multiplesIn(this.program.requires),
      proofs: new Map(),
      steps: [...steps, ...this.lateWrites()],
    };
  }
  private put(s: Stored, elem: ElemType, domain: Expr | undefined): void {
    this.stored.set(s.name, s);
    this.domains.set(s.name, { axes: s.axes, domain });
    this.tables.set(s.name, { elem, extents: s.axes.map((a) => a.extent) });
  }

  // ---- what is stored
  /** Whether a definition gets memory of its own. What the schedule does not say, this rule says. */
  private isStored(d: Define): boolean {
    if (this.options.fuse.has(d.name)) return false;
    if (this.options.materialize.has(d.name)) return true;
    const uses = this.uses.of(d.name);
    const reduces = this.reduces(d.value);
    const readers = new Set(uses.map((u) => u.reader));
    if (reduces) return !(readers.size === 1 && uses.every((u) => u.identity && !u.inReduction));
    // Recomputed once for each element of an axis that it does not have: worth memory only where it is dear.
    const own = new Set(d.axes.map((a) => a.name));
    const repeated = uses.some((u) => u.axes.some((a) => !own.has(a.name)));
    return d.axes.length > 0 && repeated && isExpensive(d.value);
  }

  /** Whether it takes a reduction to compute, in it or in what is computed where it is read. */
  private reduces(e: Expr): boolean {
    return some(e, (x) => {
      const inlined = x.kind === "read" ? this.inlined.get(x.tensor) : undefined;
      return x.kind === "reduce" || (inlined !== undefined && this.reduces(inlined.value));
    });
  }

  // ---- statements to jobs
  private statements(list: readonly Statement[]): PlannedStep[] {
    return list.flatMap((s) => this.statement(s));
  }
  private statement(s: Statement): PlannedStep[] {
    switch (s.kind) {
      case "define":
        return this.define(s);
      case "write":
        return this.write(s);
      case "fold":
        return this.fold(s);
      default:
        return this.newAxis(s);
    }
  }
  private define(given: Define): PlannedStep[] {
    const d = withoutCounting(given, this.domains);
    this.made.set(d.name, d);
    const sweeps = d.value.kind === "sweep";
    if (!d.output && !sweeps && !this.isStored(d)) {
      if (this.uses.of(d.name).length === 0) return [];
      this.inlined.set(d.name, { ...d, value: narrowed(d.value, d.storage) });
      this.domains.set(d.name, { axes: d.axes, domain: this.domainOf(d) });
      return [];
    }
    const [line, domain] = [this.options.lineOf(d.span.start), this.domainOf(d)];
    const output = d.output ? this.program.outputs.find((o) => o.name === d.name) : undefined;
    const value = output ? d.value : narrowed(d.value, d.storage);
    const elem = output?.elem ?? wide(d.value.type);
    if (sweeps) {
      // The domain of a sweep is that of its operand: rows keep their holes.
      const jobs = this.sweep(d, line, elem);
      this.domains.set(d.name, { axes: d.axes, domain: output ? undefined : domain });
      return jobs;
    }
    const axes = output ? output.axes.map((a, k) => ({ ...d.axes[k]!, extent: a.extent })) : d.axes;
    const subscripts = d.axes.map((a) => indexVar(a.name));
    // An integer that others may subscript with is 0 where it is undefined, not whatever memory held; a search finds something anywhere.
    const everywhere = domain === undefined || (!output && !isFloat(value.type) && value.type !== "bool");
    const held: Expr =
      everywhere && domain !== undefined && value.kind !== "segment"
        ? { kind: "if", cond: domain, then: value, else: num(0, value.type), type: value.type, span: d.span }
        : value;
    const stores: StoreItem[] = [{ buffer: d.name, subscripts, ...this.valued(held), where: everywhere ? trueExpr : domain, line }];
    const costly = domain !== undefined && some(domain, (x) => x.kind === "reduce");
    let visible = domain;
    if (costly && !output) {
      const flag = this.unused(`${d.name}_defined`);
      this.put({ name: flag, elem: "u32", axes: d.axes, role: "temp" }, { name: "u32" }, undefined);
      stores.push({
        buffer: flag,
        subscripts,
        ...this.valued({ kind: "if", cond: domain, then: num(1, "u32"), else: num(0, "u32"), type: "u32", span: d.span }),
        where: trueExpr,
        line,
      });
      visible = compare("ne", { kind: "read", tensor: flag, subscripts, type: "u32", span: d.span }, num(0, "u32"));
    }
    this.put(
      { name: d.name, elem: elem.name, axes: d.axes, role: output ? "output" : "temp", ...laid(output), everywhere },
      elem,
      output ? undefined : visible,
    );
    return [{ kind: "job", job: { kind: "map", name: d.name, axes, stores } }];
  }
  /** D of a definition, without what the facts prove. */
  private domainOf(d: { readonly axes: readonly Axis[]; readonly where?: Expr; readonly value: Expr }): Expr | undefined {
    const whole = and(rangeCondition(d.axes, this.domains), d.where, domainOf(d.value, this.domains));
    if (isTrue(whole)) return undefined;
    const prover = new Prover({
      dims: this.program.dims,
      tables: this.tables,
      formulas: this.formulas(),
      axes: d.axes.map(({ name, extent }) => ({ name, extent })),
      conditions: this.program.requires,
    });
    // Definitions of one family share their conditions: each is proven once. Indices made fresh are named by their place.
    const axes = d.axes.map(printAxis).join();
    const proves = (c: Expr): boolean => {
      const key = `${axes} | ${printExpr(c).replace(/'\d+/g, "'")}`;
      const known = this.proven.get(key) ?? prover.proves(c);
      this.proven.set(key, known);
      return known;
    };
    const open = conjuncts(whole).filter(
      (c) => !(some(c, (x) => x.kind === "reduce" || x.kind === "read" || x.kind === "segment") && proves(c)),
    );
    return open.length === 0 ? undefined : and(...open);
  }
  /** Integer and bool definitions that proofs may see through. */
  private formulas(): ReadonlyMap<string, Define> {
    return new Map(
      [...this.made].filter(
        ([, d]) =>
          (d.value.type === "int" || d.value.type === "bool") && d.where === undefined && !some(d.value, (x) => x.kind === "reduce"),
      ),
    );
  }
  private valued(value: Expr): { value: Expr; expanded: Expr } {
    return { value, expanded: this.expand(value) };
  }
  /** Definitions that are not stored, in place of their reads. */
  private expand(e: Expr): Expr {
    if (e.kind === "read") {
      const d = this.inlined.get(e.tensor);
      if (d)
        return atSubscripts(
          this.expand(d.value),
          d.axes,
          e.subscripts.map((s) => this.expand(s)),
        );
    }
    return mapChildren(e, (c) => this.expand(c));
  }

  /** A row that is walked in order: the whole value of a definition (desugar makes it so). */
  private sweep(d: Define, line: number, elem: ElemType): PlannedStep[] {
    const output = d.output ? this.program.outputs.find((o) => o.name === d.name) : undefined;
    this.put({ name: d.name, elem: elem.name, axes: d.axes, role: output ? "output" : "temp", ...laid(output) }, elem, undefined);
    return [{ kind: "job", job: { kind: "row", name: d.name, statement: { ...d, sweep: true }, line } }];
  }

  private newAxis(s: NewAxis): PlannedStep[] {
    for (const r of s.results) {
      if (r.name === undefined) continue;
      const output = r.output ? this.program.outputs.find((o) => o.name === r.name) : undefined;
      const elem = output?.elem ?? r.elem;
      this.put({ name: r.name, elem: elem.name, axes: r.axes, role: output ? "output" : "temp", ...laid(output) }, elem, undefined);
    }
    const size: Expr = {
      kind: "reduce",
      op: "sum",
      axes: s.over,
      where: and(s.where, s.body ? domainOf(s.body, this.domains) : undefined),
      bodies: [num(1)],
      component: 0,
      type: "int",
      span: s.span,
    };
    const line = this.options.lineOf(s.span.start);
    const [first, second] = s.results;
    const steps: PlannedStep[] = [];
    const rank = (r: typeof first): Expr => indexVar(r!.axes.at(-1)!.name);
    // Where results are partial: beyond |S| for topk, beyond the count for compact.
    if (s.kind === "topk") {
      const total = !isTrue(size.where ?? trueExpr) || s.over[0]!.range !== undefined;
      const prover = new Prover({
        dims: this.program.dims,
        tables: this.tables,
        axes: (first ?? second)!.axes,
        conditions: this.program.requires,
      });
      const bound = compare("lt", rank(first), s.over[0]!.extent);
      if (total || !prover.proves(bound)) {
        const counter = this.unused(`${(first?.name ?? second?.name)!}_count`);
        this.put({ name: counter, elem: "i32", axes: s.outer, role: "temp" }, { name: "i32" }, undefined);
        steps.push({
          kind: "job",
          job: {
            kind: "map",
            name: counter,
            axes: s.outer,
            stores: [{ buffer: counter, subscripts: s.outer.map((a) => indexVar(a.name)), ...this.valued(size), where: trueExpr, line }],
          },
        });
        for (const r of s.results)
          if (r.name)
            this.domains.set(r.name, {
              axes: r.axes,
              domain: compare("lt", rank(r), {
                kind: "read",
                tensor: counter,
                subscripts: s.outer.map((a) => indexVar(a.name)),
                type: "i32",
                span: s.span,
              }),
            });
      }
    }
    if (s.kind === "compact" && second?.name) {
      const count: Expr = first?.name
        ? op(
            "to_int",
            [{ kind: "read", tensor: first.name, subscripts: s.outer.map((a) => indexVar(a.name)), type: "u32", span: s.span }],
            "int",
          )
        : size;
      this.domains.set(second.name, { axes: second.axes, domain: compare("lt", rank(second), count) });
    }
    if (s.kind === "group" && second?.name && first?.name) {
      const body = domainOf(s.body!, this.domains);
      if (!isTrue(body))
        this.domains.set(second.name, {
          axes: second.axes,
          domain: compare("lt", rank(second), { kind: "read", tensor: first.name, subscripts: [s.count!], type: "int", span: s.span }),
        });
    }
    return [...steps, { kind: "job", job: { kind: "row", name: first?.name ?? second?.name ?? s.kind, statement: s, line } }];
  }

  // ---- writes in place and at computed places
  private write(w: Write): PlannedStep[] {
    const output = this.program.outputs.find((o) => o.name === w.tensor);
    if (output) {
      const axes = output.axes;
      this.put({ name: w.tensor, elem: output.elem.name, axes, role: "output", ...laid(output) }, output.elem, undefined);
      return [{ kind: "job", job: { kind: "map", name: w.tensor, axes: w.axes, stores: [this.storeOf(w, w.tensor)] } }];
    }
    this.late.push(w);
    return [];
  }
  private storeOf(w: Write, buffer: string): StoreItem {
    return {
      buffer,
      subscripts: w.subscripts,
      ...this.valued(w.value),
      where: and(rangeCondition(w.axes, this.domains), w.where, domainOf(w.value, this.domains)),
      line: this.options.lineOf(w.span.start),
    };
  }
  private lateWrites(): PlannedStep[] {
    const { first, last } = inPlaceJobs(this.late, {
      inlined: this.inlined,
      domains: this.domains,
      stored: this.stored,
      temporary: (base, elem, axes) => {
        const name = this.unused(base);
        this.put({ name, elem: elem.name, axes, role: "temp" }, elem, undefined);
        return name;
      },
      expand: (e) => this.expand(e),
      storeOf: (w, buffer) => this.storeOf(w, buffer),
      lineOf: this.options.lineOf,
    });
    const steps = (jobs: readonly Job[]): PlannedStep[] => this.merged(jobs.map((job) => ({ kind: "job", job })));
    return [...steps(first), ...steps(last)];
  }

  private merged(steps: readonly PlannedStep[]): PlannedStep[] {
    return merge(steps, { inlined: this.inlined, domains: this.domains });
  }
  private copy(from: string, target: Stored, line: number, type: Expr["type"]): PlannedStep {
    const subscripts = target.axes.map((a) => indexVar(a.name));
    const value: Expr = { kind: "read", tensor: from, subscripts, type, span: { start: 0, end: 0 } };
    const store = { buffer: target.name, subscripts, ...this.valued(value), where: trueExpr, line };
    return { kind: "job", job: { kind: "map", name: target.name, axes: target.axes, stores: [store] } };
  }

  // ---- fold: launches repeated by the host
  private fold(s: Fold): PlannedStep[] {
    const before: PlannedStep[] = [];
    const line = this.options.lineOf(s.span.start);
    for (const x of s.states) {
      const elem = wide(x.type);
      const subscripts = x.axes.map((a) => indexVar(a.name));
      before.push({
        kind: "job",
        job: {
          kind: "map",
          name: x.name,
          axes: x.axes,
          stores: [{ buffer: x.name, subscripts, ...this.valued(narrowed(x.init, x.storage)), where: trueExpr, line }],
        },
      });
      this.put({ name: x.name, elem: elem.name, axes: x.axes, role: "temp" }, elem, undefined);
    }
    for (const b of s.body) this.uses.collect(b, true);
    for (const n of s.nexts)
      this.uses.collect(
        { kind: "write", tensor: `${n.state}_next`, mode: "set", axes: n.axes, subscripts: [], value: n.value, span: s.span },
        true,
      );
    for (const d of s.emits) this.uses.collect(d, true);
    const body = this.statements(s.body);
    const emits = s.emits.flatMap((d) => this.emit(d, s));
    const nexts: PlannedStep[] = [];
    const copies: PlannedStep[] = [];
    for (const n of s.nexts) {
      const state = s.states.find((x) => x.name === n.state)!;
      const name = this.unused(`${n.state}_next`);
      const elem = wide(state.type);
      const subscripts = n.axes.map((a) => indexVar(a.name));
      const old: Expr = { kind: "read", tensor: n.state, subscripts, type: state.type, span: s.span };
      const live = and(s.where, n.where, domainOf(n.value, this.domains));
      const value = narrowed(n.value, state.storage);
      const kept: Expr = isTrue(live) ? value : { kind: "if", cond: live, then: value, else: old, type: state.type, span: s.span };
      this.put({ name, elem: elem.name, axes: n.axes, role: "temp" }, elem, undefined);
      nexts.push({
        kind: "job",
        job: { kind: "map", name, axes: n.axes, stores: [{ buffer: name, subscripts, ...this.valued(kept), where: trueExpr, line }] },
      });
      copies.push(this.copy(name, this.stored.get(n.state)!, line, state.type));
    }
    return [...this.merged(before), { kind: "repeat", fold: s, steps: [...this.merged([...body, ...emits]), ...nexts, ...copies] }];
  }
  private emit(d: Define, s: Fold): PlannedStep[] {
    const output = d.output ? this.program.outputs.find((o) => o.name === d.name) : undefined;
    const elem = output?.elem ?? wide(d.value.type);
    this.put({ name: d.name, elem: elem.name, axes: d.axes, role: output ? "output" : "temp", ...laid(output) }, elem, undefined);
    const axes = d.axes.filter((a) => a.name !== s.axis.name);
    const where = and(s.where, d.where, domainOf(d.value, this.domains));
    return [
      {
        kind: "job",
        job: {
          kind: "map",
          name: d.name,
          axes,
          stores: [
            {
              buffer: d.name,
              subscripts: d.axes.map((a) => indexVar(a.name)),
              ...this.valued(output ? d.value : narrowed(d.value, d.storage)),
              where,
              line: this.options.lineOf(d.span.start),
            },
          ],
        },
      },
    ];
  }
}

const trueExpr: Expr = { kind: "const", value: true, type: "bool", span: { start: 0, end: 0 } };
const wide = (type: Expr["type"]): ElemType => ({ name: type === "int" ? "i32" : type === "bool" ? "u32" : type });
/** A definition with a storage type rounds as a conversion does. */
const narrowed = (e: Expr, storage: ElemType | undefined): Expr =>
  storage && isNarrow(storage) ? { kind: "cast", to: storage, mode: "nearest", arg: e, type: e.type, span: e.span } : e;
