/** A product of tiles as matrix instructions of a warp: which registers of a thread are which elements of a fragment. */
import { InternalError } from "../../dsl/diagnostics.ts";
import { isEightBits, type MatrixForm } from "../../dsl/tensor/matrix.ts";
import type { TileLayout } from "../layout/tile-layout.ts";
import { listOf } from "../lists.ts";
import { eighthOf, type Op, type Value } from "../tile/ir.ts";
import type { MmaForm } from "./ir.ts";
import type { NodeId, Nodes } from "./nodes.ts";
import { unitWords, wordOf } from "./pairs.ts";
import { rescaled } from "./rescale.ts";
import { fragment, type HeldSlot, takesFragments } from "./ring.ts";

interface Registers {
  readonly layout: TileLayout;
  readonly instances: (axes: readonly string[]) => readonly number[];
  readonly get: (v: Value, register: number) => NodeId;
  /** The slot in shared memory that a value is, if it is one. */
  readonly slot: (v: Value) => HeldSlot | undefined;
}
/** What the instruction multiplies. */
const unitOf = ({ form, cut }: { readonly form: MatrixForm | "exact"; readonly cut: boolean }): MmaForm =>
  isEightBits(form) && !cut ? "f16" : form;
/** The register bit that steps by `by` along an axis. */
function bitOf(layout: TileLayout, axis: string, by: number): number {
  const columns = layout.over([axis]).columns.get("register") ?? [];
  const b = columns.indexOf(by);
  if (b < 0) throw new InternalError(`no register of ${axis} steps by ${by}`);
  return 1 << b;
}

/** The registers of the result. */
export function lowerDot(n: Nodes, op: Extract<Op, { kind: "dot" }>, axes: readonly string[], from: Registers): Map<number, NodeId> {
  const { rows, columns, over, other, beside } = op.axes;
  const { layout, get } = from;
  const nextColumn = bitOf(layout, columns, beside);
  const lowerRow = bitOf(layout, rows, 8);
  const { inWord } = op.axes;
  const inOne = listOf(Math.log2(inWord), (b) => bitOf(layout, over, 1 << b));
  const upperK = bitOf(layout, over, 4 * inWord);
  const withinWord = inOne.reduce((m, b) => m | b, 0);
  const inPairs = layout.over([columns]).columns.get("register") ?? [];
  /** Register bits that move along the columns, and those that move the second factor as far. */
  const alike = inPairs.flatMap((by, bit) =>
    by > 0 && 1 << bit !== nextColumn ? [{ here: 1 << bit, there: bitOf(layout, other, by) }] : [],
  );
  /** The same columns where the second factor holds them. */
  const elsewhere = (register: number): number => alike.reduce((out, { here, there }) => (register & here ? out | there : out), 0);
  const steps = from.instances([over]).filter((k) => (k & (withinWord | upperK)) === 0);
  /** What one instruction after another takes of an operand. */
  type Operands = readonly (readonly NodeId[])[];
  const whole = (words: readonly NodeId[]): Operands => (op.form === "exact" || op.cut ? [words] : unitWords(n, words, op.form));
  /** `count` words of elements, the highest bits of whose numbers move by these. */
  const pack = (element: (place: number) => NodeId, count: number, moves: readonly number[]): Operands => {
    const bits = [...inOne, ...moves];
    const list = listOf(count * inWord, (e) => element(bits.reduce((place, by, b) => ((e >> b) & 1 ? place | by : place), 0)));
    const { form } = op;
    // Whole integers, two of each word to an instruction.
    if (form === "exact") return listOf(inWord / 2, (k) => list.filter((_, e) => (e % inWord) >> 1 === k));
    return whole(listOf(count, (w) => wordOf(n, list.slice(w * inWord, (w + 1) * inWord), form)));
  };
  // Fragments are read once for all results that need them.
  const known = new Map<string, Operands>();
  const once = (key: string, make: () => Operands): Operands => {
    const old = known.get(key) ?? make();
    known.set(key, old);
    return old;
  };
  const fragments = (v: Value): HeldSlot | undefined => {
    const slot = from.slot(v);
    return slot && takesFragments(op, slot.ring) ? slot : undefined;
  };
  const [slotA, slotB] = [fragments(op.a), fragments(op.b)];
  const ofRows = registersOf(layout, rows);
  const leftAt = (r: number, k: number): Operands =>
    once(`a ${r & ofRows} ${k}`, () =>
      slotA
        ? whole(fragment(n, slotA, layout, (r & ofRows) | k, over, { eighth: rows, sixteenth: over }, 4))
        : pack((e) => get(op.a, r | k | e), 4, [lowerRow, upperK]),
    );
  const eighth = eighthOf(beside);
  const pair = inPairs.includes(eighth) ? bitOf(layout, other, eighth) : 0;
  const rightAt = (r: number, k: number): Operands => {
    const at = elsewhere(r);
    if (!slotB) return once(`b ${at} ${k}`, () => pack((e) => get(op.b, at | k | e), 2, [upperK]));
    const words = once(`b ${at & ~pair} ${k}`, () =>
      whole(fragment(n, slotB, layout, (at & ~pair) | k, over, { eighth: over, sixteenth: other }, pair ? 4 : 2)),
    );
    return words.map((list) => (at & pair ? list.slice(2) : list.slice(0, 2)));
  };
  // Step by step for all results: products beside each other wait for nothing, and few fragments are held at a time.
  const held = from.instances(axes);
  const before = new Map(
    rescaled(
      n,
      held.map((p) => get(op.acc, p)),
    ).map((acc, k) => [held[k]!, acc]),
  );
  const results = held
    .filter((r) => (r & (nextColumn | lowerRow)) === 0)
    .map((r) => {
      const places = [r, r | nextColumn, r | lowerRow, r | lowerRow | nextColumn];
      return { r, places, acc: places.map((p) => before.get(p)!) };
    });
  // Neighbours share the fragment of a row or of a column, whichever leaves the fewer words of the others to be held: 4 to a row, 2 to a column.
  const grouped = (kept: number): (typeof results)[] =>
    [...new Set(results.map(({ r }) => r & kept))].map((place) => results.filter(({ r }) => (r & kept) === place));
  const [byRow, byColumn] = [grouped(ofRows), grouped(~ofRows)];
  // Back and forth: at the turn, the other fragment stays.
  const turns = (2 * byColumn.length <= 4 * byRow.length ? byRow : byColumn).flatMap((own, k) => (k % 2 === 0 ? own : own.reverse()));
  for (const k of steps)
    for (const one of turns) {
      const b = rightAt(one.r, k);
      leftAt(one.r, k).forEach((a, part) => {
        const outs = one.acc.map((c) => n.variable("dot", n.at(c).elem));
        const c = op.cut ? one.acc.map((before) => n.constant(0, n.at(before).elem)) : one.acc;
        n.effect({ kind: "mma", form: unitOf(op), outs, a, b: b[part]!, c });
        one.acc = op.cut ? outs.map((sum, k) => n.sumHere(one.acc[k]!, sum)) : outs;
      });
    }
  return new Map(results.flatMap(({ places, acc }) => places.map((p, e) => [p, acc[e]!] as const)));
}
/** The register bits that move along an axis. */
const registersOf = (layout: TileLayout, axis: string): number =>
  (layout.over([axis]).columns.get("register") ?? []).reduce((m, c, b) => (c === 0 ? m : m | (1 << b)), 0);
