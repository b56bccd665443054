/** Kinds of operations of the thread level, by what they do to a bound. */

/**
 * Operations whose result at an infinite operand is exact, if it is a number, whatever error the other one has: targets that keep infinities
 * take them for elements that do not count.
 */
export const infinitely: ReadonlySet<string> = new Set(["add", "sub", "mul", "exp", "exp2"]);
export const exponentials: ReadonlySet<string> = new Set(["exp", "exp2"]);
export const sums: ReadonlySet<string> = new Set(["add", "sub"]);
/** Operations on bits that only move fields: an error of what a field decodes to goes with it. */
export const moves: ReadonlySet<string> = new Set(["and", "or", "shl", "shr", "widen_f8e4m3", "widen_f8e5m2"]);
/** From floats to what is no float. */
export const decisions: ReadonlySet<string> = new Set(["lt", "le", "gt", "ge", "eq", "ne", "to_i32", "to_u32", "to_int"]);
/** Halves in a word: of what is known exactly, exactly what they hold. */
export const halves: ReadonlySet<string> = new Set(["nibbles_f16", "fields_f16", "multiply_f16x2"]);
export const fromBits: ReadonlySet<string> = new Set([
  ...halves,
  "widen_f8e4m3",
  "widen_f8e5m2",
  "dot4_i8",
  "dot4_u8",
  "bitcast",
  "truncdiv",
  "truncmod",
  "bit_length",
  "again",
]);
