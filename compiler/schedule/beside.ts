/**
 * Which columns of a product a lane holds. Of packed weights, those whose words lie beside each other, so that it reads 16 bytes of them at a
 * time; where weights are read as they are multiplied, as many as fill 16 bytes of what is stored.
 */
import { baseName, visit } from "../../dsl/tensor/expr.ts";
import type { Expr } from "../../dsl/tensor/ir.ts";
import { storage } from "../../dsl/tensor/types.ts";
import { listOf } from "../lists.ts";
import type { Plan, StoreItem } from "../plan/jobs.ts";
import { inSixteenBytes } from "../plan/wide.ts";
import { type MatrixProduct, tensorOf } from "./matrix.ts";
import { placeOf } from "./order.ts";
import { multipleOf } from "./shape.ts";

type Held = Pick<Plan, "stored" | "multiples">;
export interface Beside {
  /** Columns beside each other that a lane holds, instead of columns 8 apart. */
  readonly beside: 1 | 4;
  /** Columns of a warp of which its lanes read whole pieces. */
  readonly wide: number;
}
/** Words of 16 bytes, and columns of an instruction. */
const words = 4;
const columnsOf = 8;
/** Points of the index summed over that a lane holds of an instruction (PTX ISA, "Matrix Fragments"). */
const points = [0, 1, 8, 9];
const mostColumns = 16;

/** @param factor the second factor of a product, where it is computed from what lies in memory */
export function besideOf(factor: Expr | undefined, columns: string, over: string, plan: Pick<Plan, "stored">): Beside {
  if (factor === undefined) return { beside: 1, wide: columnsOf };
  let found: Beside = { beside: words, wide: words * columnsOf };
  visit(factor, (x) => {
    const t = x.kind === "read" ? plan.stored.get(x.tensor) : undefined;
    if (x.kind !== "read" || t?.layout === undefined || storage[t.elem].bits >= 32) return;
    const inWord = 32 / storage[t.elem].bits;
    const place = placeOf(x, t.layout);
    // Where pages are in a table, no words are known to lie together.
    if (place === undefined) return;
    const held = (apart: number, count: number): ReadonlySet<number> => {
      const lanes = listOf(count, (c) => points.map((k) => place({ [baseName(over)]: k, [columns]: c * apart })));
      return new Set(lanes.flat().map((p) => Math.floor(p / inWord)));
    };
    const pieces = (list: ReadonlySet<number>): number => new Set([...list].map((w) => Math.floor(w / words))).size;
    if (pieces(held(columnsOf, words)) >= pieces(held(1, words))) return;
    let count = words;
    while (count < mostColumns && pieces(held(columnsOf, 2 * count)) === pieces(held(columnsOf, count))) count *= 2;
    found = { beside: 1, wide: count * columnsOf };
  });
  return found;
}
/**
 * Of a second factor that is read as it is multiplied, along what is summed over: a slot of shared memory has its rows in any order, so that a
 * lane may hold any columns of the result.
 */
export function besideOfResults(m: Pick<MatrixProduct, "columns" | "over" | "factors" | "beside">, s: StoreItem, plan: Held): number {
  const along = tensorOf(m.factors[1], plan)?.subscripts.at(-1);
  const last = s.subscripts.at(-1);
  if (along?.kind !== "index" || along.name !== m.over || last?.kind !== "index" || last.name !== m.columns) return m.beside;
  const { elem, axes } = plan.stored.get(s.buffer)!;
  const filling = inSixteenBytes(elem);
  // A lane has columns in pairs as it is.
  return filling !== undefined && multipleOf(axes.at(-1)!.extent, plan.multiples) % filling === 0 ? filling / 2 : m.beside;
}
