/**
 * Proves conditions over integer expressions for all sizes at once: the facts together with the negated goal are refuted.
 *
 * Monomials are unknowns of a linear system. Axioms of the atoms that occur are added, then a few products of rows; Fourier-Motzkin
 * elimination with integer tightening decides; what is disjunctive is split. Sound always, complete never: every limit only loses facts,
 * so running out means "not proven", never "wrong".
 */
import { and, compare, conjuncts, indexVar, isTrue, not, num, op as operation, substitute, visit } from "../tensor/expr.ts";
import type { Axis, Expr } from "../tensor/ir.ts";
import type { ElemType } from "../tensor/types.ts";
import {
  Atoms,
  constant,
  constantOf,
  contentOf,
  idsOf,
  keyOf,
  minus,
  negate,
  Overflow,
  type Poly,
  plus,
  quotientOf,
  textOf,
  times,
} from "./poly.ts";

/** What is known of a tensor whose elements steer subscripts. */
export interface TableType {
  readonly elem: ElemType;
  readonly extents: readonly Expr[];
}
export interface Facts {
  readonly dims: readonly { readonly name: string; readonly value?: number }[];
  readonly tables: ReadonlyMap<string, TableType>;
  /** Indices in scope with their ranges. */
  readonly axes: readonly Axis[];
  /** Conditions known to hold. An `all(r) c` is used at every subscript that occurs. */
  readonly conditions: readonly Expr[];
  /** Integer and bool definitions that are plain formulas: a read is the formula. */
  readonly formulas?: ReadonlyMap<string, Formula>;
}
export interface Formula {
  readonly axes: readonly Axis[];
  readonly value: Expr;
}
export const unfold = (f: Formula, subscripts: readonly Expr[]): Expr =>
  substitute(f.value, new Map(f.axes.map((a, k) => [a.name, subscripts[k]!])));

/** p >= 0, or p == 0. */
interface Row {
  readonly p: Poly;
  readonly equal: boolean;
}
/** Every row, and of every split one alternative. */
interface System {
  readonly rows: Row[];
  readonly splits: System[][];
}

const limit = { rows: 500, products: 160, atoms: 72, depth: 9, coefficient: 2 ** 40, steps: 20_000, systems: 240 };
const atLeast = (p: Poly): Row => ({ p, equal: false });
const zero = (p: Poly): Row => ({ p, equal: true });
const empty = (): System => ({ rows: [], splits: [] });
const flat = (parts: readonly System[]): System => ({ rows: parts.flatMap((s) => s.rows), splits: parts.flatMap((s) => s.splits) });

export class Prover {
  private readonly atoms: Atoms;
  private steps = 0;
  private systems = 0;
  private readonly base: readonly Expr[];
  private readonly quantified: readonly Extract<Expr, { kind: "reduce" }>[];

  private readonly facts: Facts;

  constructor(facts: Facts) {
    this.facts = facts;
    this.atoms = new Atoms((tensor, subscripts) => {
      const f = facts.formulas?.get(tensor);
      return f ? unfold(f, subscripts) : undefined;
    });
    const conditions = facts.conditions.flatMap(conjuncts);
    this.quantified = conditions.filter(
      (c): c is Extract<Expr, { kind: "reduce" }> => c.kind === "reduce" && c.op === "all" && c.axes.length === 1,
    );
    this.base = [
      ...facts.dims.map((d): Expr => {
        const dim: Expr = { kind: "dim", name: d.name, type: "int", span: { start: 0, end: 0 } };
        return d.value === undefined ? compare("ge", dim, num(0)) : compare("eq", dim, num(d.value));
      }),
      ...facts.axes.flatMap((a) => {
        const i = indexVar(a.name);
        const within = [compare("ge", i, num(0)), compare("lt", i, a.extent)];
        return a.range ? [...within, compare("ge", i, a.range.from), compare("lt", i, a.range.to)] : within;
      }),
      ...conditions.filter((c) => c.kind !== "reduce"),
    ];
  }

