/** What a conversion of the tile level comes to, between the layouts of the launch. */
import { InternalError } from "../../dsl/diagnostics.ts";
import { type Conversion, conversionOf } from "../layout/convert.ts";
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
export function planOf(launch: Pick<Launch, "layout" | "tiles" | "name">, op: Convert): Conversion {
  const { from, to } = layoutsOf(launch, op);
  const plan = conversionOf(from, to);
  if (plan === undefined) throw new InternalError(`${launch.name}: no way from ${from} to ${to}`);
  return plan;
}
