/** Arguments for a kernel from its signature alone: sizes, scalars, and data that its types and `where` clauses admit. */

import { storage } from "../dsl/tensor/types.ts";
import { type Artifact, evaluateSize, holds, type TensorParam } from "../runtime/abi.ts";
import type { Arguments } from "../runtime/call.ts";
import { pack, placeOf, writeField } from "../runtime/layout.ts";
import type { HostTensor } from "../runtime/tensor.ts";
import { tensorOf } from "./convert.ts";

/** A seeded generator: the same seed, the same numbers (mulberry32). */
export function seeded(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
export interface GenerateOptions {
  /** Extents to draw from; around tile edges by default. */
  readonly sizes?: readonly number[];
  /** Axes that are drawn have elements: for samples, rather than for tests. */
  readonly filled?: boolean;
  readonly dims?: Readonly<Record<string, number>>;
  readonly scalars?: Readonly<Record<string, number>>;
  /** Data by parameter, where the type says too little. */
  readonly data?: Readonly<
    Record<string, (shape: readonly number[], values: Readonly<Record<string, number>>, random: () => number) => ArrayLike<number>>
  >;
  /** `edges`: zeros of both signs, subnormals, powers and large values among the floats; no NaN and no infinity. `bits`: 32-bit integers over their whole range. */
  readonly style?: "plain" | "edges" | "bits";
  /** Elements that all tensors together may have; temporaries may have three times as many. */
  readonly most?: number;
  /** Sizes that are not to be drawn, beside those that the preconditions rule out. */
  readonly admits?: (dims: Readonly<Record<string, number>>) => boolean;
}
/** Around tile edges; an empty axis in one draw of twenty. */
const edges = [1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65];
const emptyShare = 0.05;

/** @returns undefined where no draw met the preconditions within many tries */
export function generate(
  artifact: Artifact,
  random: () => number,
  options: GenerateOptions = {},
): { args: Arguments; dims: Record<string, number> } | undefined {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const sizes = artifact.dims.map((d) => sizesFor(d.name, artifact, options.sizes ?? edges));
  let empty: readonly boolean[] = [];
  for (let attempt = 0; attempt < 500; attempt++) {
    // Which axes are empty stays for a while: else those draws that are too large would leave mostly empty ones.
    if (attempt % 100 === 0) empty = artifact.dims.map(() => random() < emptyShare && !options.filled);
    const values: Record<string, number> = {};
    artifact.dims.forEach((d, k) => {
      values[d.name] = d.value ?? options.dims?.[d.name] ?? (empty[k] ? 0 : pick(sizes[k]!));
    });
    for (const p of artifact.params) if (p.kind === "scalar") values[p.name] = options.scalars?.[p.name] ?? scalar(p.elem, random);
    if (![...artifact.requires, ...(artifact.assumes ?? [])].every((r) => holds(r.condition, values))) continue;
    const tensors = artifact.params.filter((p): p is TensorParam => p.kind === "tensor");
    const shapes = tensors.map((p) => p.shape.map((e) => evaluateSize(e, values)));
    const most = options.most ?? 60_000;
    const held = shapes.map((s) => s.reduce((a, b) => a * b, 1)).reduce((a, b) => a + b, 0);
    const between = artifact.temps.map((t) => evaluateSize(t.count, values)).reduce((a, b) => a + b, 0);
    if (shapes.some((s) => s.some((n) => n < 0)) || held > most || between > 3 * most) continue;
    if (options.admits?.(values) === false) continue;
    if (
      tensors.some(
        (p, k) => p.bound !== undefined && p.elem === "index" && evaluateSize(p.bound, values) < 1 && shapes[k]!.every((n) => n > 0),
      )
    )
      continue;
    if (
      tensors.some(
        (p, k) => p.elem === "offsets" && p.role !== "out" && shapes[k]![0]! < 2 && evaluateSize(p.bound!, values) > 0 && !p.open,
      )
    )
      continue;
    if (
      tensors.some((p, k) => p.distinct && p.bound !== undefined && shapes[k]!.reduce((a, b) => a * b, 1) > evaluateSize(p.bound, values))
    )
      continue;
    const args: Record<string, Arguments[string]> = {};
    for (const p of artifact.params) if (p.kind === "scalar") args[p.name] = values[p.name]!;
    const made = new Map<string, HostTensor>();
    tensors.forEach((p, k) => {
      if (p.role === "out") return;
      const shape = shapes[k]!;
      const count = shape.reduce((a, b) => a * b, 1);
      const numbers = options.data?.[p.name]?.(shape, values, random) ?? numbersFor(p, count, values, random, options.style ?? "plain");
      made.set(p.name, tensorOf(p.elem, shape, numbers));
    });
    for (const p of tensors) {
      const t = made.get(p.name);
      if (t) args[p.name] = p.layout ? poisoned(p, pack(p, t, values, made), values, made) : t;
    }
    return { args, dims: Object.fromEntries(artifact.dims.map((d) => [d.name, values[d.name]!])) };
  }
  return undefined;
}
/** Extents of a dimension: where it has to be a multiple that is not among them, the first few of those. */
function sizesFor(dim: string, artifact: Artifact, sizes: readonly number[]): readonly number[] {
  const multiples = artifact.requires.flatMap(({ condition: [op, part, rest] }) =>
    op === "==" && rest === 0 && Array.isArray(part) && part[0] === "%" && part[1] === dim && typeof part[2] === "number" ? part[2] : [],
  );
  const missing = multiples.filter((m) => !sizes.some((s) => s % m === 0));
  return missing.length === 0 ? sizes : [1, 2, 3].map((k) => k * Math.max(...missing));
}
/** Places of a layout that no element has hold all ones, NaN for floats: a kernel that reads them shows it. */
function poisoned(
  p: TensorParam,
  t: HostTensor,
  values: Readonly<Record<string, number>>,
  made: ReadonlyMap<string, HostTensor>,
): HostTensor {
  const count = t.shape.reduce((a, b) => a * b, 1);
  const place = placeOf(p, values, made);
  const { bits } = storage[p.elem];
  const holes = new Uint8Array(bits < 8 ? t.data.length * (32 / bits) : t.data.length).fill(1);
  for (let flat = 0; flat < count; flat++) holes[place(flat)] = 0;
  holes.forEach((hole, at) => {
    if (hole) writeField(t.data, bits, at, bits >= 32 ? (storage[p.elem].class === "float" ? Number.NaN : -1) : 2 ** bits - 1);
  });
  return t;
}
function scalar(elem: string, random: () => number): number {
  if (elem === "f32" || elem === "f64" || elem === "f16" || elem === "bf16") return Math.fround(random());
  return elem === "bool" ? Math.floor(random() * 2) : Math.floor(random() * 8);
}
/** Floats in [-1, 1), integers over their range (32-bit ones small), indices and offsets as their type promises. */
function numbersFor(
  p: TensorParam,
  count: number,
  values: Readonly<Record<string, number>>,
  random: () => number,
  style: NonNullable<GenerateOptions["style"]>,
): Float64Array {
  const out = new Float64Array(count);
  const info = storage[p.elem];
  if (p.elem === "offsets") {
    const bound = evaluateSize(p.bound!, values);
    for (let i = 1; i < count; i++) out[i] = i === count - 1 && !p.open ? bound : Math.floor(random() * (bound + 1));
    return out.sort();
  }
  if (p.distinct && p.bound !== undefined) {
    // The first of a shuffled list of all places.
    const all = Array.from({ length: evaluateSize(p.bound, values) }, (_, i) => i);
    for (let i = 0; i < count; i++) {
      const j = i + Math.floor(random() * (all.length - i));
      [all[i], all[j]] = [all[j]!, all[i]!];
    }
    return Float64Array.from(all.slice(0, count));
  }
  for (let i = 0; i < count; i++) {
    if (info.class === "float" && style === "edges" && random() < 0.3) out[i] = edgeOf(p, random);
    else if (info.class === "float") out[i] = p.least === undefined ? Math.fround(random() * 2 - 1) : Math.fround(p.least + random());
    else if (p.elem === "bool") out[i] = random() < 0.5 ? 1 : 0;
    else if (p.elem === "index") out[i] = Math.floor(random() * evaluateSize(p.bound!, values));
    else {
      const whole = style === "bits" && p.elem === "i32";
      if (whole) {
        out[i] = Math.max(Math.floor((random() - 0.5) * 2 ** 32), p.least ?? -(2 ** 31));
        continue;
      }
      const [lo, hi] = info.bits >= 32 ? [p.elem === "u32" ? 0 : -50, 50] : [(info as { min: number }).min, (info as { max: number }).max];
      out[i] = lo + Math.floor(random() * (hi - lo + 1));
    }
  }
  return out;
}
/** Floats that rounding, flushing and cancellation are about. */
function edgeOf(p: TensorParam, random: () => number): number {
  const list = [0, -0, 1, -1, 2 ** -126, -(2 ** -130), 2 ** -149, 1 + 2 ** -23, 1 - 2 ** -24, 65504, -448, 2 ** 20, 3e5, 1 / 3];
  const v = list[Math.floor(random() * list.length)]!;
  return p.least === undefined || v >= p.least ? v : p.least;
}
