/**
 * Stores of what a matrix unit has made: its lanes hold two neighbours along a row, which is 4 bytes of halves. Where rows begin at a multiple
 * of 16 bytes, the tile is brought to other lanes first, so that each has 16 bytes of a row and neighbours have the next.
 */
import { isTrue } from "../../dsl/tensor/expr.ts";
import { besideEachOther } from "../layout/convert.ts";
import type { StoreItem } from "../plan/jobs.ts";
import { inSixteenBytes } from "../plan/wide.ts";
import type { Env, Lowering } from "./expression.ts";
import { indexAt } from "./indices.ts";
import type { Value } from "./ir.ts";

/** A value where a store wants it, what the indices are there, and whether they are inside. */
interface Moved {
  readonly value: Value;
  readonly env: Env;
  readonly inside: Value | undefined;
}
/** The value of a store on the lanes that its rows want; undefined where it stays as it lies. */
export function inRowsOf16Bytes(l: Lowering, s: StoreItem, value: Value, env: Env): Moved | undefined {
  const { builder: b, shape, plan } = l;
  const stored = plan.stored.get(s.buffer)!;
  const count = inSixteenBytes(stored.elem);
  const last = s.subscripts.at(-1);
  const product = shape.products.find((p) => last?.kind === "index" && p.columns === last.name);
  if (product === undefined || count === undefined || !isTrue(s.where) || stored.layout || stored.role === "param") return undefined;
  const sides = [product.rows, product.columns];
  const tiled = env.axes.filter((a) => shape.tile(a.name) > 1);
  const varies = b.axes(value);
  if (tiled.length !== 2 || ![tiled.map((a) => a.name), varies].every((names) => sides.every((side) => names.includes(side))))
    return undefined;
  if (varies.length !== 2 || !shape.divides(stored.axes.at(-1)!.extent, count)) return undefined;
  const layout = besideEachOther(shape.layout.over(varies), product.columns, count);
  if (layout === undefined) return undefined;
  const moved = new Map(varies.map((a) => [a, `${a}.by${count}`]));
  for (const [from, to] of moved) {
    if (shape.axes.some((a) => a.name === to)) continue;
    shape.addAxis({ name: to, extent: shape.layout.extent(from) }, layout.project([from]).rename({ [from]: to }));
    b.addAxis(to);
  }
  const values = new Map(env.values);
  let inside: Value | undefined;
  for (const a of tiled) {
    const point = indexAt(a, moved.get(a.name)!, a.name === product.columns ? count : 1, l, env);
    values.set(a.name, point.real);
    inside = l.both(inside, point.inside);
  }
  return { value: b.convert(value, [...moved], stored.elem), env: { ...env, values }, inside };
}
