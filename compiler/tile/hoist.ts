/**
 * What is the same for all points of a step of a product, out of it: codes are multiplied as they are, and each step's sum by the scale of its
 * group. A scale then costs an instruction for each sum of a step, instead of one for each pair of codes.
 */
import { domainOf } from "../../dsl/check/domain.ts";
import { children, isTrue } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { infoOf, type StorageInfo, storage } from "../../dsl/tensor/types.ts";
import type { MatrixProduct } from "../schedule/matrix.ts";
import type { Lowering } from "./expression.ts";

export interface Hoisted {
  /** The second factor without it. */
  readonly rest: Expr;
  /** Of the step, for each column. */
  readonly scale: Expr;
}
/** Sums of a thread: those of a step stand beside those of all steps before, and take as many registers. */
const mostSums = 16;
/** Each form holds the integers up to this. */
const exact = { f16: 2048, bf16: 256, f8e4m3: 16, f8e5m2: 8, s8: 0 } as const;

/**
 * The scale of the second factor, where it can leave a step of so many points that begins at a multiple of their number; undefined where
 * there is none, where what is left is not sure to be exact, or where it would not pay.
 */
export function hoistedFrom(l: Lowering, p: MatrixProduct, width: number, axes: readonly Axis[]): Hoisted | undefined {
  const factor = p.factors[1];
  if (l.shape.matrix === undefined) return undefined;
  const { rowsOfWarp, columnsOfWarp, shares } = l.shape.matrix;
  // Where no point of a step counts its sum is 0, which no scale that is not wanted may change.
  if (p.where[1].length > 0) return undefined;
  if (factor.kind !== "relax" || p.form === "s8" || (rowsOfWarp * columnsOfWarp) / 32 > mostSums) return undefined;
  // A pair of codes has one multiplication, of its own or of the sum.
  if (2 * rowsOfWarp > width / shares) return undefined;
  const parts = factorsOf(factor.arg);
  const scales = parts.filter((x) => sameInStep(x, p.over, width) && isTrue(domainOf(x, l.domains)) && l.readsInRange(x, axes));
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
/** The index stands only where it is divided by a multiple of a step. */
function sameInStep(e: Expr, over: string, width: number): boolean {
  if (e.kind === "index") return e.name !== over;
  if (e.kind === "op" && e.op === "div" && e.args[0]!.kind === "index" && e.args[1]!.kind === "const")
    return Number(e.args[1]!.value) % width === 0;
  return e.kind !== "reduce" && e.kind !== "sweep" && children(e).every((c) => sameInStep(c, over, width));
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
