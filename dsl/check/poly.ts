/**
 * The normal form of an integer expression: a polynomial with integer coefficients over interned atoms. Floor divisions, min, max, table
 * reads and segments are atoms keyed by the normal forms of their parts, so that equal subscripts are equal atoms; `a % b` is
 * `a - b * (a / b)`. What arithmetic cannot see through (a float, a wrapping i32 sum) is an opaque atom, keyed by its text.
 */
import type { Expr } from "../tensor/ir.ts";
import { printExpr } from "../tensor/print.ts";

/** Monomial (sorted atom ids joined by `*`, "" for the constant) -> coefficient, never 0. */
export type Poly = ReadonlyMap<string, number>;

export type Atom =
  | { readonly kind: "symbol"; readonly name: string; readonly natural: boolean }
  | { readonly kind: "quotient"; readonly numerator: Poly; readonly divisor: Poly }
  | { readonly kind: "min" | "max"; readonly a: Poly; readonly b: Poly }
  | { readonly kind: "read"; readonly tensor: string; readonly args: readonly Poly[] }
  | { readonly kind: "segment"; readonly table: string; readonly arg: Poly }
  | { readonly kind: "opaque"; readonly expr: Expr };

/** A proof whose numbers leave the exact range of doubles is given up. */
export class Overflow extends Error {}
const exact = (v: number): number => {
  if (Math.abs(v) > 2 ** 52) throw new Overflow();
  return v;
};

export const constant = (v: number): Poly => new Map(v === 0 ? [] : [["", v]]);
const parsed = new Map<string, readonly number[]>();
/** The atoms of a monomial, with repetition. */
export function idsOf(monomial: string): readonly number[] {
  let ids = parsed.get(monomial);
  if (ids === undefined) {
    ids = monomial === "" ? [] : monomial.split("*").map(Number);
    if (parsed.size > 20_000) parsed.clear();
    parsed.set(monomial, ids);
  }
  return ids;
}
const multiplied = new Map<string, Map<string, string>>();
function productOf(m: string, n: string): string {
  if (m === "" || n === "") return m === "" ? n : m;
  let by = multiplied.get(m);
  if (by === undefined) {
    if (multiplied.size > 2000) multiplied.clear();
    by = new Map();
    multiplied.set(m, by);
  }
  let product = by.get(n);
  if (product === undefined) {
    product = [...idsOf(m), ...idsOf(n)].sort((a, b) => a - b).join("*");
    by.set(n, product);
  }
  return product;
}

/** `out` with `scale` times `p` added to it. */
function add(out: Map<string, number>, p: Poly, scale: number): Map<string, number> {
  for (const [m, c] of p) {
    const v = exact((out.get(m) ?? 0) + exact(scale * c));
    if (v === 0) out.delete(m);
    else out.set(m, v);
  }
  return out;
}
export const plus = (a: Poly, b: Poly, scale = 1): Poly => add(new Map(a), b, scale);
/** x a + y b */
export const combined = (a: Poly, x: number, b: Poly, y: number): Poly => add(add(new Map(), a, x), b, y);
export const minus = (a: Poly, b: Poly): Poly => plus(a, b, -1);
export const negate = (a: Poly): Poly => add(new Map(), a, -1);
export function times(a: Poly, b: Poly): Poly {
  const out = new Map<string, number>();
  for (const [m, c] of a)
    for (const [n, d] of b) {
      const monomial = productOf(m, n);
      const v = exact((out.get(monomial) ?? 0) + exact(c * d));
      if (v === 0) out.delete(monomial);
      else out.set(monomial, v);
    }
  return out;
}
export const constantOf = (p: Poly): number | undefined => (p.size === 0 ? 0 : p.size === 1 ? p.get("") : undefined);
/** Equal for equal polynomials. */
export const keyOf = (p: Poly): string => textOf(p, true);
export function textOf(p: Poly, constant: boolean): string {
  const parts: string[] = [];
  for (const [m, c] of p) if (constant || m !== "") parts.push(`${c}:${m}`);
  return parts.length > 1 ? parts.sort().join(" ") : (parts[0] ?? "");
}
export const gcd = (a: number, b: number): number => (b === 0 ? Math.abs(a) : gcd(b, a % b));
/** The greatest common divisor of the coefficients, the constant left out. */
export const contentOf = (p: Poly): number => {
  let g = 0;
  for (const [m, c] of p) if (m !== "") g = gcd(g, c);
  return g;
};
/** `monomial / by`, or undefined where it does not divide. */
export function quotientOf(monomial: string, by: string): string | undefined {
  const left = [...idsOf(monomial)];
  for (const id of idsOf(by)) {
    const at = left.indexOf(id);
    if (at < 0) return undefined;
    left.splice(at, 1);
  }
  return left.join("*");
}

