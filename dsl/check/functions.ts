/** The functions of the language: how many arguments of which class, and what they give. */
import { type Op, specialFunctions } from "../tensor/ir.ts";
import type { Compute } from "../tensor/types.ts";

export interface FunctionInfo {
  readonly op: Op;
  readonly arity: readonly number[];
  readonly takes: "float" | "number" | "integer" | "random";
  readonly gives: "same" | Compute;
}
const float = (op: Op, arity = 1): FunctionInfo => ({ op, arity: [arity], takes: "float", gives: "same" });
const number = (op: Op, arity: number): FunctionInfo => ({ op, arity: [arity], takes: "number", gives: "same" });

export const functions: ReadonlyMap<string, FunctionInfo> = new Map<string, FunctionInfo>([
  ...[...specialFunctions, "floor", "ceil", "trunc", "round"].map((name) => [name, float(name as Op)] as const),
  ["pow", float("pow", 2)],
  ["abs", number("abs", 1)],
  ["sign", number("sign", 1)],
  ["min", number("min", 2)],
  ["max", number("max", 2)],
  ["clamp", number("clamp", 3)],
  ["isfinite", { op: "isfinite", arity: [1], takes: "float", gives: "bool" }],
  ["random", { op: "random", arity: [2, 3], takes: "random", gives: "u32" }],
  ["uniform", { op: "uniform", arity: [2, 3], takes: "random", gives: "f32" }],
  ["normal", { op: "normal", arity: [2, 3], takes: "random", gives: "f32" }],
]);

/** The nearest of `names` to a misspelt word, where one is near. */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const d = editDistance(word.toLowerCase(), name.toLowerCase());
    if (d < least && name !== word) {
      least = d;
      best = name;
    }
  }
  return best;
}
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}
