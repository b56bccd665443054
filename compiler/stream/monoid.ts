/**
 * Accumulators of a streamed index, and the monoid that carries them: what has been seen so far, as one tuple. A sum of exponentials is held
 * at a centre, the largest exponent so far; two states are combined by bringing both to the larger of their centres, which is exact in every
 * ring with a homomorphism exp (Milakov and Gimelshein 2018). A moment, a sum of weight * (u - centre)^n, is held at a running mean of u with
 * the lower ones; what moves it is the binomial theorem, so any centre is a correct one (Chan, Golub and LeVeque 1979, first moment kept).
 */
import { bool, num, op, some } from "../../dsl/tensor/expr.ts";
import type { Expr, HeldField, Monoid } from "../../dsl/tensor/ir.ts";
import type { Compute, ElemType } from "../../dsl/tensor/types.ts";

export interface Accumulator {
  readonly op: "sum" | "prod" | "max" | "min" | "any" | "all";
  readonly type: Compute;
  /** What an element contributes; of one that is held at a centre, the weight in front of its exponential. */
  readonly body: Expr;
  /** The accumulator of the largest exponent, for a sum of weight * exp(exponent - centre). */
  readonly centre?: number;
  /** The exponential may be held in this type: the text relaxes it. */
  readonly relax?: ElemType;
  /** The running mean of the body: accumulator of the number of elements. */
  readonly mean?: { readonly count: number };
  /** Accumulators of the moment's own centre, of its weights, and of the first moment, for the second. */
  readonly moment?: { readonly centre: number; readonly weight: number; readonly first?: number };
}
/** The field that says whether there was an element at all. */
export const seen = 0;
const field = (k: number): string => (k === seen ? "seen" : `a${k}`);

const largest: Partial<Record<Compute, number>> = { f32: 3.4028234663852886e38, f64: Number.MAX_VALUE, i32: 2 ** 31 - 1, u32: 2 ** 32 - 1 };
function start(a: Accumulator): Expr {
  const most = largest[a.type] ?? 2 ** 31 - 1;
  switch (a.op) {
    case "sum":
      return num(0, a.type);
    case "prod":
      return num(1, a.type);
    case "max":
      return num(a.type === "u32" ? 0 : a.type === "i32" || a.type === "int" ? -(2 ** 31) : -most, a.type);
    case "min":
      return num(most, a.type);
    default:
      return bool(a.op === "all");
  }
}
function heldField(a: Accumulator): HeldField {
  if (a.centre === undefined) return { kind: "plain", op: a.op };
  const [from, to] = ["from", "to"].map((name): Expr => ({ kind: "var", name, type: a.type, span: { start: 0, end: 0 } }));
  const scale = op("exp", [op("sub", [from!, to!], a.type)], a.type);
  return { kind: "centred", centre: a.centre, scale, ...(a.relax ? { relax: a.relax } : {}) };
}
/** @param list accumulators 1, 2, ..; number 0 is `seen` */
export function monoidOf(name: string, list: readonly Accumulator[]): Monoid {
  const side = (s: "x" | "y", k: number): Expr => ({
    kind: "var",
    name: `${s}.${field(k)}`,
    type: k === seen ? "bool" : list[k - 1]!.type,
    span: { start: 0, end: 0 },
  });
  const both = (k: number): [Expr, Expr] => [side("x", k), side("y", k)];
  const combineOf = (k: number): Expr => combined(list[k - 1]!, k - 1);
  const combined = (a: Accumulator, i: number): Expr => {
    const [x, y] = both(i + 1);
    const ops = { sum: "add", prod: "mul", max: "max", min: "min", any: "lor", all: "land" } as const;
    const of = (name: "add" | "sub" | "mul" | "div" | "max", p: Expr, q: Expr): Expr => op(name, [p, q], a.type);
    if (a.mean) {
      const [n, m] = both(a.mean.count);
      const share = of("div", m, of("max", of("add", n, m), num(1, a.type)));
      return of("add", x, of("mul", of("sub", y, x), share));
    }
    if (a.moment) {
      const { centre, weight, first } = a.moment;
      const to = combineOf(centre);
      const moved = (s: "x" | "y", own: Expr): Expr => {
        const by = of("sub", side(s, centre), to);
        const lower = of("mul", by, side(s, weight));
        if (first === undefined) return of("add", own, lower);
        return of("add", own, of("mul", by, of("add", of("mul", num(2, a.type), side(s, first)), lower)));
      };
      return of("add", moved("x", x), moved("y", y));
    }
    if (a.centre === undefined) return op(ops[a.op], [x, y], a.type);
    const [p, q] = both(a.centre);
    const larger = op("max", [p, q], a.type);
    const moved = (value: Expr, from: Expr): Expr => op("mul", [value, op("exp", [op("sub", [from, larger], a.type)], a.type)], a.type);
    return op("add", [moved(x, p), moved(y, q)], a.type);
  };
  const combine = list.map(combined);
  return {
    name,
    fields: [{ name: field(seen), type: "bool" }, ...list.map((a, i) => ({ name: field(i + 1), type: a.type }))],
    commutative: true,
    identity: [bool(false), ...list.map(start)],
    combine: [op("lor", both(seen), "bool"), ...combine],
    ...(list.every((a) => a.mean === undefined && a.moment === undefined)
      ? { held: [{ kind: "plain", op: "any" }, ...list.map(heldField)] }
      : {}),
  };
}

/** For each field the fields that its combination is made from, itself included. */
export function fieldsBehind(m: Pick<Monoid, "fields" | "combine">): readonly ReadonlySet<number>[] {
  const out = m.combine.map(
    (c, k) =>
      new Set([
        k,
        ...m.fields.flatMap((f, j) =>
          some(c, (x) => x.kind === "var" && (x.name === `x.${f.name}` || x.name === `y.${f.name}`)) ? [j] : [],
        ),
      ]),
  );
  for (let changed = true; changed; ) {
    changed = false;
    for (const own of out)
      for (const j of [...own])
        for (const more of out[j]!)
          if (!own.has(more)) {
            own.add(more);
            changed = true;
          }
  }
  return out;
}
/** A monoid of some of the fields, which hold all that each of them is made from. */
export function onlyFields(m: Monoid, fields: readonly number[]): Monoid {
  if (fields.length === m.fields.length) return m;
  const pick = <T>(list: readonly T[]): T[] => fields.map((f) => list[f]!);
  const moved = (h: HeldField): HeldField => (h.kind === "plain" ? h : { ...h, centre: fields.indexOf(h.centre) });
  return {
    name: `${m.name}_${pick(m.fields)
      .map((f) => f.name)
      .join("_")}`,
    fields: pick(m.fields),
    commutative: m.commutative,
    identity: pick(m.identity),
    combine: pick(m.combine),
    ...(m.held ? { held: pick(m.held).map(moved) } : {}),
  };
}
