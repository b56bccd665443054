/**
 * Which element of a matrix each lane of a warp holds, for m16n8k16 and, of bytes, m16n8k32 (PTX ISA, "Matrix Fragments"). A word holds
 * elements that follow one another along the index summed over, two or four.
 */
import { inWord, isEightBits } from "../../dsl/tensor/matrix.ts";
import { formats, meaningsOf } from "../../dsl/tensor/narrow.ts";
import { listOf } from "../lists.ts";
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

/** Where element i of what lane l holds lies, by l times what a lane holds, plus i: row by row. */
interface Places {
  /** Elements of a row of A, and of a column of B. */
  readonly depth: number;
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly c: Int32Array;
}
const places = new Map<number, Places>();
function placesOf(n: number): Places {
  let known = places.get(n);
  if (known === undefined) {
    const depth = 8 * n;
    const list = (count: number, place: (lane: number, i: number) => number): Int32Array =>
      Int32Array.from({ length: warp * count }, (_, k) => place(Math.floor(k / count), k % count));
    const a = list(words.a * n, (lane, i) => {
      const [row, k] = elementOfA(lane, Math.floor(i / n), i % n, n);
      return row * depth + k;
    });
    const b = list(words.b * n, (lane, i) => {
      const [k, column] = elementOfB(lane, Math.floor(i / n), i % n, n);
      return k * columns + column;
    });
    const c = list(words.c, (lane, i) => {
      const [row, column] = elementOfC(lane, i);
      return row * columns + column;
    });
    known = { depth, a, b, c };
    places.set(n, known);
  }
  return known;
}
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
  const at = placesOf(n);
  const left = new Array<T>(rows * at.depth);
  const right = new Array<T>(columns * at.depth);
  for (let lane = 0; lane < warp; lane++) {
    for (let i = 0; i < words.a * n; i++) left[at.a[lane * words.a * n + i]!] = a(lane, i);
    for (let i = 0; i < words.b * n; i++) right[at.b[lane * words.b * n + i]!] = b(lane, i);
  }
  const inRows = listOf(rows, (row) => left.slice(row * at.depth, (row + 1) * at.depth));
  const inColumns = listOf(columns, (column) => right.filter((_, place) => place % columns === column));
  for (let lane = 0; lane < warp; lane++)
    for (let e = 0; e < words.c; e++) {
      const place = at.c[lane * words.c + e]!;
      store(lane, e, dot(c(lane, e), inRows[Math.floor(place / columns)]!, inColumns[place % columns]!));
    }
}
/** The numbers of one product at a time: arrays are dear to make. */
const [ofA, ofB, ofC] = [rows * 32, columns * 32, rows * columns].map((n) => new Float64Array(n)) as [
  Float64Array,
  Float64Array,
  Float64Array,
];
/** The same of numbers, as a unit with no rounding inside would give them; `held` are the words of each lane, those of A, B and C in turn. */
export function multiplyNumbers(
  form: MmaForm,
  held: readonly (readonly number[])[],
  store: (lane: number, e: number, value: number) => void,
): void {
  const n = beside(form);
  const at = placesOf(n);
  const read = operandReader(form);
  const inWords = form === "exact" ? n : 1;
  const [fromB, fromC] = [words.a * inWords, (words.a + words.b) * inWords];
  for (let lane = 0; lane < warp; lane++) {
    const own = held[lane]!;
    for (let i = 0; i < words.a * n; i++) ofA[at.a[lane * words.a * n + i]!] = read(own, 0, i);
    for (let i = 0; i < words.b * n; i++) ofB[at.b[lane * words.b * n + i]!] = read(own, fromB, i);
    for (let e = 0; e < words.c; e++) ofC[at.c[lane * words.c + e]!] = own[fromC + e]!;
  }
  const add = form === "exact" || form === "s8" ? addIntegers : addFloats;
  for (let row = 0; row < rows; row++) add(row, at.depth);
  for (let lane = 0; lane < warp; lane++) for (let e = 0; e < words.c; e++) store(lane, e, ofC[at.c[lane * words.c + e]!]!);
}
function addIntegers(row: number, depth: number): void {
  for (let p = row * columns; p < (row + 1) * columns; p++)
    for (let k = 0; k < depth; k++) ofC[p] = (ofC[p]! + Math.imul(ofA[row * depth + k]!, ofB[k * columns + (p % columns)]!)) | 0;
}
/** A row's eight sums beside each other: one alone waits for each addition. */
function addFloats(row: number, depth: number): void {
  const p = row * columns;
  let [a, b, c, d] = [ofC[p]!, ofC[p + 1]!, ofC[p + 2]!, ofC[p + 3]!];
  let [e, f, g, h] = [ofC[p + 4]!, ofC[p + 5]!, ofC[p + 6]!, ofC[p + 7]!];
  for (let k = 0; k < depth; k++) {
    const [x, q] = [ofA[row * depth + k]!, k * columns];
    a += x * ofB[q]!;
    b += x * ofB[q + 1]!;
    c += x * ofB[q + 2]!;
    d += x * ofB[q + 3]!;
    e += x * ofB[q + 4]!;
    f += x * ofB[q + 5]!;
    g += x * ofB[q + 6]!;
    h += x * ofB[q + 7]!;
  }
  [ofC[p], ofC[p + 1], ofC[p + 2], ofC[p + 3]] = [Math.fround(a), Math.fround(b), Math.fround(c), Math.fround(d)];
  [ofC[p + 4], ofC[p + 5], ofC[p + 6], ofC[p + 7]] = [Math.fround(e), Math.fround(f), Math.fround(g), Math.fround(h)];
}
/** Element e of what a lane holds from word `from` on: a byte of a word or half of it, or a whole integer. */
export function operandReader(form: MmaForm): (held: readonly number[], from: number, e: number) => number {
  if (form === "exact") return (held, from, e) => held[from + e]!;
  if (form === "s8") return (held, from, e) => (held[from + (e >> 2)]! << (24 - 8 * (e & 3))) >> 24;
  const all = meaningsOf(formats[form]!);
  if (isEightBits(form)) return (held, from, e) => all[(held[from + (e >> 2)]! >>> (8 * (e & 3))) & 0xff]!;
  return (held, from, e) => all[(held[from + (e >> 1)]! >>> (16 * (e & 1))) & 0xffff]!;
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
