/** Places: what a launch works out of the numbers of thread and block, and may work out again where it has no register to keep it. */
import { argsOf, type Launch, type Op, outsOf, type Value } from "../tile/ir.ts";

/** An integer or a truth that says where, from nothing but sizes and the places of thread and block. */
export function isPlace(op: Op, { tiles }: Launch): boolean {
  const says = (v: Value): boolean => tiles[v]!.elem === "i32" || tiles[v]!.elem === "bool";
  return placing.has(op.kind) && outsOf(op).every(says) && argsOf(op).every(says);
}
const placing: ReadonlySet<Op["kind"]> = new Set(["const", "dim", "step", "block", "coordinate", "map"]);

/** Those that follow from the place of a thread alone. */
export function withoutBlocks(places: readonly Op[]): Op[] {
  const ofBlock = new Set<Value>();
  return places.filter((o) => {
    const varies = o.kind === "block" || argsOf(o).some((v) => ofBlock.has(v));
    if (varies) for (const v of outsOf(o)) ofBlock.add(v);
    return !varies;
  });
}
