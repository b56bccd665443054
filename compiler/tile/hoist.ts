/**
 * Scales out of the second factor of a product, whose codes are then multiplied as they are. What is the same for all points of a step leaves the
 * step: each of its sums is multiplied by the scale of its group, instead of each pair of codes. What is the same for all columns of a block goes to
 * the first factor, where it costs one multiplication for each row in place of one for each column.
 */
import { domainOf } from "../../dsl/check/domain.ts";
import { children, isTrue } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { infoOf, type StorageInfo, storage } from "../../dsl/tensor/types.ts";
import type { MatrixProduct } from "../schedule/matrix.ts";
import type { Lowering } from "./expression.ts";

export interface Parted {
  /** The second factor without it. */
  readonly rest: Expr;
  readonly scale: Expr;
}
/** Sums of a thread: those of a step stand beside those of all steps before, and take as many registers. */
const mostSums = 16;
/** Each form holds the integers up to this. */
const exact = { f16: 2048, bf16: 256, f8e4m3: 16, f8e5m2: 8, s8: 0 } as const;

/**
 * The scale of the second factor for each column, where it can leave a step of so many points that begins at a multiple of their number;
 * undefined where there is none, where what is left is not sure to be exact, or where it would not pay.
 */
export function hoistedFrom(l: Lowering, p: MatrixProduct, width: number, axes: readonly Axis[]): Parted | undefined {
  if (l.shape.matrix === undefined) return undefined;
  const { rowsOfWarp, columnsOfWarp, shares } = l.shape.matrix;
  // A pair of codes has one multiplication, of its own or of the sum.
  if ((rowsOfWarp * columnsOfWarp) / 32 > mostSums || 2 * rowsOfWarp > width / shares) return undefined;
  return parted(l, p, axes, (x) => sameWithin(x, p.over, width));
}
/**
 * The scale for each point of the sum, where the first factor can take it; undefined as above. Only bf16 has the range of f32: halves of scaled
 * activations might overflow, or lose bits, where those of scaled codes do not.
 */
export function movedFrom(l: Lowering, p: MatrixProduct, axes: readonly Axis[]): Parted | undefined {
  if (l.shape.matrix === undefined || p.form !== "bf16") return undefined;
  const { rowsOfWarp, columnsOfWarp } = l.shape.matrix;
  if (2 * rowsOfWarp > columnsOfWarp) return undefined;
  return parted(l, p, axes, (x) => sameWithin(x, p.columns, l.shape.tile(p.columns)));
}
/** The factors of the second factor that are scales by this, and the others. */
function parted(l: Lowering, p: MatrixProduct, axes: readonly Axis[], isSame: (e: Expr) => boolean): Parted | undefined {
  const factor = p.factors[1];
  // Where no point of a step counts its sum is 0, which no scale that is not wanted may change.
  if (p.where[1].length > 0 || factor.kind !== "relax" || p.form === "s8") return undefined;
  const parts = factorsOf(factor.arg);
  const scales = parts.filter((x) => isSame(x) && isTrue(domainOf(x, l.domains)) && l.readsInRange(x, axes));
  const codes = parts.filter((x) => !scales.includes(x));
  if (scales.length === 0 || codes.length === 0) return undefined;
  // Over the exact algebra nothing is lost.
  if (factor.type === "f32" && !(codes.length === 1 && areExact(codes[0]!, exact[p.form], l))) return undefined;
  const product = (list: readonly Expr[]): Expr =>
    list.reduce((x, y): Expr => ({ kind: "op", op: "mul", args: [x, y], type: factor.type, span: factor.span }));
  return { rest: { ...factor, arg: product(codes) }, scale: product(scales) };
}
const factorsOf = (e: Expr): Expr[] =>
  e.kind === "op" && e.op === "mul" && (e.type === "f32" || e.type === "i32") ? e.args.flatMap(factorsOf) : [e];
/** Integers of few bits, as floats. */
function areExact(e: Expr, most: number, l: Lowering): boolean {
  const range = e.kind === "op" && e.op === "to_f32" ? rangeOf(e.args[0]!, l) : undefined;
  return range !== undefined && Math.max(-range[0], range[1]) <= most;
}
/** The index stands only where it is divided by a multiple of so many points. */
function sameWithin(e: Expr, index: string, points: number): boolean {
  if (e.kind === "index") return e.name !== index;
  if (e.kind === "op" && e.op === "div" && e.args[0]!.kind === "index" && e.args[1]!.kind === "const")
    return e.args[0]!.name !== index || Number(e.args[1]!.value) % points === 0;
  return e.kind !== "reduce" && e.kind !== "sweep" && children(e).every((c) => sameWithin(c, index, points));
}
/** Between which numbers an integer lies, by the types of what it is made of. */
function rangeOf(e: Expr, l: Lowering): readonly [number, number] | undefined {
  if (e.kind === "const") return [Number(e.value), Number(e.value)];
  if (e.kind === "read") {
    const elem = l.plan.stored.get(e.tensor)?.elem;
    const table = l.plan.tables.get(e.tensor);
    if (elem === undefined || storage[elem].class !== "integer" || storage[elem].bits > 8) return undefined;
    const { min = 0, max } = (table ? infoOf(table.elem) : storage[elem]) as StorageInfo;
    return max === undefined ? undefined : [min, max];
  }
  if (e.kind !== "op") return undefined;
  const ranges = e.args.map((a) => rangeOf(a, l));
  if (ranges.includes(undefined)) return undefined;
  const [x, y] = ranges as [readonly [number, number], readonly [number, number]];
  if (e.op === "add") return [x[0] + y[0], x[1] + y[1]];
  return e.op === "sub" ? [x[0] - y[1], x[1] - y[0]] : undefined;
}
