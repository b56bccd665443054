/**
 * One pass for several results: a streamed reduction whose columns a block holds whole carries all that a result without those columns
 * needs, so that both come from one launch (a weighted sum of values, and the log-sum-exp of its rows).
 */
import { baseName, visit } from "../../dsl/tensor/expr.ts";
import { printAxis } from "../../dsl/tensor/print.ts";
import type { MapJob, Plan, PlannedStep } from "../plan/jobs.ts";
import type { Tiling } from "./shape.ts";
import { streamTilingOf } from "./stream-tiles.ts";

/** @param tilingOf what a block of a job takes */
export function sharePasses(steps: readonly PlannedStep[], plan: Plan, tilingOf: (job: MapJob) => Tiling): PlannedStep[] {
  const out: PlannedStep[] = [];
  for (const s of steps) {
    const last = out.at(-1);
    const joined =
      last?.kind === "job" && s.kind === "job" && last.job.kind === "map" && s.job.kind === "map"
        ? (joinedBy(last.job, s.job, plan, tilingOf) ?? joinedBy(s.job, last.job, plan, tilingOf))
        : undefined;
    if (joined) out[out.length - 1] = { kind: "job", job: joined };
    else out.push(s);
  }
  return out;
}
/** `more` with what `less` stores as well; undefined where they do not walk together. */
function joinedBy(more: MapJob, less: MapJob, plan: Plan, tilingOf: (job: MapJob) => Tiling): MapJob | undefined {
  const own = new Set(less.axes.map((a) => a.name));
  const columns = more.axes.filter((a) => !own.has(a.name));
  const rest = more.axes.filter((a) => own.has(a.name));
  if (rest.map(printAxis).join() !== less.axes.map(printAxis).join()) return undefined;
  const index = streamedIndex(more);
  if (index === undefined || streamedIndex(less) !== index || reads(more, less) || reads(less, more)) return undefined;
  const tiling = tilingOf(more);
  // Else several blocks would store what has no columns.
  const whole = columns.every((c) => {
    const tile = tiling.axes.find((a) => a.index === c.name)!;
    return c.extent.kind === "const" && tile.threads * tile.registers >= Number(c.extent.value);
  });
  if (!whole) return undefined;
  if (tiling.stream !== undefined) {
    const other = streamTilingOf(less, plan);
    if (other?.index !== tiling.stream.index || other.rows !== tiling.stream.rows) return undefined;
  }
  return { ...more, stores: [...more.stores, ...less.stores] };
}
/** The index along which a job carries states of a monoid. */
function streamedIndex(job: MapJob): string | undefined {
  let index: string | undefined;
  for (const s of job.stores)
    visit(s.expanded, (x) => {
      if (x.kind === "reduce" && x.monoid && x.axes.length === 1) index ??= baseName(x.axes[0]!.name);
    });
  return index;
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
