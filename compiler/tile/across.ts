/**
 * Reads along the other side of a tile: lanes lie along what a launch stores. What lies in memory along another index is read by lanes that
 * lie along that, and brought to the others through shared memory.
 */
import type { Expr } from "../../dsl/tensor/ir.ts";
import { storage } from "../../dsl/tensor/types.ts";
import { readAcross } from "../schedule/across.ts";
import { type Env, elemOf, type Lowering } from "./expression.ts";
import { indexAt } from "./indices.ts";
import type { Value } from "./ir.ts";

/** The elements of such a read, where the launch has them; undefined where it is read as any other. */
export function readAcrossTile(l: Lowering, e: Extract<Expr, { kind: "read" }>, env: Env): Value | undefined {
  const { builder: b, shape } = l;
  if (env.inLoop || env.guard !== undefined || env.anywhere === true || shape.products.length > 0 || shape.stream) return undefined;
  if (l.written.has(e.tensor) || l.ordered.has(e.tensor)) return undefined;
  const inner = env.axes.at(-1);
  const other = inner && readAcross(e, inner.name, l.plan);
  const outer = env.axes.find((a) => a.name === other);
  if (inner === undefined || outer === undefined || shape.tile(outer.name) !== shape.tile(inner.name)) return undefined;
  if (4 * shape.layout.extent(outer.name) * shape.layout.extent(inner.name) > l.sharedBytes) return undefined;
  // Neighbouring lanes have neighbours of what is stored.
  if (!shape.layout.over([inner.name]).columns.get("lane")?.[0]) return undefined;
  // Rows become columns: each index has the place of the other.
  const names = new Map([inner, outer].map((a) => [a.name, `${a.name}.across`]));
  const values = new Map(env.values);
  for (const [a, from] of [
    [inner, outer],
    [outer, inner],
  ] as const) {
    const name = names.get(a.name)!;
    if (!shape.axes.some((x) => x.name === name)) {
      shape.addAxis({ name, extent: shape.layout.extent(a.name) }, shape.layout.over([from.name]).rename({ [from.name]: name }));
      b.addAxis(name);
    }
    const side = shape.sideBySide(from.name);
    values.set(a.name, indexAt(a, name, shape.divides(a.extent, side) ? side : 1, l, env).real);
  }
  const at = l.address(e.tensor, e.subscripts, { ...env, values });
  // A place that follows from what was computed for the other lanes is not one for these.
  if (b.axes(at).some((a) => names.has(a))) return undefined;
  const { elem } = l.plan.stored.get(e.tensor)!;
  return b.convert(
    b.load(e.tensor, elemOf(storage[elem].compute), at, undefined),
    [...names].map(([a, name]) => [name, a]),
    elem,
  );
}
