/** Elements in memory as one thread reads and writes them: whole units, or fields of words that other threads share. */
import { type Storage, storage } from "../../dsl/tensor/types.ts";
import type { SizeExpr } from "../../runtime/abi.ts";
import { listOf } from "../lists.ts";
import { inSixteenBytes } from "../plan/wide.ts";
import type { Target, Unit } from "../targets/target.ts";
import type { BufferUse, Elem, MapOp } from "../tile/ir.ts";
import { offsetOf } from "./integers.ts";
import type { NodeId, Nodes } from "./nodes.ts";
import { wordOf } from "./pairs.ts";
import { natural } from "./ranges.ts";

export interface Place {
  readonly at: NodeId;
  readonly value: NodeId;
  /** Written only where this holds. */
  readonly test: NodeId | undefined;
}
export interface ReadPlace {
  readonly at: NodeId;
  /** Read only where this holds; 0 elsewhere. */
  readonly guard: NodeId | undefined;
}
type Units = Pick<Target, "unitBits" | "halves" | "wide">;
/** Whether elements are fields of words, rather than units of memory. */
const inFields = (elem: Storage, { unitBits, halves }: Units): boolean => storage[elem].bits < unitBits && !(halves && elem === "f16");
/** A unit of memory, and the element that a unit like it holds. */
export interface Fetched {
  readonly unit: NodeId;
  readonly value: (unit: NodeId) => NodeId;
}
export class Memory {
  private readonly nodes: Nodes;
  private readonly buffers: readonly BufferUse[];
  private readonly target: Units;

