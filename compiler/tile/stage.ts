/**
 * Operands of a matrix product through shared memory: a ring of slots that threads fill 16 bytes at a time, ahead of the step that reads them.
 * It takes an operand that lies in memory as it is multiplied, in rows whose pieces are aligned for every size that the program admits.
 */
import { baseName, compare, freeIndices, num, op } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { storage } from "../../dsl/tensor/types.ts";
import { Layout } from "../layout/layout.ts";
import { multipleOf } from "../schedule/shape.ts";
import type { Dot } from "./dot.ts";
import { type Env, elemOf, type Lowering } from "./expression.ts";
import type { Ring, Value } from "./ir.ts";

export interface Stage {
  /** Starts to fill the slot of the step that begins at this value of the index. */
  readonly issue: (start: Value) => void;
  /** The tile of that step. */
  readonly read: (start: Value) => Value;
}
const log2 = (n: number): number => Math.round(Math.log2(n));

/** @param axis the innermost axis of the sum; `slots` how many steps are held at once */
export function stageOf(l: Lowering, { p, axes: matrix }: Dot, k: 0 | 1, axis: Axis, env: Env, slots: number): Stage | undefined {
  const b = l.builder;
  const own = k === 0 ? p.rows : p.columns;
  const read = bare(p.factors[k]);
  const rowAxis = env.axes.find((a) => a.name === own)!;
  // Points that do not count would have to be taken out again.
  if (read === undefined || l.written.has(read.tensor) || p.where[k].length > 0) return undefined;
  const t = l.plan.stored.get(read.tensor);
  if (t === undefined || t.layout !== undefined || (storage[t.elem].bits !== 16 && t.elem !== "i32")) return undefined;
  const last = read.subscripts.at(-1)!;
  const rest = read.subscripts.slice(0, -1);
  if (last.kind !== "index" || (last.name !== own && last.name !== axis.name)) return undefined;
  const fast = last.name === own ? rowAxis : axis;
  const slow = fast === axis ? rowAxis : axis;
  if (rest.some((s) => freeIndices(s).has(fast.name)) || !rest.some((s) => freeIndices(s).has(slow.name))) return undefined;
  const width = 128 / storage[t.elem].bits;
  const aligned = (extent: Expr): boolean =>
    multipleOf(extent) % width === 0 || l.proves(compare("eq", op("mod", [extent, num(width)], "int"), num(0)));
  if (!aligned(t.axes.at(-1)!.extent) || !aligned(fast.extent) || !l.readsInRange(read, [...env.axes, axis])) return undefined;

  const extentOf = (a: Axis): number => (a === axis ? l.shape.unroll(baseName(axis.name))!.extent : l.shape.tile(own));
  const nameOf = (a: Axis): string => (a === axis ? matrix.over : k === 0 ? matrix.rows : matrix.other);
  const name = `${read.tensor}_tile`;
  const ring: Ring = {
    name: l.shape.rings.some((r) => r.name === name) ? `${name}_${l.shape.rings.length}` : name,
    tensor: read.tensor,
    elem: t.elem,
    slots,
    slow: { name: nameOf(slow), extent: extentOf(slow) },
    fast: { name: nameOf(fast), extent: extentOf(fast) },
    copy: {
      slow: { name: `${name}.row${l.shape.rings.length}`, extent: extentOf(slow) },
      piece: { name: `${name}.piece${l.shape.rings.length}`, extent: extentOf(fast) / width },
    },
    width,
  };
  if (ring.fast.extent < width) return undefined;
  l.shape.addRing(ring, copyLayout(ring, l.shape.threads));
  for (const a of [ring.copy.slow, ring.copy.piece]) b.addAxis(a.name);

  const slotOf = (start: Value): Value =>
    b.map("truncmod", [b.map("truncdiv", [start, l.int(extentOf(axis))], "i32"), l.int(slots)], "i32");
  return {
    issue: (start) => {
      const copied = (a: Axis): { at: Value; inside: Value | undefined } => {
        const along =
          a === slow ? b.coordinate(ring.copy.slow.name) : b.map("mul", [b.coordinate(ring.copy.piece.name), l.int(width)], "i32");
        const tile = extentOf(a);
        const first = a === axis ? start : b.map("mul", [b.block(own), l.int(tile)], "i32");
        const at = b.map("add", [first, along], "i32");
        // A step may begin past the end: it is issued all the same, so that groups stay in step.
        const whole = a !== axis && l.shape.divides(a.extent, tile);
        return { at, inside: whole ? undefined : b.map("lt", [at, l.value(a.extent, env)], "bool") };
      };
      const [row, piece] = [copied(slow), copied(fast)];
      const values = new Map(env.values).set(slow.name, row.at).set(fast.name, piece.at);
      b.issue(
        ring.name,
        slotOf(start),
        read.tensor,
        l.address(read.tensor, read.subscripts, { ...env, values }),
        l.both(row.inside, piece.inside),
      );
    },
    read: (start) => b.slot(ring, slotOf(start), elemOf(storage[t.elem].compute)),
  };
}
/** A read and nothing else: what may be held in a narrow type is already. */
function bare(e: Expr): Extract<Expr, { kind: "read" }> | undefined {
  return e.kind === "read" ? e : e.kind === "relax" && e.arg.kind === "read" ? e.arg : undefined;
}
/** Threads go along a row, then to the rows below; what is left each takes in turn. */
function copyLayout(r: Ring, threads: number): Layout {
  const { slow, piece } = r.copy;
  const bits = log2(slow.extent * piece.extent);
  const columns = Array.from({ length: bits }, (_, b) => 1 << b);
  const inThreads = Math.min(bits, log2(threads));
  const idle = new Array<number>(log2(threads) - inThreads).fill(0);
  const own = [...columns.slice(0, inThreads), ...idle];
  return new Layout(
    new Map([
      ["register", columns.slice(inThreads)],
      ["lane", own.slice(0, 5)],
      ["warp", own.slice(5)],
    ]),
    [
      { name: piece.name, bits: log2(piece.extent) },
      { name: slow.name, bits: log2(slow.extent) },
    ],
  );
}
