/**
 * What one matrix instruction may add to an error. A unit aligns the products and the accumulator to the largest exponent, cuts each, adds
 * exactly, and cuts the sum (MMA-Sim; the design's error-bounds, "Matrix units"): in two steps of 8 with 24 bits (sm_80), or one of 16 with
 * 25 (sm_90), which stays below the former; floats of 8 bits in one of 32 with 13 bits (sm_89). The exponent of a product is the sum of those of
 * its factors, and a subnormal has that of the least normal number. An emulator may also add in f32, one product after another. The bound is
 * the larger of the two.
 */
import { loadMatrices, multiply, operandReader, warp } from "../../compiler/thread/fragments.ts";
import type { MmaForm } from "../../compiler/thread/ir.ts";
import { onGrid, sumsExactly } from "../../dsl/interpret/accuracy.ts";
import { type EightBits, inWord, isEightBits } from "../../dsl/tensor/matrix.ts";
import { leastNormal } from "../../dsl/tensor/narrow.ts";
import type { Cells } from "./cells.ts";
import type { Reading } from "./plan.ts";

export interface Term {
  readonly value: number;
  readonly error: number;
  /** Longest chain of additions and multiplications behind it. */
  readonly chain: number;
}
const u = 2 ** -24;
/** A step: products that are added at once, what is cut off each in units of the largest, and off the sum in units of itself. */
interface Step {
  readonly products: number;
  readonly cut: number;
  readonly last: number;
}
const wide: Step = { products: 8, cut: u, last: 2 * u };
const narrow: Step = { products: 32, cut: 2 ** -13, last: 2 ** -13 };

export function unitDot(form: "f16" | "bf16" | EightBits, acc: Term, x: readonly Term[], y: readonly Term[], reading: Reading): Term {
  const step = isEightBits(form) ? narrow : wide;
  const least = leastNormal(form);
  let inherited = acc.error;
  let squares = acc.error ** 2;
  let chain = acc.chain;
  let sum = acc.value;
  /** Rounding of a unit that cuts, and of additions one by one. */
  let cut = 0;
  let serial = 0;
  let largest = 0;
  /** Terms that are cut: of a product whose exponent is the largest nothing is, nor of 0. */
  let terms = 0;
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
    if (k % step.products === 0) {
      largest = Math.abs(sum) + inherited;
      terms = step.products - 1 + (largest > 0 ? 2 : 0);
    }
    largest = Math.max(largest, aligned(a, least) * aligned(b, least));
    sum += product;
    grid &&= e === 0 && onGrid(product);
    magnitude += Math.abs(product);
    serial += u * (Math.abs(sum) + inherited);
    if (k % step.products === step.products - 1) cut += terms * step.cut * largest + step.last * (Math.abs(sum) + inherited);
  });
  const exact = isEightBits(form)
    ? acc.error === 0 && inherited === 0 && withinBits(acc, x, y, Math.max(magnitude, largest))
    : grid && sumsExactly(magnitude);
  const rounding = exact ? 0 : Math.max(cut, serial);
  // A unit that cuts has no mean of 0: its share stands beside the root, not under it.
  const error = reading === "spread" ? Math.sqrt(squares) + rounding : inherited + rounding;
  return { value: sum, error, chain: chain + x.length };
}
/** A factor as far as its exponent may count. */
function aligned(t: Term, least: number): number {
  const size = Math.abs(t.value) + t.error;
  return size === 0 ? 0 : Math.max(size, least);
}
/** All terms are multiples of what stands 13 bits below what no sum exceeds: nothing is cut off. */
function withinBits(acc: Term, x: readonly Term[], y: readonly Term[], most: number): boolean {
  const unit = 2 ** (Math.ceil(Math.log2(most)) - 13);
  const whole = (v: number): boolean => v === 0 || Number.isInteger(v / unit);
  return most === 0 || (whole(acc.value) && x.every((a, k) => whole(a.value * y[k]!.value)));
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
    form === "exact" || form === "s8" ? exactDot : (acc: Term, x: readonly Term[], y: readonly Term[]) => unitDot(form, acc, x, y, reading);
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
