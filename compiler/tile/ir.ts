/**
 * Tile IR: how a launch computes, block by block. Values are tiles over named axes with power-of-two extents; operations join their operands
 * by name, so broadcast and transpose are no operations. SSA; what a loop changes it carries. No threads, no barriers, no target.
 *
 * A scalar is a tile over no axes. A value is meaningful only where the guards of its consumers hold; loads that might leave their tensor
 * otherwise carry a guard of their own.
 */

import type { Op as ScalarOp } from "../../dsl/tensor/ir.ts";
import type { MatrixForm } from "../../dsl/tensor/matrix.ts";
import type { Storage } from "../../dsl/tensor/types.ts";
import type { SizeExpr } from "../../runtime/abi.ts";
import type { TileLayout } from "../layout/tile-layout.ts";

/** The type of a tile's elements; integers are 32 bits wide, `int` of the language among them. */
export type Elem = "f32" | "f64" | "i32" | "u32" | "bool";

export type Value = number;
export interface Tile {
  readonly elem: Elem;
  /** Names of the axes it varies over, in the order of the launch's axes. */
  readonly axes: readonly string[];
  /** The user's name for it, where it has one. */
  readonly name?: string;
}

type NarrowFloat = "f16" | "bf16" | "f8e4m3" | "f8e5m2";
/**
 * Scalar operations of the language, and those that only lowering makes: `round`, `chop` (toward zero) and `stochastic` give the nearest
 * value of a narrow format as f32; `encode` and `decode` go between f32 and its bits in a u32; `truncdiv` and `truncmod` are division of
 * integers known to be natural, and `bit_length` the number of binary digits of one (0 has none).
 */
export type MapOp =
  | ScalarOp
  | "select"
  | "bitcast"
  | `${"round" | "chop" | "stochastic" | "encode" | "decode"}_${NarrowFloat}`
  | "truncdiv"
  | "truncmod"
  | "bit_length"
  /** Its operand, and the compiler of the target does not know that: what is made of it is computed, not held from before. */
  | "again"
  /** `to_f32` of an integer of at most 22 bits and a sign, which threads convert by an addition (thread/nodes.ts). */
  | "small_to_f32"
  /** Two halves in a word: the fields of 4 bits of a word that begin at a bit, a multiple of 8, and 4 above it, each less an integer of 0 to 63. */
  | "nibbles_f16"
  /** The same of the fields that begin at a bit below 16, a multiple of 4, and 16 above it. */
  | "fields_f16"
  /** The two floats of 8 bits that begin at a bit of a word, as halves. */
  | "widen_f8e4m3"
  | "widen_f8e5m2"
  /** Products of the halves of two words, each rounded once. */
  | "multiply_f16x2"
  /** The sum of the products of the four bytes of two words, as an i32: signed ones, or natural ones. */
  | "dot4_i8"
  | "dot4_u8";

/** How values combine in a reduction: a tuple with a tuple. */
export type Combine =
  | { readonly kind: "sum" | "prod" | "max" | "min" | "all" | "any" }
  /** (value, index): larger value first, ties to the lower index. */
  | { readonly kind: "argmax" }
  /** A user's monoid: the results of `body` over the parameters x then y. */
  | {
      readonly kind: "monoid";
      readonly name: string;
      readonly x: readonly Value[];
      readonly y: readonly Value[];
      readonly body: readonly Op[];
      readonly results: readonly Value[];
    };

/** Axes of a matrix product: of the result, the one summed over, and the columns where the second factor is held. */
export interface MatrixAxes {
  readonly rows: string;
  readonly columns: string;
  readonly over: string;
  readonly other: string;
  /** An axis over the shares into which warps cut what is summed over, piece by piece; undefined where every warp takes all of it. */
  readonly share?: string;
  /** Elements along `over` that lie in a word of an operand. */
  readonly inWord: 2 | 4;
  /** Columns beside each other that a lane holds, instead of columns 8 apart: 1, or a power of two. */
  readonly beside: number;
}
/** How far apart columns are that an instruction has 8 apart. */
export const eighthOf = (beside: number): number => (beside > 1 ? 1 : 8);

