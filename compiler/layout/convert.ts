/**
 * From one layout of a tile to another: nothing to do, other numbers for the same registers, or exchanges between lanes of a warp. A step
 * exchanges a lane bit with a combination of register bits: a lane keeps one of two registers and gets the other lane's in place of the other
 * one, so that half of the registers are shuffled and three selections are made for each pair of them.
 */
import { invariant } from "../../dsl/diagnostics.ts";
import { listOf } from "../lists.ts";
import { Layout } from "./layout.ts";

/** Lanes that differ in bit `lane` exchange registers: `pivot` is the lowest bit of `registers`, whose numbers differ in all of its bits. */
export interface Exchange {
  readonly lane: number;
  readonly registers: number;
  readonly pivot: number;
}
export interface Conversion {
  readonly kind: "none" | "registers" | "shuffles";
  readonly exchanges: readonly Exchange[];
  /** For each register bit of the target, which register bits it steps by once all exchanges are made. */
  readonly from: readonly number[];
}

/**
 * How to get from one layout to another of the same tile; undefined where an element would have to go to another warp, or lanes would have to
 * take from lanes that only a combination of theirs names.
 */
export function conversionOf(from: Layout, to: Layout): Conversion | undefined {
  const same = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((c, k) => c === b[k]);
  const columns = (l: Layout, input: string): number[] => [...(l.columns.get(input) ?? [])];
  if (!same(columns(from, "warp"), columns(to, "warp"))) return undefined;
  const [registers, lanes] = [columns(from, "register"), columns(from, "lane")];
  const wanted = columns(to, "lane");
  const exchanges: Exchange[] = [];
  const exchange = (lane: number, mask: number): void => {
    const pivot = mask & -mask;
    const moved = combined(registers, mask);
    registers[Math.log2(pivot)] = combined(registers, mask ^ pivot) ^ lanes[lane]!;
    lanes[lane] = moved;
    exchanges.push({ lane, registers: mask, pivot });
  };
  for (const [lane, column] of wanted.entries()) {
    if (lanes[lane] === column) continue;
    // What lanes have that are yet to be settled goes by way of a register that is not needed for it.
    const unsettled = lanes.map((c, k) => (k < lane ? 0 : c));
    const needed = solved([...registers, ...unsettled], column);
    if (!needed) return undefined;
    for (let k = lane; k < lanes.length; k++) {
      if (((needed >> (registers.length + k)) & 1) === 0) continue;
      const spare = registers.findIndex((c, b) => c !== 0 && ((needed >> b) & 1) === 0 && !unsettled.includes(c));
      if (spare < 0) return undefined;
      exchange(k, 1 << spare);
    }
    const mask = solved(registers, column);
    if (mask === undefined) return undefined;
    exchange(lane, mask);
  }
  const order = columns(to, "register").map((column) => solved(registers, column));
  if (order.some((m) => m === undefined)) return undefined;
  const kept = order as number[];
  const kind = exchanges.length > 0 ? "shuffles" : kept.every((m, k) => m === 1 << k) ? "none" : "registers";
  return { kind, exchanges, from: kept };
}
/** By way of shared memory: the place, of a word, where each input puts an element, and where it takes one. */
export interface Passage {
  readonly kind: "shared";
  readonly put: Layout;
  readonly take: Layout;
  /** So many words, one, two or four, are neighbours in registers on both sides, from a multiple of it on, and go in one access. */
  readonly together: number;
}
/**
 * From any layout to any other of the same tile, all of which both hold. Places are a linear map of elements, one to one. What both have in
 * register bits lies together, where nothing else steps there as well. Lanes of a warp that are served at one time go to banks of their own both
 * ways: a space of elements that is neither's lanes' is what the banks do not tell apart, and two spaces of one size have such a complement in
 * common.
 * @param most words in one access
 */
