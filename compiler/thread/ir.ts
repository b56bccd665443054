/**
 * Thread IR: what one thread of a launch does. Structured control only; registers are named scalars, never arrays; memory is reached as
 * (buffer, element position). Every name is assigned by exactly one `let`, or is a `var` that loops assign.
 */
import type { MatrixForm } from "../../dsl/tensor/matrix.ts";
import type { SizeExpr } from "../../runtime/abi.ts";
import type { Unit } from "../targets/target.ts";
import type { BufferUse, Elem, GridAxis, MapOp } from "../tile/ir.ts";

export type Expr =
  | { readonly kind: "const"; readonly value: number | boolean; readonly elem: Elem }
  | { readonly kind: "name"; readonly name: string; readonly elem: Elem }
  /** A dimension, scalar or step: the same for all threads of a launch. */
  | { readonly kind: "uniform"; readonly name: string; readonly elem: Elem }
  /** Index of the thread within its block, and of the block within the grid. */
  | { readonly kind: "thread" | "block"; readonly elem: "i32" }
  /** `wraps`: integers may leave 32 bits here, modulo 2^32; elsewhere they do not. */
  | { readonly kind: "op"; readonly op: MapOp; readonly args: readonly Expr[]; readonly elem: Elem; readonly wraps?: boolean }
  /** A unit of a buffer: an element, the bits of a narrow one, or a word of packed ones. 0 where `guard` is false, and then memory is not touched. */
  | { readonly kind: "load"; readonly buffer: string; readonly at: Expr; readonly guard?: Expr; readonly elem: Elem }
  | { readonly kind: "shared"; readonly array: string; readonly at: Expr; readonly elem: Elem };

/** What a matrix instruction multiplies: also whole integers modulo 2^32 (the exact algebra). */
export type MmaForm = MatrixForm | "exact";
export type Stmt =
  | { readonly kind: "let"; readonly name: string; readonly value: Expr }
  | { readonly kind: "var"; readonly name: string; readonly value: Expr }
  | { readonly kind: "assign"; readonly name: string; readonly value: Expr }
  /** name = from, from + step, .. while name < to */
  | {
      readonly kind: "for";
      readonly name: string;
      readonly from: Expr;
      readonly to: Expr;
      readonly step: number;
      /** Two turns in one, where a compiler can: what a turn reads for the next changes places then without a copy. */
      readonly twice?: boolean;
      readonly body: readonly Stmt[];
    }
  | { readonly kind: "if"; readonly test: Expr; readonly then: readonly Stmt[] }
  | { readonly kind: "store"; readonly buffer: string; readonly at: Expr; readonly value: Expr }
  /** Units of a buffer that fill 16 bytes, or 8, from `at`, a multiple of their number, in one access; what nobody reads has no name. */
  | {
      readonly kind: "loads";
      /** Of all of them together. */
      readonly name: string;
      readonly outs: readonly (string | undefined)[];
      readonly buffer: string;
      readonly at: Expr;
      /** Zeros where it does not hold, and then memory is not touched. */
      readonly guard?: Expr;
      readonly elem: Elem;
    }
  | { readonly kind: "stores"; readonly buffer: string; readonly at: Expr; readonly values: readonly Expr[] }
  /** Replaces the bits under `mask` of a word; other threads may change its other bits at the same time. */
  | { readonly kind: "merge"; readonly buffer: string; readonly at: Expr; readonly mask: Expr; readonly bits: Expr }
  | { readonly kind: "share"; readonly array: string; readonly at: Expr; readonly value: Expr }
  /** Two or four values to a shared array, from `at`, a multiple of their number, in one access. */
  | { readonly kind: "shares"; readonly array: string; readonly at: Expr; readonly values: readonly Expr[] }
  /** Two or four values of a shared array in the same way; what nobody reads has no name. */
  | {
      readonly kind: "takes";
      /** Of all of them together. */
      readonly name: string;
      readonly outs: readonly (string | undefined)[];
      readonly array: string;
      readonly at: Expr;
      readonly elem: Elem;
    }
  /**
   * outs = a b + c, a matrix instruction of a warp (fragments.ts): its lanes arrive together. Narrow elements lie in words of u32, two
   * halves or four bytes, the first in the low bits: 4 words of a, 2 of b; whole integers as they are, 8 and 4. Declares its four results, but for
   * one that has the name of its c: that is the result of another, which nothing else reads, and is overwritten. Of floats of 8 bits c is 0.
   */
  | {
      readonly kind: "mma";
      readonly form: MmaForm;
      readonly outs: readonly string[];
      readonly elem: Elem;
      readonly a: readonly Expr[];
      readonly b: readonly Expr[];
      readonly c: readonly Expr[];
    }
  /** 16 bytes of a buffer to a shared array, beside the thread; zeros where not `valid`. Read after a `land` that covers it. */
  | { readonly kind: "copy"; readonly array: string; readonly to: Expr; readonly buffer: string; readonly from: Expr; readonly valid: Expr }
  /** The copies since the last one are a group. */
  | { readonly kind: "commit" }
  /** The thread's own copies have landed, but for the newest `leave` groups. */
  | { readonly kind: "land"; readonly leave: number }
  /**
   * Words of matrices 8 x 8 of 16 bits in shared memory, as matrix instructions want them: lane 8 m + r gives where row r of matrix m
   * begins. Of bytes that is two to an entry, and none transposed. A matrix for each result. All lanes arrive together.
   */
  | {
      readonly kind: "fragment";
      readonly outs: readonly string[];
      readonly array: string;
      readonly at: Expr;
      readonly transposed: boolean;
    }
  /**
   * outs = values by, product by product. A warp may leave the instructions out where every factor of it is 1: its lanes arrive together.
   * Declares its results.
   */
  | { readonly kind: "scale"; readonly outs: readonly string[]; readonly values: readonly Expr[]; readonly by: readonly Expr[] }
  /** out = `value` of the lane whose number differs in the bits of `mask`. All lanes of the warp arrive together. */
  | { readonly kind: "shuffle"; readonly out: string; readonly value: Expr; readonly mask: number }
  /** All threads of the block arrive before any goes on. Stands in control flow that is uniform over the block. */
  | { readonly kind: "barrier" }
  | { readonly kind: "comment"; readonly text: string; readonly line?: number };

