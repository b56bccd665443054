/** Faults of conversions between layouts, and of accesses of 16 bytes. */
import { fault, type Mutant } from "../mutant.ts";

export const layouts: readonly Mutant[] = [
  fault(
    "an exchange forgets the other registers of its combination",
    "compiler/layout/convert.ts",
    "registers[Math.log2(pivot)] = combined(registers, mask ^ pivot) ^ lanes[lane]!;",
    "registers[Math.log2(pivot)] = lanes[lane]!;",
  ),
  fault(
    "what lanes are still to be given is taken for settled",
    "compiler/layout/convert.ts",
    "exchange(k, 1 << spare);",
    "exchange(k, 1);",
  ),
  fault(
    "registers keep their numbers after an exchange",
    "compiler/layout/convert.ts",
    "=> combined(c.from, register);",
    "=> (c.from.length > 0 ? register : 0);",
  ),
  fault(
    "warps may have other elements after a conversion",
    "compiler/layout/convert.ts",
    'if (!same(columns(from, "warp"), columns(to, "warp"))) return undefined;',
    "",
  ),
  fault(
    "neighbours are not in the lowest registers",
    "compiler/layout/convert.ts",
    'made.set("register", [...low, ...rest])',
    'made.set("register", [...rest, ...low])',
  ),
  fault(
    "lanes step along rows where they could step along a row",
    "compiler/layout/convert.ts",
    "Number((a & along) === 0) - Number((b & along) === 0)",
    "Number((b & along) === 0) - Number((a & along) === 0)",
  ),
  fault(
    "a lane keeps what the other one wants",
    "compiler/thread/convert.ts",
    'next[k] = n.op("select", [odd, out, own], elem);',
    'next[k] = n.op("select", [odd, own, out], elem);',
  ),
  fault("a lane sends what it keeps", "compiler/thread/convert.ts", "[odd, own, other], elem), mask", "[odd, other, own], elem), mask"),
  fault(
    "registers that differ in one bit are exchanged where more were meant",
    "compiler/thread/convert.ts",
    "if (k & pivot) continue;",
    "if (k & registers & -registers & (pivot << 1)) continue;",
  ),
  fault(
    "the two elements of a word change places",
    "compiler/thread/convert.ts",
    "made.set(upper ? r | pair.to : r, v);",
    "made.set(upper ? r : r | pair.to, v);",
  ),
  fault(
    "a word has its elements the other way round",
    "compiler/thread/memory.ts",
    "const [low, high] = values.map((v) => this.encode(v, elem)) as [NodeId, NodeId];",
    "const [high, low] = values.map((v) => this.encode(v, elem)) as [NodeId, NodeId];",
  ),
  fault(
    "rows are taken for ones that begin at 16 bytes",
    "compiler/tile/wide.ts",
    " || !shape.divides(stored.axes.at(-1)!.extent, count)) return undefined;",
    ") return undefined;",
  ),
  fault(
    "what is updated in place goes to another lane",
    "compiler/tile/wide.ts",
    ' || stored.role === "param") return undefined;',
    ") return undefined;",
  ),
  fault(
    "what is stored only somewhere is stored everywhere",
    "compiler/tile/wide.ts",
    "|| !isTrue(s.where) || stored.layout",
    "|| stored.layout",
  ),
  fault("rows past the end are stored", "compiler/tile/wide.ts", "inside = l.both(inside, point.inside);", "inside = point.inside;"),
  fault(
    "a conversion keeps more of a value than memory will",
    "compiler/tile/interpret.ts",
    "const [value, narrow] = [this.get(o.value), narrowing(o.held)];",
    'const [value, narrow] = [this.get(o.value), narrowing("f8e5m2")];',
  ),
  fault(
    "what combines chunks takes neighbours one by one",
    "compiler/schedule/default.ts",
    " || reduces.length === 0 || combinesChunks(job)) {",
    " || reduces.length === 0) {",
  ),
  fault(
    "words that hold narrow elements are stored one by one",
    "compiler/thread/memory.ts",
    'this.storeUnits(buffer, "u32", words);',
    "this.storeUnits(buffer, elem, words);",
  ),
  fault(
    "a constant stays in the quotient that it was taken out of",
    "compiler/thread/integers.ts",
    "? offsetOf(n, a).base : add(high, 0);",
    "? a : add(high, 0);",
  ),
  fault(
    "every other piece of a row lies in the same banks",
    "compiler/tile/ir.ts",
    "fold: inRow > 8 && (r.together ?? r.width) > r.width",
    "fold: false",
  ),
  fault(
    "a step of narrow elements is as short as one of others",
    "compiler/schedule/operands.ts",
    "const step = narrow ? 2 * depth : depth;",
    "const step = depth;",
  ),
  fault(
    "the halves of two words are one word",
    "compiler/emit/emit.ts",
    'same.kind === "name" && word.name === same.name;',
    'same.kind === "name";',
  ),
];
