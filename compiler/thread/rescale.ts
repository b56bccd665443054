/**
 * Accumulators that a loop multiplies by a factor before it adds a product: running maxima seldom rise, so that the factor is 1 in most turns.
 * A product with 1 is its other factor, bit by bit.
 */
import type { NodeId, Nodes } from "./nodes.ts";

/** Products of one factor that pay for looking at it: with 32 the registers of a warp no longer spill (ptxas), with 16 an H200 took 3 % longer. */
const worthALook = 32;

/** The same values, scaled where some lane of the warp has a factor that is not 1; as they are where that does not pay. */
export function rescaled(n: Nodes, values: readonly NodeId[]): readonly NodeId[] {
  const parts = values.map((v) => {
    const { op, args } = n.at(v);
    const [x, y] = args as [NodeId, NodeId];
    if (op !== "mul" || (n.at(x).of === undefined) === (n.at(y).of === undefined)) return undefined;
    return n.at(x).of === undefined ? { value: y, by: x } : { value: x, by: y };
  });
  const products = parts.flatMap((p) => p ?? []);
  const factors = new Set(products.map((p) => p.by));
  if (products.length < values.length || products.length < worthALook * factors.size) return values;
  const outs = products.map(({ value }) => n.variable("scaled", n.at(value).elem));
  n.effect({ kind: "scale", outs, values: products.map((p) => p.value), by: products.map((p) => p.by) });
  return outs;
}
