/** What is known of the atoms that occur in a system: ranges of their types, what defines them, order of offsets, and conditions on all elements. */
import { and, indexVar, num, op as operation, substitute } from "../tensor/expr.ts";
import type { Expr } from "../tensor/ir.ts";
import { type ElemType, infoOf } from "../tensor/types.ts";
import type { Facts } from "./facts.ts";
import { type Atom, type Atoms, constant, constantOf, idsOf, keyOf, minus, negate, type Poly, plus, times } from "./poly.ts";
import { atLeast, type Elimination, type Row, type System, zero } from "./rows.ts";

export type Quantified = Extract<Expr, { kind: "reduce" }>;
const mostAtoms = 72;

export class Axioms {
  private readonly facts: Facts;
  private readonly atoms: Atoms;
  private readonly quantified: readonly Quantified[];
  private readonly system: (c: Expr) => System;
  private readonly elimination: Elimination;

  /** @param quantified conditions on all elements of an axis; @param system a condition as rows */
  constructor(facts: Facts, atoms: Atoms, quantified: readonly Quantified[], system: (c: Expr) => System, elimination: Elimination) {
    this.facts = facts;
    this.atoms = atoms;
    this.quantified = quantified;
    this.system = system;
    this.elimination = elimination;
  }
  /** The system with what is known of its atoms, and of theirs. */
  close(s: System): System {
    const rows = [...s.rows];
    const splits = [...s.splits];
    const seen = new Set<number>();
    const instantiated = new Set<string>();
    const offsets = new Map<string, { tensor: string; at: Poly; value: Poly }>();
    let queue: number[] = [];
    const note = (p: Poly): void => {
      for (const m of p.keys())
        for (const id of idsOf(m)) {
          if (seen.has(id) || seen.size >= mostAtoms) continue;
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
    return { rows, splits };
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
        const positive =
          fixed !== undefined
            ? fixed > 0
            : this.elimination.contradictory(this.elimination.products([...given, atLeast(negate(a.divisor))]));
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
        if (table === undefined) return;
        rows.push(...withinType(table.elem, self));
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
        if (a.expr.kind === "cast") rows.push(...withinType(a.expr.to, self));
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
          if (guard.length === 0 && inside.every((r) => this.elimination.contradictory([...rows, opposite(r)]))) {
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
}

/** True only if a polynomial is at least 0 for all values: added products of atoms that are so by their types. No divisor is 0. */
export function isNatural(p: Poly, facts: Facts, atoms: Atoms): boolean {
  const natural = (a: Atom): boolean => {
    switch (a.kind) {
      case "symbol":
        return a.natural;
      case "quotient":
        return isNatural(a.numerator, facts, atoms) && isNatural(a.divisor, facts, atoms);
      case "segment":
        return facts.tables.has(a.table);
      case "read": {
        const elem = facts.tables.get(a.tensor)?.elem;
        return elem !== undefined && (elem.name === "index" || elem.name === "offsets" || infoOf(elem).min === 0);
      }
      default:
        return false;
    }
  };
  for (const [m, c] of p) if (c < 0 || !idsOf(m).every((id) => natural(atoms.list[id]!))) return false;
  return true;
}
/** What the range of an element type says of a value that it holds. */
function withinType(elem: ElemType, value: Poly): Row[] {
  const { min, max } = infoOf(elem);
  return min === undefined ? [] : [atLeast(minus(value, constant(min))), atLeast(minus(constant(max!), value))];
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
