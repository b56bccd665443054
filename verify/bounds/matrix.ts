/**
 * What one matrix instruction may add to an error. A unit aligns the products and the accumulator to the largest exponent, cuts each, adds
 * exactly, and cuts the sum (MMA-Sim; the design's error-bounds, "Matrix units"): in two steps of 8 with 24 bits (sm_80), or one of 16 with
 * 25 (sm_90), which stays below the former. An emulator may also add in f32, one product after another. The bound is the larger of the two.
 */
import { loadMatrices, multiply, operandReader, warp } from "../../compiler/thread/fragments.ts";
import type { MmaForm } from "../../compiler/thread/ir.ts";
import { onGrid, sumsExactly } from "../../dsl/interpret/accuracy.ts";
import { inWord } from "../../dsl/tensor/matrix.ts";
import type { Cells } from "./cells.ts";
import type { Reading } from "./plan.ts";

export interface Term {
  readonly value: number;
  readonly error: number;
  /** Longest chain of additions and multiplications behind it. */
  readonly chain: number;
}
const u = 2 ** -24;
const perStep = 8;

export function unitDot(acc: Term, x: readonly Term[], y: readonly Term[], reading: Reading): Term {
  let inherited = acc.error;
  let squares = acc.error ** 2;
  let chain = acc.chain;
  let sum = acc.value;
  /** Rounding of a unit that cuts, and of additions one by one. */
  let cut = 0;
  let serial = 0;
  let largest = 0;
  /** Every term is a multiple of 2^-10, and all of them together stay small: no order of them rounds. */
  let grid = acc.error === 0 && onGrid(acc.value);
  let magnitude = Math.abs(acc.value);
  x.forEach((a, k) => {
    const b = y[k]!;
    const product = a.value * b.value;
    const e = Math.abs(a.value) * b.error + Math.abs(b.value) * a.error + a.error * b.error;
    inherited += e;
    squares += e ** 2;
    chain = Math.max(chain, a.chain, b.chain);
    if (k % perStep === 0) largest = Math.abs(sum) + inherited;
    largest = Math.max(largest, Math.abs(product) + e);
    sum += product;
    grid &&= e === 0 && onGrid(product);
    magnitude += Math.abs(product);
    serial += u * (Math.abs(sum) + inherited);
    if (k % perStep === perStep - 1) cut += (perStep + 1) * u * largest + 2 * u * (Math.abs(sum) + inherited);
  });
  const rounding = grid && sumsExactly(magnitude) ? 0 : Math.max(cut, serial);
  // A unit that cuts has no mean of 0: its share stands beside the root, not under it.
  const error = reading === "spread" ? Math.sqrt(squares) + rounding : inherited + rounding;
  return { value: sum, error, chain: chain + x.length };
}
export const exactDot = (acc: Term, x: readonly Term[], y: readonly Term[]): Term => ({
  value: x.reduce((sum, a, k) => (sum + Math.imul(a.value, y[k]!.value)) | 0, acc.value),
  error: [acc, ...x, ...y].some((t) => t.error > 0) ? Number.POSITIVE_INFINITY : 0,
  chain: 0,
});

/** What a lane gives to an instruction: its registers in order. */
export interface Registers {
  readonly values: number[];
  readonly errors: number[];
  readonly chains: number[];
}
/** Three numbers a name: value, error, chain. */
type Frame = Float64Array;
function put(f: Frame, slot: number, value: number, error: number, chain: number): void {
  f[slot] = value;
  f[slot + 1] = error;
  f[slot + 2] = chain;
}
const inWarps = (run: (lanes: readonly Frame[]) => void) => (frames: readonly Frame[]) => {
  for (let first = 0; first < frames.length; first += warp) run(frames.slice(first, first + warp));
};
/** A matrix instruction under bound arithmetic. */
export function runMultiply(
  form: MmaForm,
  [a, b, c]: readonly [(f: Frame) => Registers, (f: Frame) => Registers, (f: Frame) => Registers],
  outs: readonly number[],
  reading: Reading,
): (frames: readonly Frame[]) => void {
  const held = operandReader(form);
  const perWord = form === "exact" ? 1 : inWord[form];
  const element = (r: Registers, e: number): Term => {
    const word = Math.floor(e / perWord);
    return { value: held(r.values, 0, e), error: r.errors[word]!, chain: r.chains[word]! };
  };
  const dot =
    form === "exact" || form === "s8" ? exactDot : (acc: Term, x: readonly Term[], y: readonly Term[]) => unitDot(acc, x, y, reading);
  return inWarps((lanes) => {
    const own = lanes.map((f) => ({ a: a(f), b: b(f), c: c(f) }));
    multiply<Term>(
      form,
      (lane, e) => element(own[lane]!.a, e),
      (lane, e) => element(own[lane]!.b, e),
      (lane, e) => ({ value: own[lane]!.c.values[e]!, error: own[lane]!.c.errors[e]!, chain: own[lane]!.c.chains[e]! }),
      dot,
      (lane, e, v) => put(lanes[lane]!, outs[e]!, v.value, v.error, v.chain),
    );
  });
}
/** Fragments from shared memory, of arrays with so many elements in 16 bits. */
export function runFragment(
  inEntry: 1 | 2,
  transposed: boolean,
  at: (f: Frame) => number,
  outs: readonly number[],
  cells: () => Cells,
): (frames: readonly Frame[]) => void {
  return inWarps((lanes) => {
    const c = cells();
    const rowsAt = lanes.map((f) => at(f));
    loadMatrices(
      outs.length,
      transposed,
      (m, row, column) => rowsAt[8 * m + row]! + column * inEntry,
      (lane, m, low, high) => {
        const places = inEntry === 1 ? [low, high] : [low, low + 1, high, high + 1];
        const word = places.reduce((bits, p, k) => bits | (c.values[p]! << ((32 / places.length) * k)), 0) >>> 0;
        const most = (of: ArrayLike<number>): number => Math.max(...places.map((p) => of[p]!));
        put(lanes[lane]!, outs[m]!, word, most(c.errors), most(c.chains));
      },
    );
  });
}
