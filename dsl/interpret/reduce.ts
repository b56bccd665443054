/** Reductions: over exactly the defined elements, with the promise bound, which holds for any order of accumulation (monoids: for the order in which the text walks). */
import { invariant } from "../diagnostics.ts";
import type { Expr } from "../tensor/ir.ts";
import { onGrid, sumsExactly } from "./accuracy.ts";
import type { Interpreter, Tuple } from "./interpreter.ts";
import { counted, unitSummand } from "./product.ts";
import { type Evaluate, hole, state } from "./state.ts";
import { Walk } from "./walk.ts";

type Reduce = Extract<Expr, { kind: "reduce" }>;

export function compileReduce(machine: Interpreter, e: Reduce): Evaluate {
  const walk = new Walk(machine, e.axes, e.where);
  const bodies = e.bodies.map((b) => machine.compile(b));
  const body = bodies[0]!;
  const u = e.type === "f32" ? machine.accuracy.unit : 0;
  const longest = machine.accuracy.depth ?? Number.POSITIVE_INFINITY;
  switch (e.op) {
    case "sum":
      return sumOf(machine, walk, body, e, u, longest);
    case "prod":
      return prod(walk, body, e, u, longest);
    case "max":
    case "min": {
      const sign = e.op === "max" ? 1 : -1;
      return (f) => {
        let best = 0;
        let error = 0;
        let count = 0;
        for (let on = walk.first(f); on; on = walk.next(f)) {
          const x = body(f);
          if (state.undefined) {
            state.undefined = false;
            continue;
          }
          error = Math.max(error, state.error);
          if (count++ === 0 || Number.isNaN(best) || sign * x > sign * best) best = x;
        }
        if (count === 0) return hole();
        state.error = error;
        return best;
      };
    }
    case "argmax":
    case "argmin": {
      const sign = e.op === "argmax" ? 1 : -1;
      const slot = machine.slot(e.axes[0]!.name);
      return (f) => {
        let best = Number.NEGATIVE_INFINITY;
        let at = -1;
        /** The largest upper end of any element, and the lower end of the best. */
        let rival = Number.NEGATIVE_INFINITY;
        let rivalAt = -1;
        let second = Number.NEGATIVE_INFINITY;
        let bestError = 0;
        const before = state.open;
        state.open = false;
        const seen: { at: number; low: number; top: number }[] = [];
        for (let on = walk.first(f); on; on = walk.next(f)) {
          const x = sign * body(f);
          if (state.undefined) {
            state.undefined = false;
            continue;
          }
          const top = x + state.error;
          seen.push({ at: f[slot]!, low: x - state.error, top });
          if (top > rival) {
            second = rival;
            rival = top;
            rivalAt = f[slot]!;
          } else second = Math.max(second, top);
          if (at < 0 || x > best || (Number.isNaN(best) && !Number.isNaN(x))) {
            best = x;
            bestError = state.error;
            at = f[slot]!;
          }
        }
        if (at < 0) return hole();
        const other = rivalAt === at ? second : rival;
        const close = (bestError > 0 || other > best) && other >= best - bestError && other > Number.NEGATIVE_INFINITY;
        // Every index whose upper end reaches the largest lower end; unknown where an element itself hangs on a decision.
        const least = close ? seen.reduce((m, s) => Math.max(m, s.low), Number.NEGATIVE_INFINITY) : 0;
        state.choices = close && !state.open ? seen.filter((s) => s.top >= least).map((s) => s.at) : undefined;
        state.open ||= before || close;
        state.error = 0;
        return at;
      };
    }
    case "all":
    case "any": {
      const stop = e.op === "any" ? 1 : 0;
      return (f) => {
        // Three-valued: one sure element decides, whatever the open ones are.
        const before = state.open;
        let result = 1 - stop;
        let doubt = false;
        let sure = false;
        for (let on = walk.first(f); on; on = walk.next(f)) {
          state.open = false;
          const x = body(f);
          const open = state.open;
          if (state.undefined) {
            state.undefined = false;
            doubt ||= open;
            continue;
          }
          if (x === stop) result = stop;
          sure = x === stop && !open;
          doubt ||= open;
          if (sure) break;
        }
        state.open = before || (doubt && !sure);
        state.error = 0;
        return result;
      };
    }
    case "monoid": {
      const monoid = e.monoid;
      invariant(monoid, "a monoid reduction has a monoid");
      const combine = machine.combine(monoid);
      const identity = monoid.identity.map((x) => machine.compile(x));
      return (f) => {
        let acc: Tuple = { values: identity.map((x) => x(f)), errors: identity.map(() => 0) };
        let first = true;
        for (let on = walk.first(f); on; on = walk.next(f)) {
          const values: number[] = [];
          const errors: number[] = [];
          for (let k = 0; k < bodies.length && !state.undefined; k++) {
            values.push(bodies[k]!(f));
            errors.push(state.error);
          }
          if (state.undefined) {
            state.undefined = false;
            continue;
          }
          acc = first ? { values, errors } : combine(acc, { values, errors });
          first = false;
        }
        state.error = acc.errors[e.component]!;
        return acc.values[e.component]!;
      };
    }
    default:
      invariant(false, `${e.op} is desugared before it is run`);
  }
}