  constructor(nodes: Nodes, buffers: readonly BufferUse[], target: Units) {
    this.nodes = nodes;
    this.buffers = buffers;
    this.target = target;
  }
  store(buffer: string, places: readonly Place[]): void {
    const { elem } = this.buffers.find((b) => b.name === buffer)!;
    if (inFields(elem, this.target)) return this.storeFields(buffer, elem, places);
    this.storeUnits(
      buffer,
      elem,
      places.map((p) => ({ ...p, value: this.encode(p.value, elem) })),
    );
  }
  /** Units as they will lie in memory, those that fill 16 bytes together. */
  private storeUnits(buffer: string, elem: Storage, places: readonly Place[]): void {
    const guard = (test: NodeId | undefined) => (test === undefined ? {} : { guard: test });
    const { groups, rest } = this.grouped(elem, places, (p) => p.test);
    for (const g of groups)
      this.nodes.effect({ kind: "stores", buffer, at: g[0]!.at, values: g.map((p) => p.value), ...guard(g[0]!.test) });
    for (const p of rest) this.nodes.effect({ kind: "store", buffer, at: p.at, value: p.value, ...guard(p.test) });
  }
  /** Fields of words: a thread that holds all fields of a word writes it whole, others merge theirs in. */
  private storeFields(buffer: string, elem: Storage, places: readonly Place[]): void {
    const n = this.nodes;
    const { bits } = storage[elem];
    const per = 32 / bits;
    const rest = places.map((p) => ({ ...p, ...offsetOf(n, p.at) }));
    const words: Place[] = [];
    while (rest.length > 0) {
      const { base, by } = rest[0]!;
      const first = Math.floor(by / per) * per;
      const parts = listOf(per, (k) => rest.find((p) => p.base === base && p.by === first + k)).filter((p) => p !== undefined);
      const whole = n.at(base).multiple % per === 0 && parts.length === per;
      if (!whole) {
        const p = rest.shift()!;
        this.mergeField(buffer, elem, p, p.test);
        continue;
      }
      for (const p of parts) rest.splice(rest.indexOf(p), 1);
      const value = parts
        .map((p, k) => n.op("shl", [this.encode(p.value, elem), n.constant(k * bits, "u32")], "u32"))
        .reduce((a, b) => n.op("or", [a, b], "u32"));
      const tests = [...new Set(parts.map((p) => p.test))];
      const all = tests.length === 1 ? tests[0] : tests.filter((t) => t !== undefined).reduce((a, b) => n.op("land", [a, b], "bool"));
      words.push({ at: n.op("truncdiv", [parts[0]!.at, n.int(per)], "i32"), value, test: all });
      if (tests.length > 1)
        for (const p of parts)
          this.mergeField(buffer, elem, p, n.op("land", [p.test ?? n.constant(true, "bool"), n.op("lnot", [all!], "bool")], "bool"));
    }
    this.storeUnits(buffer, "u32", words);
  }
  private mergeField(buffer: string, elem: Storage, p: { at: NodeId; value: NodeId }, test: NodeId | undefined): void {
    const n = this.nodes;
    const { word, shift } = this.field(p.at, storage[elem].bits);
    const mask = n.op("shl", [n.constant(2 ** storage[elem].bits - 1, "u32"), shift], "u32");
    const bits = n.op("shl", [this.encode(p.value, elem), shift], "u32");
    n.effect({ kind: "merge", buffer, at: word, mask, bits, ...(test === undefined ? {} : { guard: test }) });
  }
  /** The word that holds an element, and the bit at which it starts. */
  private field(at: NodeId, bits: number): { word: NodeId; shift: NodeId } {
    const n = this.nodes;
    const per = n.int(32 / bits);
    const place = n.op("truncmod", [at, per], "i32");
    return { word: n.op("truncdiv", [at, per], "i32"), shift: n.op("to_u32", [n.op("mul", [place, n.int(bits)], "i32")], "u32") };
  }
  /** Places whose units fill 16 bytes, or 8 where a buffer may be read both ways, that begin at a multiple of them, under one condition, in order; and the others. */
  private grouped<P extends { readonly at: NodeId }>(
    elem: Storage,
    places: readonly P[],
    condition: (p: P) => unknown,
  ): { groups: P[][]; rest: P[] } {
    const count = inSixteenBytes(elem);
    const groups: P[][] = [];
    let rest: readonly P[] = places;
    if (inFields(elem, this.target) || count === undefined) return { groups, rest: [...rest] };
    for (const size of this.target.wide.alone ? [count] : [count, count / 2]) {
      groups.push(...this.groupsOf(size, rest, condition));
      const taken = new Set(groups.flat());
      rest = rest.filter((p) => !taken.has(p));
    }
    return { groups, rest: [...rest] };
  }
  private groupsOf<P extends { readonly at: NodeId }>(count: number, places: readonly P[], condition: (p: P) => unknown): P[][] {
    const n = this.nodes;
    const by = new Map<string, P[]>();
    for (const p of places) {
      const o = offsetOf(n, p.at);
      if (n.at(o.base).multiple % count !== 0 || n.at(o.base).kind === "const") continue;
      const key = `${o.base} ${Math.floor(o.by / count)} ${condition(p)}`;
      by.set(key, [...(by.get(key) ?? []), p]);
    }
    return [...by.values()].flatMap((list) => {
      const sorted = [...new Map(list.map((p) => [offsetOf(n, p.at).by, p])).entries()].sort(([a], [b]) => a - b).map(([, p]) => p);
      return sorted.length === count && sorted.length === list.length ? [sorted] : [];
    });
  }
  /** The units that hold what lies at these places, each read once and several beside each other in one access. */
  fetch(buffer: string, type: Elem, places: readonly ReadPlace[], pinned: boolean): Fetched[] {
    const { elem } = this.buffers.find((b) => b.name === buffer)!;
    const n = this.nodes;
    const { bits } = storage[elem];
    if (!inFields(elem, this.target)) {
      const decoded = (unit: NodeId): NodeId => (bits < 32 ? this.decode(unit, elem) : unit);
      return this.units(buffer, elem, bits < 32 ? "u32" : type, places, pinned, buffer).map((unit) => ({ unit, value: decoded }));
    }
    const fields = places.map((p) => ({ ...this.field(p.at, bits), guard: p.guard }));
    const words = fields.map((f) => ({ at: f.word, guard: f.guard }));
    const mask = n.constant(2 ** bits - 1, "u32");
    return this.units(buffer, "u32", "u32", words, pinned, `${buffer}_word`).map((unit, k) => ({
      unit,
      value: (whole) => this.decode(n.op("and", [n.op("shr", [whole, fields[k]!.shift], "u32"), mask], "u32"), elem),
    }));
  }
  private units(buffer: string, elem: Storage, type: Elem, places: readonly ReadPlace[], pinned: boolean, hint: string): NodeId[] {
    const n = this.nodes;
    const distinct = new Map<string, ReadPlace>();
    const firsts = places.map((p) => {
      const key = `${p.at} ${p.guard}`;
      const first = distinct.get(key) ?? p;
      if (first === p) distinct.set(key, p);
      return first;
    });
    const list = [...distinct.values()];
    const made = new Map<ReadPlace, NodeId>();
    for (const g of this.grouped(elem, list, (p) => p.guard).groups) {
      const units = n.loads(buffer, type, g[0]!.at, g.length, g[0]!.guard, pinned, hint);
      g.forEach((p, k) => made.set(p, units[k]!));
    }
    const counts = elem === "index" || elem === "offsets" ? natural : undefined;
    for (const p of list) if (!made.has(p)) made.set(p, n.load(buffer, type, p.at, p.guard, pinned, hint, counts));
    return firsts.map((p) => made.get(p)!);
  }
  /** Two elements of 16 bits in a word, and those of a word. */
  pair(values: readonly [NodeId, NodeId], elem: Storage): NodeId {
    const n = this.nodes;
    if (elem === "f16" || elem === "bf16") return wordOf(n, values, elem);
    const [low, high] = values.map((v) => this.encode(v, elem)) as [NodeId, NodeId];
    return n.op("or", [low, n.op("shl", [high, n.constant(16, "u32")], "u32")], "u32");
  }
  unpaired(word: NodeId, elem: Storage): [NodeId, NodeId] {
    const n = this.nodes;
    const low = n.op("and", [word, n.constant(0xffff, "u32")], "u32");
    const high = n.op("shr", [word, n.constant(16, "u32")], "u32");
    return [this.decode(low, elem), this.decode(high, elem)];
  }
  decode(raw: NodeId, elem: Storage): NodeId {
    const n = this.nodes;
    const info = storage[elem];
    if (elem === "bool") return n.op("ne", [raw, n.constant(0, "u32")], "bool");
    if (info.class === "float") return n.op(`decode_${elem}` as MapOp, [raw], "f32");
    const signed = "min" in info && (info.min as number) < 0;
    if (!signed) return n.op("to_i32", [raw], "i32");
    const up = n.constant(32 - info.bits, "u32");
    return n.op("shr", [n.op("bitcast", [n.op("shl", [raw, up], "u32")], "i32"), up], "i32");
  }
  /** A value as it lies in memory: narrow ones as bits in a u32. */
  private encode(value: NodeId, elem: Storage): NodeId {
    const n = this.nodes;
    const info = storage[elem];
    // What was read is written as it lay there.
    if (n.at(value).op === `decode_${elem}`) return n.at(value).args[0]!;
    if (elem === "bool") return n.op("select", [value, n.constant(1, "u32"), n.constant(0, "u32")], "u32");
    if (info.bits >= 32)
      return n.at(value).elem === "bool" ? n.op("select", [value, n.constant(1, "u32"), n.constant(0, "u32")], "u32") : value;
    if (info.class === "float") return n.op(`encode_${elem}` as MapOp, [value], "u32");
    return n.op("and", [n.op("bitcast", [value], "u32"), n.constant(2 ** info.bits - 1, "u32")], "u32");
  }
}

/** What one position of a buffer holds, and how many there are: whole elements, or words of packed ones. */
export function unitsOf(b: BufferUse, target: Units): { unit: Unit; units: SizeExpr } {
  const { bits, compute } = storage[b.elem];
  if (inFields(b.elem, target)) return { unit: "u32", units: ["ceildiv", b.count, 32 / bits] };
  if (bits === 16) return { unit: "u16", units: b.count };
  if (bits === 8) return { unit: "u8", units: b.count };
  return { unit: compute === "int" || compute === "bool" ? "i32" : compute, units: b.count };
}
