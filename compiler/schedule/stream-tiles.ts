/**
 * A streamed reduction by tiles: the elements of a tile join a state at once, so that scores are a matrix product of rows and a tile of the
 * streamed index, and weighted sums another one. Which products there are, and the roles of their indices in a warp.
 */
import { member, rangeCondition } from "../../dsl/check/domain.ts";
import { and, baseName, freeIndices, some, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { inWord, matrixForms } from "../../dsl/tensor/matrix.ts";
import { boundsOf } from "../plan/bounds.ts";
import type { MapJob, Plan } from "../plan/jobs.ts";
import { varies } from "../plan/monotone.ts";
import { productOf } from "./matrix.ts";

type Reduce = Extract<Expr, { kind: "reduce" }>;
/** Indices by base name, with what of each one block takes. */
export interface StreamTiling {
  readonly index: string;
  readonly tile: number;
  readonly rows: string;
  /** Indices summed over within a score, whole. */
  readonly inner: readonly { readonly index: string; readonly extent: number }[];
  /** The columns of weighted sums, whole. */
  readonly columns?: { readonly index: string; readonly extent: number };
  readonly warps: number;
  readonly rowsTile: number;
  /** Later rows walk further: their blocks come first, so that short ones fill the chip at the end. */
  readonly laterFirst: boolean;
}
const constant = (a: Axis | undefined): number | undefined => (a?.extent.kind === "const" ? Number(a.extent.value) : undefined);
const whole = (n: number | undefined, least: number): n is number =>
  n !== undefined && n >= least && n <= 128 && Number.isInteger(Math.log2(n));

/** The tiling of a job whose streamed reduction multiplies matrices; undefined for any other. */
export function streamTilingOf(job: MapJob, plan: Plan): StreamTiling | undefined {
  let streamed: Reduce | undefined;
  for (const s of job.stores)
    visit(s.expanded, (x) => {
      if (x.kind === "reduce" && x.monoid?.held && x.axes.length === 1) streamed ??= x;
    });
  if (streamed === undefined) return undefined;
  const axis = streamed.axes[0]!;
  const names = job.axes.map((a) => a.name);
  const inner = new Map<string, number>();
  let rows: string | undefined;
  for (const body of streamed.bodies)
    visit(body, (x) => {
      if (x.kind !== "reduce" || x.axes.length !== 1) return;
      const p = productOf(x, [...names, axis.name], plan, undefined, 2);
      const extent = constant(x.axes[0]);
      if (p === undefined || p.columns !== axis.name || !whole(extent, 16) || p.where.some((w) => w.length > 0)) return;
      rows ??= p.rows;
      if (p.rows === rows) inner.set(baseName(x.axes[0]!.name), extent);
    });
  if (rows === undefined) return undefined;
  const columns = columnsOf(streamed, rows, job.axes, plan);
  // Any other index has one element a block: what it is not in would be computed again for each.
  const others = job.axes.filter((a) => a.name !== rows && a.name !== columns?.index);
  const scores = streamed.bodies.filter((b) => some(b, (x) => x.kind === "reduce"));
  const range = axis.range ? [axis.range.from, axis.range.to] : [];
  const varying = new Set([...scores, ...range].flatMap((x) => [...freeIndices(x)]));
  if (others.some((a) => !varying.has(a.name))) return undefined;
  // Columns and the streamed index share lanes: only a product has both.
  const column = columns?.index;
  if (column !== undefined) {
    const counts = and(rangeCondition(streamed.axes, plan.domains), member(streamed, plan.domains));
    const mixed = streamed.bodies.filter((b, k) => freeIndices(b).has(column) && columnFactor(streamed!, k, plan) === undefined);
    if (mixed.length > 0 || freeIndices(counts).has(column)) return undefined;
  }
  return {
    index: baseName(axis.name),
    // Each warp has 32 rows, which read a piece of the other operand once; what it holds of them and of a tile fills its registers at 128 columns.
    tile: 64,
    rows,
    inner: [...inner].map(([index, extent]) => ({ index, extent })),
    ...(columns ? { columns } : {}),
    warps: 4,
    rowsTile: 128,
    laterFirst: walksFurther(baseName(axis.name), rows, job, plan),
  };
}
/** Whether the end of a walk over an index grows with a row and its beginning does not, in the definitions as they are written. */
function walksFurther(index: string, rows: string, job: MapJob, plan: Plan): boolean {
  const written = [...job.stores.map((s) => s.value), ...[...plan.inlined.values()].map((f) => f.value)];
  return written.some((value) =>
    some(value, (x) => {
      if (x.kind !== "reduce" || x.monoid?.held === undefined || baseName(x.axes[0]!.name) !== index) return false;
      const conditions = and(rangeCondition(x.axes, plan.domains), member(x, plan.domains));
      const row = [...freeIndices(conditions)].find((n) => baseName(n) === baseName(rows));
      const { lower, upper } = boundsOf(conditions, x.axes[0]!.name, new Set());
      const grow = (list: readonly Expr[]): boolean => list.some((b) => row !== undefined && varies(b, row, plan) === "grows");
      return grow(upper) && !grow(lower);
    }),
  );
}
/** The element that field k weighs, where the unit can take it and its weight. */
function columnFactor(e: Reduce, k: number, plan: Plan): Expr | undefined {
  const h = e.monoid!.held![k]!;
  const element = e.bodies[k]!;
  if (h.kind !== "centred" || h.relax === undefined || element.kind !== "read") return undefined;
  const [form] = matrixForms(h.relax);
  const held = matrixForms(plan.tables.get(element.tensor)?.elem);
  return form !== undefined && inWord[form] === 2 && held.includes(form) ? element : undefined;
}
/** The index along which weighted sums vary and weights do not, where the unit can take weight and element. */
function columnsOf(e: Reduce, rows: string, axes: readonly Axis[], plan: Plan): StreamTiling["columns"] {
  for (let k = 0; k < e.bodies.length; k++) {
    const element = columnFactor(e, k, plan);
    const h = e.monoid!.held![k]!;
    if (element === undefined || h.kind !== "centred") continue;
    const own = freeIndices(element);
    const weight = freeIndices(e.bodies[h.centre]!);
    const column = axes.find((a) => own.has(a.name) && !weight.has(a.name));
    const extent = constant(column);
    if (column && !own.has(rows) && whole(extent, 8)) return { index: column.name, extent };
  }
  return undefined;
}
/** The tiling under these sizes; undefined where they are smaller than an instruction, or tile what must stay whole. */
export function streamTiling(
  s: StreamTiling,
  tiled: readonly string[],
  size: (index: string) => number,
  threads: number,
): StreamTiling | undefined {
  const [rowsTile, tile] = [size(s.rows), size(s.index)];
  const warps = Math.min(threads / 32, rowsTile / 16);
  if (warps < 1 || tile < 16 || tiled.some((a) => a !== s.rows && a !== s.columns?.index)) return undefined;
  return s.columns && size(s.columns.index) !== s.columns.extent ? undefined : { ...s, rowsTile, tile, warps };
}
