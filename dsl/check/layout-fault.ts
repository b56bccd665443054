/**
 * Looks for two elements of a small tensor that a layout puts in one place, or for one that lies outside its memory. Where pages come from a
 * table there is nothing to find: what the table holds is a precondition.
 */
import { visit } from "../tensor/expr.ts";
import type { Axis, Expr } from "../tensor/ir.ts";
import { evaluateInteger } from "./evaluate.ts";

/** Sizes tried at most, and elements of each. */
const most = { sizes: 48, elements: 512 };

export interface LaidOut {
  readonly place: Expr;
  readonly places: Expr;
  /** Named as `place` names them. */
  readonly axes: readonly Axis[];
  /** Preconditions; those that speak of dimensions alone narrow the sizes. */
  readonly requires: readonly Expr[];
}

/** @returns what is wrong, for example `[0, 8] and [1, 0] lie in one place for N = 9` */
export function layoutFault(l: LaidOut): string | undefined {
  const dims = new Set<string>();
  const near = new Set<number>();
  for (const e of [l.place, l.places, ...l.axes.map((a) => a.extent)])
    visit(e, (x) => {
      if (x.kind === "dim") dims.add(x.name);
      if (x.kind === "const" && typeof x.value === "number" && x.value > 1 && x.value <= 64)
        for (const n of [x.value - 1, x.value, x.value + 1, 2 * x.value + 1]) near.add(n);
    });
  const names = [...dims];
  // Sizes around the numbers that the layout names.
  const sizes = [...new Set([...near, 1, 2, 3, 5, 8])].sort((a, b) => a - b);
  let state = 1;
  const draw = (): number => {
    state = (state * 48271) % 2147483647;
    return sizes[Math.floor((state / 2147483647) * sizes.length)]!;
  };
  for (let trial = 0; trial < (names.length === 0 ? 1 : most.sizes); trial++) {
    const values = new Map(names.map((n) => [n, draw()]));
    if (l.requires.some((r) => evaluateInteger(r, values) === 0)) continue;
    const fault = inOne(l, values);
    if (fault) return `${fault}${names.length > 0 ? ` for ${names.map((n) => `${n} = ${values.get(n)}`).join(", ")}` : ""}`;
  }
  return undefined;
}
function inOne(l: LaidOut, sizes: ReadonlyMap<string, number>): string | undefined {
  const shape = l.axes.map((a) => evaluateInteger(a.extent, sizes));
  const places = evaluateInteger(l.places, sizes);
  if (places === undefined || shape.some((n) => n === undefined || n < 0)) return undefined;
  const count = (shape as number[]).reduce((a, b) => a * b, 1);
  if (count > most.elements) return undefined;
  const seen = new Map<number, string>();
  const values = new Map(sizes);
  for (let flat = 0; flat < count; flat++) {
    const at: number[] = [];
    for (let k = shape.length - 1, rest = flat; k >= 0; k--) {
      at.unshift(rest % shape[k]!);
      values.set(l.axes[k]!.name, at[0]!);
      rest = Math.floor(rest / shape[k]!);
    }
    const place = evaluateInteger(l.place, values);
    if (place === undefined) return undefined;
    const text = `[${at.join(", ")}]`;
    if (place < 0 || place >= places) return `${text} lies at element ${place} of ${places}`;
    const other = seen.get(place);
    if (other) return `${other} and ${text} lie in one place`;
    seen.set(place, text);
  }
  return undefined;
}
