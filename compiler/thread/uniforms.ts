/** What is known of a launch's dimensions, scalars and steps, whatever a call gives. */
import type { SizeExpr } from "../../runtime/abi.ts";
import type { Launch, Op } from "../tile/ir.ts";
import type { Known } from "./nodes.ts";
import { anything, natural, type Range } from "./ranges.ts";

/** Dimensions are natural numbers; those that a grid has blocks along are positive where there is a block. */
export function knownUniforms(launch: Launch): (name: string) => Known {
  const dims = new Set<string>();
  const scalars = new Set<string>();
  const walk = (ops: readonly Op[]): void => {
    for (const o of ops) {
      if (o.kind === "dim") dims.add(o.name);
      if (o.kind === "scalar" || o.kind === "step") scalars.add(o.name);
      if (o.kind === "loop") walk(o.body);
    }
  };
  walk(launch.body);
  const positive = new Set<string>();
  const factors = (e: SizeExpr): void => {
    if (typeof e === "string") positive.add(e);
    else if (typeof e !== "number" && e[0] === "*") [e[1], e[2]].forEach(factors);
    else if (typeof e !== "number" && e[0] === "ceildiv") factors(e[1]);
  };
  for (const g of launch.grid) factors(g.blocks);
  return (name) => {
    if (scalars.has(name)) return {};
    const multiple = launch.multiples.get(name) ?? 1;
    const range: Range = positive.has(name) ? [multiple, natural[1]] : dims.has(name) ? natural : anything;
    return { range, multiple };
  };
}