  /** True only if `goal` holds for all values that the facts admit. */
  proves(goal: Expr): boolean {
    if (isTrue(goal)) return true;
    if (goal.kind === "op" && goal.op === "land") return goal.args.every((g) => this.proves(g));
    if (goal.kind === "op" && goal.op === "eq" && goal.args[0]!.type !== "bool") {
      const [a, b] = goal.args as [Expr, Expr];
      return this.refutes(compare("gt", a, b)) && this.refutes(compare("lt", a, b));
    }
    if (goal.kind === "reduce" && goal.op === "any") return this.witness(goal);
    if (goal.kind === "op" && goal.op === "lor" && goal.args.some((g) => this.proves(g))) return true;
    return this.refutes(not(goal));
  }
  /** True only if no values that the facts admit make `condition` hold. */
  refutes(condition: Expr): boolean {
    this.steps = 0;
    this.systems = 0;
    try {
      const s = this.close(this.system(and(...this.relevant(condition), condition)));
      return this.search(s.rows, s.splits, 0);
    } catch (e) {
      if (e instanceof Overflow) return false;
      throw e;
    }
  }

  /** Facts that share a symbol with the condition, directly or through other facts: no other can take part in refuting it. */
  private relevant(condition: Expr): Expr[] {
    const reached = new Set(this.symbols(condition));
    for (const q of this.quantified) for (const name of this.symbols(q)) reached.add(name);
    let open = this.base.map((fact) => ({ fact, symbols: this.symbols(fact) }));
    const taken: Expr[] = [];
    for (let grew = true; grew; ) {
      grew = false;
      const rest: typeof open = [];
      for (const f of open) {
        if (f.symbols.size > 0 && ![...f.symbols].some((name) => reached.has(name))) {
          rest.push(f);
          continue;
        }
        taken.push(f.fact);
        for (const name of f.symbols) if (!reached.has(name)) grew = reached.add(name).size > 0;
      }
      open = rest;
    }
    return taken;
  }
  private readonly symbolSets = new WeakMap<Expr, ReadonlySet<string>>();
  /** Names in an expression, with those that what is known of its tables brings in. */
  private symbols(e: Expr): ReadonlySet<string> {
    const old = this.symbolSets.get(e);
    if (old) return old;
    const out = new Set<string>();
    const table = (name: string): void => {
      if (out.has(name)) return;
      out.add(name);
      const t = this.facts.tables.get(name);
      for (const x of t ? [...t.extents, ...(t.elem.bound ? [t.elem.bound] : [])] : []) walk(x);
      const f = this.facts.formulas?.get(name);
      if (f) walk(f.value);
    };
    const walk = (x: Expr): void =>
      visit(x, (y) => {
        if (y.kind === "dim" || y.kind === "index" || y.kind === "scalar" || y.kind === "var") out.add(y.name);
        if (y.kind === "read") table(y.tensor);
        if (y.kind === "segment") table(y.table);
      });
    walk(e);
    this.symbolSets.set(e, out);
    return out;
  }

  /** Not empty: some candidate index lies in the range and satisfies the condition. */
  private witness(goal: Extract<Expr, { kind: "reduce" }>): boolean {
    const [axis, ...rest] = goal.axes;
    if (axis === undefined) return this.proves(and(goal.where, ...goal.bodies));
    const whole = and(goal.where, ...goal.bodies);
    const candidates: Expr[] = [num(0), operation("sub", [axis.extent, num(1)], "int")];
    if (axis.range) candidates.unshift(axis.range.from, operation("sub", [axis.range.to, num(1)], "int"));
    for (const c of conjuncts(whole)) candidates.push(...boundsOn(axis.name, c));
    return candidates.some((value) => {
      const at = new Map([[axis.name, value]]);
      const inside = [compare("ge", value, num(0)), compare("lt", value, axis.extent)];
      if (axis.range) inside.push(compare("ge", value, axis.range.from), compare("lt", value, axis.range.to));
      if (!inside.every((c) => this.proves(c))) return false;
      if (rest.length === 0) return this.proves(substitute(whole, at));
      const { where: _, ...open } = goal;
      return this.proves(substitute({ ...open, axes: rest, bodies: [whole] }, at));
    });
  }