export function passageOf(from: Layout, to: Layout, most: 1 | 2 | 4): Passage {
  for (let words = most; ; words /= 2) {
    const made = passageBy(from, to, Math.log2(words));
    const step = (input: string, c: number): boolean => c % made.together === 0 || (input === "register" && c < made.together);
    const alone = (l: Layout): boolean => [...l.columns].every(([input, list]) => list.every((c) => step(input, c)));
    if (alone(made.put) && alone(made.take)) return made;
  }
}
/** With at most so many register bits of both as the lowest of places. */
function passageBy(from: Layout, to: Layout, lowest: number): Passage {
  const registersOf = (l: Layout): number[] => (l.columns.get("register") ?? []).filter((c) => c !== 0);
  const near = registersOf(from)
    .filter((c) => registersOf(to).includes(c))
    .slice(0, lowest);
  // Of vectors a half or a quarter of a warp is served at one time.
  const lanesOf = (l: Layout): number[] => basisOf((l.columns.get("lane") ?? []).slice(0, laneBits - near.length), near);
  const [a, b] = [lanesOf(from), lanesOf(to)];
  const common = basisOf(
    spanOf(a).filter((x) => basisOf([x], [...near, ...b]).length === 0),
    near,
  );
  const [onlyA, onlyB] = [basisOf(a, [...near, ...common]), basisOf(b, [...near, ...common])];
  const rest = basisOf([...from.columns.values()].flat(), [...near, ...common, ...onlyA, ...onlyB]);
  const first = near.length + common.length;
  let row = first + Math.max(onlyA.length, onlyB.length);
  const basis = [
    ...[...near, ...common].map((v, k) => [v, 1 << k]),
    ...onlyA.map((v, k) => [v, 1 << (first + k)]),
    // Of two that share a bank bit the second has a row bit as well.
    ...onlyB.map((v, k) => [v, (1 << (first + k)) | (k < onlyA.length ? 1 << row++ : 0)]),
    ...rest.map((v) => [v, 1 << row++]),
  ] as [element: number, place: number][];
  invariant(row === from.rank && row === to.rank, `places of ${from} and ${to}`);
  const elements = basis.map(([v]) => v);
  const places = basis.map(([, place]) => place);
  const placed = (l: Layout): Layout =>
    new Layout(new Map([...l.columns].map(([input, list]) => [input, list.map((c) => combined(places, solved(elements, c)!))])), [
      { name: "place", bits: row },
    ]);
  return { kind: "shared", put: placed(from), take: placed(to), together: 1 << near.length };
}
/** Bits of the number of a lane in its warp. */
const laneBits = 5;
/** Those of a list that are no sums of others of it, or of `beside`. */
function basisOf(list: readonly number[], beside: readonly number[]): number[] {
  const kept: number[] = [];
  for (const v of list) if (solved([...beside, ...kept], v) === undefined) kept.push(v);
  return kept;
}
function spanOf(list: readonly number[]): number[] {
  let all = [0];
  for (const v of list) all = [...all, ...all.map((x) => x ^ v)];
  return all;
}

/** The register that a conversion leaves in a register of the target. */
export const sourceOf = (c: Conversion, register: number): number => combined(c.from, register);

/**
 * The layout nearest to one in which a thread has `count` neighbours along `name`, from a multiple of `count` on, in its lowest registers:
 * lanes that step between them step along the row instead where they can, so that neighbouring lanes have the next. Undefined where warps do.
 */
export function besideEachOther(layout: Layout, name: string, count: number): Layout | undefined {
  invariant(count > 0 && Number.isInteger(Math.log2(count)), `${count} neighbours`);
  const at = layout.outputs
    .slice(
      0,
      layout.outputs.findIndex((o) => o.name === name),
    )
    .reduce((sum, o) => sum + o.bits, 0);
  const low = listOf(Math.log2(count), (b) => 1 << (at + b));
  if (layout.extent(name) < count) return undefined;
  const registers = (layout.columns.get("register") ?? []).filter((c) => c !== 0);
  const lanes = [...(layout.columns.get("lane") ?? [])];
  const along = ((1 << layout.outputs.find((o) => o.name === name)!.bits) - 1) << at;
  for (const column of low) {
    if (registers.includes(column)) continue;
    const lane = lanes.indexOf(column);
    const free = registers.filter((c) => !low.includes(c)).sort((a, b) => Number((a & along) === 0) - Number((b & along) === 0) || a - b);
    if (lane < 0 || free.length === 0) return undefined;
    lanes[lane] = free[0]!;
    registers[registers.indexOf(free[0]!)] = column;
  }
  const rest = registers.filter((c) => !low.includes(c));
  const made = new Map([...layout.columns].map(([input, list]) => [input, input === "lane" ? lanes : list]));
  return new Layout(made.set("register", [...low, ...rest]), layout.outputs);
}

const combined = (columns: readonly number[], mask: number): number => columns.reduce((v, c, b) => ((mask >> b) & 1 ? v ^ c : v), 0);
/** Which columns together are a target; undefined where none are. */
function solved(columns: readonly number[], target: number): number | undefined {
  const rows: { value: number; mask: number }[] = [];
  const reduced = (value: number, mask: number): { value: number; mask: number } =>
    rows.reduce((x, r) => ((x.value ^ r.value) < x.value ? { value: x.value ^ r.value, mask: x.mask ^ r.mask } : x), { value, mask });
  columns.forEach((c, b) => {
    const row = reduced(c, 1 << b);
    if (row.value === 0) return;
    rows.push(row);
    rows.sort((a, b2) => b2.value - a.value);
  });
  const { value, mask } = reduced(target, 0);
  return value === 0 ? mask : undefined;
}
