/** Places: what a launch works out of the numbers of thread and block, and may work out again where it has no register to keep it. */
import { argsOf, type Launch, type Op, outsOf, type Value } from "../tile/ir.ts";

/** An integer or a truth that says where, from nothing but sizes and the places of thread and block. */
export const isPlace = (op: Op, launch: Launch): boolean =>
  ["const", "dim", "step", "block", "coordinate", "map"].includes(op.kind) &&
  [...outsOf(op), ...argsOf(op)].every((v) => ["i32", "bool"].includes(launch.tiles[v]!.elem));

/** Those that follow from the place of a thread alone. */
export function withoutBlocks(places: readonly Op[]): Op[] {
  const ofBlock = new Set<Value>();
  return places.filter((o) => {
    const varies = o.kind === "block" || argsOf(o).some((v) => ofBlock.has(v));
    if (varies) for (const v of outsOf(o)) ofBlock.add(v);
    return !varies;
  });
}