export type Op =
  | { readonly kind: "const"; readonly out: Value; readonly value: number | boolean }
  | { readonly kind: "dim" | "scalar"; readonly out: Value; readonly name: string }
  /** The step of an enclosing host-side loop over launches. */
  | { readonly kind: "step"; readonly out: Value; readonly name: string }
  /** Which tile of a grid axis this block has. */
  | { readonly kind: "block"; readonly out: Value; readonly axis: string }
  /** 0 .. extent - 1 along an axis of the tile. */
  | { readonly kind: "coordinate"; readonly out: Value; readonly axis: string }
  /** Elementwise, operands joined by axis name. */
  | { readonly kind: "map"; readonly out: Value; readonly op: MapOp; readonly args: readonly Value[] }
  /** The element of `buffer` at a flat position, widened; 0 where `guard` is false, and then nothing is read. */
  | { readonly kind: "load"; readonly out: Value; readonly buffer: string; readonly at: Value; readonly guard?: Value }
  /** Folds one axis of the tile away, in an order that schedule and extents fix. */
  | {
      readonly kind: "reduce";
      readonly outs: readonly Value[];
      readonly values: readonly Value[];
      readonly over: string;
      readonly by: Combine;
    }
  /**
   * acc + the sum over an axis of a[rows, over] b[other, over]: a matrix product on a matrix unit. `other` is an axis of its own that stands
   * for the columns where b is held, since a fragment of b lies otherwise in a warp than one of the result. With `share`, the element at a
   * point of it sums that piece of `over`.
   */
  | {
      readonly kind: "dot";
      readonly out: Value;
      readonly a: Value;
      readonly b: Value;
      readonly acc: Value;
      readonly form: MatrixForm | "exact";
      /** Floats of 8 bits go to the unit as they are, which cuts their products: the sums of an instruction begin at 0, and are added up outside. */
      readonly cut: boolean;
      readonly axes: MatrixAxes;
    }
  /**
   * Starts to copy a tile into a slot of a ring, 16 bytes at a time: `at` is where each begins, over the ring's copy axes; zeros where
   * `guard` is false. Nobody may read the slot before it has landed.
   */
  | {
      readonly kind: "issue";
      readonly ring: string;
      readonly slot: Value;
      readonly buffer: string;
      readonly at: Value;
      readonly guard?: Value;
    }
  /** Fills a slot of a ring of values: `value` is a tile over the ring's copy axes. Nobody may read the slot before the next `meet`. */
  | { readonly kind: "put"; readonly ring: string; readonly slot: Value; readonly value: Value }
  /** What was issued since the last one is a group. */
  | { readonly kind: "commit" }
  /** All groups but the newest `leave` have landed, for all threads; what they read before, they have read. */
  | { readonly kind: "land"; readonly leave: number }
  /** What any thread has put is there for all, and what they read before, they have read. */
  | { readonly kind: "meet" }
  /** The tile in a slot of a ring. */
  | { readonly kind: "slot"; readonly out: Value; readonly ring: string; readonly slot: Value }
  /**
   * index = from, from + step, .. while index < to. Bounds that vary over the tile mean their hull: an iteration outside one element's own
   * bounds must not change what that element carries.
   */
  | {
      readonly kind: "loop";
      readonly index: Value;
      readonly from: Value;
      readonly to: Value;
      readonly step: number;
      readonly carried: readonly { readonly init: Value; readonly phi: Value; readonly next: Value; readonly out: Value }[];
      readonly body: readonly Op[];
    }
  /**
   * The same tile over other axes, which lie otherwise in threads: pairs of an axis and the one that takes its place. Elements are narrowed to
   * what a buffer will hold of them, so that two narrow ones go as one word.
   */
  | {
      readonly kind: "convert";
      readonly out: Value;
      readonly value: Value;
      readonly to: readonly (readonly [from: string, to: string])[];
      readonly held: Storage;
    }
  /** Narrows to the buffer's type and writes, where `guard` holds. */
  | { readonly kind: "store"; readonly buffer: string; readonly at: Value; readonly value: Value; readonly guard?: Value }
  | { readonly kind: "comment"; readonly text: string; readonly line?: number };