/**
 * Of n terms, n - 1 roundings reach the result, or the depth of a plan. A matrix unit cuts its products at 24 bits below the largest and the sum of
 * each 8 once more, which comes to 11 units for 8 terms (MMA-Sim; sm_90 stays below): 1.5 for each term, and its ends.
 */
function sumOf(machine: Interpreter, walk: Walk, body: Evaluate, e: Reduce, u: number, longest: number): Evaluate {
  const summand = unitSummand(machine, e);
  if (summand) return sum(walk, summand, true, e, u, (n) => 1.5 * (Math.min(n, longest) + 2));
  return sum(walk, body, false, e, u, (n) => Math.min(Math.max(0, n - 1), longest));
}
/** gamma_h times the sum of magnitudes, h what `chain` says, or 0 where every partial sum is a float in any order. */
function sum(walk: Walk, body: Evaluate, onUnit: boolean, e: Reduce, u: number, chain: (n: number) => number): Evaluate {
  const wrap = e.type === "i32" ? (x: number) => x | 0 : e.type === "u32" ? (x: number) => x >>> 0 : undefined;
  return (f) => {
    let total = 0;
    let magnitude = 0;
    let inherited = 0;
    let count = 0;
    let grid = true;
    for (let on = walk.first(f); on; on = walk.next(f)) {
      const x = body(f);
      if (state.undefined) {
        state.undefined = false;
        continue;
      }
      count++;
      total += x;
      if (wrap) total = wrap(total);
      magnitude += (onUnit ? counted.size : Math.abs(x)) + state.error;
      inherited += state.error;
      if (grid && !onGrid(x)) grid = false;
    }
    if (u === 0) {
      state.error = e.type === "f64" || e.type === "f32" ? inherited + magnitude * 2 ** -50 : 0;
      return total;
    }
    const exact = inherited === 0 && grid && sumsExactly(magnitude);
    const h = chain(count);
    state.error = exact
      ? 0
      : h * u >= 1
        ? Number.POSITIVE_INFINITY
        : inherited + ((h * u) / (1 - h * u)) * magnitude + magnitude * 2 ** -50;
    return total;
  };
}
function prod(walk: Walk, body: Evaluate, e: Reduce, u: number, longest: number): Evaluate {
  return (f) => {
    let total = 1;
    let relative = 1;
    let range = 0;
    let count = 0;
    let zero = false;
    for (let on = walk.first(f); on; on = walk.next(f)) {
      const x = body(f);
      if (state.undefined) {
        state.undefined = false;
        continue;
      }
      count++;
      total = e.type === "i32" ? Math.imul(total, x) : e.type === "u32" ? Math.imul(total, x) >>> 0 : total * x;
      if (x === 0) {
        zero ||= state.error === 0;
        relative = state.error === 0 ? relative : Number.POSITIVE_INFINITY;
      } else {
        relative *= 1 + state.error / Math.abs(x);
        range += Math.abs(Math.log2(Math.abs(x)));
      }
    }
    const h = Math.min(Math.max(0, count - 1), longest);
    if (u === 0) state.error = Math.abs(total) * (relative - 1);
    else if (zero && range < 126) state.error = 0;
    else state.error = range >= 126 ? Number.POSITIVE_INFINITY : Math.abs(total) * (relative * (1 + (h * u) / (1 - h * u)) - 1);
    return total;
  };
}
