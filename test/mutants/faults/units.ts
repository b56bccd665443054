// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are pieces of source text
/** Faults of matrix units: what they cut, and where floats of 8 bits go to them as they are. */
import { fault, type Mutant } from "../mutant.ts";

export const units: readonly Mutant[] = [
  fault(
    "products that may be rounded to f16 may be cut",
    "dsl/tensor/matrix.ts",
    "Number.POSITIVE_INFINITY) <= 7;",
    "Number.POSITIVE_INFINITY) <= 10;",
  ),
  fault(
    "products of floats of 8 bits may always be cut",
    "dsl/tensor/matrix.ts",
    'cut: body.kind === "relax" && isEightBits(form) && mayCut(body.to)',
    "cut: isEightBits(form)",
  ),
  fault("chips without a unit of 8 bits have one", "compiler/tile/dot.ts", "const cut = p.cut && l.eightBits;", "const { cut } = p;"),
  fault(
    "sums of a unit of 8 bits replace those before",
    "compiler/thread/dot.ts",
    "outs.map((sum, k) => n.sumHere(one.acc[k]!, sum))",
    "outs.map((sum) => sum)",
  ),
  fault(
    "bytes of a word twice",
    "compiler/thread/fragments.ts",
    "all[(held[from + (e >> 2)]! >>> (8 * (e & 3))) & 0xff]!",
    "all[(held[from + (e >> 2)]! >>> (8 * (e & 2))) & 0xff]!",
  ),
  fault("sums modulo 2^32 of a unit of 8 bits as signed ones", "compiler/thread/nodes.ts", 'elem === "i32" ? { wraps: true } : {}', "{}"),
  fault(
    "sums of a unit of 8 bits may go on",
    "compiler/thread/verify.ts",
    "if (isEightBits(s.form) && !s.c.every(isZero))",
    "if (isEightBits(s.form) && !s.c.some(isZero))",
  ),
  fault("the instruction for e5m2 is that for e4m3", "compiler/emit/intrinsics.ts", '"f32.e5m2.e5m2.f32"', '"f32.e4m3.e4m3.f32"'),
  fault(
    "chunks forget what a schedule says of sizes",
    "compiler/compile.ts",
    "split(streamed, directives, assumed)",
    "split(streamed, directives)",
  ),
  fault("a chip with a unit of 8 bits has no other code", "compiler/schedule/fill.ts", "[[eightBitsFeature], []]", "[[eightBitsFeature]]"),
  fault("sm_90 has a unit of 8 bits", "runtime/cuda/device.ts", "/^sm_(?:89|12\\d)$/", "/^sm_(?:89|90|12\\d)$/"),
  fault("a unit of 8 bits cuts one bit later", "verify/bounds/matrix.ts", "products: 32, cut: 2 ** -13", "products: 32, cut: 2 ** -14"),
  fault("a subnormal counts for its size, in a plan", "verify/bounds/matrix.ts", "size === 0 ? 0 : Math.max(size, least)", "size"),
  fault(
    "sums of a unit of 8 bits are exact where those of halves are",
    "verify/bounds/matrix.ts",
    "2 ** (Math.ceil(Math.log2(most)) - 13)",
    "2 ** -10",
  ),
  fault(
    "a subnormal counts for its size, in what is promised",
    "dsl/interpret/product.ts",
    "v === 0 && error === 0 ? 0 : Math.max(Math.abs(v) + error, least)",
    "Math.abs(v) + error",
  ),
  fault("only what cuts more counts subnormals", "dsl/interpret/reduce.ts", "onUnit ? counted.size : Math.abs(x)", "Math.abs(x)"),
  fault("a unit that cuts more does not count subnormals", "dsl/interpret/product.ts", "2 ** -8 * (counted.size - plain)", "0"),
];
