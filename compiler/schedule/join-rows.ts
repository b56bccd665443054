/**
 * One launch for a row: where a thread walks a whole row anyway, results along the row are computed by the thread that has just found what they
 * need of it (a maximum, a sum), which then needs no memory.
 */
import type { Directive } from "../../dsl/check/schedules.ts";
import { baseName, some, visit } from "../../dsl/tensor/expr.ts";
import type { Expr } from "../../dsl/tensor/ir.ts";
import { printAxis } from "../../dsl/tensor/print.ts";
import type { MapJob, Plan, PlannedStep, StoreItem } from "../plan/jobs.ts";

export interface JoinedRows {
  readonly steps: readonly PlannedStep[];
  /** Temporaries that have no memory any more. */
  readonly held: ReadonlySet<string>;
}
/** @param directives of a schedule, which may be about launches that are then not joined */
export function joinRows(steps: readonly PlannedStep[], plan: Plan, directives: readonly Directive[]): JoinedRows {
  const out: PlannedStep[] = [];
  const held = new Set<string>();
  for (const s of steps) {
    const before = s.kind === "job" && s.job.kind === "map" ? rowsBefore(out, s.job, plan) : [];
    if (s.kind !== "job" || s.job.kind !== "map" || before.length === 0 || wantsApart(s.job, before, directives)) {
      out.push(s);
      continue;
    }
    out.splice(-before.length);
    const items = before.flatMap((j) => j.stores);
    const elsewhere = namesRead(
      steps.filter((x) => x !== s && !(x.kind === "job" && before.some((j) => j === x.job))),
      plan,
    );
    const kept = items.filter((i) => elsewhere.has(i.buffer));
    for (const i of items) if (!kept.includes(i)) held.add(i.buffer);
    out.push({ kind: "job", job: { ...s.job, axes: s.job.axes.slice(0, -1), row: { axis: s.job.axes.at(-1)!, held: items, kept } } });
  }
  return { steps: out, held };
}
/** A schedule speaks of more than the rows that one launch would have: of the index along them, or of what is found for each. */
function wantsApart(job: MapJob, before: readonly MapJob[], directives: readonly Directive[]): boolean {
  const held = new Set(before.flatMap((j) => j.stores.map((i) => i.buffer)));
  const own = new Set(job.stores.map((i) => i.buffer));
  const rows = new Set(job.axes.slice(0, -1).map((a) => a.name));
  const along = new Set([job.axes.at(-1)!.name, ...before.flatMap((j) => j.stores.flatMap((i) => reducedIn(i.expanded)))]);
  return directives.some((d) => {
    if (!("size" in d)) return false;
    if (d.definition !== undefined && !own.has(d.definition)) return held.has(d.definition);
    return along.has(d.index) || (d.kind !== "tile" && rows.has(d.index));
  });
}
function reducedIn(e: Expr): string[] {
  const out: string[] = [];
  visit(e, (x) => {
    if (x.kind === "reduce") out.push(...x.axes.map((a) => baseName(a.name)));
  });
  return out;
}
/** The jobs that directly precede one, of one element for each of its rows, which it and they read at their own row alone. */
function rowsBefore(done: readonly PlannedStep[], job: MapJob, plan: Plan): MapJob[] {
  const rows = job.axes.slice(0, -1);
  // What reduces at each of its points wants tiles of its own.
  if (rows.length === 0 || job.axes.some((a) => a.range !== undefined) || job.stores.some((i) => some(i.expanded, isReduce))) return [];
  const place = rows.map((a) => a.name).join();
  const out: MapJob[] = [];
  for (const s of [...done].reverse()) {
    if (s.kind !== "job" || s.job.kind !== "map" || s.job.row !== undefined) break;
    if (s.job.axes.map(printAxis).join() !== rows.map(printAxis).join()) break;
    if (!s.job.stores.every((i) => plan.stored.get(i.buffer)!.role === "temp" && at(i.subscripts) === place)) break;
    out.unshift(s.job);
  }
  while (out.length > 0 && !readsOwnRows(out, job, place)) out.shift();
  return out;
}
const isReduce = (e: Expr): boolean => e.kind === "reduce";
const at = (subscripts: readonly Expr[]): string => subscripts.map((x) => (x.kind === "index" ? x.name : "?")).join();
const exprsOf = (i: StoreItem): readonly Expr[] => [i.expanded, i.value, i.where, ...i.subscripts];

function readsOwnRows(before: readonly MapJob[], job: MapJob, place: string): boolean {
  const held = new Set(before.flatMap((j) => j.stores.map((i) => i.buffer)));
  const written = new Set(job.stores.map((i) => i.buffer));
  let own = true;
  for (const e of [...before, job].flatMap((j) => j.stores.flatMap(exprsOf)))
    visit(e, (x) => {
      const name = x.kind === "read" ? x.tensor : x.kind === "segment" ? x.table : undefined;
      if (name === undefined) return;
      if (held.has(name) && !(x.kind === "read" && at(x.subscripts) === place)) own = false;
      // What is stored along the row changes while it is walked.
      if (written.has(name)) own = false;
    });
  return own;
}
/** Tensors that steps read, those included that say where others are defined. */
function namesRead(steps: readonly PlannedStep[], plan: Plan): ReadonlySet<string> {
  const out = new Set<string>();
  const add = (name: string): void => {
    if (out.has(name)) return;
    out.add(name);
    const { domain } = plan.domains.get(name) ?? {};
    if (domain) look(domain);
  };
  const look = (e: Expr): void =>
    visit(e, (x) => {
      if (x.kind === "read") add(x.tensor);
      if (x.kind === "segment") add(x.table);
    });
  const text = JSON.stringify(steps, (_, v: unknown) => (typeof v === "bigint" ? String(v) : v));
  for (const name of plan.stored.keys()) if (text.includes(`"${name}"`)) add(name);
  return out;
}
