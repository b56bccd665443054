/** Rings in shared memory as one thread sees them: where an element of a slot lies, and how a warp reads fragments of it. */
import { invariant } from "../../dsl/diagnostics.ts";
import { inWord } from "../../dsl/tensor/matrix.ts";
import { storage } from "../../dsl/tensor/types.ts";
import { type Passage, passageOf } from "../layout/convert.ts";
import type { TileLayout } from "../layout/tile-layout.ts";
import { listOf } from "../lists.ts";
import { argsOf, type Elem, type Launch, type Op, type Ring, swizzleOf, type Value } from "../tile/ir.ts";
import { offsetOf } from "./integers.ts";
import type { SharedArray } from "./ir.ts";
import type { NodeId, Nodes } from "./nodes.ts";
import { neighbours, placesOf } from "./passage.ts";

/** A slot, and the position at which it begins. */
export interface HeldSlot {
  readonly ring: Ring;
  readonly start: NodeId;
}
export function ringOf(l: Launch, name: string): Ring {
  const r = l.rings.find((x) => x.name === name);
  invariant(r, `no ring ${name}`);
  return r;
}
/** Whether a product takes fragments of a slot, rather than its elements: of what is held as it is multiplied, and of bytes only along their row. */
export const takesFragments = (op: Extract<Op, { kind: "dot" }>, r: Ring): boolean =>
  op.form === (r.elem === "i8" ? "s8" : r.elem) && (inWord[op.form] === 2 || r.fast.name === op.axes.over);
/** Slots whose elements nothing asks for one by one. */
export function inFragmentsAlone(l: Launch): ReadonlySet<Value> {
  const slots = new Map<Value, Ring>();
  const asked = new Set<Value>();
  const walk = (ops: readonly Op[]): void => {
    for (const o of ops) {
      if (o.kind === "slot") slots.set(o.out, ringOf(l, o.ring));
      if (o.kind === "loop") {
        walk(o.body);
        for (const c of o.carried) asked.add(c.init).add(c.next);
      }
      for (const v of argsOf(o)) {
        const ring = slots.get(v);
        if (ring && !(o.kind === "dot" && v !== o.acc && takesFragments(o, ring))) asked.add(v);
      }
    }
  };
  walk(l.body);
  return new Set([...slots.keys()].filter((v) => !asked.has(v)));
}
export const arrayElem = (r: Ring): SharedArray["elem"] =>
  (({ 8: "u8", 16: "u16" }) as const)[storage[r.elem].bits as 8] ?? (r.elem === "f32" || r.elem === "u32" ? r.elem : "i32");
/** The type of what is read of it: of narrow elements their bits. */
const readElem = (r: Ring): Elem => {
  const elem = arrayElem(r);
  return elem === "u16" || elem === "u8" ? "u32" : elem;
};
export const slotSize = (r: Ring): number => r.slow.extent * r.fast.extent;
export const slotStart = (n: Nodes, r: Ring, slot: NodeId): NodeId => n.op("mul", [slot, n.int(slotSize(r))], "i32");