  // ---- conditions as systems of rows
  private system(c: Expr): System {
    if (c.kind === "const") return c.value === false ? { rows: [atLeast(constant(-1))], splits: [] } : empty();
    if (c.kind === "if") return this.system(operation("lor", [and(c.cond, c.then), and(not(c.cond), c.else)], "bool"));
    const formula = c.kind === "read" ? this.facts.formulas?.get(c.tensor) : undefined;
    if (formula && c.kind === "read") return this.system(unfold(formula, c.subscripts));
    if (c.kind !== "op") return empty();
    switch (c.op) {
      case "land":
        return flat(c.args.map((x) => this.system(x)));
      case "lor":
        return { rows: [], splits: [c.args.map((x) => this.system(x))] };
      case "lnot":
        return this.negated(c.args[0]!);
      case "lt":
      case "le":
      case "gt":
      case "ge":
      case "eq":
      case "ne":
        break;
      default:
        return empty();
    }
    const [x, y] = c.args as [Expr, Expr];
    if (x.type === "f32" || x.type === "f64" || x.type === "bool") return empty();
    const a = this.atoms.of(x);
    const b = this.atoms.of(y);
    const one = constant(1);
    const less = atLeast(minus(minus(b, a), one));
    const more = atLeast(minus(minus(a, b), one));
    switch (c.op) {
      case "lt":
        return { rows: [less], splits: [] };
      case "gt":
        return { rows: [more], splits: [] };
      case "le":
        return { rows: [atLeast(minus(b, a))], splits: [] };
      case "ge":
        return { rows: [atLeast(minus(a, b))], splits: [] };
      case "eq":
        return { rows: [zero(minus(a, b))], splits: [] };
      default:
        return {
          rows: [],
          splits: [
            [
              { rows: [less], splits: [] },
              { rows: [more], splits: [] },
            ],
          ],
        };
    }
  }
  private negated(c: Expr): System {
    if (c.kind === "const") return this.system({ ...c, value: !c.value });
    if (c.kind === "if") return this.system(operation("lor", [and(c.cond, not(c.then)), and(not(c.cond), not(c.else))], "bool"));
    const formula = c.kind === "read" ? this.facts.formulas?.get(c.tensor) : undefined;
    if (formula && c.kind === "read") return this.negated(unfold(formula, c.subscripts));
    if (c.kind !== "op") return empty();
    const flip = { lt: "ge", ge: "lt", gt: "le", le: "gt", eq: "ne", ne: "eq" } as const;
    if (c.op in flip) return this.system({ ...c, op: flip[c.op as keyof typeof flip] });
    if (c.op === "lnot") return this.system(c.args[0]!);
    if (c.op === "land") return { rows: [], splits: [c.args.map((x) => this.negated(x))] };
    if (c.op === "lor") return flat(c.args.map((x) => this.negated(x)));
    return empty();
  }

  // ---- what is known of the atoms that occur
  private close(s: System): System {
    const rows = [...s.rows];
    const splits = [...s.splits];
    const seen = new Set<number>();
    const instantiated = new Set<string>();
    const offsets = new Map<string, { tensor: string; at: Poly; value: Poly }>();
    let queue: number[] = [];
    const note = (p: Poly): void => {
      for (const m of p.keys())
        for (const id of idsOf(m)) {
          if (seen.has(id) || seen.size >= limit.atoms) continue;
          seen.add(id);
          queue.push(id);
          const a = this.atoms.list[id]!;
          if (a.kind === "read") a.args.forEach(note);
          if (a.kind === "segment") note(a.arg);
        }
    };
    const noteAll = (sys: System): void => {
      for (const r of sys.rows) note(r.p);
      for (const alternatives of sys.splits) alternatives.forEach(noteAll);
    };
    noteAll(s);
    for (let round = 0; queue.length > 0 && round < 4; round++) {
      const work = queue;
      queue = [];
      const fromRows = rows.length;
      const fromSplits = splits.length;
      for (const id of work) this.axioms(id, s.rows, rows, splits, offsets);
      if (round < 2) for (const id of work) this.instances(id, instantiated, rows, splits);
      noteAll({ rows: rows.slice(fromRows), splits: splits.slice(fromSplits) });
    }
    this.ordered([...offsets.values()], rows, splits);
    return { rows: this.products(rows), splits };
  }

