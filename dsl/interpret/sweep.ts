/** Prefix sums and combines along one index. */
import { invariant } from "../diagnostics.ts";
import { freeIndices } from "../tensor/expr.ts";
import type { Expr } from "../tensor/ir.ts";
import type { Interpreter } from "./interpreter.ts";
import { type Evaluate, hole, state } from "./state.ts";

/** A whole row at once, kept for the other points of the row. */
export function compileSweep(machine: Interpreter, e: Extract<Expr, { kind: "sweep" }>): Evaluate {
  invariant(e.op !== "softmax", "softmax is desugared before it is run");
  const over = e.over[0];
  invariant(over && e.over.length === 1, `${e.op} sweeps one index`);
  const slot = machine.slot(over.name);
  const held = [...freeIndices(e)].filter((n) => n !== over.name).map((n) => machine.slot(n));
  const inside = machine.inside([over], e.where);
  const bodies = e.bodies.map((b) => machine.compile(b));
  const extent = machine.compile(over.extent);
  const rows = new Map<string, { values: Float64Array; errors: Float64Array; defined: Uint8Array; open: boolean }>();
  const u = e.type === "f32" ? machine.accuracy.unit : 0;
  const combine = e.monoid ? machine.combine(e.monoid) : undefined;
  const run = (f: Float64Array) => {
    const n = extent(f);
    const row = { values: new Float64Array(n), errors: new Float64Array(n), defined: new Uint8Array(n), open: false };
    const at = f[slot]!;
    let sum = 0;
    let magnitude = 0;
    let inherited = 0;
    let count = 0;
    let tuple: { values: number[]; errors: number[] } | undefined;
    for (let step = 0; step < n; step++) {
      const j = e.reverse ? n - 1 - step : step;
      f[slot] = j;
      if (inside && (!inside(f) || state.undefined)) {
        state.undefined = false;
        continue;
      }
      const values: number[] = [];
      const errors: number[] = [];
      for (const b of bodies) {
        values.push(b(f));
        errors.push(state.error);
        if (state.undefined) break;
      }
      if (state.undefined) {
        state.undefined = false;
        continue;
      }
      row.defined[j] = 1;
      count++;
      if (combine) {
        tuple = tuple === undefined ? { values, errors } : combine(tuple, { values, errors });
        row.values[j] = tuple.values[e.component]!;
        row.errors[j] = tuple.errors[e.component]!;
      } else {
        sum += values[0]!;
        if (e.type === "i32") sum |= 0;
        if (e.type === "u32") sum >>>= 0;
        inherited += errors[0]!;
        magnitude += Math.abs(values[0]!) + errors[0]!;
        row.values[j] = sum;
        const h = Math.min(count - 1, machine.accuracy.depth ?? count);
        row.errors[j] = inherited + (h * u * magnitude) / (1 - h * u);
      }
    }
    row.open = state.open;
    f[slot] = at;
    return row;
  };
  return (f) => {
    const key = held.map((h) => f[h]).join();
    let row = rows.get(key);
    if (row === undefined) {
      row = run(f);
      rows.set(key, row);
    }
    const j = f[slot]!;
    if (!row.defined[j]) return hole();
    state.open ||= row.open;
    state.error = row.errors[j]!;
    return row.values[j]!;
  };
}
