/** Faults of products: their share of a thread, and operands in shared memory that a block computes once. */
import { fault, type Mutant } from "../mutant.ts";

export const staged: readonly Mutant[] = [
  fault(
    "threads read a slot before all have put",
    "compiler/tile/staged.ts",
    "for (const s of staged) s.put(index, zeros);\n    b.meet();",
    "for (const s of staged) s.put(index, zeros);",
  ),
  fault(
    "points past the end of a staged step count",
    "compiler/tile/staged.ts",
    'const inside = exact || zeros ? undefined : b.map("lt", [raw, extent], "bool");',
    "const inside = undefined;",
  ),
  fault(
    "zeros past the end are thought to add nothing to any sum",
    "compiler/tile/staged.ts",
    " && isProductOf(e.bodies[0]!, new Set(staged.flatMap((s) => s.operand.places)));",
    ";",
  ),
  fault("past the end factors are anything", "compiler/tile/staged.ts", "if (!zeros || l.shape", "if (zeros || l.shape"),
  fault(
    "factors are zeros from the last piece on",
    "compiler/tile/staged.ts",
    'b.map("lt", [first, extent], "bool")',
    'b.map("lt", [plus(first, l.int(1)), extent], "bool")',
  ),
  fault(
    "all staged steps share a slot",
    "compiler/tile/staged.ts",
    'l.int(s.depth)], "i32"), l.int(s.slots)]',
    'l.int(s.depth)], "i32"), l.int(1)]',
  ),
  fault(
    "neighbours stay together past an extent that does not hold them",
    "compiler/tile/staged.ts",
    "powerIn(multipleOf(axis.extent, l.shape.multiples), together) : 1",
    "width : 1",
  ),
  fault(
    "a block walks as far as its first row",
    "compiler/tile/staged.ts",
    'to = b.map("min", [to, block.to], "i32");',
    'to = block.full ? b.map("min", [to, block.full.to], "i32") : to;',
  ),
  fault(
    "operands lie along their side",
    "compiler/schedule/operands.ts",
    "sideFast: fast !== undefined && fast !== over,",
    "sideFast: true,",
  ),
  fault("bytes are staged", "compiler/schedule/operands.ts", " || reads.some((r) => isByte(r.tensor, plan))", ""),
  fault(
    "columns of a thread lie together though its operand does not",
    "compiler/schedule/shape.ts",
    "a.index === tiling.staging.columns ? tiling.staging.beside : 4",
    "4",
  ),
  fault(
    "rows of narrow results begin where they like, and are stored together",
    "compiler/schedule/products.ts",
    "% count === 0 ? count : 1",
    "% count >= 0 ? count : 1",
  ),
  fault(
    "whatever is summed is a plain product",
    "compiler/schedule/products.ts",
    "if (!isProductOf(e!.bodies[0]!, new Set(operands.flatMap((o) => o.places)))) return undefined;",
    "",
  ),
  fault("a plain product has any sides", "compiler/schedule/products.ts", "% registers[side]! !== 0", "% registers[side]! < 0"),
  fault(
    "a plain product's tile is what its sides leave",
    "compiler/schedule/products.ts",
    "volumeOf(tile) < rows * columns",
    "volumeOf(tile) < 0",
  ),
  fault(
    "the steps of software adapters are as long as those of others",
    "compiler/schedule/products.ts",
    "(8 * (bits < 8 ? 4 : bytes)) / bits",
    "(8 * (bits < 8 ? 4 : 16)) / bits",
  ),
  fault(
    "what a schedule says of the index along rows is not about their launch",
    "compiler/schedule/join-rows.ts",
    "return along.has(d.index) || (d.kind",
    "return (d.kind",
  ),
  fault(
    "rows of a slot keep their order, whatever columns a lane holds",
    "compiler/tile/stage.ts",
    "slow.beside === undefined ? {}",
    "slow !== fast ? {}",
  ),
  fault(
    "the second matrix of a fragment is 8 rows on, whatever their order",
    "compiler/thread/ring.ts",
    "rowsBeside > 1 ? slow.extent / rowsBeside : 8",
    "8",
  ),
  fault(
    "columns of a row that lies along them are taken apart",
    "compiler/tile/stage.ts",
    "if ((fast.beside ?? 1) > 1) return undefined;",
    "",
  ),
  fault(
    "columns lie beside each other where rows of results begin anywhere",
    "compiler/schedule/beside.ts",
    "multipleOf(axes.at(-1)!.extent, plan.multiples) % filling === 0",
    "multipleOf(axes.at(-1)!.extent, plan.multiples) > 0",
  ),
  fault("columns lie beside each other whichever way weights lie", "compiler/schedule/beside.ts", "along.name !== m.over ||", ""),
];
