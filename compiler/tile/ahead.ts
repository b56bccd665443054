/**
 * What a loop around a product may read a turn early, so that it is on its way while the turn before is computed: operands of a matrix unit
 * that are computed from what lies in memory, and hence pass through no ring, and what threads put into one.
 */
import { storage } from "../../dsl/tensor/types.ts";
import { argsOf, type Launch, type Op, outsOf, type Value } from "./ir.ts";

type Load = Extract<Op, { kind: "load" }>;
export interface EarlyReads {
  readonly loads: readonly Load[];
  /** Operations of the loop that say where they read, in order: pure ones of the loop's index. */
  readonly places: readonly Op[];
}
const pure: ReadonlySet<Op["kind"]> = new Set(["const", "dim", "scalar", "step", "block", "coordinate", "map"]);

/** Undefined where there is nothing to read early. Whether there are registers for it, threads know. */
export function earlyReads(loop: Extract<Op, { kind: "loop" }>, launch: Launch): EarlyReads | undefined {
  const sums = new Set(loop.body.flatMap((o) => (o.kind === "dot" ? [o.out] : [])));
  const wanted = loop.body.flatMap((o) => {
    if (o.kind === "dot") return [o.a, o.b];
    // What a step's sum is scaled by is needed at the end of the step, when there is nothing left to wait behind.
    if (o.kind === "map" && o.op === "mul" && o.args.some((v) => sums.has(v))) return o.args.filter((v) => !sums.has(v));
    return o.kind === "put" ? [o.value] : [];
  });
  if (wanted.length === 0) return undefined;
  const makers = new Map(loop.body.flatMap((o) => outsOf(o).map((v) => [v, o] as const)));
  const operands = behind(wanted, makers);
  const moving = new Set<Value>([loop.index]);
  for (const o of loop.body) if (argsOf(o).some((v) => moving.has(v))) for (const v of outsOf(o)) moving.add(v);
  const changed = new Set(loop.carried.map((c) => c.phi));
  const loads: Load[] = [];
  const places = new Set<Op>();
  for (const o of loop.body) {
    if (o.kind !== "load" || !operands.has(o) || !moving.has(o.at)) continue;
    const { elem, access } = launch.buffers.find((b) => b.name === o.buffer)!;
    // What is written here may change in between; places that are read from memory are integers of a known range.
    if (access !== "read" || (storage[elem].class !== "float" && storage[elem].bits === 32)) continue;
    const slice = behind(argsOf(o), makers);
    if ([...slice].some((x) => !pure.has(x.kind) || argsOf(x).some((v) => changed.has(v))) || argsOf(o).some((v) => changed.has(v)))
      continue;
    loads.push(o);
    for (const x of slice) places.add(x);
  }
  return loads.length === 0 ? undefined : { loads, places: loop.body.filter((o) => places.has(o)) };
}
/** The operations of the loop that these values are made by. */
function behind(values: readonly Value[], makers: ReadonlyMap<Value, Op>): ReadonlySet<Op> {
  const found = new Set<Op>();
  const walk = (v: Value): void => {
    const o = makers.get(v);
    if (o === undefined || found.has(o)) return;
    found.add(o);
    argsOf(o).forEach(walk);
  };
  values.forEach(walk);
  return found;
}
