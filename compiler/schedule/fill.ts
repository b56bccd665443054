/**
 * Derived schedules for the sizes of a product that its general one does not suit: few rows, which are one tile, tiles that are fewer than a chip
 * has multiprocessors (the sum of each goes to several blocks, and a second launch combines them: split-K), and rows in memory that begin at
 * multiples of 16 bytes. Which of them a launch takes is decided by its sizes. Where the text lets a unit cut products of floats of 8 bits, all of
 * them, and the general one, are there once more for chips that have such a unit.
 */
import { type Directive, eightBitsFeature, type Schedule } from "../../dsl/check/schedules.ts";
import { and, baseName, ceilDiv, compare, freeIndices, num, op, product, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Define, Expr, Program } from "../../dsl/tensor/ir.ts";
import { inWord, matrixFactors } from "../../dsl/tensor/matrix.ts";
import { visitStatement } from "../../dsl/tensor/program.ts";
import { multiplesIn } from "../plan/bounds.ts";
import { sizeCondition } from "../plan/size.ts";
import { multipleOf } from "./shape.ts";

type Reduce = Extract<Expr, { kind: "reduce" }>;
/** The side of a tile that no schedule speaks of (matrix.ts). */
const side = 128;
/** Blocks at a time of the least of the chips that are asked for by name (A100: 108 multiprocessors). */
const wave = 108;
/** Points of the sum that a block has at least: fewer cost more to combine than they save. */
const leastLength = 512;
/** Blocks to a tile, where tiles are few. */
const chunks = [8, 3] as const;
/** Rows of a tile where rows are few, and the blocks that share its sum. */
const fewRows = [
  { rows: 16, chunks: 8 },
  { rows: 64, chunks: 4 },
] as const;
/** None for a program that is anything but one product of a matrix unit with its epilogue. */
export function fillingSchedules(kernel: string, program: Program): Schedule[] {
  const found = onlyProduct(program);
  if (found === undefined) return [];
  const { sum, piece, rows, columns, others } = found;
  const [axis] = sum.axes as [Axis];
  const { span } = sum;
  const aligned = alignment(program, [axis, columns], piece);
  const units = found.cut ? [[eightBitsFeature], []] : [[]];
  const made = (condition: readonly Expr[], directives: readonly Directive[]): Schedule[] => {
    const where = and(...condition, ...aligned);
    return sizeCondition(where) === undefined
      ? []
      : units.map((features) => ({ kernel, target: "cuda", features, where, directives, span }));
  };
  const index = baseName(axis.name);
  const cut = (size: number): Directive => ({ kind: "split", index, size, span });
  const tile = (name: string, size: number): Directive => ({ kind: "tile", index: name, size, span });
  const long = (size: number): Expr => compare("ge", axis.extent, num(size * leastLength));
  const thin = fewRows.flatMap((few) =>
    made(
      [compare("le", rows.extent, num(few.rows)), long(few.chunks)],
      [cut(few.chunks), tile(rows.name, few.rows), tile(columns.name, side), tile(index, 64), { kind: "warps", count: 4, span }],
    ),
  );
  const tiles = product([ceilDiv(rows.extent, side), ceilDiv(columns.extent, side), ...others.map((a) => a.extent)]);
  const few = chunks.flatMap((size) => made([compare("le", op("mul", [tiles, num(size)], "int"), num(wave)), long(size)], [cut(size)]));
  const any: Schedule[] = found.cut ? [{ kernel, target: "cuda", features: [eightBitsFeature], directives: [], span }] : [];
  return [...thin, ...few, ...(aligned.length > 0 ? made([], []) : []), ...any];
}
/** That rows in memory are whole pieces of so many elements, as far as the program does not say so itself. */
function alignment(program: Program, axes: readonly Axis[], piece: number): Expr[] {
  const known = multiplesIn(program.requires);
  return axes
    .filter((a) => a.extent.kind === "dim" && multipleOf(a.extent, known) % piece !== 0)
    .map((a) => compare("eq", op("mod", [a.extent, num(piece)], "int"), num(0)));
}
interface OnlyProduct {
  readonly sum: Reduce;
  /** As in MatrixFactors. */
  readonly cut: boolean;
  /** Elements in 16 bytes. */
  readonly piece: number;
  readonly rows: Axis;
  readonly columns: Axis;
  readonly others: readonly Axis[];
}
function onlyProduct(program: Program): OnlyProduct | undefined {
  let reductions = 0;
  for (const s of program.statements)
    visitStatement(s, (e) => {
      if (e.kind === "reduce" || e.kind === "sweep") reductions++;
    });
  if (reductions !== 1) return undefined;
  const params = new Map(program.params.map((x) => [x.name, x.elem]));
  const defines = new Map(program.statements.flatMap((s): [string, Define][] => (s.kind === "define" ? [[s.name, s]] : [])));
  for (const { axes, value } of defines.values()) {
    let sum: Reduce | undefined;
    visit(value, (e) => {
      if (e.kind === "reduce") sum = e;
    });
    if (sum === undefined || sum.axes.length !== 1 || sum.axes[0]!.range || sum.axes[0]!.extent.kind === "const") continue;
    const found = matrixFactors(sum, (name) => ({ elem: params.get(name), value: defines.get(name)?.value }));
    if (found === undefined) continue;
    const [p, q] = [freeIndices(found.factors[0]), freeIndices(found.factors[1])];
    const last = (own: ReadonlySet<string>, other: ReadonlySet<string>): Axis | undefined =>
      axes.findLast((a) => own.has(a.name) && !other.has(a.name));
    const [x, y] = [last(p, q), last(q, p)];
    if (x === undefined || y === undefined) continue;
    const [rows, columns] = axes.indexOf(x) < axes.indexOf(y) ? [x, y] : [y, x];
    return { sum, cut: found.cut, piece: 4 * inWord[found.form], rows, columns, others: axes.filter((a) => a !== rows && a !== columns) };
  }
  return undefined;
}
