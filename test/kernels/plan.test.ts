/** Planners of the kernel library: rows hold every prompt once, side by side, within their capacity. */
import { describe, expect, test } from "vitest";
import { offsetsOf, planRows } from "../../kernels/index.ts";
import { seeded } from "../../verify/generate.ts";

describe("planRows", () => {
  test("places every prompt once, without overlap, and fills no row past its capacity", () => {
    const random = seeded(5);
    for (let run = 0; run < 200; run++) {
      const capacity = 1 + Math.floor(random() * 60);
      const lengths = Array.from({ length: Math.floor(random() * 30) }, () => Math.floor(random() * (capacity + 1)));
      const rows = planRows(lengths, capacity);
      const placed = rows.flatMap((r) => r.prompts.map((p) => p.prompt)).sort((a, b) => a - b);
      expect(placed).toEqual(lengths.map((_, k) => k));
      for (const row of rows) {
        let at = 0;
        for (const p of row.prompts) {
          expect(p).toMatchObject({ offset: at, length: lengths[p.prompt] });
          at += p.length;
        }
        expect(row.used).toBe(at);
        expect(row.used).toBeLessThanOrEqual(capacity);
        expect([...offsetsOf(row)]).toEqual([...row.prompts.map((p) => p.offset), at]);
      }
      // First fit leaves no two rows that would fit into one.
      for (let k = 1; k < rows.length; k++) expect(rows[k - 1]!.used + rows[k]!.used).toBeGreaterThan(capacity);
    }
  });
  test("refuses lengths that are no natural numbers, or do not fit", () => {
    expect(() => planRows([3, -1])).toThrow(RangeError);
    expect(() => planRows([1.5])).toThrow(RangeError);
    expect(() => planRows([3, 9], 8)).toThrow(/9 tokens, a row holds 8/);
    expect(planRows([])).toEqual([]);
    expect(planRows([0, 0])).toHaveLength(1);
  });
});
