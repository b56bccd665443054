/** Which points of its indices a block has, brought inside their extents, and whether they were inside. */
import type { Axis } from "../../dsl/tensor/ir.ts";
import { type LaunchShape, multipleOf, powerIn } from "../schedule/shape.ts";
import type { Env, Lowering } from "./expression.ts";
import type { MatrixAxes, Value } from "./ir.ts";

/** The number of blocks along an axis. */
export function blocksAlong(a: Axis, lowering: Lowering, shape: LaunchShape): Value {
  const b = lowering.builder;
  const [extent, tile] = [lowering.value(a.extent, nowhereYet), shape.tile(a.name)];
  return b.map("truncdiv", [b.map("add", [extent, lowering.int(tile - 1)], "i32"), lowering.int(tile)], "i32");
}
/** No index has a value. */
export const nowhereYet: Env = { values: new Map(), axes: [], guard: undefined, inLoop: false };
/** The launch's indices: real ones for reading, and whether the raw ones lie inside. */
export function enter(
  axes: readonly Axis[],
  lowering: Lowering,
  shape: LaunchShape,
  folds: ReadonlyMap<string, Axis>,
): { env: Env; inside: Value | undefined } {
  const b = lowering.builder;
  const values = new Map<string, Value>();
  let env: Env = { ...nowhereYet, values, axes: [...folds.values()] };
  let inside: Value | undefined;
  for (const f of folds.keys()) values.set(f, b.leaf("step", f, "i32"));
  for (const a of axes) {
    const { real, inside: within } = indexAt(a, a.name, sideOf(a, shape), lowering, env);
    inside = lowering.both(inside, within);
    values.set(a.name, real);
    const product = shape.products.find((p) => p.columns === a.name);
    const other = product && otherColumns(a, product.axes, lowering, shape, env);
    if (other !== undefined) {
      lowering.others.set(a.name, other);
      lowering.tiles.set(other, { start: lowering.tiles.get(real)!.start, size: shape.tile(a.name) });
    }
    env = { ...env, values: new Map(values), axes: [...env.axes, { name: a.name, extent: a.extent }] };
  }
  return { env, inside };
}
/** The point of an index that an element has, be it one of the extent or not. */
export const rawPoint = (l: Lowering, index: string, axis = index): Value =>
  l.builder.map(
    "add",
    [l.builder.map("mul", [l.builder.block(index), l.int(l.shape.tile(index))], "i32"), l.builder.coordinate(axis)],
    "i32",
    index,
  );
/**
 * The point of an index that an element has, by its place along an axis of the tile, and whether it is inside: `side` points beside each other
 * are so together, since they divide the extent.
 */
export function indexAt(a: Axis, axis: string, side: number, lowering: Lowering, env: Env): { real: Value; inside: Value | undefined } {
  const { builder: b, shape } = lowering;
  const tile = shape.tile(a.name);
  if (tile === 1) return { real: b.block(a.name), inside: undefined };
  const start = b.map("mul", [b.block(a.name), b.constant(tile, "i32")], "i32");
  const raw = rawPoint(lowering, a.name, axis);
  let real = raw;
  let inside: Value | undefined;
  if (!shape.divides(a.extent, tile)) {
    const extent = lowering.value(a.extent, env);
    const within = side === 1 ? lowering.int(0) : b.map("truncmod", [b.coordinate(axis), lowering.int(side)], "i32");
    const first = b.map("sub", [raw, within], "i32");
    real = b.map("add", [clampedTo(extent, first, side, lowering), within], "i32");
    inside = b.map("lt", [first, extent], "bool");
  }
  lowering.tiles.set(real, { start, size: tile });
  return { real, inside };
}
/**
 * The columns of a matrix product, held where a fragment of its second factor has them. Those that lie together in memory are clamped
 * together: as many as are inside for every size, or none.
 */
function otherColumns(a: Axis, m: MatrixAxes, lowering: Lowering, shape: LaunchShape, env: Env): Value {
  const b = lowering.builder;
  const tile = shape.tile(a.name);
  const start = b.map("mul", [b.block(a.name), lowering.int(tile)], "i32");
  const column = b.coordinate(m.other);
  if (shape.divides(a.extent, tile)) return b.map("add", [start, column], "i32");
  const side = powerIn(multipleOf(a.extent, shape.multiples), tile);
  const first = b.map("add", [start, lowering.alignedDown(column, side)], "i32");
  const clamped = b.map("max", [clampedTo(lowering.value(a.extent, env), first, side, lowering), lowering.int(0)], "i32");
  return side === 1 ? clamped : b.map("add", [clamped, b.map("truncmod", [column, lowering.int(side)], "i32")], "i32");
}
/** Neighbours that one thread takes along an axis of the tile, where the extent is a multiple of their number; 1 otherwise. */
function sideOf(a: Axis, shape: LaunchShape): number {
  const side = shape.sideBySide(a.name);
  return side > 1 && shape.divides(a.extent, side) ? side : 1;
}
/** The first of `side` places beside each other, brought within an extent: they are inside together. */
function clampedTo(extent: Value, first: Value, side: number, l: Lowering): Value {
  const last = l.builder.map("sub", [extent, l.int(side)], "i32");
  return l.builder.map("min", [first, last], "i32");
}
