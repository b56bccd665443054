/** Between which numbers an integer of a thread lies: what lets quotients and remainders of addresses be taken apart. */
import type { MapOp } from "../tile/ir.ts";

/** From and to, both included. Positions in memory are natural numbers of 31 bits, so sums and products of natural numbers are taken not to overflow. */
export type Range = readonly [from: number, to: number];
const least = -(2 ** 31);
const most = 2 ** 31 - 1;
export const anything: Range = [least, most];
export const natural: Range = [0, most];
const within = (from: number, to: number): Range => [Math.max(least, from), Math.min(most, to)];
/** Bounds of a sum or product: what may leave the 32 bits from below could be anything. */
const sum = (from: number, to: number): Range => (from < least || (from < 0 && to > most) ? anything : within(from, to));

/**
 * Whether an integer may leave its 32 bits. Sizes, indices and places in memory do not, by the limit on tensors; data may, and so may what is
 * computed from it: it has a negative number in its range, or an end that no size has.
 */
export function mayWrap(op: MapOp, a: Range, b: Range): boolean {
  if (op === "neg" || op === "abs") return a[0] === least;
  if (op !== "add" && op !== "sub" && op !== "mul") return false;
  const ends =
    op === "add"
      ? [a[0] + b[0], a[1] + b[1]]
      : op === "sub"
        ? [a[0] - b[1], a[1] - b[0]]
        : [a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]];
  if (Math.min(...ends) >= least && Math.max(...ends) <= most) return false;
  const ofSizes = a[0] >= 0 && b[0] >= 0 && (a[1] === most || b[1] === most);
  return !ofSizes;
}
/** Of an operation on up to three integers; what it does not have is anything. */
export function rangeOf(op: MapOp, a: Range, b: Range, c: Range): Range {
  switch (op) {
    case "add":
      return sum(a[0] + b[0], a[1] + b[1]);
    case "sub":
      return sum(a[0] - b[1], a[1] - b[0]);
    case "mul": {
      const ends = [a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]];
      return sum(Math.min(...ends), Math.max(...ends));
    }
    case "min":
      return [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
    case "max":
      return [Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    case "select":
      return [Math.min(b[0], c[0]), Math.max(b[1], c[1])];
    case "and":
      // What has no sign bit takes it from the other.
      if (a[0] >= 0 && b[0] >= 0) return [0, Math.min(a[1], b[1])];
      return a[0] >= 0 ? [0, a[1]] : b[0] >= 0 ? [0, b[1]] : anything;
    case "xor":
      return a[0] >= 0 && b[0] >= 0 ? [0, 2 ** (32 - Math.clz32(a[1] | b[1])) - 1] : anything;
    case "shr":
      return a[0] >= 0 && b[0] === b[1] && b[0] >= 0 && b[0] < 32 ? [a[0] >> b[0], a[1] >> b[0]] : anything;
    case "truncdiv":
      return a[0] >= 0 && b[0] > 0 ? [Math.floor(a[0] / b[1]), Math.floor(a[1] / b[0])] : anything;
    case "truncmod":
      return a[0] >= 0 && b[0] > 0 ? [0, Math.min(a[1], b[1] - 1)] : anything;
    case "bit_length":
      return [0, 32];
    default:
      return anything;
  }
}
