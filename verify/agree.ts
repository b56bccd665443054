/** Holds what a device computed against the reference, element by element, within the derived bound. */
import type { Element } from "../dsl/index.ts";
import type { Share } from "../dsl/interpret/shares.ts";
import type { TensorParam } from "../runtime/abi.ts";
import type { CallResult, PreparedCall } from "../runtime/call.ts";
import { placeOf } from "../runtime/layout.ts";
import { readElement } from "./convert.ts";

export interface Disagreement {
  readonly tensor: string;
  readonly index: readonly number[];
  readonly got: number;
  readonly expected: number;
  readonly bound: number;
  /** Which definitions the bound comes from, largest first; only of the first few of a comparison. */
  readonly shares?: readonly Share[];
}
/** What says how far an element may be off: the reference, or the plan of a schedule (bounds/call.ts). */
export interface Oracle {
  elementAt(tensor: string, flat: number): Element;
  /** The admissible results of an open element, where they are known one by one. */
  choicesAt?(tensor: string, flat: number): readonly number[] | undefined;
  /** The same after the decisions that a machine published. */
  following?(chosen: (tensor: string, flat: number) => number | undefined): Oracle;
  sharesAt?(tensor: string, flat: number): readonly Share[];
}
export interface Agreement {
  /** Elements compared; those where a decision on floats was open are among them only where the admissible results are known. */
  readonly compared: number;
  readonly open: number;
  /** Elements whose bound is infinite: nothing is promised of them. */
  readonly void: number;
  /** Largest |got - expected| / bound; 0 / 0 counts as 0. */
  readonly errorOverBound: number;
  readonly worst: Disagreement | undefined;
  readonly disagreements: readonly Disagreement[];
}
export interface AgreeOptions {
  /** Elements to compare of each tensor; all where there are fewer. */
  readonly sample?: number;
  readonly random?: () => number;
}

/** Disagreements of a comparison that say where their bound comes from. */
const explained = 3;

/** @param oracle made from the arguments *before* the call, with the target's accuracy */
export function agree(call: PreparedCall, result: CallResult, oracle: Oracle, options: AgreeOptions = {}): Agreement {
  const random = options.random ?? Math.random;
  let compared = 0;
  let open = 0;
  let voids = 0;
  let worst: Disagreement | undefined;
  let ratio = 0;
  const disagreements: Disagreement[] = [];
  const asked: { readonly p: TensorParam; readonly flat: number; readonly first: Element; readonly decided: boolean }[] = [];
  const readings = new Map<string, (flat: number) => number>();
  const check = (from: Oracle, p: TensorParam, flat: number, e: Element, choices?: readonly number[]): void => {
    const got = readings.get(p.name)!(flat);
    const r = choices ? (choices.includes(got) ? 0 : Number.POSITIVE_INFINITY) : overBound(got, e);
    if (r <= 1 && r <= ratio) return;
    const index = unflatten(flat, result.outputs[p.name]!.shape);
    const shares = r > 1 && disagreements.length < explained ? from.sharesAt?.(p.name, flat) : undefined;
    const found = { tensor: p.name, index, got, expected: e.value, bound: e.bound, ...(shares ? { shares } : {}) };
    if (r > ratio || worst === undefined) worst = found;
    ratio = Math.max(ratio, r);
    if (r > 1) disagreements.push(found);
  };
  const compare = (from: Oracle, p: TensorParam, flat: number, e: Element, choices?: readonly number[]): void => {
    if (Number.isFinite(e.bound)) compared++;
    else voids++;
    if (Number.isFinite(e.bound)) check(from, p, flat, e, choices);
  };
  for (const p of call.artifact.params) {
    if (p.kind !== "tensor" || p.role === "in") continue;
    const t = result.outputs[p.name]!;
    const count = t.shape.reduce((a, b) => a * b, 1);
    const position = placeOf(p, call.values, call.tensors);
    readings.set(p.name, (flat) => readElement(p.elem, t.data, position(flat)));
    for (const flat of chosen(count, options.sample, random)) {
      const e = oracle.elementAt(p.name, flat);
      if (!e.defined) continue;
      const choices = e.open ? oracle.choicesAt?.(p.name, flat) : undefined;
      const decided = !e.open || choices !== undefined;
      asked.push({ p, flat, first: e, decided });
      if (decided) compare(oracle, p, flat, e, choices);
    }
  }
  // What was computed from an open decision is held against the machine's own, where that is among the outputs.
  const decisions = asked.some((x) => x.first.open);
  const own = decisions ? oracle.following?.((tensor, flat) => readings.get(tensor)?.(flat)) : undefined;
  for (const { p, flat, first, decided } of decisions ? asked : []) {
    const e = own?.elementAt(p.name, flat);
    const usable = e?.defined === true && !e.open;
    if (!decided && usable) compare(own!, p, flat, e);
    else if (!decided) open++;
    else if (usable && e.bound < first.bound) check(own!, p, flat, e);
  }
  return { compared, open, void: voids, errorOverBound: ratio, worst, disagreements };
}
/** |got - expected| over the bound; infinite where the bound is 0 and they differ. */
function overBound(got: number, e: Element): number {
  if (Object.is(got, e.value) || got === e.value || (Number.isNaN(got) && Number.isNaN(e.value))) return 0;
  const error = Math.abs(got - e.value);
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / e.bound;
}
function chosen(count: number, sample: number | undefined, random: () => number): Iterable<number> {
  if (sample === undefined || count <= sample) return Array.from({ length: count }, (_, i) => i);
  const out = new Set<number>([0, count - 1]);
  while (out.size < sample) out.add(Math.floor(random() * count));
  return out;
}
export function unflatten(flat: number, shape: readonly number[]): number[] {
  const index = new Array<number>(shape.length);
  let rest = flat;
  for (let k = shape.length - 1; k >= 0; k--) {
    index[k] = rest % shape[k]!;
    rest = Math.floor(rest / shape[k]!);
  }
  return index;
}
/** Names of definitions in a message. */
const named = 3;
export function describe(d: Disagreement): string {
  const shares = (d.shares ?? []).slice(0, named).map((s) => `${s.definition} ${Math.round(100 * s.share)} %`);
  const bounds = `${(Math.abs(d.got - d.expected) / d.bound).toFixed(1)} bounds`;
  return `${d.tensor}[${d.index.join(", ")}]: got ${d.got}, expected ${d.expected} ± ${d.bound} (${[bounds, shares.join(", ")].filter(Boolean).join("; ")})`;
}
