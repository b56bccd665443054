/**
 * Proves conditions over integer expressions for all sizes at once: the facts together with the negated goal are refuted.
 *
 * Monomials are unknowns of a linear system. Axioms of the atoms that occur are added, then a few products of rows; Fourier-Motzkin
 * elimination with integer tightening decides; what is disjunctive is split. Sound always, complete never: every limit only loses facts,
 * so running out means "not proven", never "wrong".
 */
import { and, compare, conjuncts, indexVar, isTrue, not, num, op as operation, substitute, visit } from "../tensor/expr.ts";
import type { Expr } from "../tensor/ir.ts";
import { Axioms, isNatural, type Quantified } from "./axioms.ts";
import { type Facts, unfold } from "./facts.ts";
import { Atoms, constant, minus, Overflow } from "./poly.ts";
import { atLeast, Elimination, empty, flat, type System, zero } from "./rows.ts";

export class Prover {
  private readonly atoms: Atoms;
  private readonly base: readonly Expr[];
  private readonly quantified: readonly Quantified[];

  private readonly facts: Facts;

  constructor(facts: Facts) {
    this.facts = facts;
    this.atoms = new Atoms((tensor, subscripts) => {
      const f = facts.formulas?.get(tensor);
      return f ? unfold(f, subscripts) : undefined;
    });
    const conditions = facts.conditions.flatMap(conjuncts);
    this.quantified = conditions.filter((c): c is Quantified => c.kind === "reduce" && c.op === "all" && c.axes.length === 1);
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
    if (this.evident(goal)) return true;
    if (goal.kind === "op" && goal.op === "lor" && goal.args.some((g) => this.proves(g))) return true;
    return this.refutes(not(goal));
  }
  /** An order that the types of what is compared make so: most subscripts are natural numbers. */
  private evident(goal: Expr): boolean {
    if (goal.kind !== "op" || !orders.has(goal.op)) return false;
    return withinNumbers(() => {
      const [row] = this.system(goal).rows;
      return row !== undefined && isNatural(row.p, this.facts, this.atoms);
    });
  }
  /** True only if no values that the facts admit make `condition` hold. */
  refutes(condition: Expr): boolean {
    const elimination = new Elimination();
    const axioms = new Axioms(this.facts, this.atoms, this.quantified, (c) => this.system(c), elimination);
    return withinNumbers(() => {
      const given = this.system(and(...this.relevant(condition), condition));
      return elimination.contradictory(given.rows) || elimination.refutes(axioms.close(given));
    });
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
}

/** What a proof says, or that it is given up because its numbers leave the exact range. */
function withinNumbers(proof: () => boolean): boolean {
  try {
    return proof();
  } catch (e) {
    if (e instanceof Overflow) return false;
    throw e;
  }
}
const orders: ReadonlySet<string> = new Set(["lt", "le", "gt", "ge"]);
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
