/** The points of axes in order, one after the other. */
import type { Axis, Expr } from "../tensor/ir.ts";
import type { Interpreter } from "./interpreter.ts";
import { type Evaluate, state } from "./state.ts";

interface Loop {
  /** Of the index in the frame. */
  readonly slot: number;
  /** Of where the walk stands, and after it where the loop ends: what is in the walk may use the index for its own. */
  readonly at: number;
  readonly extent: Evaluate;
  readonly from: Evaluate | undefined;
  readonly to: Evaluate | undefined;
}
/** `for (let on = walk.first(f); on; on = walk.next(f))` has the indices of one point after the other in the frame. */
export class Walk {
  private readonly loops: readonly Loop[];
  private readonly test: Evaluate | undefined;

  /** The points inside the ranges at which `where` holds; an undefined range holds nothing. */
  constructor(machine: Interpreter, axes: readonly Axis[], where: Expr | undefined) {
    this.loops = axes.map((a) => ({
      slot: machine.slot(a.name),
      at: machine.newSlot(),
      extent: machine.compile(a.extent),
      from: a.range ? machine.compile(a.range.from) : undefined,
      to: a.range ? machine.compile(a.range.to) : undefined,
    }));
    this.test = where ? machine.compile(where) : undefined;
  }
  first(f: Float64Array): boolean {
    return this.go(f, 0, true);
  }
  next(f: Float64Array): boolean {
    return this.go(f, this.loops.length - 1, false);
  }
  /** Enters loop k and those in it, or steps it, until a point inside is found. */
  private go(f: Float64Array, k: number, entering: boolean): boolean {
    const { loops, test } = this;
    for (;;) {
      if (k < 0) return false;
      if (entering && k === loops.length) {
        if (test === undefined) return true;
        const inside = test(f);
        if (inside && !state.undefined) return true;
        state.undefined = false;
        entering = false;
        k--;
        continue;
      }
      const loop = loops[k]!;
      entering = entering ? enter(loop, f) : step(loop, f);
      k += entering ? 1 : -1;
    }
  }
}
function step(loop: Loop, f: Float64Array): boolean {
  const i = f[loop.at]! + 1;
  f[loop.at] = i;
  f[loop.slot] = i;
  return i < f[loop.at + 1]!;
}
/** Stands at the start of a loop; false if that is empty. */
function enter(loop: Loop, f: Float64Array): boolean {
  const from = loop.from ? Math.max(loop.from(f), 0) : 0;
  let to = loop.extent(f);
  if (loop.to) to = Math.min(to, loop.to(f));
  if (state.undefined) {
    state.undefined = false;
    to = 0;
  }
  f[loop.at] = from;
  f[loop.at + 1] = to;
  f[loop.slot] = from;
  return from < to;
}
