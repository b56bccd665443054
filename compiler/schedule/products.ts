/** Launches of matrix products and the like, where no matrix unit does them: straight from memory, and with operands in shared memory. */
import { baseName, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { storage } from "../../dsl/tensor/types.ts";
import type { Job, MapJob, Plan } from "../plan/jobs.ts";
import { inSixteenBytes } from "../plan/wide.ts";
import type { Profile } from "../targets/target.ts";
import type { JobDirectives } from "./default.ts";
import { isProductOf, operandsOf, stagingOf } from "./operands.ts";
import { constant, multipleOf, powerUp } from "./shape.ts";

type Reduce = Extract<Expr, { kind: "reduce" }>;
type Launch = Pick<JobDirectives, "tile" | "unroll" | "threads" | "registers">;
type Sides = readonly [rows: Axis, columns: Axis];

/** @param sides the last two axes along which operands are read again and again */
export function productLaunch(
  job: Job,
  reduces: readonly Reduce[],
  sides: Sides,
  plan: Plan,
  profile: Profile,
): Launch & Pick<JobDirectives, "staging" | "stages"> {
  const p = profile.product;
  const inRow = job.kind === "map" ? resultsInRow(job, sides[1], plan) : 1;
  // A thread of a square share has as many columns as rows; of those whose results are 16 bytes it has all.
  const columns = inRow ** 2 > (p.rows * p.columns) / p.threads ? 2 * p.columns : p.columns;
  const even: Launch = {
    tile: new Map(tiles(sides, p.rows, columns)),
    unroll: new Map(unrolls(reduces, plan, p.stepBytes)),
    threads: p.threads,
    registers: new Map(),
  };
  return {
    ...(plainLaunch(reduces, sides, plan, profile) ?? even),
    ...(job.kind === "map" ? stagedLaunch(reduces, sides, inRow, plan, profile) : {}),
  };
}
const tiles = ([outer, inner]: Sides, rows: number, columns: number): [string, number][] => {
  const size = (a: Axis, most: number) => Math.min(most, powerUp(constant(a.extent) ?? most));
  return [
    [outer.name, size(outer, rows)],
    [inner.name, size(inner, columns)],
  ];
};
const volumeOf = (tile: readonly [string, number][]): number => tile.reduce((n, [, size]) => n * size, 1);
/** A product of two operands and nothing else, whose sides need no conditions: as much of it to a thread as the profile wants. */
function plainLaunch(reduces: readonly Reduce[], sides: Sides, plan: Plan, { product: p }: Profile): Launch | undefined {
  const [e] = reduces;
  if (p.plain === undefined || reduces.length !== 1 || e!.op !== "sum" || e!.axes.length !== 1) return undefined;
  const { rows, columns, registers } = p.plain;
  if (sides.some((a, side) => multipleOf(a.extent, plan.multiples) % registers[side]! !== 0)) return undefined;
  const names = { rows: sides[0].name, columns: sides[1].name, over: e!.axes[0]!.name };
  const operands = operandsOf(e!, names, plan);
  if (operands.length !== 2 || operands[0]!.side === operands[1]!.side) return undefined;
  if (!isProductOf(e!.bodies[0]!, new Set(operands.flatMap((o) => o.places)))) return undefined;
  // Rows make up for columns that are known to be few.
  const across = tiles(sides, rows, columns)[1]![1];
  const tile = tiles(sides, (rows * columns) / across, across);
  if (volumeOf(tile) < rows * columns) return undefined;
  return {
    tile: new Map(tile),
    unroll: new Map(unrolls(reduces, plan, p.stepBytes)),
    threads: p.threads,
    registers: new Map(tile.map(([index], side) => [index, registers[side]!])),
  };
}
/** How a launch would go whose operands are staged: every thread has as many registers as on a launch whose extents fill its tile. */
function stagedLaunch(
  reduces: readonly Reduce[],
  sides: Sides,
  inRow: 1 | 4 | 8,
  plan: Plan,
  profile: Profile,
): Pick<JobDirectives, "staging" | "stages"> {
  const { staging: p } = profile;
  const found = stagingOf(reduces, sides, p.depth, inRow, plan);
  if (found === undefined) return {};
  const tile = tiles(sides, p.rows, p.columns);
  const threads = Math.max(profile.warp, (p.threads * volumeOf(tile)) / (p.rows * p.columns));
  // A side that is known to be short is not read again often enough.
  const stages = p.always && tile.every(([, size]) => size >= least);
  return { staging: { ...found, tile: new Map(tile), unroll: new Map([[found.over, found.depth]]), threads }, stages };
}
/** Results beside each other that are 16 bytes wherever they are stored; 1 where rows may begin anywhere. */
function resultsInRow(job: MapJob, columns: Axis, plan: Plan): 1 | 4 | 8 {
  const counts = job.stores.map((s) => {
    const { elem, axes, layout } = plan.stored.get(s.buffer)!;
    const last = s.subscripts.at(-1);
    if (layout !== undefined || last?.kind !== "index" || last.name !== columns.name) return 1;
    const count = inSixteenBytes(elem) ?? 1;
    return multipleOf(axes.at(-1)!.extent, plan.multiples) % count === 0 ? count : 1;
  });
  return counts.every((c) => c === counts[0]) ? counts[0]! : 1;
}
/** Sides of a tile from which on staging its operands pays. */
const least = 16;
/** Several elements an iteration where the extent is a multiple: as many of the narrowest operand as fill `bytes`; of less than bytes a word. */
export function unrolls(reduces: readonly Reduce[], plan: Plan, bytes = 16): [string, number][] {
  return reduces.flatMap((r): [string, number][] => {
    const axis = r.axes.at(-1)!;
    let bits = 32;
    for (const b of r.bodies)
      visit(b, (x) => {
        const elem = x.kind === "read" ? plan.stored.get(x.tensor)?.elem : undefined;
        if (elem) bits = Math.min(bits, storage[elem].bits);
      });
    for (let n = Math.min(bits === 8 ? 16 : 8, (8 * (bits < 8 ? 4 : bytes)) / bits); n > 1; n /= 2)
      if (multipleOf(axis.extent, plan.multiples) % n === 0 && axis.range === undefined) return [[baseName(axis.name), n]];
    return [];
  });
}
