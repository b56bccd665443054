/** Which columns of packed weights a lane holds: those whose words lie beside each other, so that it reads 16 bytes of them at a time. */
import { evaluateInteger } from "../../dsl/check/evaluate.ts";
import { baseName, freeIndices, visit } from "../../dsl/tensor/expr.ts";
import type { Expr, MemoryLayout } from "../../dsl/tensor/ir.ts";
import { storage } from "../../dsl/tensor/types.ts";
import type { Plan } from "../plan/jobs.ts";

type Read = Extract<Expr, { kind: "read" }>;
/** Words of 16 bytes, and columns of an instruction. */
const words = 4;
const columnsOf = 8;
/** Points of the index summed over that a lane holds of two instructions (PTX ISA, "Matrix Fragments"). */
const points = [0, 1, 8, 9, 16, 17, 24, 25];
/** What stands for a dimension: what may be asked of one divides it. */
const someSize = 4096;

/** Columns beside each other that a lane holds of the factor, instead of columns 8 apart: 4, or 1 where a layout has put those together. */
export function besideOf(factor: Expr, columns: string, over: string, plan: Pick<Plan, "stored">): 1 | 4 {
  let best: 1 | 4 = words;
  visit(factor, (x) => {
    const t = x.kind === "read" ? plan.stored.get(x.tensor) : undefined;
    if (x.kind !== "read" || t?.layout === undefined || storage[t.elem].bits >= 32) return;
    const pieces = (apart: number): number => piecesOf(x, t.layout!, 32 / storage[t.elem].bits, columns, over, apart);
    if (pieces(columnsOf) < pieces(1)) best = 1;
  });
  return best;
}
/** Pieces of 16 bytes in which the elements of four columns lie, so far apart. */
function piecesOf(x: Read, layout: MemoryLayout, inWord: number, columns: string, over: string, apart: number): number {
  const found = new Set<number>();
  for (const k of points)
    for (let c = 0; c < words; c++) {
      const values = new Map<string, number>();
      const fill = (e: Expr): void => visit(e, (y) => void (y.kind === "dim" && values.set(y.name, someSize)));
      x.subscripts.forEach((s) => {
        fill(s);
        for (const name of freeIndices(s)) values.set(name, name === columns ? c * apart : baseName(name) === baseName(over) ? k : 0);
      });
      const at = x.subscripts.map((s) => evaluateInteger(s, values));
      fill(layout.place);
      layout.indices.forEach((name, n) => at[n] !== undefined && values.set(name, at[n]!));
      const place = evaluateInteger(layout.place, values);
      // Where pages are in a table, no columns are known to lie together.
      found.add(place === undefined ? k * words + c : Math.floor(place / inWord / words));
    }
  return found.size;
}
