/**
 * A sum of products on a matrix unit: a loop over steps of the index, each of which multiplies two tiles. Points that do not count are 0 on
 * the factor that knows.
 */
import { member } from "../../dsl/check/domain.ts";
import { and, baseName } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { gcd } from "../plan/size.ts";
import { type MatrixProduct, productOf } from "../schedule/matrix.ts";
import { multipleOf, powerIn } from "../schedule/shape.ts";
import type { Env, Lowering, Reduce } from "./expression.ts";
import { hoistedFrom, movedFrom } from "./hoist.ts";
import { identityOf } from "./identity.ts";
import type { MatrixAxes, Value } from "./ir.ts";
import { boundsAt } from "./reduce.ts";
import { type Stage, type StagedIndex, stageKey, stageOf } from "./stage.ts";

/** A product of this launch, and the axes of its tiles. */
export interface Dot {
  readonly p: MatrixProduct;
  readonly axes: MatrixAxes;
}
/** The product that the reduction is in this launch; undefined where the launch's tile is not made for it, or its factors need a guard. */
export function dotOf(l: Lowering, e: Reduce, env: Env): Dot | undefined {
  if (e.op !== "sum" || (env.inLoop && l.shape.stream === undefined)) return undefined;
  for (const product of l.shape.products) {
    if (product.axes.over !== `${baseName(e.axes.at(-1)!.name)}.unroll`) continue;
    const columns = env.axes.findLast((a) => baseName(a.name) === product.columns);
    if (columns === undefined) continue;
    // A definition that has no memory takes its domain with it: membership is asked of the text as it was.
    const expanded: Reduce = { ...e, bodies: e.bodies.map((b) => l.expand(b)) };
    const p = productOf(expanded, [product.rows, columns.name], l.plan, member(e, l.domains), product.axes.inWord);
    if (p === undefined || p.rows !== product.rows) continue;
    const axes = [...env.axes, ...e.axes];
    if (env.guard !== undefined && ![...p.factors, ...p.where.flat()].every((x) => l.readsInRange(x, axes))) continue;
    return { p, axes: product.axes };
  }
  return undefined;
}