export class Atoms {
  readonly list: Atom[] = [];
  private readonly ids = new Map<string, number>();
  private readonly known = new WeakMap<Expr, Poly>();
  private readonly formula: (tensor: string, subscripts: readonly Expr[]) => Expr | undefined;

  /** @param formula what a read of an integer definition stands for, where that is a formula */
  constructor(formula: (tensor: string, subscripts: readonly Expr[]) => Expr | undefined) {
    this.formula = formula;
  }

  atom(a: Atom): Poly {
    const key = this.key(a);
    let id = this.ids.get(key);
    if (id === undefined) {
      id = this.list.length;
      this.ids.set(key, id);
      this.list.push(a);
    }
    return new Map([[String(id), 1]]);
  }
  private key(a: Atom): string {
    switch (a.kind) {
      case "symbol":
        return `s ${a.name}`;
      case "quotient":
        return `q ${keyOf(a.numerator)} / ${keyOf(a.divisor)}`;
      case "read":
        return `r ${a.tensor} ${a.args.map(keyOf).join(" | ")}`;
      case "segment":
        return `g ${a.table} ${keyOf(a.arg)}`;
      case "opaque":
        return `o ${printExpr(a.expr)}`;
      default:
        return `${a.kind} ${[keyOf(a.a), keyOf(a.b)].sort().join(" | ")}`;
    }
  }

  /** The normal form of an integer expression. */
  of(e: Expr): Poly {
    let p = this.known.get(e);
    if (p === undefined) {
      p = this.normalize(e);
      this.known.set(e, p);
    }
    return p;
  }
  private normalize(e: Expr): Poly {
    switch (e.kind) {
      case "const":
        return typeof e.value === "number" && Number.isSafeInteger(e.value) ? constant(e.value) : this.atom({ kind: "opaque", expr: e });
      case "dim":
        return this.atom({ kind: "symbol", name: e.name, natural: true });
      case "index":
      case "scalar":
      case "var":
        return this.atom({ kind: "symbol", name: e.name, natural: e.kind === "index" });
      case "read": {
        const value = this.formula(e.tensor, e.subscripts);
        if (value) return this.of(value);
        return this.atom({ kind: "read", tensor: e.tensor, args: e.subscripts.map((s) => this.of(s)) });
      }
      case "segment":
        return this.atom({ kind: "segment", table: e.table, arg: this.of(e.arg) });
      case "relax":
        return this.of(e.arg);
      case "cast":
        // A range that is proven makes the conversion the identity.
        return e.to.name === "index" || e.to.name === "offsets" ? this.of(e.arg) : this.atom({ kind: "opaque", expr: e });
      case "op":
        return this.operation(e);
      default:
        return this.atom({ kind: "opaque", expr: e });
    }
  }
  private operation(e: Extract<Expr, { kind: "op" }>): Poly {
    const arg = (i: number): Poly => this.of(e.args[i]!);
    if (e.op === "to_int" || ((e.op === "to_i32" || e.op === "to_u32") && e.args[0]!.type === "int")) return arg(0);
    if (e.op === "clamp" && e.type !== "f32" && e.type !== "f64") return this.extreme("min", this.extreme("max", arg(0), arg(1)), arg(2));
    if ((e.op === "min" || e.op === "max") && e.type !== "f32" && e.type !== "f64") return this.extreme(e.op, arg(0), arg(1));
    if (e.op === "and" && e.type !== "bool") {
      const mask = constantOf(arg(1));
      if (mask !== undefined && mask >= 0 && Number.isInteger(Math.log2(mask + 1)))
        return minus(arg(0), times(constant(mask + 1), this.divide(arg(0), constant(mask + 1))));
    }
    if (e.type === "int") {
      switch (e.op) {
        case "add":
          return plus(arg(0), arg(1));
        case "sub":
          return minus(arg(0), arg(1));
        case "mul":
          return times(arg(0), arg(1));
        case "neg":
          return negate(arg(0));
        case "div":
          return this.divide(arg(0), arg(1));
        case "mod":
          return minus(arg(0), times(arg(1), this.divide(arg(0), arg(1))));
      }
    }
    // i32 and u32 sums wrap; a quotient or remainder by a positive constant does not.
    const c = e.op === "div" || e.op === "mod" ? constantOf(arg(1)) : undefined;
    if (c !== undefined && c > 0 && (e.type === "i32" || e.type === "u32")) {
      const q = this.divide(arg(0), constant(c));
      return e.op === "div" ? q : minus(arg(0), times(constant(c), q));
    }
    return this.atom({ kind: "opaque", expr: e });
  }
  private extreme(kind: "min" | "max", a: Poly, b: Poly): Poly {
    const d = constantOf(minus(a, b));
    if (d !== undefined) return (kind === "min") === d <= 0 ? a : b;
    return this.atom({ kind, a, b });
  }