export interface TileAxis {
  readonly name: string;
  readonly extent: number;
}
export interface GridAxis {
  readonly axis: string;
  /** Number of blocks along it. */
  readonly blocks: SizeExpr;
}
export interface BufferUse {
  readonly name: string;
  readonly elem: Storage;
  readonly access: "read" | "write" | "read_write";
  /** Number of element positions; a declared layout may have more of them than there are elements. */
  readonly count: SizeExpr;
}
/** Slots in shared memory, each of which holds a tile of an operand. */
export interface Ring {
  readonly name: string;
  /** What it holds pieces of. */
  readonly tensor: string;
  readonly elem: Storage;
  readonly slots: number;
  /** Axes of the tile; along `fast` elements lie side by side. */
  readonly slow: TileAxis;
  readonly fast: TileAxis;
  /** Elements are held as they are computed with, and put there by threads; otherwise as they lie in memory, and copied beside them. */
  readonly values: boolean;
  /** The tile as it is filled: rows, and of a row pieces of 16 bytes; its elements, in a ring of values. */
  readonly copy: { readonly slow: TileAxis; readonly piece: TileAxis };
  /** Elements in 16 bytes. */
  readonly width: number;
  /** Elements beside each other that a thread puts there or takes, where they are more. */
  readonly together?: number;
  /** Rows beside each other that a thread reads: rows lie so that its neighbours' are those above and below each of its own. */
  readonly rowsBeside?: number;
  /** Elements lie where the passage from those that put them to those that take them has them, rather than in rows. */
  readonly byPassage?: boolean;
}
export interface Launch {
  readonly name: string;
  /** Slowest first; block b of the linear grid is unfolded in this order. */
  readonly grid: readonly GridAxis[];
  readonly axes: readonly TileAxis[];
  /** register, lane and warp bits to tile coordinates. */
  readonly layout: TileLayout;
  readonly rings: readonly Ring[];
  /** Numbers that divide dimensions, for every call that is admitted. */
  readonly multiples: ReadonlyMap<string, number>;
  readonly buffers: readonly BufferUse[];
  readonly tiles: readonly Tile[];
  readonly body: readonly Op[];
}
export interface Temp {
  readonly name: string;
  readonly elem: Storage;
  readonly count: SizeExpr;
}
/** Launches in order; a repeated group runs `count` times with its step number. */
export type Step =
  | { readonly kind: "launch"; readonly launch: Launch }
  | { readonly kind: "repeat"; readonly count: SizeExpr; readonly name: string; readonly steps: readonly Step[] };
export interface TileProgram {
  readonly kernel: string;
  readonly temps: readonly Temp[];
  readonly steps: readonly Step[];
}
/**
 * Which of the pieces of a row lies at a place of it: `piece ^ (row / every % pieces)`. Eight rows one below the other then touch eight
 * different pieces of 128 bytes: no bank conflict, for rows that are copied and for the 8x8 matrices that are read (the design's layouts).
 * Where threads put two pieces beside each other, their first ones are every other piece: those of the next 128 bytes change places (`fold`).
 */
export function swizzleOf(r: Ring): { readonly every: number; readonly pieces: number; readonly fold: boolean } {
  const inRow = r.fast.extent / r.width;
  return { every: Math.max(1, 8 / inRow), pieces: Math.min(8, inRow), fold: inRow > 8 && (r.together ?? r.width) > r.width };
}
export const threadsOf = (l: Launch): number => l.layout.threads;
export function launchesOf(steps: readonly Step[]): Launch[] {
  return steps.flatMap((s) => (s.kind === "launch" ? [s.launch] : launchesOf(s.steps)));
}
/** What an operation makes. */
export function outsOf(o: Op): readonly Value[] {
  if (o.kind === "loop") return o.carried.map((c) => c.out);
  if (o.kind === "reduce") return o.outs;
  return "out" in o ? [o.out] : [];
}
/** What an operation takes; of a loop, its bounds. */
export function argsOf(o: Op): readonly Value[] {
  switch (o.kind) {
    case "map":
      return o.args;
    case "load":
      return o.guard === undefined ? [o.at] : [o.at, o.guard];
    case "store":
      return o.guard === undefined ? [o.at, o.value] : [o.at, o.value, o.guard];
    case "issue":
      return o.guard === undefined ? [o.slot, o.at] : [o.slot, o.at, o.guard];
    case "put":
      return [o.slot, o.value];
    case "slot":
      return [o.slot];
    case "dot":
      return [o.a, o.b, o.acc];
    case "reduce":
      return o.values;
    case "convert":
      return [o.value];
    case "loop":
      return [o.from, o.to];
    default:
      return [];
  }
}