export function lowerDot(l: Lowering, e: Reduce, { p, axes }: Dot, outer: Env): Value {
  const b = l.builder;
  const [init] = identityOf(l, e, e.bodies[0]!.type) as [Value];
  const form = p.form !== "s8" && b.elem(init) === "i32" ? "exact" : p.form;
  const cut = p.cut && l.eightBits;
  // The whole tile walks together: what an element does not want it computes and drops.
  const env: Env = { ...outer, guard: undefined };
  const carried = [axes.rows, axes.columns, ...(axes.share ? [axes.share] : [])];
  const outerAxes = [...outer.axes, ...e.axes.slice(0, -1)];
  const step = (at: Env, acc: Value, inside: Value | undefined, begun?: { readonly axis: Axis; readonly index: Value }): Value => {
    const hoisted = begun && hoistedFrom(l, p, l.shape.layout.extent(axes.over), at.axes);
    const moved = hoisted ? undefined : movedFrom(l, p, at.axes);
    const rest = (hoisted ?? moved)?.rest ?? p.factors[1];
    const factor = (k: 0 | 1): Value => {
      const staged = l.staged.get(stageKey(axes, k, p.factors[k]));
      if (staged) return staged();
      const own = k === 0 ? at : { ...at, values: new Map(at.values).set(p.columns, l.others.get(p.columns)!) };
      const where = and(...p.where[k]);
      const mask = l.both(inside, where.kind === "const" ? undefined : l.condition(where, own));
      const v = l.value(k === 1 ? rest : p.factors[k], mask === undefined ? own : l.under(own, mask));
      return mask === undefined ? v : b.map("select", [mask, v, b.constant(0, b.elem(v))], b.elem(v));
    };
    if (moved) return b.dot(scaledBy(l, factor(0), moved.scale, at), factor(1), acc, form, cut, axes);
    if (hoisted === undefined) return b.dot(factor(0), factor(1), acc, form, cut, axes);
    const type = b.elem(acc);
    const sum = b.dot(factor(0), factor(1), b.constant(0, type), form, cut, axes);
    const scale = l.value(hoisted.scale, { ...at, values: new Map(at.values).set(begun!.axis.name, begun!.index) });
    return b.map("add", [acc, b.map("mul", [sum, scale], type)], type);
  };
  const go = (k: number, at: Env, acc: Value, inside: Value | undefined): Value => {
    const axis = e.axes[k]!;
    const last = k === e.axes.length - 1;
    const { from, to, extent, starts } = boundsAt(l, e, k, at, (v) => b.axes(v).length === 0);
    const width = last ? l.shape.layout.extent(axes.over) : 1;
    const alone: Env = { ...at, values: new Map(at.values).set(axis.name, b.coordinate(axes.over)), axes: [...at.axes, axis] };
    // The whole sum is one step.
    if (last && axis.range === undefined && axis.extent.kind === "const" && Number(axis.extent.value) === width)
      return step(alone, acc, inside, { axis, index: l.int(0) });
    // Steps begin where the chunk does; they end with it where both are multiples of a step. Otherwise a step's pieces are inside as wholes or not
    // at all, each as large as divides all ends.
    const inStep = starts.every((x) => l.shape.divides(x, width));
    const ends =
      last && inStep && (axis.range === undefined || l.shape.divides(axis.range.to, width)) && l.shape.divides(axis.extent, width);
    const piece = last && !ends ? pieceOf(l, axis, starts, width) : 1;
    const stages = new Map<string, Stage>();
    if (last && l.shape.slots > 0)
      for (const n of [0, 1] as const) {
        const side = env.axes.find((a) => a.name === (n === 0 ? p.rows : p.columns))!;
        const indices: [StagedIndex, StagedIndex] = [
          {
            axis: side,
            tileAxis: n === 0 ? axes.rows : axes.other,
            extent: l.shape.tile(side.name),
            first: b.map("mul", [b.block(side.name), l.int(l.shape.tile(side.name))], "i32"),
            ...(n === 0 ? {} : { beside: axes.beside }),
          },
          { axis, tileAxis: axes.over, extent: width, first: undefined, until: to },
        ];
        // Points that do not count would have to be taken out again.
        const made = p.where[n].length > 0 ? undefined : stageOf(l, p.factors[n], indices, { ...at, axes: outerAxes }, l.shape.slots);
        if (made) stages.set(stageKey(axes, n, p.factors[n]), made);
      }
    const staged = [...stages.values()];
    const ahead = l.shape.slots - 1;
    const after = (from: Value, steps: number): Value => b.map("add", [from, l.int(steps * width)], "i32");
    if (staged.length > 0) {
      // The slots may still be read by threads that are behind.
      if (k > 0) b.land(0);
      for (let n = 0; n < ahead; n++) {
        for (const s of staged) s.issue(after(from, n));
        b.commit();
      }
    }
    const [out] = b.loop(
      baseName(axis.name),
      from,
      to,
      width,
      [acc],
      () => carried,
      (index, [held]) => {
        const { real, below } = last ? pointOf(l, axes.over, index, ends ? undefined : { extent, to, piece }) : { real: index };
        const within = l.both(inside, below);
        const next: Env = { ...at, values: new Map(at.values).set(axis.name, real), axes: [...at.axes, axis], inLoop: true };
        if (!last) return [go(k + 1, next, held!, within)];
        if (staged.length > 0) {
          // Land, then issue: one barrier a step says both that this slot is full and that the next is free.
          b.land(ahead - 1);
          for (const s of staged) s.issue(after(index, ahead));
          b.commit();
        }
        for (const [key, s] of stages) l.staged.set(key, () => s.read(index));
        return [step(next, held!, within, inStep ? { axis, index } : undefined)];
      },
    );
    for (const key of stages.keys()) l.staged.delete(key);
    // Those issued past the end land as well: a thread does not leave copies behind.
    if (staged.length > 0) b.land(0);
    return out!;
  };
  const sum = go(0, env, init, undefined);
  return axes.share === undefined ? sum : b.reduce([sum], axes.share, { kind: "sum" })[0]!;
}
/**
 * The first factor by what is the same for all columns of this block. Where that overflows, of two numbers, the factor as it is: of a code of 0
 * the product is 0 then too, and of any other it would overflow in the text's own order.
 */
function scaledBy(l: Lowering, factor: Value, scale: Expr, at: Env): Value {
  const b = l.builder;
  const type = b.elem(factor);
  const by = l.value(scale, at);
  const product = b.map("mul", [factor, by], type);
  if (type !== "f32") return product;
  const [whole, ...parts] = [product, factor, by].map((v) => b.map("isfinite", [v], "bool"));
  const overflows = l.both(l.not(whole!), l.both(parts[0], parts[1]));
  return b.map("select", [overflows!, factor, product], type);
}

/**
 * The largest power of two, up to a step, that divides where the index begins and ends, and the extent: of its points all are inside, or none.
 * An end that a condition gives does not count: what it rules out is 0 on the factor that knows.
 */
function pieceOf(l: Lowering, axis: Axis, starts: readonly Expr[], width: number): number {
  const ends = [axis.extent, ...starts, ...(axis.range ? [axis.range.to] : [])];
  return powerIn(ends.map((e) => multipleOf(e, l.shape.multiples)).reduce(gcd), width);
}
/** The points of a step that begins at `index`, brought inside where it may leave the extent, and whether they were inside. */
function pointOf(
  l: Lowering,
  over: string,
  index: Value,
  ends: { readonly extent: Value; readonly to: Value; readonly piece: number } | undefined,
): { readonly real: Value; readonly below?: Value } {
  const b = l.builder;
  const point = b.coordinate(over);
  const plus = (x: Value, y: Value): Value => b.map("add", [x, y], "i32");
  if (ends === undefined) return { real: plus(index, point) };
  const { extent, to, piece } = ends;
  const first = plus(index, l.alignedDown(point, piece));
  const real = b.map("min", [first, b.map("sub", [extent, l.int(piece)], "i32")], "i32");
  const within = b.map("truncmod", [point, l.int(piece)], "i32");
  return { real: piece === 1 ? real : plus(b.map("max", [real, l.int(0)], "i32"), within), below: b.map("lt", [first, to], "bool") };
}