/** Where a piece of a row begins within a slot. */
export function placeOf(n: Nodes, r: Ring, row: NodeId, piece: NodeId): NodeId {
  return pieceOf(n, r, rowPlace(n, r, row), piece);
}
/** Where a piece of the row at a place among the rows of a slot begins. */
function pieceOf(n: Nodes, r: Ring, slow: NodeId, piece: NodeId): NodeId {
  const { every, pieces, fold } = swizzleOf(r);
  const log = (x: number): NodeId => n.int(Math.log2(x));
  const turn = n.op("and", [every > 1 ? n.op("shr", [slow, log(every)], "i32") : slow, n.int(pieces - 1)], "i32");
  const folded = fold ? n.op("xor", [piece, n.op("and", [n.op("shr", [piece, n.int(3)], "i32"), n.int(1)], "i32")], "i32") : piece;
  const at = pieces > 1 ? n.op("xor", [folded, turn], "i32") : folded;
  const start = n.op("mul", [slow, n.int(r.fast.extent)], "i32");
  return n.op("add", [start, n.op("mul", [at, n.int(r.width)], "i32")], "i32");
}
/** The place of a row among the rows of a slot. */
function rowPlace(n: Nodes, { slow, rowsBeside = 1 }: Ring, row: NodeId): NodeId {
  if (rowsBeside === 1) return row;
  const within = n.op("mul", [n.op("and", [row, n.int(rowsBeside - 1)], "i32"), n.int(slow.extent / rowsBeside)], "i32");
  return n.op("add", [n.op("shr", [row, n.int(Math.log2(rowsBeside))], "i32"), within], "i32");
}
/** Where an element lies within a slot. */
function elementPlace(n: Nodes, r: Ring, slow: NodeId, fast: NodeId): NodeId {
  const piece = n.op("shr", [fast, n.int(Math.log2(r.width))], "i32");
  const within = n.op("and", [fast, n.int(r.width - 1)], "i32");
  return n.op("add", [placeOf(n, r, slow, piece), within], "i32");
}
/** One element of a slot, as it lies in memory; `coordinate` gives its place along the axes of the tile. */
export function elementOf(n: Nodes, { ring: r, start }: HeldSlot, coordinate: (axis: string) => NodeId): NodeId {
  const place = elementPlace(n, r, coordinate(r.slow.name), coordinate(r.fast.name));
  return n.shared(r.name, readElem(r), n.op("add", [start, place], "i32"));
}
/** Elements of a slot by register, 16 bytes at a time; undefined where no registers are neighbours along a row. */
export function wideElements(
  n: Nodes,
  { ring: r, start }: HeldSlot,
  registers: readonly number[],
  coordinate: (axis: string, register: number) => NodeId,
): Map<number, NodeId> | undefined {
  if (!r.values) return undefined;
  const rows = new Map<string, number[]>();
  const known = registers.map((register) => {
    const fast = coordinate(r.fast.name, register);
    const { value } = n.at(fast);
    const { base, by } = typeof value === "number" ? { base: n.int(0), by: value } : offsetOf(n, fast);
    const key = `${coordinate(r.slow.name, register)} ${base} ${Math.floor(by / r.width)}`;
    if (n.at(base).multiple % r.width === 0) rows.set(key, [...(rows.get(key) ?? []), register]);
    return [register, by] as const;
  });
  const by = new Map(known);
  const out = new Map<number, NodeId>();
  for (const list of rows.values()) {
    if (list.length !== r.width) return undefined;
    list.sort((x, y) => by.get(x)! - by.get(y)!);
    const place = elementPlace(n, r, coordinate(r.slow.name, list[0]!), coordinate(r.fast.name, list[0]!));
    const values = n.takes(r.name, readElem(r), n.op("add", [start, place], "i32"), r.width);
    list.forEach((register, k) => out.set(register, values[k]!));
  }
  return out.size === registers.length ? out : undefined;
}
/** Where elements of a ring lie that has no rows: those of 16 bytes are in registers of one thread, there and here. */
function passageOfRing({ layout }: Launch, { name, copy, slow, fast, width }: Ring): Passage {
  const passage = passageOf(layout.over([copy.slow.name, copy.piece.name]), layout.over([slow.name, fast.name]), width as 4);
  invariant(passage.together === width, `ring ${name}: ${passage.together} elements together`);
  return passage;
}
/** Elements of a slot that has no rows, by register. */
export function passedElements(n: Nodes, { ring: r, start }: HeldSlot, l: Launch, registers: readonly number[]): Map<number, NodeId> {
  const out = new Map<number, NodeId>();
  const p = passageOfRing(l, r);
  const place = placesOf(n, p.take);
  for (const list of neighbours(p.take, registers, p.together)) {
    const taken = n.takes(r.name, readElem(r), n.op("add", [start, place(list[0]!)], "i32"), p.together);
    list.forEach((register, k) => out.set(register, taken[k]!));
  }
  return out;
}
/** Registers of a tile over a ring's copy axes that go to a slot together, and where in it. */
export function puts(
  n: Nodes,
  l: Launch,
  r: Ring,
  registers: readonly number[],
  coordinate: (axis: string, register: number) => NodeId,
): { readonly registers: readonly number[]; readonly place: NodeId }[] {
  if (r.byPassage) {
    const { put, together } = passageOfRing(l, r);
    const place = placesOf(n, put);
    return neighbours(put, registers, together).map((list) => ({ registers: list, place: place(list[0]!) }));
  }
  // The lowest registers are neighbours along a row.
  const firsts = registers.flatMap((_, k) => (k % r.width === 0 ? [k] : []));
  return firsts.map((k) => ({
    registers: registers.slice(k, k + r.width),
    place: elementPlace(n, r, coordinate(r.copy.slow.name, registers[k]!), coordinate(r.copy.piece.name, registers[k]!)),
  }));
}
/** What warp and register give of a coordinate: where the matrices of a fragment begin. */
function origin(n: Nodes, layout: TileLayout, axis: string, register: number): NodeId {
  const own = layout.over([axis]);
  const warps = own.columns.get("warp") ?? [];
  const lanes = own.bitsOf("lane");
  let sum = n.int((own.columns.get("register") ?? []).reduce((v, c, b) => ((register >> b) & 1 ? v ^ c : v), 0));
  warps.forEach((c, b) => {
    if (c === 0) return;
    const bit = n.op("and", [n.op("shr", [n.special("thread"), n.int(lanes + b)], "i32"), n.int(1)], "i32");
    sum = n.op("add", [n.op("mul", [bit, n.int(c)], "i32"), sum], "i32");
  });
  return sum;
}
/** Which lanes' bit moves by 8 along which axis: lane / 8 odd, and lane / 16. */
export interface MatrixOrder {
  readonly eighth: string;
  readonly sixteenth: string;
}
/** `count` 8x8 matrices of a slot from the element at `register` on, for all lanes of a warp. `across` is the axis that the words of a lane pair up. */
export function fragment(
  n: Nodes,
  slot: HeldSlot,
  layout: TileLayout,
  register: number,
  across: string,
  order: MatrixOrder,
  count: 2 | 4,
): NodeId[] {
  const { ring: r, start } = slot;
  const lane = n.op("and", [n.special("thread"), n.int(31)], "i32");
  const eighth = n.op("and", [n.op("shr", [lane, n.int(3)], "i32"), n.int(1)], "i32");
  const sixteenth = n.op("shr", [lane, n.int(4)], "i32");
  const moved = (at: NodeId, axis: string, by: number): NodeId => {
    const plus = (sum: NodeId, bit: NodeId): NodeId => n.op("add", [sum, n.op("mul", [bit, n.int(by)], "i32")], "i32");
    const one = order.eighth === axis ? plus(at, eighth) : at;
    return count === 4 && order.sixteenth === axis ? plus(one, sixteenth) : one;
  };
  const { slow, fast, rowsBeside = 1 } = r;
  const piece = n.op("shr", [moved(origin(n, layout, fast.name, register), fast.name, r.width), n.int(Math.log2(r.width))], "i32");
  // Lanes 0 to 7 name the rows of the first matrix, along the slow axis whatever the fragment is: rows that follow each other in the slot.
  const first = n.op("add", [rowPlace(n, r, origin(n, layout, slow.name, register)), n.op("and", [lane, n.int(7)], "i32")], "i32");
  const row = moved(first, slow.name, rowsBeside > 1 ? slow.extent / rowsBeside : 8);
  const at = n.op("add", [start, pieceOf(n, r, row, piece)], "i32");
  const outs = listOf(count, () => n.variable("word", "u32"));
  n.effect({ kind: "fragment", outs, array: r.name, at, transposed: across !== r.fast.name });
  return outs;
}
