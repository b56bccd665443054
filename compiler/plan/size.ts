/** Expressions over dimensions alone, as the plain data of the ABI. */
import { InternalError } from "../../dsl/diagnostics.ts";
import type { Axis, Expr, MemoryLayout } from "../../dsl/tensor/ir.ts";
import { printExpr } from "../../dsl/tensor/print.ts";
import type { Condition, SizeExpr } from "../../runtime/abi.ts";

const arithmetic = { add: "+", sub: "-", mul: "*", div: "/", mod: "%", min: "min", max: "max" } as const;

export function sizeExpr(e: Expr): SizeExpr {
  const s = sizeOrNone(e);
  if (s === undefined) throw new InternalError(`${printExpr(e)} is not an expression of dimensions`);
  return s;
}
function sizeOrNone(e: Expr): SizeExpr | undefined {
  if (e.kind === "const") return Number(e.value);
  if (e.kind === "dim" || e.kind === "scalar") return e.name;
  if (e.kind === "index") return e.name;
  if (e.kind === "op" && e.op === "neg") {
    const a = sizeOrNone(e.args[0]!);
    return a === undefined ? undefined : ["-", 0, a];
  }
  if (e.kind === "op" && (e.op === "to_int" || e.op === "to_i32" || e.op === "to_f32")) return sizeOrNone(e.args[0]!);
  if (e.kind !== "op" || !(e.op in arithmetic)) return undefined;
  const [a, b] = e.args.map(sizeOrNone);
  if (a === undefined || b === undefined) return undefined;
  if (typeof a === "number" && typeof b === "number" && e.op === "mul") return a * b;
  return [arithmetic[e.op as keyof typeof arithmetic], a, b];
}
export const gcd = (a: number, b: number): number => (b === 0 ? Math.abs(a) : gcd(b, a % b));
export const times = (a: SizeExpr, b: SizeExpr): SizeExpr =>
  a === 1 ? b : b === 1 ? a : typeof a === "number" && typeof b === "number" ? a * b : ["*", a, b];
export const countOf = (axes: readonly Axis[]): SizeExpr => axes.map((a) => sizeExpr(a.extent)).reduce(times, 1);

/** Element positions that a tensor takes: more of them than elements where a layout pads. */
export const positionsOf = (s: { readonly axes: readonly Axis[]; readonly layout?: MemoryLayout | undefined }): SizeExpr =>
  s.layout === undefined ? countOf(s.axes) : sizeExpr(s.layout.places);
/** A condition on dimensions and scalars; undefined where it also speaks of data. */
export function sizeCondition(e: Expr): Condition | undefined {
  if (e.kind !== "op") return undefined;
  const compare = { lt: "<", le: "<=", gt: ">", ge: ">=", eq: "==", ne: "!=" } as const;
  if (e.op === "land" || e.op === "lor") {
    const [a, b] = e.args.map(sizeCondition);
    return a && b ? [e.op === "land" ? "and" : "or", a, b] : undefined;
  }
  if (e.op === "lnot") {
    const a = sizeCondition(e.args[0]!);
    return a ? ["not", a] : undefined;
  }
  if (!(e.op in compare)) return undefined;
  const [a, b] = e.args.map(sizeOrNone);
  return a === undefined || b === undefined ? undefined : [compare[e.op as keyof typeof compare], a, b];
}
