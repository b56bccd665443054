/**
 * Which element of a matrix each lane of a warp holds, for m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16"). A word holds the two
 * elements 2w and 2w + 1.
 */
import { decode, formats } from "../../dsl/tensor/narrow.ts";
import type { MmaForm } from "./ir.ts";

const rows = 16;
const columns = 8;
const depth = 16;
export const warp = 32;
const counts = { a: 8, b: 4, c: 4 } as const;

/** (row, k) of element e of A. */
const elementOfA = (lane: number, e: number): readonly [number, number] => [
  (lane >> 2) + 8 * ((e >> 1) & 1),
  (lane & 3) * 2 + (e & 1) + 8 * (e >> 2),
];
/** (k, column) of element e of B. */
const elementOfB = (lane: number, e: number): readonly [number, number] => [(lane & 3) * 2 + (e & 1) + 8 * (e >> 1), lane >> 2];
/** (row, column) of element e of C and D. */
const elementOfC = (lane: number, e: number): readonly [number, number] => [(lane >> 2) + 8 * (e >> 1), (lane & 3) * 2 + (e & 1)];

/** D = A B + C for a warp: `a`, `b` and `c` give what lane l holds, `dot` adds up one element of the result. */
export function multiply<T>(
  a: (lane: number, e: number) => T,
  b: (lane: number, e: number) => T,
  c: (lane: number, e: number) => T,
  dot: (c: T, row: readonly T[], column: readonly T[]) => T,
  store: (lane: number, e: number, value: T) => void,
): void {
  const left = Array.from({ length: rows }, () => new Array<T>(depth));
  const right = Array.from({ length: columns }, () => new Array<T>(depth));
  for (let lane = 0; lane < warp; lane++) {
    for (let e = 0; e < counts.a; e++) {
      const [row, k] = elementOfA(lane, e);
      left[row]![k] = a(lane, e);
    }
    for (let e = 0; e < counts.b; e++) {
      const [k, column] = elementOfB(lane, e);
      right[column]![k] = b(lane, e);
    }
  }
  for (let lane = 0; lane < warp; lane++)
    for (let e = 0; e < counts.c; e++) {
      const [row, column] = elementOfC(lane, e);
      store(lane, e, dot(c(lane, e), left[row]!, right[column]!));
    }
}
/** Element e of what a lane holds: half a word of a narrow float, or a whole integer. */
export function operandReader(form: MmaForm): (held: readonly number[], e: number) => number {
  if (form === "exact") return (held, e) => held[e]!;
  const format = formats[form]!;
  return (held, e) => decode(format, (held[e >> 1]! >>> (16 * (e & 1))) & 0xffff);
}
/** ldmatrix (PTX ISA): lane l gets two elements of row l / 4 of each matrix, or of the matrix transposed. */
export function loadMatrices(
  count: number,
  transposed: boolean,
  element: (matrix: number, row: number, column: number) => number,
  store: (lane: number, matrix: number, low: number, high: number) => void,
): void {
  for (let m = 0; m < count; m++)
    for (let lane = 0; lane < warp; lane++) {
      const [row, column] = [lane >> 2, (lane & 3) * 2];
      if (transposed) store(lane, m, element(m, column, row), element(m, column + 1, row));
      else store(lane, m, element(m, row, column), element(m, row, column + 1));
    }
}