  private axioms(
    id: number,
    given: readonly Row[],
    rows: Row[],
    splits: System[][],
    offsets: Map<string, { tensor: string; at: Poly; value: Poly }>,
  ): void {
    const a = this.atoms.list[id]!;
    const self: Poly = new Map([[String(id), 1]]);
    const one = constant(1);
    switch (a.kind) {
      case "symbol":
        if (a.natural) rows.push(atLeast(self));
        return;
      case "quotient": {
        // 0 <= numerator - divisor * self <= divisor - 1, for a positive divisor
        const inside = minus(a.numerator, times(a.divisor, self));
        const axioms = [atLeast(inside), atLeast(minus(minus(a.divisor, one), inside))];
        const fixed = constantOf(a.divisor);
        const positive = fixed !== undefined ? fixed > 0 : this.contradictory(this.products([...given, atLeast(negate(a.divisor))]));
        if (positive) rows.push(...axioms);
        else if (fixed === undefined)
          splits.push([
            { rows: [atLeast(negate(a.divisor))], splits: [] },
            { rows: [atLeast(minus(a.divisor, one)), ...axioms], splits: [] },
          ]);
        return;
      }
      case "min":
      case "max": {
        const below = (x: Poly, y: Poly): Row => atLeast(a.kind === "min" ? minus(y, x) : minus(x, y));
        rows.push(below(self, a.a), below(self, a.b));
        splits.push([
          { rows: [zero(minus(self, a.a)), below(a.a, a.b)], splits: [] },
          { rows: [zero(minus(self, a.b)), below(a.b, a.a)], splits: [] },
        ]);
        return;
      }
      case "segment": {
        const table = this.facts.tables.get(a.table);
        if (table === undefined) return;
        const start = (e: Poly): Poly => this.atoms.atom({ kind: "read", tensor: a.table, args: [e] });
        const count = this.atoms.of(table.extents[0]!);
        rows.push(atLeast(self), atLeast(minus(minus(count, constant(2)), self)));
        rows.push(atLeast(minus(a.arg, start(self))), atLeast(minus(minus(start(plus(self, one)), a.arg), one)));
        return;
      }
      case "read": {
        const table = this.facts.tables.get(a.tensor);
        const range = table ? rangeOf(table.elem) : undefined;
        if (table === undefined) return;
        if (range) rows.push(atLeast(minus(self, constant(range[0]))), atLeast(minus(constant(range[1]), self)));
        if (table.elem.name === "index") rows.push(atLeast(self), atLeast(minus(minus(this.atoms.of(table.elem.bound!), one), self)));
        if (table.elem.name === "offsets") {
          const at = a.args[0]!;
          const total = this.atoms.of(table.elem.bound!);
          const last = minus(this.atoms.of(table.extents[0]!), one);
          rows.push(atLeast(self), atLeast(minus(total, self)));
          if (constantOf(at) === 0) rows.push(zero(self));
          if (!table.elem.open && keyOf(at) === keyOf(last)) rows.push(zero(minus(self, total)));
          offsets.set(`${a.tensor} ${keyOf(at)}`, { tensor: a.tensor, at, value: self });
        }
        return;
      }
      case "opaque": {
        if (a.expr.kind === "cast") {
          const range = rangeOf(a.expr.to);
          if (range) rows.push(atLeast(minus(self, constant(range[0]))), atLeast(minus(constant(range[1]), self)));
        }
        if (a.expr.kind === "reduce") this.reductionAxioms(a.expr, self, rows);
        if (a.expr.type === "u32") rows.push(atLeast(self));
        return;
      }
    }
  }
  /** An argmax lies within its axis; a count over n elements lies in 0..n. */
  private reductionAxioms(e: Extract<Expr, { kind: "reduce" }>, self: Poly, rows: Row[]): void {
    const sizes = e.axes.map((a) => this.atoms.of(a.extent)).reduce(times);
    if (e.op === "argmax" || e.op === "argmin") rows.push(atLeast(self), atLeast(minus(minus(sizes, constant(1)), self)));
    const body = e.bodies[0];
    const unit = e.op === "sum" && body?.kind === "const" && body.value === 1;
    const counted =
      e.op === "sum" && body?.kind === "if" && [body.then, body.else].every((b) => b.kind === "const" && (b.value === 0 || b.value === 1));
    if (unit || counted) rows.push(atLeast(self), atLeast(minus(sizes, self)));
  }

