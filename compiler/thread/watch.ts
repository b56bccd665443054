/** What a run of a thread kernel on the CPU tells: faults, and on request every access and every arithmetic operation. */
import { inWord } from "../../dsl/tensor/matrix.ts";
import type { Expr, MmaForm, Stmt } from "./ir.ts";

export interface Fault {
  readonly kind: "out-of-bounds" | "race" | "uninitialised" | "divergent-barrier";
  readonly text: string;
}
/** Told of every access: which place of the program makes it (`site`), by which thread of which block, and the bytes it touches. */
export interface Watch {
  readonly memory: (site: Expr | Stmt, thread: number, block: number, buffer: string, byte: number, bytes: number, write: boolean) => void;
  readonly shared: (site: Expr | Stmt, thread: number, block: number, byte: number, bytes: number) => void;
  /** Told how many operations on numbers a statement or expression makes, each time: sums, differences, products and quotients of floats. */
  readonly operations?: (count: number) => void;
}
/** Operations of one matrix instruction, m16n8k16 or, of bytes, m16n8k32: a product and a sum for each term. */
export const matrixOperations = (form: MmaForm): number => 2 * 16 * 8 * (form === "exact" ? 16 : 8 * inWord[form]);
/** Operations of an expression without its parts. */
export function operationsOf(e: Extract<Expr, { kind: "op" }>): number {
  if (e.op === "dot4_i8" || e.op === "dot4_u8") return 8;
  return (e.elem === "f32" || e.elem === "f64") && ["add", "sub", "mul", "div"].includes(e.op) ? 1 : 0;
}