/** What an array in shared memory holds: values, or narrow elements as they lie in memory. */
export type SharedElem = Elem | "u16" | "u8";
export interface SharedArray {
  readonly name: string;
  readonly elem: SharedElem;
  readonly count: number;
  /** All accesses are of so many elements, and the language knows it as an array of vectors. */
  readonly vector?: number;
}
export interface ThreadBuffer extends BufferUse {
  readonly unit: Unit;
  /** Units that its elements take. */
  readonly units: SizeExpr;
  /** All accesses are of 16 bytes, and the language knows it as a buffer of vectors. */
  readonly vector: boolean;
  /** Some statement merges fields into its words. */
  readonly atomic: boolean;
}
export interface ThreadKernel {
  readonly name: string;
  readonly threads: number;
  readonly grid: readonly GridAxis[];
  /** Blocks in all. */
  readonly blocks: SizeExpr;
  /** Blocks that a multiprocessor is to have at a time at least: registers are kept to that. */
  readonly beside: number;
  readonly buffers: readonly ThreadBuffer[];
  readonly shared: readonly SharedArray[];
  readonly body: readonly Stmt[];
}
/** A name that goes with that of a loop's index, for a target that counts its iterations; no other name of the kernel is the same. */
export const turnOf = (index: string): string => `${index}_turn`;
export function children(e: Expr): readonly Expr[] {
  return e.kind === "op" ? e.args : e.kind === "load" ? (e.guard ? [e.at, e.guard] : [e.at]) : e.kind === "shared" ? [e.at] : none;
}
const none: readonly Expr[] = [];
/** A sum with a product that nothing else needs, which one instruction may compute, rounding once: (a b + c), with a or c turned round. */
export interface Contraction {
  readonly a: Expr;
  readonly b: Expr;
  readonly c: Expr;
  readonly negative: "a" | "c" | undefined;
}
export function contractionOf(e: Expr): Contraction | undefined {
  if (e.kind !== "op" || (e.op !== "add" && e.op !== "sub") || (e.elem !== "f32" && e.elem !== "f64")) return undefined;
  const [x, y] = e.args as [Expr, Expr];
  const factors = (p: Expr): readonly Expr[] | undefined => (p.kind === "op" && p.op === "mul" ? p.args : undefined);
  const [left, right] = [factors(x), factors(y)];
  if (left) return { a: left[0]!, b: left[1]!, c: y, negative: e.op === "sub" ? "c" : undefined };
  return right && { a: right[0]!, b: right[1]!, c: x, negative: e.op === "sub" ? "a" : undefined };
}
export const bytesOf = (elem: SharedElem): number => (elem === "f64" ? 8 : elem === "u16" ? 2 : elem === "u8" ? 1 : 4);
/** Where each shared array begins, and how many bytes they take together; each is aligned for accesses of 16 bytes. */
export function placeShared(arrays: readonly SharedArray[]): { readonly offsets: readonly number[]; readonly bytes: number } {
  let bytes = 0;
  const offsets = arrays.map((a) => {
    const at = bytes;
    bytes += Math.ceil((a.count * bytesOf(a.elem)) / 16) * 16;
    return at;
  });
  return { offsets, bytes };
}
/** Of two elements of one algebra. */
export const productOf = (x: Expr, y: Expr): Expr => ({
  ...{ kind: "op", op: "mul", args: [x, y], elem: x.elem },
  ...(x.elem === "i32" ? { wraps: true } : {}),
});
/** The expressions that stand directly in a statement. */
export function partsOf(s: Stmt): readonly Expr[] {
  switch (s.kind) {
    case "let":
    case "var":
    case "assign":
      return [s.value];
    case "for":
      return [s.from, s.to];
    case "if":
      return [s.test];
    case "store":
    case "share":
      return [s.at, s.value];
    case "loads":
      return s.guard ? [s.at, s.guard] : [s.at];
    case "stores":
    case "shares":
      return [s.at, ...s.values];
    case "merge":
      return [s.at, s.mask, s.bits];
    case "copy":
      return [s.to, s.from, s.valid];
    case "fragment":
    case "takes":
      return [s.at];
    case "shuffle":
      return [s.value];
    case "mma":
      return [...s.a, ...s.b, ...s.c];
    case "scale":
      return [...s.values, ...s.by];
    default:
      return [];
  }
}
/** One statement for each unit of a wide access, or product of a scaling: what they mean. */
export function unfolded(s: Extract<Stmt, { kind: "loads" | "stores" | "scale" | "shares" | "takes" }>): Stmt[] {
  if (s.kind === "scale") return s.outs.map((name, k): Stmt => ({ kind: "let", name, value: productOf(s.values[k]!, s.by[k]!) }));
  const at = (k: number): Expr => ({ kind: "op", op: "add", args: [s.at, { kind: "const", value: k, elem: "i32" }], elem: "i32" });
  if (s.kind === "stores") return s.values.map((value, k): Stmt => ({ kind: "store", buffer: s.buffer, at: at(k), value }));
  if (s.kind === "shares") return s.values.map((value, k): Stmt => ({ kind: "share", array: s.array, at: at(k), value }));
  if (s.kind === "takes")
    return s.outs.flatMap((name, k): Stmt[] =>
      name === undefined ? [] : [{ kind: "let", name, value: { kind: "shared", array: s.array, at: at(k), elem: s.elem } }],
    );
  return s.outs.flatMap((name, k): Stmt[] =>
    name === undefined
      ? []
      : [{ kind: "let", name, value: { kind: "load", buffer: s.buffer, at: at(k), elem: s.elem, ...(s.guard ? { guard: s.guard } : {}) } }],
  );
}
/** Whether the k-th result of a matrix instruction overwrites what it is added to. */
export function accumulates(s: Extract<Stmt, { kind: "mma" }>, k: number): boolean {
  const c = s.c[k]!;
  return c.kind === "name" && c.name === s.outs[k];
}
