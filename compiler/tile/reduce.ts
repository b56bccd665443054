/** Reductions of tensor expressions as loops over tiles: what is carried, from where to where, and how a point joins what has been seen. */
import { domainOf, member, rangeCondition } from "../../dsl/check/domain.ts";
import { combined } from "../../dsl/check/monoids.ts";
import { and, baseName, conjuncts, freeIndices, indexVar, isTrue, visit } from "../../dsl/tensor/expr.ts";
import type { Expr } from "../../dsl/tensor/ir.ts";
import { printExpr } from "../../dsl/tensor/print.ts";
import { type Bounds, boundsOf } from "../plan/bounds.ts";
import { dotOf, lowerDot } from "./dot.ts";
import { type Env, elemOf, type Fold, type Lowering, type Reduce } from "./expression.ts";
import { carriedBy, identityOf } from "./identity.ts";
import type { Combine, Value } from "./ir.ts";
import { lowerStaged } from "./staged.ts";
import { lowerStream, streamsByTiles } from "./stream.ts";

export function combineOf(l: Lowering, e: { readonly op: Reduce["op"]; readonly monoid?: Reduce["monoid"] }, env: Env): Combine {
  if (e.op === "argmax" || e.op === "argmin") return { kind: "argmax" };
  if (e.op !== "monoid") return { kind: e.op as "sum" };
  const m = e.monoid!;
  const { x, y, body, result } = l.builder.separate(
    m.fields.map((f) => elemOf(f.type)),
    (xs, ys) => {
      const vars = new Map(env.values);
      m.fields.forEach((f, k) => {
        vars.set(`x.${f.name}`, xs[k]!);
        vars.set(`y.${f.name}`, ys[k]!);
      });
      return m.combine.map((c) => l.value(c, { ...env, values: vars, guard: undefined }));
    },
  );
  return { kind: "monoid", name: m.name, x, y, body, results: result };
}
/** x combined with y, as operations here. */
export function combine(
  l: Lowering,
  e: { readonly op: Reduce["op"]; readonly monoid?: Reduce["monoid"] },
  x: readonly Value[],
  y: readonly Value[],
  env: Env,
): Value[] {
  const b = l.builder;
  const [p, q] = [x[0]!, y[0]!];
  const type = b.elem(p);
  switch (e.op) {
    case "sum":
      return [b.map("add", [p, q], type)];
    case "prod":
      return [b.map("mul", [p, q], type)];
    case "max":
    case "min":
      return [b.map(e.op, [p, q], type)];
    case "all":
      return [b.map("land", [p, q], "bool")];
    case "any":
      return [b.map("lor", [p, q], "bool")];
    case "argmax":
    case "argmin": {
      const better = b.map("gt", [q, p], "bool");
      const tie = b.map("land", [b.map("eq", [q, p], "bool"), b.map("lt", [y[1]!, x[1]!], "bool")], "bool");
      const take = b.map("lor", [better, tie], "bool");
      return [b.map("select", [take, q, p], type), b.map("select", [take, y[1]!, x[1]!], "i32")];
    }
    default: {
      const m = e.monoid!;
      const vars = new Map(env.values);
      const operand = (side: "x" | "y", k: number): Expr => ({ kind: "var", name: `${side}#${k}`, type: m.fields[k]!.type, span: e0 });
      const results = combined(
        m,
        m.fields.map((_, k) => operand("x", k)),
        m.fields.map((_, k) => operand("y", k)),
      );
      m.fields.forEach((_, k) => {
        vars.set(`x#${k}`, x[k]!);
        vars.set(`y#${k}`, y[k]!);
      });
      return results.map((r) => l.value(r, { ...env, values: vars, guard: undefined }));
    }
  }
}
/** The components of a streamed reduction among those of one that walks the same elements and carries more. */
function partOf(e: Reduce, other: Fold): Value[] | undefined {
  const [own, theirs] = [e.monoid!.held, other.e.monoid!.held];
  if (own === undefined || theirs === undefined || e.axes.length !== 1) return undefined;
  // The same expression about either index.
  const about = (r: Reduce, x: Expr | undefined): string => (x ? printExpr(x).replaceAll(printExpr(indexVar(r.axes[0]!.name)), "@") : "");
  const domain = (r: Reduce): string => {
    const { extent, range } = r.axes[0]!;
    return [extent, range?.from, range?.to, r.where].map((x) => about(r, x)).join("; ");
  };
  if (domain(e) !== domain(other.e)) return undefined;
  const text = (r: Reduce, k: number): string => {
    const h = r.monoid!.held![k]!;
    return `${h.kind === "plain" ? h.op : `${h.relax?.standsFor ?? h.relax?.name ?? ""} at ${text(r, h.centre)}`} ${about(r, r.bodies[k])}`;
  };
  const known = new Map(theirs.map((_, k) => [text(other.e, k), other.values[k]!]));
  const found = own.flatMap((_, k) => known.get(text(e, k)) ?? []);
  return found.length === own.length ? found : undefined;
}
/** All components of a reduction. */
export function reduce(l: Lowering, e: Reduce, env: Env): Value[] {
  const needs = valuesIn(e, env);
  const b = l.builder;
  // What does not change with the loops around it is folded once, before them.
  if (e.monoid === undefined) return b.hoisted(needs, () => fold(l, e, env, needs));
  const text = `${e.monoid.name} ${printExpr({ ...e, component: 0 })}`;
  // One that was made for more elements than are wanted here serves as well.
  for (const list of [valuesIn(e, { ...env, guard: undefined }), needs]) {
    const old = l.folds.get(`${text} ${list.join()}`);
    if (old && b.isOpen(old.values[0]!, old.scope)) return [...old.values];
    for (const other of l.folds.values()) {
      const shared = b.isOpen(other.values[0]!, other.scope) && list.every((v) => other.held.includes(v)) ? partOf(e, other) : undefined;
      if (shared) return shared;
    }
  }
  const values = b.hoisted(needs, () => fold(l, e, env, needs));
  l.folds.set(`${text} ${needs.join()}`, { e, held: needs, values, scope: b.scopeOf(values[0]!) });
  return values;
}
/** The values of the indices and vars that stand in an expression, and the condition under which it is wanted. */
export function valuesIn(e: Expr, env: Env): Value[] {
  const names = new Set<string>();
  visit(e, (x) => {
    if ((x.kind === "index" || x.kind === "var") && env.values.has(x.name)) names.add(x.name);
  });
  return [...[...names].map((n) => env.values.get(n)!), ...(env.guard === undefined ? [] : [env.guard])];
}
/** From where to where a reduction walks its axis k, what it begins at beside 0, and the axis' extent; of the bounds that its conditions give only those that `wanted` takes. */
export function boundsAt(
  l: Lowering,
  e: Reduce,
  k: number,
  at: Env,
  wanted: (v: Value) => boolean = () => true,
  asked: Asked = askedOf(l, e),
): { readonly from: Value; readonly to: Value; readonly extent: Value; readonly starts: readonly Expr[]; readonly bounds: Told } {
  const b = l.builder;
  const axis = e.axes[k]!;
  const bounds = boundsIn(l, e, k, at, asked);
  const { lower, upper } = bounds;
  // Where a bound is undefined there is nothing to walk: an upper one is 0 there, and a lower one anything.
  const bound = (x: Expr, otherwise?: Value): Value => {
    const defined = domainOf(x, l.domains);
    const expanded = l.expand(x);
    if (isTrue(defined) && l.readsInRange(expanded, at.axes)) return l.value(x, at);
    if (!l.readsAnywhere(expanded, at.axes)) return l.value(x, l.under(at, l.condition(and(...asked.before, defined), at)));
    const v = l.value(x, { ...at, anywhere: true });
    return otherwise === undefined || isTrue(defined) ? v : b.map("select", [l.condition(defined, at), v, otherwise], "i32");
  };
  const extent = bound(axis.extent, l.int(0));
  const begins = lower.map((x) => [x, bound(x)] as const).filter(([, v]) => wanted(v));
  const from = begins.reduce((x, [, y]) => b.map("max", [x, y], "i32"), l.int(0));
  const to = upper
    .map((x) => bound(x, l.int(0)))
    .filter(wanted)
    .reduce((x, y) => b.map("min", [x, y], "i32"), extent);
  return { from, to, extent, starts: begins.map(([x]) => x), bounds };
}
/** What decides which elements of a reduction count. */
interface Asked {
  /** Conditions on none of its indices that are met before any element is asked for. */
  readonly before: readonly Expr[];
  readonly ofElements: readonly Expr[];
  /** Those of them that can be read wherever the others can: what follows another may be there to read for some elements alone. */
  readonly sure: ReadonlySet<Expr>;
}
function askedOf(l: Lowering, e: Reduce): Asked {
  const own = new Set(e.axes.map((a) => a.name));
  const ofElements = (c: Expr): boolean => [...freeIndices(c)].some((n) => own.has(n));
  const [ranges, members] = [conjuncts(rangeCondition(e.axes, l.domains)), conjuncts(member(e, l.domains))];
  const at = members.findIndex(ofElements);
  const first = at < 0 ? members.length : at;
  const inRange = ranges.filter(ofElements);
  return {
    before: [...ranges.filter((c) => !ofElements(c)), ...members.slice(0, first)],
    ofElements: [...inRange, ...members.slice(first)],
    sure: new Set([...inRange, ...members.slice(first, first + 1)]),
  };
}
interface Told extends Bounds {
  /** Conditions that say no more than these bounds. */
  readonly told: readonly Expr[];
}
/** The bounds of axis k that can be read before its loop. */
function boundsIn(l: Lowering, e: Reduce, k: number, at: Env, { before, ofElements, sure }: Asked): Told {
  const inner = new Set(e.axes.slice(k + 1).map((a) => a.name));
  const readable = (x: Expr): boolean =>
    l.readsAnywhere(l.expand(x), at.axes) || l.readsInRange(l.expand(x), at.axes, [...before, domainOf(x, l.domains)]);
  const lower: Expr[] = [];
  const upper: Expr[] = [];
  const told = ofElements.filter((c) => {
    const own = boundsOf(c, e.axes[k]!.name, inner);
    const kept = (x: Expr): boolean => sure.has(c) || readable(x);
    lower.push(...own.lower.filter(kept));
    upper.push(...own.upper.filter(kept));
    return own.lower.length + own.upper.length > 0 && [...own.lower, ...own.upper].every(kept);
  });
  return { lower, upper, told };
}
function fold(l: Lowering, e: Reduce, env: Env, held: readonly Value[]): Value[] {
  const product = dotOf(l, e, env);
  if (product) return [lowerDot(l, e, product, env)];
  if (streamsByTiles(l, e, env)) return lowerStream(l, e, env);
  const staged = lowerStaged(l, e, env, held);
  if (staged) return staged;
  const b = l.builder;
  if (asksForAPoint(l, e)) {
    const { from, to } = boundsAt(l, e, 0, env);
    const some = b.map("lt", [from, to], "bool");
    return [env.guard === undefined ? some : b.map("land", [env.guard, some], "bool")];
  }
  const bodyType = e.bodies[0]!.type;
  const init = identityOf(l, e, bodyType);
  const asked = askedOf(l, e);
  const last = e.axes.at(-1)!;
  const spread = env.inLoop || e.axes.length > 1 || (e.monoid && !e.monoid.commutative) ? undefined : l.shape.spread(last.name);
  const unroll = e.monoid || l.shape.products.length > 0 ? undefined : l.shape.unroll(last.name);
  const carriedAxes = carriedBy(l, e, env, held, spread?.axis);
  // Nothing is summed where no element can count, or none is wanted: the loop is empty there, and ends within the extent.
  const before = asked.before.length === 0 ? undefined : l.condition(and(...asked.before), env);
  const wanted = l.both(env.guard, before);
  const go = (k: number, at: Env, acc: readonly Value[], open: readonly Expr[], inner: Counted): Value[] => {
    const axis = e.axes[k];
    if (axis === undefined) return accumulate(l, e, and(...open), at, acc, inner, init, unroll?.axis);
    const { from, to, extent, bounds } = boundsAt(l, e, k, at, undefined, asked);
    const lastAxis = k === e.axes.length - 1;
    const width = lastAxis ? (spread?.extent ?? 1) * (unroll?.extent ?? 1) : 1;
    const end = k === 0 && wanted !== undefined ? b.map("select", [wanted, to, l.int(0)], "i32") : to;
    const start = width > 1 ? l.alignedDown(from, width) : from;
    const ends = bounds.upper.length > 0 || (k === 0 && before !== undefined);
    return b.loop(baseName(axis.name), start, end, width, acc, carriedAxes, (index, carried) => {
      const plus = (x: Value, axisOf: string, step: number): Value => b.map("add", [x, l.times(b.coordinate(axisOf), l.int(step))], "i32");
      // A thread has neighbours where they are all inside the extent or none is; otherwise it has what neighbouring threads leave.
      const side = lastAxis && unroll && l.shape.divides(axis.extent, unroll.extent) ? unroll.extent : 1;
      let first = lastAxis && spread ? plus(index, spread.axis, side) : index;
      if (lastAxis && unroll && side === 1) first = plus(first, unroll.axis, spread?.extent ?? 1);
      const beside = (v: Value): Value => (side > 1 ? plus(v, unroll!.axis, 1) : v);
      const exact = l.shape.divides(axis.extent, width) && width > 1;
      const clamped = width > 1 && !exact ? b.map("min", [first, b.map("sub", [extent, l.int(side)], "i32")], "i32") : first;
      const inside = width > 1 && !exact && !ends ? b.map("lt", [first, extent], "bool") : undefined;
      // A thread that walks for one element alone has it between its ends anyway. What stands for an element past the extent may lie before the first.
      const begun = bounds.lower.length > 0 ? b.map("ge", [beside(clamped), from], "bool") : undefined;
      const met = l.both(begun, ends ? b.map("lt", [beside(first), end], "bool") : undefined);
      const next: Env = {
        values: new Map(at.values).set(axis.name, beside(clamped)),
        axes: [...at.axes, axis],
        guard: l.both(at.guard, met),
        inLoop: true,
      };
      const left = open.filter((c) => !bounds.told.includes(c));
      return go(k + 1, next, carried, left, { inside: l.both(inner.inside, inside), met: l.both(inner.met, met) });
    });
  };
  let result = go(0, env, init, asked.ofElements, {});
  if (spread) result = b.reduce(result, spread.axis, combineOf(l, e, env));
  return result;
}
/** Whether a reduction only asks if its one axis has a point at all, as a maximum does that has no identity. */
function asksForAPoint(l: Lowering, e: Reduce): boolean {
  const [body] = e.bodies;
  const points = and(rangeCondition(e.axes, l.domains), member(e, l.domains));
  return e.op === "any" && e.axes.length === 1 && body?.kind === "const" && body.value === true && isTrue(points);
}
/** Whether a point is one of those that count. */
interface Counted {
  /** Below the extents of its indices. */
  readonly inside?: Value | undefined;
  /** Between the ends that conditions set, as the environment's guard says as well. */
  readonly met?: Value | undefined;
}
/** One point: what it contributes where it is a member, the identity elsewhere. */
export function accumulate(
  l: Lowering,
  e: Reduce,
  where: Expr,
  at: Env,
  acc: readonly Value[],
  { inside, met }: Counted,
  init: readonly Value[],
  unrolled: string | undefined,
): Value[] {
  const b = l.builder;
  const asked = isTrue(where) ? inside : l.both(inside, l.condition(where, at));
  const env = asked === undefined || isTrue(where) ? at : l.under(at, asked);
  const mask = l.both(met, asked);
  let values = e.bodies.map((x) => l.value(x, env));
  if (e.op === "argmax" || e.op === "argmin") {
    let v = values[0]!;
    const type = b.elem(v);
    // The order turned round; of integers the complement, since the least one has no negative.
    if (e.op === "argmin") v = b.map(type === "f32" || type === "f64" ? "neg" : "not", [v], type);
    // NaN ranks below everything.
    if (type === "f32" || type === "f64") v = b.map("select", [b.map("eq", [v, v], "bool"), v, init[0]!], type);
    values = [v, at.values.get(e.axes[0]!.name)!];
  }
  if (mask !== undefined) values = values.map((v, k) => b.map("select", [mask, v, init[k]!], b.elem(v)));
  if (unrolled) values = b.reduce(values, unrolled, combineOf(l, e, at));
  return combine(l, e, acc, values, at);
}
const e0 = { start: 0, end: 0 };
