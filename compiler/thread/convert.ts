/** A tile on other lanes: registers under other numbers, exchanges between lanes that differ in one bit, or a way through shared memory. */
import { storage } from "../../dsl/tensor/types.ts";
import { type Conversion, conversionOf, passageOf, sourceOf } from "../layout/convert.ts";
import { Layout } from "../layout/layout.ts";
import { listOf } from "../lists.ts";
import { layoutsOf } from "../tile/convert.ts";
import { type Launch, type Op, threadsOf } from "../tile/ir.ts";
import type { Memory } from "./memory.ts";
import type { NodeId } from "./nodes.ts";
import { neighbours, placesOf } from "./passage.ts";
import type { Registers } from "./reduce.ts";

type Convert = Extract<Op, { kind: "convert" }>;

/** The registers of the result. Two elements of 16 bits that lie beside each other before and after go as one word. */
/** @param lanes of a warp that may exchange registers */
export function lowerConvert(held: Registers, memory: Memory, op: Convert, lanes: number): Map<number, NodeId> {
  const { from, to } = layoutsOf(held.launch, op);
  const pair = storage[op.held].bits === 16 ? pairOf(from, to) : undefined;
  const [before, after] = [without(from, pair?.from), without(to, pair?.to)];
  const whole = (register: number, bits: readonly number[]): number => bits.reduce((r, bit, k) => ((register >> k) & 1 ? r | bit : r), 0);
  const wordAt = (k: number): NodeId => {
    const r = whole(k, before.bits);
    if (pair === undefined) return held.get(op.value, r);
    return memory.pair([held.get(op.value, r), held.get(op.value, r | pair.from)], op.held);
  };
  const exchanges = exchangesOf(held.launch, before.layout, after.layout, lanes);
  const words = exchanges
    ? byLanes(held, exchanges, 1 << before.bits.length, wordAt)
    : throughShared(
        held,
        op,
        before,
        after,
        listOf(1 << before.bits.length, (k) => wordAt(k)),
        lanes,
      );
  const made = new Map<number, NodeId>();
  for (let k = 0; k < 1 << after.bits.length; k++) {
    const r = whole(k, after.bits);
    if (pair === undefined) made.set(r, words(k));
    else
      memory.unpaired(words(k), op.held).forEach((v, upper) => {
        made.set(upper ? r | pair.to : r, v);
      });
  }
  return made;
}
/** By lanes, where those that would exchange registers can; undefined where not. */
function exchangesOf(launch: Launch, from: Layout, to: Layout, lanes: number): Conversion | undefined {
  const found = conversionOf(from, to);
  const able = found?.exchanges.every((x) => 1 << x.lane < lanes && threadsOf(launch) % lanes === 0);
  return able ? found : undefined;
}
type Words = (register: number) => NodeId;
function byLanes({ nodes: n }: Registers, plan: Conversion, count: number, wordAt: Words): Words {
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
  return (k) => words[sourceOf(plan, k)]!;
}
/** Each word to a place of its own, where lanes find banks of their own both ways; words that stay neighbours in registers go together. */
function throughShared(held: Registers, op: Convert, before: Part, after: Part, words: readonly NodeId[], lanes: number): Words {
  const n = held.nodes;
  const { elem } = n.at(words[0]!);
  const { put, take, together } = passageOf(before.layout, after.layout, elem === "bool" || elem === "f64" ? 1 : 4);
  const array = held.array(`across_${elem}`, elem, 1 << put.size);
  // What others take of an earlier tile they have taken.
  const first = held.launch.body.find((o) => {
    if (o.kind !== "convert") return false;
    const { from, to } = layoutsOf(held.launch, o);
    return exchangesOf(held.launch, from, to, lanes) === undefined;
  });
  if (first !== op) n.effect({ kind: "barrier" });
  const guard = held.firstOfCopies(held.launch.tiles[op.value]!.axes);
  const to = placesOf(n, put);
  for (const list of neighbours(put, [...words.keys()], together)) {
    const [at, values] = [to(list[0]!), list.map((k) => words[k]!)];
    const where = { array, at, ...(guard === undefined ? {} : { guard }) };
    n.effect(together === 1 ? { kind: "share", value: values[0]!, ...where } : { kind: "shares", values, ...where });
  }
  n.effect({ kind: "barrier" });
  const from = placesOf(n, take);
  const taken: NodeId[] = Array.from({ length: 1 << after.bits.length });
  for (const list of neighbours(take, [...taken.keys()], together)) {
    const at = from(list[0]!);
    const found = together === 1 ? [n.shared(array, elem, at)] : n.takes(array, elem, at, together);
    for (const [k, register] of list.entries()) taken[register] = found[k]!;
  }
  return (k) => taken[k]!;
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
/** Registers under numbers of their own, and where their bits stand among the launch's. */
interface Part {
  readonly layout: Layout;
  readonly bits: readonly number[];
}
/** A layout with only the registers that move, less one. */
function without(l: Layout, bit: number | undefined): Part {
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
