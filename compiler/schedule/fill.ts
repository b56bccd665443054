/**
 * Derived schedules for a product whose tiles are fewer than a chip has multiprocessors: the sum of each tile goes to several blocks, and a second
 * launch combines them (split-K). Which of them a launch takes is decided by its sizes.
 */
import type { Schedule } from "../../dsl/check/schedules.ts";
import { and, baseName, ceilDiv, compare, freeIndices, num, op, product, visit } from "../../dsl/tensor/expr.ts";
import type { Define, Expr, Program } from "../../dsl/tensor/ir.ts";
import { matrixFactors } from "../../dsl/tensor/matrix.ts";
import { visitStatement } from "../../dsl/tensor/program.ts";
import { sizeCondition } from "../plan/size.ts";

type Reduce = Extract<Expr, { kind: "reduce" }>;
/** The side of a tile that no schedule speaks of (matrix.ts). */
const side = 128;
/** Blocks at a time of the least of the chips that are asked for by name (A100: 108 multiprocessors). */
const wave = 108;
/** Points of the sum that a block has at least: fewer cost more to combine than they save. */
const leastLength = 512;
/** Blocks to a tile. */
const chunks = [8, 3] as const;

/** None for a program that is anything but one product in halves with its epilogue. */
export function fillingSchedules(kernel: string, program: Program): Schedule[] {
  const found = onlyProduct(program);
  if (found === undefined) return [];
  const { define, sum, factors } = found;
  const [axis] = sum.axes as [Reduce["axes"][number]];
  const [p, q] = [freeIndices(factors[0]), freeIndices(factors[1])];
  const last = (own: ReadonlySet<string>, other: ReadonlySet<string>): string | undefined =>
    define.axes.findLast((a) => own.has(a.name) && !other.has(a.name))?.name;
  const sides = [last(p, q), last(q, p)];
  if (sides.includes(undefined)) return [];
  const tiles = product(define.axes.map((a) => (sides.includes(a.name) ? ceilDiv(a.extent, side) : a.extent)));
  return chunks.flatMap((size): Schedule[] => {
    const fits = compare("le", op("mul", [tiles, num(size)], "int"), num(wave));
    const where = and(fits, compare("ge", axis.extent, num(size * leastLength)));
    if (sizeCondition(where) === undefined) return [];
    const directives = [{ kind: "split" as const, index: baseName(axis.name), size, span: sum.span }];
    return [{ kernel, target: "cuda", features: [], where, directives, span: sum.span }];
  });
}
function onlyProduct(
  program: Program,
): { readonly define: Define; readonly sum: Reduce; readonly factors: readonly [Expr, Expr] } | undefined {
  let reductions = 0;
  for (const s of program.statements)
    visitStatement(s, (e) => {
      if (e.kind === "reduce" || e.kind === "sweep") reductions++;
    });
  if (reductions !== 1) return undefined;
  const params = new Map(program.params.map((x) => [x.name, x.elem]));
  const defines = new Map(program.statements.flatMap((s) => (s.kind === "define" ? [[s.name, s] as const] : [])));
  for (const define of defines.values()) {
    let sum: Reduce | undefined;
    visit(define.value, (e) => {
      if (e.kind === "reduce") sum = e;
    });
    if (sum === undefined || sum.axes.length !== 1 || sum.axes[0]!.range || sum.axes[0]!.extent.kind === "const") continue;
    const made = matrixFactors(sum, (name) => ({ elem: params.get(name), value: defines.get(name)?.value }));
    if (made && made.form !== "s8") return { define, sum, factors: made.factors };
  }
  return undefined;
}
