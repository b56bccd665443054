/**
 * Looks for two elements of a small tensor that a layout puts in one place, or for one that lies outside its memory. Where pages come from a
 * table there is nothing to find: what the table holds is a precondition.
 */
import { visit } from "../tensor/expr.ts";
import type { Axis, Expr } from "../tensor/ir.ts";
import { evaluateInteger, integerFunction } from "./evaluate.ts";

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
  const placeOf = integerFunction(l.place, new Map([...l.axes.map((a) => a.name), ...names].map((name, k) => [name, k])));
  if (placeOf === undefined) return undefined;
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
    const fault = inOne(l, values, placeOf);
    if (fault) return `${fault}${names.length > 0 ? ` for ${names.map((n) => `${n} = ${values.get(n)}`).join(", ")}` : ""}`;
  }
  return undefined;
}
/** @param placeOf of subscripts, and dimensions after them */
function inOne(l: LaidOut, sizes: ReadonlyMap<string, number>, placeOf: (at: readonly number[]) => number): string | undefined {
  const extents = l.axes.map((a) => evaluateInteger(a.extent, sizes));
  const places = evaluateInteger(l.places, sizes);
  if (places === undefined || extents.some((n) => n === undefined || n < 0)) return undefined;
  const shape = extents as number[];
  const count = shape.reduce((a, b) => a * b, 1);
  if (count > most.elements) return undefined;
  /** Which element lies at a place, counted in row-major order. */
  const seen = new Map<number, number>();
  const values = [...shape, ...sizes.values()];
  const text = (flat: number): string => `[${pointOf(flat, shape, []).join(", ")}]`;
  for (let flat = 0; flat < count; flat++) {
    const place = placeOf(pointOf(flat, shape, values));
    if (place < 0 || place >= places) return `${text(flat)} lies at element ${place} of ${places}`;
    const other = seen.get(place);
    if (other !== undefined) return `${text(other)} and ${text(flat)} lie in one place`;
    seen.set(place, flat);
  }
  return undefined;
}
/** Writes the subscripts of an element into `at`. */
function pointOf(flat: number, shape: readonly number[], at: number[]): number[] {
  for (let k = shape.length - 1, rest = flat; k >= 0; k--) {
    at[k] = rest % shape[k]!;
    rest = Math.floor(rest / shape[k]!);
  }
  return at;
}
