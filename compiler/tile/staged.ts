/**
 * A reduction whose operands go through shared memory: threads compute each once for the block, a step of the index at a time, and read what
 * they need of it from there.
 */
import { member, rangeCondition } from "../../dsl/check/domain.ts";
import { and, baseName, conjuncts, freeIndices } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { storage } from "../../dsl/tensor/types.ts";
import { isProductOf, mayStage, type Operand, operandsOf, type Staging } from "../schedule/operands.ts";
import type { Order } from "../schedule/order.ts";
import { multipleOf, powerIn } from "../schedule/shape.ts";
import { blockBounds } from "./block-bounds.ts";
import { type Env, elemOf, type Lowering, type Reduce } from "./expression.ts";
import { carriedBy, identityOf } from "./identity.ts";
import type { Ring, Value } from "./ir.ts";
import { accumulate, boundsAt } from "./reduce.ts";
import { copyLayout } from "./stage.ts";

/** Elements of 16 bytes, which go together. */
const width = 4;

interface Staged {
  readonly operand: Operand;
  readonly ring: Ring;
  /** Fills the slot of the step that begins at this value of the index; past the extent with zeros, or with anything. */
  readonly put: (start: Value, zeros: boolean) => void;
  readonly read: (start: Value) => Value;
}
/** The reduction by way of shared memory, where the schedule wants that and an operand can go there; undefined otherwise. */
export function lowerStaged(l: Lowering, original: Reduce, outer: Env, held: readonly Value[]): Value[] | undefined {
  const { staging } = l.shape;
  if (staging === undefined || outer.inLoop || !mayStage(original)) return undefined;
  const axis = original.axes[0]!;
  if (baseName(axis.name) !== staging.over) return undefined;
  // Definitions without memory stand in place of their reads; membership is asked of the text as it was.
  const e: Reduce = { ...original, bodies: original.bodies.map((x) => l.expand(x)) };
  const axes = [...outer.axes, axis];
  if (outer.guard !== undefined && !e.bodies.every((x) => l.readsInRange(x, axes))) return undefined;
  // The whole tile walks together: what an element does not want it computes and drops.
  const env: Env = { ...outer, guard: undefined };
  const b = l.builder;
  const { from, to, extent } = blockRange(l, e, original, env, staging);
  const operands = operandsOf(e, { ...staging, over: axis.name }, l.plan).filter(
    (o) => staging.tensors === undefined || o.tensors.some((t) => staging.tensors!.has(t)),
  );
  const staged = operands.flatMap((o) => stageOperand(l, o, staging, axis, env, extent) ?? []);
  if (staged.length === 0) return undefined;
  // A product of nothing but zeros adds nothing: what is past the extent need not be asked for term by term.
  const zeros = e.op === "sum" && isProductOf(e.bodies[0]!, new Set(staged.flatMap((s) => s.operand.places)));

  const { depth } = staging;
  const over = `${staging.over}.unroll`;
  const init = identityOf(l, e, e.bodies[0]!.type);
  const exact = l.shape.divides(axis.extent, depth);
  return b.loop(staging.over, l.alignedDown(from, depth), to, depth, init, carriedBy(l, e, env, held, undefined), (index, carried) => {
    // Those who are behind still read another slot: there are two at least.
    for (const s of staged) s.put(index, zeros);
    b.meet();
    const raw = b.map("add", [index, b.coordinate(over)], "i32");
    const real = exact ? raw : b.map("min", [raw, b.map("sub", [extent, l.int(1)], "i32")], "i32");
    const inside = exact || zeros ? undefined : b.map("lt", [raw, extent], "bool");
    const at: Env = { ...env, values: new Map(env.values).set(axis.name, real), axes, inLoop: true };
    for (const s of staged) {
      const value = s.read(index);
      for (const place of s.operand.places) l.computed.set(place, value);
    }
    const where = and(rangeCondition(e.axes, l.domains), member(original, l.domains));
    const next = accumulate(l, e, where, at, carried, { inside }, init, over);
    for (const s of staged) for (const place of s.operand.places) l.computed.delete(place);
    return next;
  });
}
/** From where to where the block walks: as far as any of its elements wants. */
function blockRange(l: Lowering, e: Reduce, original: Reduce, env: Env, { rows, columns }: Staging): ReturnType<typeof boundsAt> {
  const b = l.builder;
  const axis = e.axes[0]!;
  const own = boundsAt(l, e, 0, env, (v) => b.axes(v).length === 0);
  const conditions = conjuncts(and(rangeCondition([axis], l.domains), member(original, l.domains)));
  let { from, to } = own;
  for (const side of [rows, columns]) {
    if (!conditions.some((c) => freeIndices(c).has(side))) continue;
    const block = blockBounds(l, axis, side, conditions, env);
    from = b.map("max", [from, block.from], "i32");
    to = b.map("min", [to, block.to], "i32");
  }
  return { ...own, from, to };
}
function stageOperand(l: Lowering, operand: Operand, s: Staging, axis: Axis, env: Env, extent: Value): Staged | undefined {
  const b = l.builder;
  const [factor] = operand.places as [Expr];
  const side = env.axes.find((a) => a.name === (operand.side === "rows" ? s.rows : s.columns));
  if (side === undefined || operand.tensors.some((t) => l.written.has(t) || l.ordered.has(t))) return undefined;
  // Whatever else it hangs on is the same for the whole block.
  const others = [...freeIndices(factor)].filter((n) => n !== side.name && n !== axis.name);
  if (others.some((n) => b.axes(env.values.get(n)!).length > 0)) return undefined;
  if (!l.readsInRange(factor, [...env.axes, axis])) return undefined;
  const along = { name: `${s.over}.unroll`, extent: s.depth };
  const across = { name: side.name, extent: l.shape.tile(side.name) };
  const order = orderIn(l, operand, side, axis, across.extent, s.depth);
  const sideFast = operand.sideFast && order === undefined;
  const [slow, fast] = sideFast ? [along, across] : [across, along];
  const bytes = s.slots * slow.extent * fast.extent * 4;
  if (fast.extent < width || l.shape.ringBytes + bytes > l.sharedBytes) return undefined;

  const bits = Math.min(...operand.tensors.map((t) => storage[l.plan.stored.get(t)!.elem].bits));
  // Elements in 16 bytes of memory, where rows begin at so many. Threads for which there are none have those of another operand.
  const filling = Math.min(operand.inPiece, fast.extent);
  const together = l.shape.divides((sideFast ? side : axis).extent, filling) ? filling : width;

  const k = l.shape.rings.length;
  const [tensor] = operand.tensors as [string];
  const ring: Ring = {
    name: `${tensor}_tile${l.shape.rings.some((r) => r.tensor === tensor) ? k : ""}`,
    tensor,
    elem: elemOf(factor.type) as "f32" | "i32" | "u32",
    slots: s.slots,
    slow,
    fast,
    copy: { slow: { name: `${tensor}.row${k}`, extent: slow.extent }, piece: { name: `${tensor}.piece${k}`, extent: fast.extent } },
    width,
    together: sideFast && operand.side === "columns" ? Math.max(together, s.beside) : together,
    values: true,
    ...(order ? { byPassage: true } : {}),
    ...(!sideFast && !order && operand.side === "columns" ? { rowsBeside: Math.min(s.beside, l.shape.sideBySide(side.name)) } : {}),
  };
  l.shape.addRing(ring, copyLayout(ring, l.shape.threads, together, order));
  for (const a of [ring.copy.slow, ring.copy.piece]) b.addAxis(a.name);
  const [alongCopy, acrossCopy] = sideFast ? [ring.copy.slow, ring.copy.piece] : [ring.copy.piece, ring.copy.slow];

  const plus = (x: Value, y: Value): Value => b.map("add", [x, y], "i32");
  /** Neighbours that are all real, or none: along a row of a slot, and where elements have an order of their own. */
  const wholeOf = (copied: string, at: Axis): number => {
    const most = order ? reach(at === axis ? order.over : order.side) : copied === ring.copy.piece.name ? together : 1;
    return powerIn(multipleOf(at.extent, l.shape.multiples), most);
  };
  /**
   * The points of a step or a tile that begins somewhere. Those past an extent are real ones again: nobody reads them. Along a row of a slot
   * neighbours stay together as far as all are real, or none.
   */
  const pointsOf = (start: Value, copied: string, axis: Axis, end: Value, extent: number): Value => {
    const point = b.coordinate(copied);
    if (l.shape.divides(axis.extent, extent)) return plus(start, point);
    const whole = wholeOf(copied, axis);
    const clamped = (at: Value): Value => {
      const least = b.map("min", [at, b.map("sub", [end, l.int(whole)], "i32")], "i32");
      // Places in words are found by divisions, which are simple of natural numbers.
      return bits < 32 ? b.map("max", [least, l.int(0)], "i32") : least;
    };
    if (whole === 1) return clamped(plus(start, point));
    return plus(clamped(plus(start, l.alignedDown(point, whole))), b.map("truncmod", [point, l.int(whole)], "i32"));
  };
  const first = b.map("mul", [b.block(side.name), l.int(across.extent)], "i32");
  const sideAt = pointsOf(first, acrossCopy.name, side, l.value(side.extent, env), across.extent);
  const slotOf = (start: Value): Value => b.map("truncmod", [b.map("truncdiv", [start, l.int(s.depth)], "i32"), l.int(s.slots)], "i32");
  return {
    operand,
    ring,
    put: (start, zeros) => {
      const alongAt = pointsOf(start, alongCopy.name, axis, extent, s.depth);
      const values = new Map(env.values).set(side.name, sideAt).set(axis.name, alongAt);
      const value = l.value(factor, { ...env, values, axes: [...env.axes, axis], inLoop: true });
      if (!zeros || l.shape.divides(axis.extent, s.depth)) return b.put(ring.name, slotOf(start), value);
      const first = plus(start, l.alignedDown(b.coordinate(alongCopy.name), wholeOf(alongCopy.name, axis)));
      const type = elemOf(factor.type);
      const zero = b.constant(0, type);
      b.put(ring.name, slotOf(start), b.map("select", [b.map("lt", [first, extent], "bool"), value, zero], type));
    },
    read: (start) => b.slot(ring, slotOf(start), elemOf(factor.type)),
  };
}
/** Elements from the first to the last that steps lead to, both counted. */
const reach = (steps: readonly number[]): number => 2 * Math.max(0.5, ...steps);
/** The order in which an operand is put, where tile and extents have whole pieces of it. */
function orderIn(l: Lowering, { order }: Operand, side: Axis, over: Axis, across: number, depth: number): Order | undefined {
  if (order === undefined) return undefined;
  const [sides, overs] = [reach(order.side), reach(order.over)];
  const whole = sides <= across && overs <= depth && l.shape.divides(side.extent, sides) && l.shape.divides(over.extent, overs);
  return whole ? order : undefined;
}
