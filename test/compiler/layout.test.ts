import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Layout } from "../../compiler/layout/layout.ts";

/** A random onto layout of up to 8 bits: a shuffled basis made dependent on itself, with a few redundant columns. */
const layouts = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 4 }), fc.infiniteStream(fc.nat(1 << 16)))
  .map(([a, b, noise]) => {
    const next = () => noise.next().value as number;
    const bits = a + b;
    const basis = Array.from({ length: bits }, (_, k) => 1 << k);
    for (let k = basis.length - 1; k > 0; k--) {
      const j = next() % (k + 1);
      [basis[k], basis[j]] = [basis[j]!, basis[k]!];
    }
    // Column operations keep the span.
    for (let k = 1; k < bits; k++) if (next() % 2) basis[k] = basis[k]! ^ basis[next() % k]!;
    const extra = Array.from({ length: next() % 3 }, () => next() % 2 ** bits);
    const columns = [...basis, ...extra];
    const cut = [next() % (columns.length + 1), next() % (columns.length + 1)].sort((x, y) => x - y) as [number, number];
    return new Layout(
      new Map([
        ["register", columns.slice(0, cut[0])],
        ["lane", columns.slice(cut[0], cut[1])],
        ["warp", columns.slice(cut[1])],
      ]),
      [
        { name: "i", bits: a },
        { name: "j", bits: b },
      ],
    );
  });
function* points(l: Layout): Generator<Record<string, number>> {
  for (let r = 0; r < 1 << l.bitsOf("register"); r++)
    for (let t = 0; t < 1 << l.bitsOf("lane"); t++) for (let w = 0; w < 1 << l.bitsOf("warp"); w++) yield { register: r, lane: t, warp: w };
}
const key = (o: Record<string, number>): string => JSON.stringify(o);

describe("layouts", () => {
  test("invert, then the layout, is the identity", () => {
    fc.assert(
      fc.property(layouts, (l) => {
        const back = l.invert();
        for (let i = 0; i < l.extent("i"); i++) for (let j = 0; j < l.extent("j"); j++) expect(l.at(back.at({ i, j }))).toEqual({ i, j });
      }),
      { numRuns: 200, seed: 1 },
    );
  });
  test("only an onto layout has an inverse", () => {
    expect(() => new Layout(new Map([["lane", [1, 1]]]), [{ name: "i", bits: 2 }]).invert()).toThrow(/onto/);
  });
  test("copies and free bits against counting", () => {
    fc.assert(
      fc.property(layouts, (l) => {
        const seen = new Map<string, number>();
        for (const p of points(l)) seen.set(key(l.at(p)), (seen.get(key(l.at(p))) ?? 0) + 1);
        expect(new Set(seen.values())).toEqual(new Set([l.copies]));
        // Holding the free lane bits at 0 loses no element.
        const free = l.free("lane");
        const kept = new Set<string>();
        for (const p of points(l)) if ((p["lane"]! & free) === 0) kept.add(key(l.at(p)));
        expect(kept.size).toBe(seen.size);
      }),
      { numRuns: 200, seed: 2 },
    );
  });
  test("project, restrict and rename point by point", () => {
    fc.assert(
      fc.property(layouts, (l) => {
        const j = l.project(["j"]);
        const named = l.rename({ i: "k" });
        const held = l.restrict(["register", "warp"]);
        for (const p of points(l)) {
          expect(j.at(p)["j"]).toBe(l.at(p)["j"]);
          expect(named.at(p)["k"]).toBe(l.at(p)["i"]);
          expect(held.at(p)).toEqual(l.at({ ...p, lane: 0 }));
        }
      }),
      { numRuns: 100, seed: 3 },
    );
  });
  test("compose applies one after the other", () => {
    fc.assert(
      fc.property(layouts, (l) => {
        // Coordinates of l as inputs: rows and columns exchanged, with j flipped by the lowest bit of i.
        const bits = { i: Math.log2(l.extent("i")), j: Math.log2(l.extent("j")) };
        const swap = new Layout(
          new Map([
            ["i", Array.from({ length: bits.i }, (_, b) => (1 << (b + bits.j)) | (b === 0 && bits.j > 0 ? 1 : 0))],
            ["j", Array.from({ length: bits.j }, (_, b) => 1 << b)],
          ]),
          [
            { name: "a", bits: bits.j },
            { name: "b", bits: bits.i },
          ],
        );
        const both = l.compose(swap);
        for (const p of points(l)) expect(both.at(p)).toEqual(swap.at(l.at(p)));
      }),
      { numRuns: 100, seed: 4 },
    );
  });
  test("blocked: four by eight threads of two by four registers", () => {
    const l = Layout.blocked([
      ["register", "j", 2],
      ["lane", "j", 3],
      ["register", "i", 1],
      ["lane", "i", 2],
    ]);
    expect(l.toString()).toBe("register j+1 j+2 i+1 | lane j+4 j+8 j+16 i+2 i+4");
    expect(l.at({ register: 5, lane: 9 })).toEqual({ j: 5, i: 3 });
    expect(l.vector("j")).toBe(4);
    expect(l.vector("i")).toBe(2);
    expect(l.copies).toBe(1);
    expect(l.product(Layout.zeros("warp", 2)).copies).toBe(4);
  });
  test("an accumulator with n doubled is exactly an A operand (m16n8k16)", () => {
    const atom = new Layout(
      new Map([
        ["register", [1, 1 << 6]],
        ["lane", [2, 4, 1 << 3, 1 << 4, 1 << 5]],
      ]),
      [
        { name: "n", bits: 3 },
        { name: "m", bits: 4 },
      ],
    );
    const doubled = atom.product(Layout.identity("register", "n", 1)).rename({ n: "k" });
    const a = new Layout(
      new Map([
        ["register", [1, 1 << 7, 1 << 3]],
        ["lane", [2, 4, 1 << 4, 1 << 5, 1 << 6]],
      ]),
      [
        { name: "k", bits: 4 },
        { name: "m", bits: 4 },
      ],
    );
    expect(doubled.equals(a)).toBe(true);
  });
});
