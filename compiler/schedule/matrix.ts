/** Which sum of products of a job a matrix unit can do, and how a block's tile is shared out for it. */
import { member, rangeCondition } from "../../dsl/check/domain.ts";
import { and, baseName, conjuncts, freeIndices, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { inWord, isEightBits, type MatrixForm, matrixFactors } from "../../dsl/tensor/matrix.ts";
import { storage } from "../../dsl/tensor/types.ts";
import type { MapJob, Plan } from "../plan/jobs.ts";
import { besideOf, besideOfResults } from "./beside.ts";
import { type MatrixTiling, multipleOf } from "./shape.ts";

type Reduce = Extract<Expr, { kind: "reduce" }>;
/** A sum of products with the indices that play its parts. */
export interface MatrixProduct {
  readonly rows: string;
  readonly columns: string;
  readonly over: string;
  readonly form: MatrixForm;
  /** Products may be cut (matrixFactors). */
  readonly cut: boolean;
  /** Bytes of an element as it is multiplied: over the exact algebra, a whole integer. */
  readonly bytes: number;
  /** The second factor is computed from what lies in memory, rather than read as it is multiplied. */
  readonly computed: boolean;
  /** As in MatrixAxes, where tiles are large enough. */
  readonly beside: number;
  /** Columns of which a lane reads whole pieces of 16 bytes. */
  readonly wide: number;
  /** The factor that varies with the rows, and the one that varies with the columns. */
  readonly factors: readonly [Expr, Expr];
  /** Which points count, as a condition on each factor; the range of the last index, which is the same for a whole tile, is not among them. */
  readonly where: readonly [Expr[], Expr[]];
}
/** The smallest tile of an instruction. */
const least = { rows: 16, columns: 8 } as const;
const leastDepth = (form: MatrixForm): number => 8 * inWord[form];

/** The product that a reduction is, over two of these axes, `counts` saying which points do; undefined where it is none, or none with so many elements to a word. */
export function productOf(
  e: Reduce,
  axes: readonly string[],
  plan: Pick<Plan, "tables" | "domains" | "stored">,
  counts: Expr = member(e, plan.domains),
  words?: 2 | 4,
): MatrixProduct | undefined {
  const found = matrixFactors(e, (tensor) => ({ elem: plan.tables.get(tensor)?.elem }), words);
  const last = e.axes.at(-1)!;
  if (found === undefined) return undefined;
  const [p, q] = found.factors;
  const [inP, inQ] = [freeIndices(p), freeIndices(q)];
  if (!inP.has(last.name) || !inQ.has(last.name)) return undefined;
  const only = (own: ReadonlySet<string>, others: ReadonlySet<string>): string | undefined =>
    axes.findLast((a) => own.has(a) && !others.has(a));
  const [ofP, ofQ] = [only(inP, inQ), only(inQ, inP)];
  if (ofP === undefined || ofQ === undefined) return undefined;
  const swapped = axes.indexOf(ofP) > axes.indexOf(ofQ);
  const [rows, columns] = swapped ? [ofQ, ofP] : [ofP, ofQ];
  if (last.range && [last.range.from, last.range.to].some((x) => freeIndices(x).has(rows) || freeIndices(x).has(columns))) return undefined;
  const where: [Expr[], Expr[]] = [[], []];
  for (const c of conjuncts(and(rangeCondition(e.axes.slice(0, -1), plan.domains), counts))) {
    const names = freeIndices(c);
    // Membership that hangs on row and column at once would have to be asked of every product.
    if (names.has(rows) && names.has(columns)) return undefined;
    if (!names.has(columns)) where[0].push(c);
    if (!names.has(rows)) where[1].push(c);
  }
  const factors: readonly [Expr, Expr] = swapped ? [q, p] : [p, q];
  const computed = tensorOf(factors[1], plan) === undefined;
  const { beside, wide } = besideOf(computed ? factors[1] : undefined, columns, last.name, plan);
  const { form, cut } = found;
  return { rows, columns, over: last.name, form, cut, bytes: elementBytes(form, e), computed, beside, wide, factors, where };
}
/** Over the exact algebra narrow floats are whole integers; integers are what they were. */
const elementBytes = (form: MatrixForm, e: Reduce): number => (form !== "s8" && e.type === "i32" ? 4 : 4 / inWord[form]);
/** A read and nothing else, of a tensor whose elements lie in memory as they are multiplied: what shared memory may hold of a factor. */
export function tensorOf(factor: Expr, plan: Pick<Plan, "stored">): Extract<Expr, { kind: "read" }> | undefined {
  const read = factor.kind === "relax" ? factor.arg : factor;
  const t = read.kind === "read" ? plan.stored.get(read.tensor) : undefined;
  const lies =
    t !== undefined &&
    t.layout === undefined &&
    (storage[t.elem].bits === 16 || t.elem === "i32" || t.elem === "i8" || isEightBits(t.elem));
  return lies ? (read as Extract<Expr, { kind: "read" }>) : undefined;
}
/** The first product of a job, if it has one. */
export function matrixOf(job: MapJob, plan: Plan): MatrixProduct | undefined {
  const names = job.axes.map((a) => a.name);
  for (const s of job.stores) {
    let found: MatrixProduct | undefined;
    visit(s.expanded, (x) => {
      if (found === undefined && x.kind === "reduce") found = productOf(x, names, plan);
    });
    if (found) return { ...found, beside: besideOfResults(found, s, plan) };
  }
  return undefined;
}
const extentOf = (axes: readonly Axis[], name: string): number | undefined => {
  const e = axes.find((a) => a.name === name)!.extent;
  return e.kind === "const" ? Number(e.value) : undefined;
};
const within = (n: number, low: number, high: number): number => Math.min(high, Math.max(low, 2 ** Math.ceil(Math.log2(Math.max(1, n)))));
/** A factor lies in rows that are no multiple of 16 bytes: its elements come one by one, and take registers until they are multiplied. */
const oneByOne = (m: MatrixProduct, plan: Pick<Plan, "stored" | "multiples">): boolean =>
  m.factors.some((f) => {
    const read = tensorOf(f, plan);
    return read !== undefined && multipleOf(plan.stored.get(read.tensor)!.axes.at(-1)!.extent, plan.multiples) % (16 / m.bytes) !== 0;
  });
/** Tile sizes for a product that no schedule speaks of, and the warps for them. */
export function matrixDefaults(
  m: MatrixProduct,
  axes: readonly Axis[],
  plan: Pick<Plan, "stored" | "multiples">,
  eightBits: boolean,
): { rows: number; columns: number; depth: number; warps: number } {
  // A warp's 64 x 64 sums fill half of its registers; smaller tiles read operands more often than the caches give them.
  const single = oneByOne(m, plan);
  const rows = within(extentOf(axes, m.rows) ?? 128, least.rows, single ? 64 : 128);
  const columns = within(extentOf(axes, m.columns) ?? 128, least.columns, 128);
  // Sums that are added up outside of the unit take registers beside those: half as many to a warp.
  const warps = Math.min(m.cut && eightBits && !single ? 8 : 4, (rows * columns) / 1024);
  return { rows, columns, depth: single ? 32 : 2 * leastDepth(m.form), warps: Math.max(1, warps) };
}
/** What a column of computed factors costs, against a row of read ones. */
const computing = 4;
/** As many slots as shared memory has room for, of those wanted; one alone would be no pipeline. */
function slotsWithin(wanted: number, bytes: number, room: number): number {
  const most = Math.min(wanted, Math.floor(room / bytes));
  return most >= 2 ? most : 0;
}
type Tiled = Pick<MatrixProduct, "rows" | "columns" | "over" | "form" | "bytes" | "computed" | "beside" | "wide">;
interface Arrangement {
  readonly warps: readonly [along: number, across: number];
  readonly shares: number;
}
/**
 * How so many warps stand: each has a piece of rows and columns as square as can be, since least is read again; columns that are computed
 * cost more than those that are read. Those that find no place there share out the sum. Fewer stand where not all can.
 */
function arranged(m: Tiled, [rows, columns, depth]: readonly [number, number, number], wanted: number): Arrangement {
  const cost = (along: number, across: number): number => rows / along + (columns / across) * (m.computed ? computing : 1);
  const piece = m.computed ? Math.min(columns, m.wide) : least.columns;
  for (let warps = wanted; warps > 1; warps /= 2)
    for (let shares = 1; shares <= Math.min(warps, depth / leastDepth(m.form)); shares *= 2) {
      let best: readonly [number, number] | undefined;
      for (let along = 1; along <= warps / shares; along *= 2) {
        const across = warps / shares / along;
        if (rows / along < least.rows || columns / across < piece) continue;
        if (best === undefined || cost(along, across) < cost(...best)) best = [along, across];
      }
      if (best) return { warps: best, shares };
    }
  return { warps: [1, 1], shares: 1 };
}
/** How a tile of these sizes is computed, with `room` bytes of shared memory; undefined where it is smaller than an instruction. */
export function matrixTiling(
  m: Tiled,
  size: (index: string) => number,
  threads: number,
  slots: number,
  room: number,
): MatrixTiling | undefined {
  const [rows, columns, depth] = [size(m.rows), size(m.columns), size(baseName(m.over))];
  if (rows < least.rows || columns < least.columns || depth < leastDepth(m.form)) return undefined;
  const { warps, shares } = arranged(m, [rows, columns, depth], threads / 32);
  const partial = shares > 1 ? rows * columns * shares * 4 : 0;
  return {
    rows: m.rows,
    columns: m.columns,
    over: baseName(m.over),
    depth,
    inWord: inWord[m.form],
    warps,
    shares,
    slots: slotsWithin(slots, (rows + (m.computed ? 0 : columns)) * depth * m.bytes, room - partial),
    beside: Math.min(m.beside, columns / warps[1] / least.columns),
  };
}