  /** The `all(r) ...` preconditions at the subscripts that occur. */
  private instances(id: number, done: Set<string>, rows: Row[], splits: System[][]): void {
    const a = this.atoms.list[id]!;
    if (a.kind !== "read") return;
    this.quantified.forEach((fact, which) => {
      const axis = fact.axes[0]!;
      const over = this.atoms.of(indexVar(axis.name));
      const body = and(...fact.bodies);
      for (const shift of shiftsOf(body, a.tensor, (e) => constantOf(minus(this.atoms.of(e), over)))) {
        for (const arg of a.args) {
          const at = minus(arg, constant(shift));
          const key = `${which} ${keyOf(at)}`;
          if (done.has(key) || (constantOf(at) ?? 0) < 0) continue;
          done.add(key);
          const value = this.expression(at);
          if (value === undefined) continue;
          const instance = this.system(substitute(and(body), new Map([[axis.name, value]])));
          const guard = fact.where ? [this.system(substitute(fact.where, new Map([[axis.name, value]])))] : [];
          const inside = [atLeast(at), atLeast(minus(minus(this.atoms.of(axis.extent), constant(1)), at))];
          const opposite = (r: Row): Row => atLeast(minus(negate(r.p), constant(1)));
          if (guard.length === 0 && inside.every((r) => this.contradictory([...rows, opposite(r)]))) {
            rows.push(...instance.rows);
            splits.push(...instance.splits);
          } else if (guard.length === 0) {
            splits.push([
              { rows: [...inside, ...instance.rows], splits: instance.splits },
              ...inside.map((r) => ({ rows: [opposite(r)], splits: [] })),
            ]);
          }
        }
      }
    });
  }
  /** A polynomial as an expression again; undefined where an opaque atom stands in the way. */
  private expression(p: Poly): Expr | undefined {
    let sum: Expr = num(0);
    for (const [m, c] of p) {
      let term: Expr = num(c);
      for (const id of idsOf(m)) {
        const a = this.atoms.list[id]!;
        let factor: Expr | undefined;
        if (a.kind === "symbol")
          factor =
            a.natural && this.facts.dims.some((d) => d.name === a.name)
              ? { kind: "dim", name: a.name, type: "int", span: { start: 0, end: 0 } }
              : indexVar(a.name);
        if (a.kind === "read") {
          const args = a.args.map((x) => this.expression(x));
          if (args.every((x): x is Expr => x !== undefined))
            factor = { kind: "read", tensor: a.tensor, subscripts: args, type: "int", span: { start: 0, end: 0 } };
        }
        if (a.kind === "segment") {
          const arg = this.expression(a.arg);
          if (arg) factor = { kind: "segment", table: a.table, arg, type: "int", span: { start: 0, end: 0 } };
        }
        if (a.kind === "quotient") {
          const [x, y] = [this.expression(a.numerator), this.expression(a.divisor)];
          if (x && y) factor = operation("div", [x, y], "int");
        }
        if (factor === undefined) return undefined;
        term = operation("mul", [term, factor], "int");
      }
      sum = operation("add", [sum, term], "int");
    }
    return sum;
  }

  /** Offsets are nondecreasing: every two subscripts are compared, with one three-way split for all pairs of one open difference. */
  private ordered(reads: readonly { tensor: string; at: Poly; value: Poly }[], rows: Row[], splits: System[][]): void {
    const groups = new Map<string, { difference: Poly; pairs: { shift: number; upper: Poly; lower: Poly }[] }>();
    for (const x of reads)
      for (const y of reads) {
        if (x === y || x.tensor !== y.tensor) continue;
        const d = minus(x.at, y.at);
        const c = constantOf(d);
        if (c !== undefined) {
          if (c > 0) rows.push(atLeast(minus(x.value, y.value)));
          continue;
        }
        const shift = d.get("") ?? 0;
        const open = minus(d, constant(shift));
        const key = keyOf(open);
        if (key > keyOf(negate(open))) continue;
        const group = groups.get(key) ?? { difference: open, pairs: [] };
        group.pairs.push({ shift, upper: x.value, lower: y.value });
        groups.set(key, group);
      }
    for (const { difference: d, pairs } of groups.values()) {
      // x.at - y.at = d + shift, in the three cases d <= -1, d = 0, d >= 1
      const under = [atLeast(minus(negate(d), constant(1)))];
      const same = [zero(d)];
      const over = [atLeast(minus(d, constant(1)))];
      for (const { shift, upper, lower } of pairs) {
        if (shift <= 1) under.push(atLeast(minus(lower, upper)));
        if (shift >= -1) over.push(atLeast(minus(upper, lower)));
        same.push(shift === 0 ? zero(minus(upper, lower)) : atLeast(shift > 0 ? minus(upper, lower) : minus(lower, upper)));
      }
      splits.unshift([under, same, over].map((r) => ({ rows: r, splits: [] })));
    }
  }

