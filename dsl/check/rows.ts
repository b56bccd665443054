/**
 * Systems of linear rows over monomials, which stand for unknowns of their own: a few products of rows, Fourier-Motzkin elimination with integer
 * tightening, and a search through what is disjunctive. What runs into a limit is not refuted.
 */
import { combined, constantOf, contentOf, idsOf, keyOf, negate, type Poly, plus, quotientOf, textOf, times } from "./poly.ts";

/** p >= 0, or p == 0. */
export interface Row {
  readonly p: Poly;
  readonly equal: boolean;
}
/** Every row, and of every split one alternative. */
export interface System {
  readonly rows: Row[];
  readonly splits: System[][];
}

const limit = { rows: 500, products: 160, depth: 9, coefficient: 2 ** 40, steps: 20_000, systems: 240 };
export const atLeast = (p: Poly): Row => ({ p, equal: false });
export const zero = (p: Poly): Row => ({ p, equal: true });
export const empty = (): System => ({ rows: [], splits: [] });
/** All systems in one. */
export function flat(parts: readonly System[]): System {
  const all = empty();
  for (const { rows, splits } of parts) {
    all.rows.push(...rows);
    all.splits.push(...splits);
  }
  return all;
}

/** Decides one question; counts what it has cost so far. */
export class Elimination {
  private steps = 0;
  private systems = 0;

  /** True only if no values satisfy the rows and one alternative of each split. */
  refutes({ rows, splits }: System): boolean {
    if (this.contradictory(rows)) return true;
    const more = this.products(rows);
    if (more.length > rows.length && this.contradictory(more)) return true;
    return splits.length > 0 && this.alternatives(more, splits, 0);
  }
  /** The same of rows that alone are no contradiction. */
  private alternatives(rows: Row[], splits: readonly System[][], depth: number): boolean {
    if (depth > limit.depth || this.steps > limit.steps || this.systems > limit.systems) return false;
    const [first, ...rest] = splits;
    if (first === undefined) return this.contradictory(this.products(rows));
    return first.every((s) => {
      const all = [...rows, ...s.rows];
      return this.contradictory(all) || this.alternatives(all, [...s.splits, ...rest], depth + 1);
    });
  }

  /** Multiplies rows by factors known to be non-negative where that lands on monomials that already occur. */
  products(given: readonly Row[]): Row[] {
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
      const wholes = new Map<string, Poly>();
      const factorsOf = (rest: string, equal: boolean): readonly Poly[] => {
        if (!equal && !rest.includes("*")) return bounds.get(Number(rest)) ?? [];
        if (!equal && !idsOf(rest).every(natural)) return [];
        const whole = wholes.get(rest) ?? new Map([[rest, 1]]);
        wholes.set(rest, whole);
        return [whole];
      };
      const monomials = [...known];
      for (const r of [...rows]) {
        if (r.p.size > 6) continue;
        const multiplied = new Map<Poly, Poly>();
        for (const m of monomials)
          for (const y of r.p.keys()) {
            const rest = y === "" || y === m ? undefined : quotientOf(m, y);
            if (rest === undefined || budget <= 0) continue;
            for (const f of factorsOf(rest, r.equal)) {
              const p = multiplied.get(f) ?? times(r.p, f);
              multiplied.set(f, p);
              let strangers = 0;
              for (const k of p.keys()) if (k.includes("*") && !known.has(k)) strangers++;
              if (strangers > (round === 0 ? 1 : 0) || budget <= 0) continue;
              const key = keyOf(p);
              if (have.has(key)) continue;
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
  contradictory(given: readonly Row[]): boolean {
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
          const sum = combined(p, -q.get(best)!, q, p.get(best)!);
          if (put(sum)) return true;
          if (rows.size > limit.rows || ++this.steps > limit.steps) return false;
        }
    }
  }
}
