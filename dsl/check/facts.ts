/** What is known where something is to be proved: sizes, tables, indices in scope, conditions, and definitions that are formulas. */
import { substitute } from "../tensor/expr.ts";
import type { Axis, Expr } from "../tensor/ir.ts";
import type { ElemType } from "../tensor/types.ts";

/** What is known of a tensor whose elements steer subscripts. */
export interface TableType {
  readonly elem: ElemType;
  readonly extents: readonly Expr[];
}
export interface Facts {
  readonly dims: readonly { readonly name: string; readonly value?: number }[];
  readonly tables: ReadonlyMap<string, TableType>;
  /** Indices in scope with their ranges. */
  readonly axes: readonly Axis[];
  /** Conditions known to hold. An `all(r) c` is used at every subscript that occurs. */
  readonly conditions: readonly Expr[];
  /** Integer and bool definitions that are plain formulas: a read is the formula. */
  readonly formulas?: ReadonlyMap<string, Formula>;
}
export interface Formula {
  readonly axes: readonly Axis[];
  readonly value: Expr;
}
export const unfold = (f: Formula, subscripts: readonly Expr[]): Expr =>
  substitute(f.value, new Map(f.axes.map((a, k) => [a.name, subscripts[k]!])));
