/** Cases as plain data for the process that measures: sources, launches with their sizes worked out, tensors and peers. */
import fs from "node:fs";
import { compile, variantsOf } from "../../compiler/index.ts";
import { type CheckedInstance, check, type Schedule } from "../../dsl/index.ts";
import { type Artifact, elementBits, evaluateSize, holds, unroll } from "../../runtime/abi.ts";
import { mostSpecific } from "../../runtime/call.ts";
import { unitsOf } from "../../runtime/layout.ts";
import type { GpuCase } from "./cases.ts";

interface PlannedLaunch {
  readonly entry: string;
  readonly blocks: number;
  readonly threads: number;
  readonly sharedBytes: number;
  readonly buffers: readonly string[];
  readonly uniforms: readonly { readonly type: string; readonly value: number }[];
}
interface Contender {
  readonly label: string;
  readonly source: string;
  readonly launches: readonly PlannedLaunch[];
  readonly temps: readonly { readonly name: string; readonly bytes: number }[];
}
export interface PlannedCase extends Omit<GpuCase, "file"> {
  readonly tensors: readonly {
    readonly name: string;
    readonly role: string;
    readonly elem: string;
    readonly shape: readonly number[];
    readonly bytes: number;
    /** No element is less. */
    readonly least?: number;
    /** Every element is one less than this. */
    readonly bound?: number;
  }[];
  readonly ours: readonly Contender[];
}
export function planCase(c: GpuCase): PlannedCase {
  const values = { ...c.dims, ...c.scalars };
  const artifact = taken(c, fs.readFileSync(c.file, "utf8"), values);
  const unmet = [...artifact.requires, ...(artifact.assumes ?? [])].find((r) => !holds(r.condition, values));
  if (unmet) throw new Error(`${c.name}: \`where ${unmet.text}\` does not hold`);
  const { file: _, ...rest } = c;
  return {
    ...rest,
    tensors: artifact.params.flatMap((p) =>
      p.kind === "scalar"
        ? []
        : {
            ...{
              name: p.name,
              role: p.role,
              elem: p.elem,
              shape: p.shape.map((e) => evaluateSize(e, values)),
              bytes: unitsOf(p, values) * (elementBits[p.elem] < 8 ? 4 : elementBits[p.elem] / 8),
            },
            ...(p.least === undefined ? {} : { least: p.least }),
            ...(p.bound === undefined ? {} : { bound: evaluateSize(p.bound, values) }),
          },
    ),
    ours: [contender("weft", artifact, values)],
  };
}
function instanceOf(c: GpuCase, text: string): { instance: CheckedInstance; schedules: readonly Schedule[] } {
  const checked = check(text);
  const wrong = checked.diagnostics.find((d) => d.severity === "error");
  if (wrong) throw new Error(`${c.name}: ${wrong.code} ${wrong.message}`);
  const parts = (name: string): string => name.split(", ").sort().join();
  const instance = checked.instances.find((i) => i.kernel === c.kernel && parts(i.name) === parts(c.instance));
  if (instance === undefined) throw new Error(`${c.kernel} has no instance ${c.instance}`);
  return { instance, schedules: checked.schedules };
}
/** The variant that a call would take. */
function taken(c: GpuCase, text: string, values: Readonly<Record<string, number>>): Artifact {
  const { instance, schedules } = instanceOf(c, text);
  const all = variantsOf({ schedules }, instance, "cuda").map(({ schedule }) => compile(instance, text, { target: "cuda", schedule }));
  return mostSpecific(all.map((x) => x.artifact)).find((a) => a.when === undefined || holds(a.when, values))!;
}
function contender(label: string, a: Artifact, values: Readonly<Record<string, number>>): Contender {
  return {
    label,
    source: a.source,
    launches: unroll(a.steps, values).flatMap(({ launch, steps }) => {
      const blocks = evaluateSize(launch.grid, { ...values, ...steps });
      if (blocks <= 0) return [];
      return {
        ...{ entry: launch.entry, blocks, threads: launch.threads, sharedBytes: launch.sharedBytes },
        buffers: launch.buffers.map((b) => b.name),
        uniforms: a.uniforms.map((u) => ({ type: u.type, value: u.kind === "step" ? (steps[u.name] ?? 0) : values[u.name]! })),
      };
    }),
    temps: a.temps.map((t) => ({ name: t.name, bytes: evaluateSize(t.count, values) * (t.elem === "f64" ? 8 : 4) })),
  };
}
