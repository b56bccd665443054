/** What a conversion of the tile level comes to, between the layouts of the launch. */
import { type Conversion, conversionOf, type Passage, passageOf } from "../layout/convert.ts";
import type { Layout } from "../layout/layout.ts";
import type { Launch, Op } from "./ir.ts";

type Convert = Extract<Op, { kind: "convert" }>;
/** The layouts of a tile before and after, over the axes that it has before. */
export function layoutsOf(launch: Pick<Launch, "layout" | "tiles">, op: Convert): { readonly from: Layout; readonly to: Layout } {
  const { axes } = launch.tiles[op.value]!;
  const names = new Map(op.to);
  const back = Object.fromEntries(op.to.map(([a, b]) => [b, a]));
  return { from: launch.layout.over(axes), to: launch.layout.over(axes.map((a) => names.get(a) ?? a)).rename(back) };
}
/** By lanes where they can, through shared memory where not; a target whose subgroups do not reach goes through shared memory all the same. */
export function planOf(launch: Pick<Launch, "layout" | "tiles">, op: Convert): Conversion | Passage {
  const { from, to } = layoutsOf(launch, op);
  return conversionOf(from, to) ?? passageOf(from, to, 1);
}
