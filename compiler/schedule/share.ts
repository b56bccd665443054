/**
 * One pass for several results: a streamed reduction whose columns a block holds whole carries all that a result without those columns
 * needs, so that both come from one launch (a weighted sum of values, and the log-sum-exp of its rows).
 */
import { visit } from "../../dsl/tensor/expr.ts";
import { printAxis } from "../../dsl/tensor/print.ts";
import type { MapJob, Plan, PlannedStep } from "../plan/plan.ts";
import { streamTilingOf } from "./stream-tiles.ts";

/** @param byTiles whether a job's schedule lets it walk by tiles: elsewhere several blocks would store what has no columns */
export function sharePasses(steps: readonly PlannedStep[], plan: Plan, byTiles: (job: MapJob) => boolean): PlannedStep[] {
  const out: PlannedStep[] = [];
  for (const s of steps) {
    const last = out.at(-1);
    const joined =
      last?.kind === "job" && s.kind === "job" && last.job.kind === "map" && s.job.kind === "map"
        ? (joinedBy(last.job, s.job, plan, byTiles) ?? joinedBy(s.job, last.job, plan, byTiles))
        : undefined;
    if (joined) out[out.length - 1] = { kind: "job", job: joined };
    else out.push(s);
  }
  return out;
}
/** `more` with what `less` stores as well; undefined where they do not walk together. */
function joinedBy(more: MapJob, less: MapJob, plan: Plan, byTiles: (job: MapJob) => boolean): MapJob | undefined {
  const tiling = streamTilingOf(more, plan);
  if (tiling?.columns === undefined || !byTiles(more)) return undefined;
  const rest = more.axes.filter((a) => a.name !== tiling.columns!.index);
  if (rest.map(printAxis).join() !== less.axes.map(printAxis).join()) return undefined;
  const other = streamTilingOf(less, plan);
  if (other === undefined || other.index !== tiling.index || other.rows !== tiling.rows || reads(more, less) || reads(less, more))
    return undefined;
  return { ...more, stores: [...more.stores, ...less.stores] };
}
/** Whether one job reads what the other stores. */
function reads(a: MapJob, b: MapJob): boolean {
  const stored = new Set(b.stores.map((s) => s.buffer));
  let found = false;
  for (const s of a.stores)
    for (const e of [s.expanded, s.where, ...s.subscripts])
      visit(e, (x) => {
        if (x.kind === "read" && stored.has(x.tensor)) found = true;
      });
  return found;
}
