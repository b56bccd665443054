/** Memory under bound arithmetic. */
import type { Memory } from "../../compiler/thread/simulate.ts";

/** A unit of memory: value, bound on the error (of what its fields decode to, where it holds bits), longest chain of additions behind it. */
export interface Cells {
  readonly values: Float64Array;
  readonly errors: Float64Array;
  readonly chains: Int32Array;
}
export type BoundMemory = ReadonlyMap<string, Cells>;
export const cells = (n: number): Cells => ({ values: new Float64Array(n), errors: new Float64Array(n), chains: new Int32Array(n) });
/** Cells that hold what memory holds, exactly. */
export const exactCells = (data: NonNullable<ReturnType<Memory["get"]>>): Cells => ({
  ...cells(data.length),
  values: Float64Array.from(data),
});
