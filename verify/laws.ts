/** The laws of declared monoids, as properties: tested on the values that a call combines, within the derived bounds of both sides. */
import type { Tuple } from "../dsl/index.ts";
import type { Monoid } from "../dsl/tensor/ir.ts";
import type { PreparedCall } from "../runtime/call.ts";
import { interpreterFor } from "./reference-device.ts";

export interface BrokenLaw {
  readonly monoid: string;
  readonly law: "associative" | "commutative" | "left identity" | "right identity";
  /** The values for which the two sides differ. */
  readonly values: readonly (readonly number[])[];
  readonly left: readonly number[];
  readonly right: readonly number[];
}
/** Values kept of each monoid, and triples of them tried. */
const most = { values: 200, trials: 400 };

/**
 * A schedule may reassociate every monoid, commute a commutative one, and start from the identity: where a law fails, results depend on the
 * schedule. Values are what the reductions and scans of the call meet, and what they combine to.
 * @param sample elements of each output that are evaluated to find values
 */
export function brokenLaws(call: PreparedCall, random: () => number, sample = 50): BrokenLaw[] {
  const machine = interpreterFor(call, "cuda");
  const met = new Map<Monoid, Tuple[]>();
  machine.onCombine = (m, x, y) => {
    const list = met.get(m) ?? [];
    met.set(m, list);
    if (list.length < most.values) list.push(x, y);
  };
  for (const p of call.artifact.params) {
    if (p.kind !== "tensor" || p.role === "in") continue;
    const count = call.tensors.get(p.name)!.shape.reduce((a, b) => a * b, 1);
    for (let k = 0; k < Math.min(count, sample); k++) machine.elementAt(p.name, count <= sample ? k : Math.floor(random() * count));
  }
  machine.onCombine = undefined;
  return [...met].flatMap(([m, values]) => {
    const combine = machine.combine(m);
    const identity = machine.identity(m);
    const pick = (): Tuple => values[Math.floor(random() * values.length)]!;
    const broken = new Map<string, BrokenLaw>();
    const check = (law: BrokenLaw["law"], of: readonly Tuple[], left: Tuple, right: Tuple): void => {
      if (broken.has(law) || agree(left, right)) return;
      broken.set(law, { monoid: m.name, law, values: of.map((t) => t.values), left: left.values, right: right.values });
    };
    for (let trial = 0; trial < most.trials; trial++) {
      const [x, y, z] = [pick(), pick(), pick()];
      check("associative", [x, y, z], combine(combine(x, y), z), combine(x, combine(y, z)));
      if (m.commutative) check("commutative", [x, y], combine(x, y), combine(y, x));
      check("left identity", [x], combine(identity, x), x);
      check("right identity", [x], combine(x, identity), x);
    }
    return [...broken.values()];
  });
}
/** Both sides are the same number, as far as their bounds tell. */
const agree = (a: Tuple, b: Tuple): boolean =>
  a.values.every((v, k) => {
    const w = b.values[k]!;
    return v === w || (Number.isNaN(v) && Number.isNaN(w)) || !(Math.abs(v - w) > a.errors[k]! + b.errors[k]!);
  });