  // ---- deciding
  private search(rows: Row[], splits: readonly System[][], depth: number): boolean {
    if (this.contradictory(rows)) return true;
    if (depth > limit.depth || this.steps > limit.steps || this.systems > limit.systems) return false;
    const [first, ...rest] = splits;
    if (first === undefined) return depth > 0 && this.contradictory(this.products(rows));
    return first.every((s) => this.search([...rows, ...s.rows], [...s.splits, ...rest], depth + 1));
  }

  /** Multiplies rows by factors known to be non-negative where that lands on monomials that already occur. */
  private products(given: readonly Row[]): Row[] {
    const rows = [...given];
    const known = new Set<string>();
    const note = (p: Poly): void => {
      for (const m of p.keys()) if (m.includes("*")) known.add(m);
    };
    for (const r of rows) note(r.p);
    if (known.size === 0) return rows;
    const have = new Set(rows.map((r) => keyOf(r.p)));
    let budget = limit.products;
    for (let round = 0; round < 2 && known.size > 0; round++) {
      const bounds = new Map<number, Poly[]>();
      for (const r of rows) {
        if (r.equal || r.p.size > 3) continue;
        for (const m of r.p.keys()) if (m !== "" && !m.includes("*")) bounds.set(Number(m), [...(bounds.get(Number(m)) ?? []), r.p]);
      }
      const natural = (id: number): boolean => bounds.get(id)?.some((p) => p.size === 1 && (p.get(String(id)) ?? 0) > 0) ?? false;
      const monomials = [...known];
      for (const r of [...rows]) {
        if (r.p.size > 6) continue;
        for (const m of monomials)
          for (const y of r.p.keys()) {
            const rest = y === "" || y === m ? undefined : quotientOf(m, y);
            if (rest === undefined || budget <= 0) continue;
            const whole: Poly = new Map([[rest, 1]]);
            const factors = r.equal
              ? [whole]
              : rest.includes("*")
                ? idsOf(rest).every(natural)
                  ? [whole]
                  : []
                : (bounds.get(Number(rest)) ?? []);
            for (const f of factors) {
              const p = times(r.p, f);
              let strangers = 0;
              for (const k of p.keys()) if (k.includes("*") && !known.has(k)) strangers++;
              const key = keyOf(p);
              if (strangers > (round === 0 ? 1 : 0) || have.has(key) || budget <= 0) continue;
              have.add(key);
              budget--;
              rows.push({ p, equal: r.equal });
              note(p);
            }
          }
      }
    }
    return rows;
  }

