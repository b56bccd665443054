/**
 * Two tests for where a worst case is too slack to see a fault: long sums, narrow outputs. Hypothesis: every rounding has mean 0 given what
 * came before, and is at most u. Then a right kernel fails with at most the stated probability (Azuma's inequality); nothing follows from
 * passing, nor on data with structure (constants, sorted, all of one sign), and units that truncate break the hypothesis.
 */

/** One output: how far it is from its true value, and the root of the sum of squares of its roundings' effects (the plan's `spread`). */
export interface Deviation {
  readonly error: number;
  readonly spread: number;
}
/** What a test found: `ratio` is the largest |statistic| over its limit; above 1 it fails. */
export interface Verdict {
  readonly ratio: number;
  /** Where that was: an output, or a group. */
  readonly at: number;
}
/** Probability that a right kernel fails, over all outputs or groups of one test. */
export const falseAlarm = 1e-9;
const lambda = (count: number, alarm: number): number => Math.sqrt(2 * Math.log((2 * count) / alarm));
const over = (x: number, limit: number): number => (x === 0 ? 0 : x / limit);

/** No output is further off than lambda times its spread. */
export function rootTest(outputs: readonly Deviation[], alarm = falseAlarm): Verdict {
  const limit = lambda(Math.max(1, outputs.length), alarm);
  return worst(outputs.map((o) => over(Math.abs(o.error), limit * o.spread)));
}
/**
 * No group (a row, a column, what shares a scale) is off by a common factor: sum(error * value) stays within lambda * sqrt(sum(value^2 spread^2)).
 * It sees a wrong scale that hides in every single output.
 */
export function gainTest(groups: readonly (readonly (Deviation & { readonly value: number })[])[], alarm = falseAlarm): Verdict {
  const limit = lambda(Math.max(1, groups.length), alarm);
  return worst(
    groups.map((g) => {
      const sum = g.reduce((n, o) => n + o.error * o.value, 0);
      return over(Math.abs(sum), limit * Math.hypot(...g.map((o) => o.value * o.spread)));
    }),
  );
}
function worst(ratios: readonly number[]): Verdict {
  let at = 0;
  ratios.forEach((r, k) => {
    if (r > ratios[at]! || Number.isNaN(r)) at = k;
  });
  return { ratio: ratios[at] ?? 0, at };
}
