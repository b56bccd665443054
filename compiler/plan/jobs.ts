/** What a plan is made of: tensors in memory, and the jobs that fill them, in order. */
import type { TensorDomain } from "../../dsl/check/domain.ts";
import type { TableType } from "../../dsl/check/facts.ts";
import type { Axis, Define, Expr, Fold, MemoryLayout, NewAxis, Program, Write } from "../../dsl/tensor/ir.ts";
import type { Storage } from "../../dsl/tensor/types.ts";

/** A tensor in memory: parameter, output or temporary. */
export interface Stored {
  readonly name: string;
  readonly elem: Storage;
  readonly axes: readonly Axis[];
  readonly role: "param" | "output" | "temp";
  readonly layout?: MemoryLayout;
  /** Written at every point, those outside its domain included. */
  readonly everywhere?: boolean;
}
export interface StoreItem {
  readonly buffer: string;
  readonly subscripts: readonly Expr[];
  readonly value: Expr;
  /** The value with definitions that have no memory written out: for analysis. The value itself keeps them, and with them their domains. */
  readonly expanded: Expr;
  /** Written only where this holds. */
  readonly where: Expr;
  readonly line: number;
}
/** Each point of `axes` computed on its own; reductions inside values. */
export interface MapJob {
  readonly kind: "map";
  readonly name: string;
  readonly axes: readonly Axis[];
  readonly stores: readonly StoreItem[];
  /**
   * What is stored lies along a further axis, which each point walks; it reads what is `held` there in place of memory. Of that, others read
   * what is `kept`.
   */
  readonly row?: { readonly axis: Axis; readonly held: readonly StoreItem[]; readonly kept: readonly StoreItem[] };
}
/** Rows that are walked in order. */
export interface RowJob {
  readonly kind: "row";
  readonly name: string;
  readonly statement: (Define & { readonly sweep: true }) | NewAxis | Write;
  readonly line: number;
}
export type Job = MapJob | RowJob;
export type PlannedStep =
  | { readonly kind: "job"; readonly job: Job }
  | { readonly kind: "repeat"; readonly fold: Fold; readonly steps: readonly PlannedStep[] };
export interface Plan {
  readonly program: Program;
  readonly stored: ReadonlyMap<string, Stored>;
  readonly domains: ReadonlyMap<string, TensorDomain>;
  readonly tables: ReadonlyMap<string, TableType>;
  /** Definitions without memory: a read is their value. */
  readonly inlined: ReadonlyMap<string, Define>;
  /** Numbers that divide dimensions, for every call that is admitted. */
  readonly multiples: ReadonlyMap<string, number>;
  /** Integer and bool definitions that proofs may see through. */
  readonly formulas: ReadonlyMap<string, Define>;
  /** Subscripts shown to be in range, or not, so far: the same for every target. */
  readonly proofs: Map<string, boolean>;
  readonly steps: readonly PlannedStep[];
}