  /** Fourier-Motzkin over the monomials; equalities go first, every row is divided by its content and its constant rounded down. */
  private contradictory(given: readonly Row[]): boolean {
    this.systems++;
    let equal = given.filter((r) => r.equal).map((r) => r.p);
    let open = given.filter((r) => !r.equal).map((r) => r.p);
    while (equal.length > 0) {
      const e = equal.pop()!;
      const fixed = constantOf(e);
      if (fixed !== undefined) {
        if (fixed !== 0) return true;
        continue;
      }
      const g = contentOf(e);
      if ((e.get("") ?? 0) % g !== 0) return true;
      const pivot = [...e].find(([m, c]) => m !== "" && Math.abs(c) === g);
      if (pivot === undefined) {
        open.push(e, negate(e));
        continue;
      }
      const [m, c] = pivot;
      const unit: Poly = new Map([...e].map(([n, x]) => [n, x / g] as const));
      const eliminate = (p: Poly): Poly => {
        const x = p.get(m);
        return x === undefined ? p : plus(p, unit, -x * Math.sign(c));
      };
      equal = equal.map(eliminate);
      open = open.map(eliminate);
    }
    let rows = new Map<string, Poly>();
    /** Keeps the strongest row of each left side; true where the row is a contradiction. */
    const put = (given: Poly): boolean => {
      const fixed = constantOf(given);
      if (fixed !== undefined) return fixed < 0;
      const g = contentOf(given);
      const p = new Map<string, number>();
      for (const [m, c] of given) {
        const v = m === "" ? Math.floor(c / g) : c / g;
        if (Math.abs(v) > limit.coefficient) return false;
        if (v !== 0) p.set(m, v);
      }
      const bound = p.get("") ?? 0;
      const key = textOf(p, false);
      const old = rows.get(key);
      if (old === undefined || (old.get("") ?? 0) > bound) rows.set(key, p);
      return false;
    };
    for (const p of open) if (put(p)) return true;
    for (;;) {
      const uses = new Map<string, [number, number]>();
      for (const p of rows.values())
        for (const [m, c] of p) {
          if (m === "") continue;
          const u = uses.get(m) ?? [0, 0];
          u[c > 0 ? 0 : 1]++;
          uses.set(m, u);
        }
      let best: string | undefined;
      let cost = Number.POSITIVE_INFINITY;
      for (const [m, [a, b]] of uses) {
        if (a * b - a - b >= cost) continue;
        cost = a * b - a - b;
        best = m;
      }
      if (best === undefined) return false;
      const lower: Poly[] = [];
      const upper: Poly[] = [];
      const rest = new Map<string, Poly>();
      for (const [key, p] of rows) {
        const c = p.get(best);
        if (c === undefined) rest.set(key, p);
        else (c > 0 ? lower : upper).push(p);
      }
      rows = rest;
      for (const p of lower)
        for (const q of upper) {
          const sum = plus(plus(constant(0), p, -q.get(best)!), q, p.get(best)!);
          if (put(sum)) return true;
          if (rows.size > limit.rows || ++this.steps > limit.steps) return false;
        }
    }
  }
}

/** Least and largest value of an integer storage type narrower than 32 bits. */
function rangeOf(elem: ElemType): readonly [number, number] | undefined {
  const ranges: Partial<Record<ElemType["name"], readonly [number, number]>> = {
    u2: [0, 3],
    u3: [0, 7],
    u4: [0, 15],
    i4: [-8, 7],
    u8: [0, 255],
    i8: [-128, 127],
    u16: [0, 65535],
    i16: [-32768, 32767],
    u32: [0, 2 ** 32 - 1],
    i32: [-(2 ** 31), 2 ** 31 - 1],
  };
  return ranges[elem.name];
}

/** The constants s for which `tensor` is read at (index + s) in `e`. */
function shiftsOf(e: Expr, tensor: string, difference: (subscript: Expr) => number | undefined): Set<number> {
  const out = new Set<number>();
  const walk = (x: Expr): void => {
    if (x.kind === "read" && x.tensor === tensor)
      for (const s of x.subscripts) {
        const d = difference(s);
        if (d !== undefined) out.add(d);
      }
    if (x.kind === "op") x.args.forEach(walk);
    if (x.kind === "read") x.subscripts.forEach(walk);
  };
  walk(e);
  return out;
}

/** Values of `index` at the edge of a comparison in which it stands alone on one side, up to added terms. */
function boundsOn(index: string, c: Expr): Expr[] {
  if (c.kind === "op" && (c.op === "lor" || c.op === "land")) return c.args.flatMap((x) => boundsOn(index, x));
  if (c.kind !== "op" || !["lt", "le", "gt", "ge", "eq"].includes(c.op)) return [];
  const [a, b] = c.args as [Expr, Expr];
  const solve = (side: Expr, other: Expr): Expr | undefined => {
    if (side.kind === "index") return side.name === index ? other : undefined;
    if (side.kind !== "op") return undefined;
    const [x, y] = side.args as [Expr, Expr];
    if (side.op === "add") return solve(x, operation("sub", [other, y], "int")) ?? solve(y, operation("sub", [other, x], "int"));
    if (side.op === "sub") return solve(x, operation("add", [other, y], "int")) ?? solve(y, operation("sub", [x, other], "int"));
    return undefined;
  };
  const edge = solve(a, b) ?? solve(b, a);
  if (edge === undefined) return [];
  return [edge, operation("sub", [edge, num(1)], "int"), operation("add", [edge, num(1)], "int")];
}
