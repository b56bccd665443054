/**
 * Which element of a matrix each lane of a warp holds, for m16n8k16 and, of bytes, m16n8k32 (PTX ISA, "Matrix Fragments"). A word holds
 * elements that follow one another along the index summed over, two or four.
 */
import { inWord } from "../../dsl/tensor/matrix.ts";
import { decode, formats } from "../../dsl/tensor/narrow.ts";
import type { MmaForm } from "./ir.ts";

const rows = 16;
const columns = 8;
export const warp = 32;
/** Words that a lane holds of each. */
const words = { a: 4, b: 2, c: 4 } as const;
/** Elements that the fragments of a form have side by side. */
const beside = (form: MmaForm): number => (form === "exact" ? 2 : inWord[form]);

/** (row, k) of element e of word w of A, `n` to a word. */
const elementOfA = (lane: number, w: number, e: number, n: number): readonly [number, number] => [
  (lane >> 2) + 8 * (w & 1),
  (lane & 3) * n + e + 4 * n * (w >> 1),
];
/** (k, column) of element e of word w of B. */
const elementOfB = (lane: number, w: number, e: number, n: number): readonly [number, number] => [
  (lane & 3) * n + e + 4 * n * w,
  lane >> 2,
];
/** (row, column) of element e of C and D. */
const elementOfC = (lane: number, e: number): readonly [number, number] => [(lane >> 2) + 8 * (e >> 1), (lane & 3) * 2 + (e & 1)];

/** D = A B + C for a warp: `a`, `b` and `c` give what lane l holds, `dot` adds up one element of the result. */
export function multiply<T>(
  form: MmaForm,
  a: (lane: number, e: number) => T,
  b: (lane: number, e: number) => T,
  c: (lane: number, e: number) => T,
  dot: (c: T, row: readonly T[], column: readonly T[]) => T,
  store: (lane: number, e: number, value: T) => void,
): void {
  const n = beside(form);
  const left = Array.from({ length: rows }, () => new Array<T>(8 * n));
  const right = Array.from({ length: columns }, () => new Array<T>(8 * n));
  for (let lane = 0; lane < warp; lane++)
    for (let e = 0; e < n; e++) {
      for (let w = 0; w < words.a; w++) {
        const [row, k] = elementOfA(lane, w, e, n);
        left[row]![k] = a(lane, w * n + e);
      }
      for (let w = 0; w < words.b; w++) {
        const [k, column] = elementOfB(lane, w, e, n);
        right[column]![k] = b(lane, w * n + e);
      }
    }
  for (let lane = 0; lane < warp; lane++)
    for (let e = 0; e < words.c; e++) {
      const [row, column] = elementOfC(lane, e);
      store(lane, e, dot(c(lane, e), left[row]!, right[column]!));
    }
}
/** Element e of what a lane holds from word `from` on: a byte of a word or half of it, or a whole integer. */
export function operandReader(form: MmaForm): (held: readonly number[], from: number, e: number) => number {
  if (form === "exact") return (held, from, e) => held[from + e]!;
  if (form === "s8") return (held, from, e) => (held[from + (e >> 2)]! << (24 - 8 * (e & 3))) >> 24;
  const format = formats[form]!;
  return (held, from, e) => decode(format, (held[from + (e >> 1)]! >>> (16 * (e & 1))) & 0xffff);
}
/** ldmatrix (PTX ISA): lane l gets two entries of row l / 4 of each matrix, or of the matrix transposed. */
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
