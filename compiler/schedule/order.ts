/** In which order elements of a tensor with a declared layout lie in memory: which of its indices step from one to the next within 16 bytes. */
import { evaluateInteger } from "../../dsl/check/evaluate.ts";
import { baseName, freeIndices, visit } from "../../dsl/tensor/expr.ts";
import type { Expr, MemoryLayout } from "../../dsl/tensor/ir.ts";
import { type Storage, storage } from "../../dsl/tensor/types.ts";

type Read = Extract<Expr, { kind: "read" }>;
/** What stands for a dimension: what may be asked of one divides it. */
const someSize = 4096;
/** Steps beyond the tiles that blocks take. */
const farthest = 256;

/**
 * Where a read lies, in elements; undefined where pages are in a table.
 * @param indices values of indices by name, or by what a name was made from; others are 0
 */
export function placeIn(x: Read, layout: MemoryLayout, indices: Readonly<Record<string, number>>): number | undefined {
  const sized = (e: Expr, values: Map<string, number>): void =>
    visit(e, (y) => {
      if (y.kind === "dim") values.set(y.name, someSize);
    });
  const values = new Map<string, number>();
  for (const s of x.subscripts) {
    sized(s, values);
    for (const name of freeIndices(s)) values.set(name, indices[name] ?? indices[baseName(name)] ?? 0);
  }
  const at = x.subscripts.map((s) => evaluateInteger(s, values));
  const places = new Map<string, number>();
  sized(layout.place, places);
  layout.indices.forEach((name, n) => {
    if (at[n] !== undefined) places.set(name, at[n]!);
  });
  return evaluateInteger(layout.place, places);
}
/** The steps of two indices, each a power of two, between elements that lie in 16 bytes one after another; the nearest first. */
export interface Order {
  readonly side: readonly number[];
  readonly over: readonly number[];
}
/**
 * The order of a tensor in 16 bytes where each step from one element to another is one of an index; undefined where words lie beside each other
 * as elements do along one of them, which may be read in that order.
 */
export function orderOf(x: Read, layout: MemoryLayout, elem: Storage, side: string, over: string): Order | undefined {
  const { bits } = storage[elem];
  const first = placeIn(x, layout, {});
  if (bits >= 32 || first === undefined) return undefined;
  const count = 128 / bits;
  const found: { readonly of: keyof Order; readonly step: number; readonly by: number }[] = [];
  for (const [of, index] of [
    ["side", side],
    ["over", over],
  ] as const)
    for (let step = 1; step < farthest; step *= 2) {
      const by = (placeIn(x, layout, { [index]: step }) ?? first) - first;
      if (by > 0 && by < count) found.push({ of, step, by });
    }
  found.sort((a, b) => a.by - b.by);
  if (found.length !== Math.log2(count) || found.some(({ by }, b) => by !== 2 ** b)) return undefined;
  const [word, next] = found.slice(-2) as [(typeof found)[number], (typeof found)[number]];
  if (word.of === next.of && word.step === 1 && next.step === 2) return undefined;
  const steps = (of: keyof Order): number[] => found.filter((f) => f.of === of).map((f) => f.step);
  return { side: steps("side"), over: steps("over") };
}
/** Steps of powers of two along an extent, those of `first` before the others. */
export function stepsOf(extent: number, first: readonly number[]): readonly number[] {
  const all = Array.from({ length: Math.log2(extent) }, (_, b) => 2 ** b);
  return first.every((s) => all.includes(s)) ? [...first, ...all.filter((s) => !first.includes(s))] : all;
}
