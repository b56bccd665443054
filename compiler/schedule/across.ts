/** Tiles that are read along one index and stored along another, as a transposed matrix is: both ways neighbouring lanes have neighbours. */
import { freeIndices, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { storage } from "../../dsl/tensor/types.ts";
import type { MapJob, Plan } from "../plan/jobs.ts";
import { multipleOf } from "./shape.ts";

type Read = Extract<Expr, { kind: "read" }>;
/** A tile of as many points along both indices: neighbouring lanes of a warp have neighbours each way. */
export interface Across {
  readonly outer: Axis;
  readonly inner: Axis;
  readonly side: number;
  /** Neighbours along the inner index that a thread has, which fill 16 bytes where rows begin there; otherwise it has rows. */
  readonly neighbours: number;
  /** Rows of the tile that a thread has. */
  readonly rows: number;
  readonly threads: number;
}

/** The index that a read moves along in memory while it varies with `inner` as well; undefined where it lies along `inner`, or along neither. */
export function readAcross(e: Read, inner: string, plan: Pick<Plan, "stored">): string | undefined {
  const t = plan.stored.get(e.tensor);
  const last = e.subscripts.at(-1);
  if (t === undefined || t.layout || storage[t.elem].bits < 8 || storage[t.elem].bits > 32 || last?.kind !== "index") return undefined;
  if (last.name === inner || !e.subscripts.slice(0, -1).some((s) => freeIndices(s).has(inner))) return undefined;
  return last.name;
}
/** The tile of a launch that reads across it; undefined for any other, and where extents are known to be short. */
export function acrossOf(job: MapJob, plan: Pick<Plan, "stored" | "multiples">): Across | undefined {
  const inner = job.axes.at(-1);
  const long = (a: Axis): boolean => a.extent.kind !== "const" || Number(a.extent.value) >= least;
  if (inner === undefined || !long(inner)) return undefined;
  const stored = job.stores.filter((s) => lastIndex(s.subscripts) === inner.name).map((s) => s.buffer);
  let index: string | undefined;
  const touched = new Set(stored);
  for (const s of job.stores)
    visit(s.expanded, (x) => {
      if (x.kind !== "read") return;
      const found = readAcross(x, inner.name, plan);
      if (found !== undefined && (index ?? found) === found) {
        index = found;
        touched.add(x.tensor);
      }
    });
  const outer = job.axes.find((a) => a.name === index && long(a));
  if (stored.length === 0 || outer === undefined) return undefined;
  const bits = new Set([...touched].map((name) => storage[plan.stored.get(name)!.elem].bits));
  const [width] = bits;
  const wide = 128 / width!;
  const aligned = [inner, outer].every((a) => multipleOf(a.extent, plan.multiples) % wide === 0);
  if (bits.size > 1 || !aligned || wide > 8) return { outer, inner, side: least, neighbours: 1, rows: least / 8, threads: 256 };
  return { outer, inner, side: 8 * wide, neighbours: wide, rows: wide / 4, threads: 256 };
}
/** As directives: sizes, threads, nothing unrolled, and what a thread has along each index. */
export function acrossTile(a: Across): [tile: [string, number][], threads: number, unroll: [], registers: [string, number][]] {
  const sizes: [string, number][] = [
    [a.outer.name, a.side],
    [a.inner.name, a.side],
  ];
  const held: [string, number][] = [
    [a.outer.name, a.rows],
    [a.inner.name, a.neighbours],
  ];
  return [sizes, a.threads, [], held.filter(([, n]) => n > 1)];
}
/** Lanes of a warp. */
const least = 32;
function lastIndex(subscripts: readonly Expr[]): string | undefined {
  const last = subscripts.at(-1);
  return last?.kind === "index" ? last.name : undefined;
}
