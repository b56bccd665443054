/**
 * Operands that the threads of a block read again and again, each along one side of its tile: what shared memory may hold of a reduction. They
 * are computed once for the block, whatever they are made of.
 */
import { baseName, children, freeIndices, some, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { printExpr } from "../../dsl/tensor/print.ts";
import { storage } from "../../dsl/tensor/types.ts";
import type { Plan, Stored } from "../plan/jobs.ts";
import { inPiece } from "../plan/wide.ts";
import { type Order, orderOf } from "./order.ts";

/** Steps between the elements of 16 bytes in shared memory, four words. */
const inAccess = 2;

type Reduce = Extract<Expr, { kind: "reduce" }>;
type Read = Extract<Expr, { kind: "read" }>;
/** The two axes of a launch whose elements share operands, and the index that is reduced. */
export interface Sides {
  readonly rows: string;
  readonly columns: string;
  readonly over: string;
}
export interface Operand {
  /** The same expression, wherever it stands. */
  readonly places: readonly Expr[];
  readonly side: "rows" | "columns";
  /** The tensors that it reads; it is named by the first, which varies with the index that is reduced. */
  readonly tensors: readonly string[];
  /** Elements along the side lie beside each other in memory, rather than those along the index that is reduced. */
  readonly sideFast: boolean;
  /** Elements in 16 bytes of the narrowest tensor whose elements lie so, one by one; 4, the words of 16 bytes, where there is none. */
  readonly inPiece: number;
  /** How elements lie in 16 bytes of a tensor that has an order of its own, and 16 bytes in shared memory along the index that is reduced. */
  readonly order?: Order;
}
/** A reduction whose operands go through shared memory, a step of its index at a time. */
export interface Staging extends Sides {
  /** Elements of the index in a step. */
  readonly depth: number;
  /** Steps that shared memory holds at once. */
  readonly slots: number;
  /** Columns beside each other that a thread takes, at most: those whose results, or operands in shared memory, are 16 bytes. */
  readonly beside: 1 | 4 | 8;
  /** Steps of the index that a thread takes first, the nearest first: those within 16 bytes of an operand that has an order of its own. */
  readonly order: readonly number[];
  /** What its operands are named by. */
  readonly operands: readonly string[];
  /** Tensors whose operands are staged; all, where it is undefined. */
  readonly tensors?: ReadonlySet<string>;
}

/** @param e a reduction over one index, with definitions that have no memory in place of their reads */
export function operandsOf(e: Reduce, { rows, columns, over }: Sides, plan: Pick<Plan, "stored">): Operand[] {
  const found = new Map<string, Operand>();
  const orderIn = (r: Read, side: string): Order | undefined => {
    const { layout, elem } = plan.stored.get(r.tensor)!;
    const order = layout && orderOf(r, layout, elem, side, over);
    return order && order.over.length >= inAccess ? order : undefined;
  };
  const walk = (x: Expr): void => {
    if (x.kind === "reduce" || x.kind === "sweep") return;
    const names = freeIndices(x);
    const [ofRows, ofColumns] = [names.has(rows), names.has(columns)];
    if (ofRows && ofColumns) return children(x).forEach(walk);
    if (!names.has(over) || (!ofRows && !ofColumns) || !isOperand(x)) return;
    const side = ofRows ? "rows" : "columns";
    const reads = readsIn(x).filter((r) => plan.stored.has(r.tensor));
    if (reads.length === 0 || reads.some((r) => isByte(r.tensor, plan))) return;
    const fast = reads.map(lastIndex).find((i) => i === over || i === (ofRows ? rows : columns));
    const key = printExpr(x);
    const order = reads.map((r) => orderIn(r, ofRows ? rows : columns)).find((o) => o !== undefined);
    found.set(key, {
      places: [...(found.get(key)?.places ?? []), x],
      side,
      tensors: [...new Set([...reads.filter((r) => variesWith(r, over)), ...reads].map((r) => r.tensor))],
      sideFast: fast !== undefined && fast !== over,
      inPiece: Math.max(4, ...reads.map((r) => (lastIndex(r) === fast ? inPieceOf(plan.stored.get(r.tensor)!) : 1))),
      ...(order === undefined ? {} : { order }),
    });
  };
  e.bodies.forEach(walk);
  return [...found.values()];
}
/** A product of nothing but such factors. */
export const isProductOf = (e: Expr, factors: ReadonlySet<Expr>): boolean =>
  factors.has(e) || (e.kind === "op" && e.op === "mul" && e.args.every((x) => isProductOf(x, factors)));
/** A number that is computed from what lies in memory and from indices alone. */
const isOperand = (x: Expr): boolean =>
  (x.type === "f32" || x.type === "i32" || x.type === "u32") &&
  !some(x, (y) => y.kind === "reduce" || y.kind === "sweep" || y.kind === "segment" || y.kind === "var" || y.kind === "let");
/** Bytes are multiplied four at a time where they lie (packed-sum.ts). */
const isByte = (tensor: string, plan: Pick<Plan, "stored">): boolean => {
  const { bits, class: kind } = storage[plan.stored.get(tensor)!.elem];
  return kind === "integer" && bits === 8;
};
/** Elements in 16 bytes, where they lie one after another. */
const inPieceOf = ({ elem, layout }: Stored): number => (layout === undefined ? (inPiece(elem) ?? 1) : 1);
function readsIn(x: Expr): Read[] {
  const out: Read[] = [];
  visit(x, (y) => {
    if (y.kind === "read") out.push(y);
  });
  return out;
}
const variesWith = (r: Read, index: string): boolean => r.subscripts.some((s) => freeIndices(s).has(index));
const lastIndex = (r: Read): string | undefined => {
  const last = r.subscripts.at(-1);
  return last?.kind === "index" ? last.name : undefined;
};
const staged: ReadonlySet<string> = new Set(["sum", "prod", "max", "min"]);
/** Whether the operands of a reduction may be staged, by its form. */
export const mayStage = (e: Reduce): boolean => e.axes.length === 1 && e.monoid === undefined && staged.has(e.op);

/**
 * How the operands of the first reduction that has some on both sides are staged.
 * @param depth elements of the index in a step, of 32 bits
 * @param inRow columns whose results are 16 bytes wherever they are stored; 1 where rows may begin anywhere
 */
export function stagingOf(
  reduces: readonly Reduce[],
  sides: readonly [Axis, Axis],
  depth: number,
  inRow: 1 | 4 | 8,
  plan: Pick<Plan, "stored">,
): Staging | undefined {
  const [rows, columns] = [sides[0].name, sides[1].name];
  for (const e of reduces.filter(mayStage)) {
    const over = e.axes[0]!.name;
    const operands = operandsOf(e, { rows, columns, over }, plan);
    if (!operands.some((o) => o.side === "rows") || !operands.some((o) => o.side === "columns")) continue;
    const apart = operands.some((o) => o.side === "columns" && (!o.sideFast || o.order !== undefined));
    // A step of narrow elements is as many bytes of memory as one of others: a thread reads 16 bytes of it. More operands would not have room.
    const narrow = operands.length === 2 && operands.every((o) => storage[plan.stored.get(o.tensors[0]!)!.elem].bits <= 16);
    const step = narrow ? 2 * depth : depth;
    return {
      rows,
      columns,
      over: baseName(over),
      depth: step,
      slots: 2,
      // What a thread reads of columns that lie apart is 16 bytes along the index in any case.
      beside: apart || inRow > 4 ? inRow : 4,
      order: operands.find((o) => o.order !== undefined)?.order?.over ?? [],
      operands: [...new Set(operands.map((o) => o.tensors[0]!))],
    };
  }
  return undefined;
}
