/** Cases as plain data for the process that measures: sources, launches with their sizes worked out, tensors and peers. */
import fs from "node:fs";
import { type CheckedInstance, check, type Schedule } from "../../dsl/index.ts";
import { type Artifact, elementBits, evaluateSize, holds, unroll } from "../../runtime/abi.ts";
import { unitsOf } from "../../runtime/layout.ts";
import { manyTable } from "../../runtime/many.ts";
import { taken } from "../../verify/taken.ts";
import type { GpuCase } from "./cases.ts";

interface PlannedLaunch {
  readonly entry: string;
  readonly blocks: number;
  readonly threads: number;
  readonly sharedBytes: number;
  readonly buffers: readonly string[];
  readonly uniforms: readonly { readonly type: string; readonly value: number }[];
  /** Of a launch for many calls: what it finds them in, with room for the pointers, which begin each row. */
  readonly table?: {
    readonly bytes: string;
    readonly firsts: readonly number[];
    /** Buffers of each call. */
    readonly rows: readonly (readonly string[])[];
  };
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
  const text = fs.readFileSync(c.file, "utf8");
  const { instance, schedules } = instanceOf(c, text);
  const calls = (c.calls ?? [{}]).map((dims) => ({ ...c.dims, ...dims, ...c.scalars }));
  const artifacts = calls.map((values) => taken(instance, schedules, text, "cuda", values).artifact);
  const { file: _, ...rest } = c;
  const [artifact] = artifacts as [Artifact];
  if (artifacts.some((a) => a.source !== artifact.source)) throw new Error(`${c.name}: calls of several variants`);
  for (const values of calls) {
    const unmet = [...artifact.requires, ...(artifact.assumes ?? [])].find((r) => !holds(r.condition, values));
    if (unmet) throw new Error(`${c.name}: \`where ${unmet.text}\` does not hold`);
  }
  return {
    ...rest,
    tensors: calls.flatMap((values, k) => tensorsOf(artifact, values, c.calls ? `.${k}` : "")),
    ours: [c.calls ? together(artifact, calls) : contender("weft", artifact, calls[0]!)],
  };
}
function tensorsOf(artifact: Artifact, values: Readonly<Record<string, number>>, suffix: string): PlannedCase["tensors"] {
  return artifact.params.flatMap((p) =>
    p.kind === "scalar"
      ? []
      : {
          ...{
            name: `${p.name}${suffix}`,
            role: p.role,
            elem: p.elem,
            shape: p.shape.map((e) => evaluateSize(e, values)),
            bytes: unitsOf(p, values) * (elementBits[p.elem] < 8 ? 4 : elementBits[p.elem] / 8),
          },
          ...(p.least === undefined ? {} : { least: p.least }),
          ...(p.bound === undefined ? {} : { bound: evaluateSize(p.bound, values) }),
        },
  );
}
/** All calls in one launch. */
function together(artifact: Artifact, calls: readonly Readonly<Record<string, number>>[]): Contender {
  const [step] = artifact.steps;
  if (artifact.many === undefined || step?.kind !== "launch") throw new Error(`${artifact.kernel} has no entry for many calls`);
  const { launch } = step;
  const prepared = calls.map((values) => ({ artifact, values, tensors: new Map() }));
  const table = manyTable(launch, prepared, () => 0n);
  if (table.count !== calls.length) throw new Error(`${artifact.kernel}: a call of nothing has no place in the table`);
  const { source, entry } = artifact.many;
  return {
    label: "weft",
    source,
    launches: [
      {
        ...{ entry, blocks: table.blocks, threads: launch.threads, sharedBytes: 0, buffers: [], uniforms: [] },
        table: {
          bytes: Buffer.from(table.calls).toString("base64"),
          firsts: [...table.firsts],
          rows: calls.map((_, k) => launch.buffers.map((b) => `${b.name}.${k}`)),
        },
      },
    ],
    temps: [],
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
