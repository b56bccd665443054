/** Jobs that become one launch. */
import { axesParts, some } from "../../dsl/tensor/expr.ts";
import { sameAxes, storeAt } from "./in-place.ts";
import type { PlannedStep } from "./jobs.ts";
import { type Definitions, namesTouched } from "./touches.ts";

/** Neighbouring jobs over the same axes, none of which reads what another writes, become one. */
export function merge(steps: readonly PlannedStep[], known: Definitions): PlannedStep[] {
  const out: PlannedStep[] = [];
  for (const step of steps) {
    const last = out.at(-1);
    if (step.kind !== "job" || last?.kind !== "job" || step.job.kind !== "map" || last.job.kind !== "map") {
      out.push(step);
      continue;
    }
    const [a, b] = [last.job, step.job];
    const writes = new Set(a.stores.map((s) => s.buffer));
    const depends = b.stores.some((s) =>
      [s.value, s.where, ...s.subscripts, ...axesParts(b.axes)].some((e) => [...namesTouched(e, known)].some((n) => writes.has(n))),
    );
    const simple = [...a.stores, ...b.stores].every((s) => !some(s.expanded, (x) => x.kind === "reduce"));
    if (!sameAxes(a.axes, b.axes) || depends || !simple) {
      out.push(step);
      continue;
    }
    const moved = b.stores.map((s) => storeAt(s, b.axes, a.axes));
    out[out.length - 1] = { kind: "job", job: { ...a, stores: [...a.stores, ...moved] } };
  }
  return out;
}
