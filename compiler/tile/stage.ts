/**
 * Operands of a matrix product through shared memory: a ring of slots that threads fill 16 bytes at a time, ahead of the step that reads them.
 * It takes an operand that lies in memory as it is multiplied, in rows whose pieces are aligned for every size that the program admits.
 */
import { compare, freeIndices, num, op } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { storage } from "../../dsl/tensor/types.ts";
import { Layout } from "../layout/layout.ts";
import { listOf } from "../lists.ts";
import { tensorOf } from "../schedule/matrix.ts";
import type { Order } from "../schedule/order.ts";
import { multipleOf } from "../schedule/shape.ts";
import { type Env, elemOf, type Lowering } from "./expression.ts";
import type { MatrixAxes, Ring, Value } from "./ir.ts";

export interface Stage {
  /** Starts to fill the slot of a turn with the tile that begins at this value of the index: that of the turn, unless another is given. */
  readonly issue: (turn: Value, start?: Value) => void;
  /** The tile of that turn. */
  readonly read: (turn: Value) => Value;
}
/** One of the two indices of an operand's tile. */
export interface StagedIndex {
  readonly axis: Axis;
  /** The axis of the tile as fragments have it, and its extent. */
  readonly tileAxis: string;
  readonly extent: number;
  /** Where the tile begins; undefined for the index whose steps the ring follows. */
  readonly first: Value | undefined;
  /** Where those steps end, where that is before the axis does. */
  readonly until?: Value;
  /** As in MatrixAxes. */
  readonly beside?: number;
}
const log2 = (n: number): number => Math.round(Math.log2(n));

/** @param slots how many steps are held at once; 1 where nothing moves */
export function stageOf(
  l: Lowering,
  factor: Expr,
  indices: readonly [StagedIndex, StagedIndex],
  env: Env,
  slots: number,
): Stage | undefined {
  const b = l.builder;
  const read = tensorOf(factor, l.plan);
  if (read === undefined || l.written.has(read.tensor)) return undefined;
  const t = l.plan.stored.get(read.tensor)!;
  const last = read.subscripts.at(-1)!;
  const rest = read.subscripts.slice(0, -1);
  const fast = indices.find((x) => last.kind === "index" && x.axis.name === last.name);
  const slow = indices.find((x) => x !== fast)!;
  if (fast === undefined || rest.some((s) => freeIndices(s).has(fast.axis.name))) return undefined;
  if (!rest.some((s) => freeIndices(s).has(slow.axis.name))) return undefined;
  // Fragments have elements beside each other of a row as they lie there.
  if ((fast.beside ?? 1) > 1) return undefined;
  const width = 128 / storage[t.elem].bits;
  const aligned = (extent: Expr): boolean =>
    multipleOf(extent, l.plan.multiples) % width === 0 || l.proves(compare("eq", op("mod", [extent, num(width)], "int"), num(0)));
  if (!aligned(t.axes.at(-1)!.extent) || !aligned(fast.axis.extent) || fast.extent < width) return undefined;
  // A piece is inside as a whole, or not at all.
  const { range } = fast.axis;
  if (range && ![range.from, range.to].every(aligned)) return undefined;
  const known = [...env.axes.filter((a) => indices.every((x) => x.axis.name !== a.name)), ...indices.map((x) => x.axis)];
  const bytes = (slots * slow.extent * fast.extent * storage[t.elem].bits) / 8;
  if (!l.readsInRange(read, known) || l.shape.ringBytes + bytes > l.sharedBytes) return undefined;

  const k = l.shape.rings.length;
  const ring: Ring = {
    name: `${read.tensor}_tile${l.shape.rings.some((r) => r.tensor === read.tensor) ? k : ""}`,
    tensor: read.tensor,
    elem: t.elem,
    slots,
    slow: { name: slow.tileAxis, extent: slow.extent },
    fast: { name: fast.tileAxis, extent: fast.extent },
    copy: {
      slow: { name: `${read.tensor}.row${k}`, extent: slow.extent },
      piece: { name: `${read.tensor}.piece${k}`, extent: fast.extent / width },
    },
    width,
    values: false,
    ...(slow.beside === undefined ? {} : { rowsBeside: slow.beside }),
  };
  l.shape.addRing(ring, copyLayout(ring, l.shape.threads));
  for (const a of [ring.copy.slow, ring.copy.piece]) b.addAxis(a.name);

  const moving = indices.find((x) => x.first === undefined);
  const slotOf = (turn: Value): Value =>
    moving === undefined ? l.int(0) : b.map("truncmod", [b.map("truncdiv", [turn, l.int(moving.extent)], "i32"), l.int(slots)], "i32");
  return {
    issue: (turn, start = turn) => {
      const copied = (x: StagedIndex): { at: Value; inside: Value | undefined } => {
        const along =
          x === slow ? b.coordinate(ring.copy.slow.name) : b.map("mul", [b.coordinate(ring.copy.piece.name), l.int(width)], "i32");
        const at = b.map("add", [x.first ?? start, along], "i32");
        // A step may begin past the end: it is issued all the same, so that groups stay in step.
        const whole = x.first !== undefined && l.shape.divides(x.axis.extent, x.extent);
        return { at, inside: whole ? undefined : b.map("lt", [at, x.until ?? l.value(x.axis.extent, env)], "bool") };
      };
      const [row, piece] = [copied(slow), copied(fast)];
      const values = new Map(env.values).set(slow.axis.name, row.at).set(fast.axis.name, piece.at);
      const at = l.address(read.tensor, read.subscripts, { ...env, values });
      b.issue(ring.name, slotOf(turn), read.tensor, at, l.both(row.inside, piece.inside));
    },
    read: (turn) => b.slot(ring, slotOf(turn), elemOf(storage[t.elem].compute)),
  };
}
/** What names an operand of a product: its axes, whether it is the first factor, and its tensor. */
export const stageKey = (axes: MatrixAxes, factor: 0 | 1, e: Expr): string => `${axes.over} ${axes.other} ${factor} ${readOf(e)}`;
const readOf = (e: Expr): string => (e.kind === "relax" ? readOf(e.arg) : e.kind === "read" ? e.tensor : "");
/**
 * Threads go along a row, each with `side` neighbours or with elements in an order of their own, then to the rows that lie below; what is left
 * each takes in turn.
 */
export function copyLayout(r: Ring, threads: number, side = 1, order?: Order): Layout {
  const { slow, piece } = r.copy;
  const bits = log2(slow.extent * piece.extent);
  const [inRow, beside] = [log2(piece.extent), log2(r.rowsBeside ?? 1)];
  const bit = listOf(bits, (b) => 1 << b);
  const rows = [...bit.slice(0, inRow), ...bit.slice(inRow + beside), ...bit.slice(inRow, inRow + beside)];
  const near = order ? [...order.over, ...order.side.map((step) => step << inRow)] : rows.slice(0, log2(side));
  const columns = [...near, ...rows.filter((c) => !near.includes(c))];
  const low = near.length;
  const inThreads = Math.min(bits - low, log2(threads));
  const idle = new Array<number>(log2(threads) - inThreads).fill(0);
  const own = [...columns.slice(low, low + inThreads), ...idle];
  return new Layout(
    new Map([
      ["register", [...columns.slice(0, low), ...columns.slice(low + inThreads)]],
      ["lane", own.slice(0, 5)],
      ["warp", own.slice(5)],
    ]),
    [
      { name: piece.name, bits: log2(piece.extent) },
      { name: slow.name, bits: log2(slow.extent) },
    ],
  );
}
