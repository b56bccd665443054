/** In which order elements of a tensor with a declared layout lie in memory: which of its indices step from one to the next within 16 bytes. */
import { integerFunction } from "../../dsl/check/evaluate.ts";
import { baseName, freeIndices, visit } from "../../dsl/tensor/expr.ts";
import type { Expr, MemoryLayout } from "../../dsl/tensor/ir.ts";
import { type Storage, storage } from "../../dsl/tensor/types.ts";
import { listOf } from "../lists.ts";

type Read = Extract<Expr, { kind: "read" }>;
/** What stands for a dimension: what may be asked of one divides it. */
const someSize = 4096;
/** Steps beyond the tiles that blocks take. */
const farthest = 256;

/** Where a read lies, in elements, with these values of indices by name, or by what a name was made from, and 0 of others. */
type Place = (indices: Readonly<Record<string, number>>) => number;
/** Undefined where pages are in a table. */
export function placeOf(x: Read, layout: MemoryLayout): Place | undefined {
  const names = [...new Set(x.subscripts.flatMap((s) => [...freeIndices(s)]))];
  const dims = new Set<string>();
  for (const e of [...x.subscripts, layout.place])
    visit(e, (y) => {
      if (y.kind === "dim") dims.add(y.name);
    });
  const slots = (indices: readonly string[]): Map<string, number> => new Map([...indices, ...dims].map((name, slot) => [name, slot]));
  const subscripts = x.subscripts.map((s) => integerFunction(s, slots(names)));
  const place = integerFunction(layout.place, slots(layout.indices));
  if (place === undefined || subscripts.some((s) => s === undefined)) return undefined;
  const sizes = Array.from(dims, () => someSize);
  return (indices) => {
    const values = [...names.map((name) => indices[name] ?? indices[baseName(name)] ?? 0), ...sizes];
    return place([...subscripts.map((s) => s!(values)), ...sizes]);
  };
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
  const place = bits < 32 ? placeOf(x, layout) : undefined;
  if (place === undefined) return undefined;
  const [first, count] = [place({}), 128 / bits];
  const found: { readonly of: keyof Order; readonly step: number; readonly by: number }[] = [];
  for (const [of, index] of [
    ["side", side],
    ["over", over],
  ] as const)
    for (let step = 1; step < farthest; step *= 2) {
      const by = place({ [index]: step }) - first;
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
  const all = listOf(Math.log2(extent), (b) => 2 ** b);
  return first.every((s) => all.includes(s)) ? [...first, ...all.filter((s) => !first.includes(s))] : all;
}
