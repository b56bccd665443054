/** A tile on other lanes: registers under other numbers, and exchanges between lanes that differ in one bit. */
import { invariant } from "../../dsl/diagnostics.ts";
import { storage } from "../../dsl/tensor/types.ts";
import { conversionOf, sourceOf } from "../layout/convert.ts";
import { Layout } from "../layout/layout.ts";
import { layoutsOf } from "../tile/convert.ts";
import type { Op } from "../tile/ir.ts";
import type { Memory } from "./memory.ts";
import type { NodeId } from "./nodes.ts";
import type { Registers } from "./reduce.ts";

type Convert = Extract<Op, { kind: "convert" }>;

/** The registers of the result. Two elements of 16 bits that lie beside each other before and after are exchanged as one word. */
export function lowerConvert(held: Registers, memory: Memory, op: Convert): Map<number, NodeId> {
  const n = held.nodes;
  const { launch } = held;
  const { from, to } = layoutsOf(launch, op);
  const narrow = storage[op.held].bits === 16;
  const pair = narrow ? pairOf(from, to) : undefined;
  const [before, after] = [without(from, pair?.from), without(to, pair?.to)];
  const plan = conversionOf(before.layout, after.layout);
  invariant(plan, `no way from ${from} to ${to}`);
  const whole = (register: number, bits: readonly number[]): number => bits.reduce((r, bit, k) => ((register >> k) & 1 ? r | bit : r), 0);
  const count = 1 << before.bits.length;
  const wordAt = (k: number): NodeId => {
    const r = whole(k, before.bits);
    if (pair === undefined) return held.get(op.value, r);
    return memory.pair([held.get(op.value, r), held.get(op.value, r | pair.from)], op.held);
  };
  const words = new Array<NodeId>(count);
  // One set of registers after another that have nothing to do with each other: a set is done with before the next begins.
  const joined = plan.exchanges.map((x) => x.registers).reduce(spanned, [0]);
  for (let first = 0; first < count; first++) {
    if (joined.some((mask) => (first ^ mask) < first)) continue;
    const set = joined.map((mask) => first ^ mask).sort((a, b) => a - b);
    for (const k of set) words[k] = wordAt(k);
    for (const { lane, registers, pivot } of plan.exchanges) {
      const odd = n.op("ne", [n.op("and", [n.special("thread"), n.int(1 << lane)], "i32"), n.int(0)], "bool");
      for (const k of set) {
        if (k & pivot) continue;
        const [own, other] = [words[k]!, words[k ^ registers]!];
        const { elem } = n.at(own);
        const out = n.variable("other", elem);
        n.effect({ kind: "shuffle", out, value: n.op("select", [odd, own, other], elem), mask: 1 << lane });
        words[k] = n.op("select", [odd, out, own], elem);
        words[k ^ registers] = n.op("select", [odd, other, out], elem);
      }
    }
  }
  const made = new Map<number, NodeId>();
  for (let k = 0; k < 1 << after.bits.length; k++) {
    const word = words[sourceOf(plan, k)]!;
    const r = whole(k, after.bits);
    if (pair === undefined) made.set(r, word);
    else
      memory.unpaired(word, op.held).forEach((v, upper) => {
        made.set(upper ? r | pair.to : r, v);
      });
  }
  return made;
}
/** The sums of what a mask and its combinations with others are. */
const spanned = (list: readonly number[], mask: number): number[] =>
  list.includes(mask) ? [...list] : [...list, ...list.map((x) => x ^ mask)];
/** The register bits that step to the next element along some index, before and after; undefined where there are none. */
function pairOf(from: Layout, to: Layout): { readonly from: number; readonly to: number } | undefined {
  let at = 0;
  for (const o of from.outputs) {
    const [a, b] = [from, to].map((l) => (l.columns.get("register") ?? []).indexOf(1 << at)) as [number, number];
    if (a >= 0 && b >= 0) return { from: 1 << a, to: 1 << b };
    at += o.bits;
  }
  return undefined;
}
/** A layout with only the registers that move, less one, and where those stand among the launch's. */
function without(l: Layout, bit: number | undefined): { readonly layout: Layout; readonly bits: readonly number[] } {
  const columns = l.columns.get("register") ?? [];
  const bits = columns.flatMap((c, b) => (c === 0 || 1 << b === bit ? [] : [1 << b]));
  return {
    layout: new Layout(
      new Map(l.columns).set(
        "register",
        bits.map((b) => columns[Math.log2(b)]!),
      ),
      l.outputs,
    ),
    bits,
  };
}
