/** The value of an integer expression for given sizes, indices and table cells, once or again and again. */
import type { Expr, Op } from "../tensor/ir.ts";

const operations: Partial<Record<Op, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => Math.floor(a / b),
  mod: (a, b) => a - b * Math.floor(a / b),
  min: Math.min,
  max: Math.max,
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  gt: (a, b) => Number(a > b),
  ge: (a, b) => Number(a >= b),
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
};

/** @returns undefined where a name has no value, or the operation is not one of integers; comparisons give 0 or 1 */
export function evaluateInteger(e: Expr, values: ReadonlyMap<string, number>): number | undefined {
  if (e.kind === "const") return Number(e.value);
  if (e.kind === "dim" || e.kind === "index" || e.kind === "scalar") return values.get(e.name);
  if (e.kind === "read") {
    const subs = e.subscripts.map((s) => evaluateInteger(s, values));
    return values.get(subs.length ? `${e.tensor}[${subs.join(", ")}]` : e.tensor);
  }
  if (e.kind !== "op") return undefined;
  const [left, right] = e.args;
  const a = evaluateInteger(left!, values);
  if (a === undefined) return undefined;
  if (e.op === "neg") return -a;
  const b = right && evaluateInteger(right, values);
  return b === undefined ? undefined : operations[e.op]?.(a, b);
}

/** The same as a function of numbers, for an expression that is evaluated many times; undefined where it would be for some of them. */
export function integerFunction(e: Expr, slots: ReadonlyMap<string, number>): ((values: readonly number[]) => number) | undefined {
  if (e.kind === "const") {
    const value = Number(e.value);
    return () => value;
  }
  if (e.kind === "dim" || e.kind === "index") {
    const slot = slots.get(e.name);
    return slot === undefined ? undefined : (values) => values[slot]!;
  }
  if (e.kind !== "op") return undefined;
  const [a, b] = e.args.map((x) => integerFunction(x, slots));
  if (a === undefined) return undefined;
  if (e.op === "neg") return (values) => -a(values);
  const f = operations[e.op];
  return f && b && ((values) => f(a(values), b(values)));
}
