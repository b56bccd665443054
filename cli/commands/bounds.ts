/** `weft explain --bounds`: what is promised of each output on sample data, and how much less the schedule itself may err. */
import { compile } from "../../compiler/index.ts";
import { profiles, type TargetName } from "../../dsl/index.ts";
import type { TensorParam } from "../../runtime/abi.ts";
import { prepare } from "../../runtime/index.ts";
import { planBounds } from "../../verify/bounds/call.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { UserError } from "../fail.ts";
import { type Found, ownDims, pickInstance, scheduleFor, shapeOf } from "../workspace.ts";

export interface BoundsOptions {
  readonly instance?: string;
  readonly schedule?: string;
  readonly shape?: string;
  readonly json?: boolean;
}
/** Elements of an output that are looked at. */
const most = 2000;

export function explainBounds(found: Found, target: TargetName, options: BoundsOptions): void {
  const dims = shapeOf(options.shape);
  const instance = pickInstance(found, options.instance, dims);
  ownDims(instance, dims);
  const compiled = compile(instance, found.text, { target, schedule: scheduleFor(found, target, options.schedule) });
  const random = seeded(1);
  const made = generate(compiled.artifact, random, { dims, sizes: [3, 17, 33], filled: true, most: 200_000 });
  if (made === undefined) throw new UserError(`no data for ${found.kernel} with ${options.shape ?? "any sizes"} meets its preconditions`);
  const call = prepare(compiled.artifact, made.args, { dims: made.dims });
  const profile = target === "wgsl" ? "wgsl rne" : target;
  const plan = planBounds(compiled, call, profiles[profile]!);
  const oracles = {
    promise: interpreterFor(call, target),
    [`depth ${plan.depth}`]: interpreterFor(call, { ...profiles[profile]!, depth: plan.depth }),
    plan,
  };
  const shape = Object.entries(made.dims)
    .map(([k, v]) => `${k}=${v}`)
    .join(",");
  if (!options.json) console.log(`${found.kernel} ${instance.name} on ${target}, ${shape}, random data; plan under the profile ${profile}`);
  for (const p of compiled.artifact.params.filter((x): x is TensorParam => x.kind === "tensor" && x.role !== "in")) {
    const count = call.tensors.get(p.name)!.shape.reduce((a, b) => a * b, 1);
    const chosen =
      count <= most ? Array.from({ length: count }, (_, k) => k) : Array.from({ length: most }, () => Math.floor(random() * count));
    const defined = chosen.filter((k) => oracles.promise.elementAt(p.name, k).defined);
    const rows = Object.entries(oracles).map(([name, oracle]) => ({ name, ...summary(defined.map((k) => oracle.elementAt(p.name, k))) }));
    if (options.json)
      console.log(JSON.stringify({ kernel: found.kernel, instance: instance.name, target, output: p.name, dims: made.dims, bounds: rows }));
    else
      for (const r of rows)
        console.log(
          `  ${p.name.padEnd(12)} ${r.name.padEnd(10)} ${r.bits === null ? "exact" : `${r.bits.toFixed(1)} bits`}${r.void ? `, ${r.void} without a bound` : ""}${r.weak ? `, ${r.weak} below 3 bits` : ""}${r.open ? `, ${r.open} open` : ""} of ${r.elements}`,
        );
  }
}
/** Bits that are right: -log2 of the bound over the larger of the value and the root mean square; the median of those with an error. */
function summary(list: readonly { value: number; bound: number; open: boolean }[]) {
  const scale = Math.sqrt(list.reduce((s, e) => s + (Number.isFinite(e.value) ? e.value ** 2 : 0), 0) / Math.max(1, list.length));
  const open = list.filter((e) => e.open).length;
  const closed = list.filter((e) => !e.open);
  const bits = closed
    .filter((e) => Number.isFinite(e.bound) && e.bound > 0)
    .map((e) => -Math.log2(e.bound / Math.max(Math.abs(e.value), scale)));
  bits.sort((a, b) => a - b);
  return {
    elements: list.length,
    bits: bits.length === 0 ? null : bits[bits.length >> 1]!,
    weak: bits.filter((b) => b < 3).length,
    void: closed.filter((e) => !Number.isFinite(e.bound)).length,
    open,
  };
}