  /** Positive for all values, where it is not 0: a sum of products of natural symbols. */
  private positive(p: Poly): boolean {
    return [...p].every(
      ([m, c]) =>
        c > 0 &&
        idsOf(m).every((id) => {
          const a = this.list[id]!;
          return a.kind === "symbol" && a.natural;
        }),
    );
  }
  /** floor(a / b), b not 0: multiples of b leave the numerator; for a positive b common factors cancel and nested divisions merge. */
  divide(a: Poly, b: Poly): Poly {
    const c = constantOf(b);
    if (c !== undefined && c < 0) return this.divide(negate(a), negate(b));
    if (c === 1) return a;
    let whole = constant(0);
    let rest = a;
    if (b.size === 1) {
      const [bm, bc] = [...b][0]!;
      for (const [m, k] of a) {
        const q = quotientOf(m, bm);
        const w = q === undefined ? 0 : m === "" ? Math.floor(k / bc) : k % bc === 0 ? k / bc : 0;
        if (q === undefined || w === 0) continue;
        whole = plus(whole, new Map([[q, w]]));
        rest = minus(rest, new Map([[m, w * bc]]));
      }
    } else {
      // (a + b) / b = a / b + 1 for a divisor of several terms: take out b as often as its leading monomial says.
      const [bm, bc] = [...b].find(([m]) => m !== "") ?? ["", 0];
      const k = a.get(bm) ?? 0;
      if (bc !== 0 && k !== 0 && k % bc === 0) {
        const left = minus(a, times(constant(k / bc), b));
        if (left.size < a.size) return plus(constant(k / bc), this.divide(left, b));
      }
    }
    if (rest.size === 0) return whole;
    if (c !== undefined) {
      const fixed = constantOf(rest);
      if (fixed !== undefined) return plus(whole, constant(Math.floor(fixed / c)));
      const g = gcd(contentOf(rest), c);
      if (g > 1) {
        const reduced = new Map<string, number>();
        for (const [m, k] of rest) {
          const v = Math.floor(k / g);
          if (v !== 0) reduced.set(m, v);
        }
        return plus(whole, this.divide(reduced, constant(c / g)));
      }
    }
    const only = rest.size === 1 ? [...rest][0]! : undefined;
    const inner = only?.[1] === 1 && idsOf(only[0]).length === 1 ? this.list[Number(only[0])] : undefined;
    if (inner?.kind === "quotient" && this.positive(b)) return plus(whole, this.divide(inner.numerator, times(inner.divisor, b)));
    return plus(whole, this.atom({ kind: "quotient", numerator: rest, divisor: b }));
  }
}
