/** How much there is to compute is told from the text, and what is too much is not drawn. */
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { expectKernel } from "../../verify/expect.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { workOf } from "../../verify/work.ts";

const kernel = (value: string, more = ""): string =>
  `kernel f[M, N, K](a: f32[M, K], b: f32[K, N]) -> (c: f32[M, N]) { ${more}c[i, j] = ${value} }\n`;
const programOf = (text: string) => check(text).instances[0]!.program;
const dims = { M: 3, N: 5, K: 7 };

describe("points and those of the sums inside them", () => {
  test.each([
    ["a product", kernel("sum(k) a[i, k] * b[k, j]"), 3 * 5 * (1 + 7)],
    ["each element for itself", kernel("a[i, 0] + b[0, j]"), 3 * 5],
    ["sums beside each other", kernel("(sum(k) a[i, k]) + (max(k) b[k, j])"), 3 * 5 * (1 + 7 + 7)],
    ["a sum in a sum", kernel("sum(k) a[i, k] * (sum(l: N) b[k, l])"), 3 * 5 * (1 + 7 * 5)],
    ["a sum in a condition", kernel("sum(k where (any(l: N, m: M) a[m, k] > b[k, l])) b[k, j]"), 3 * 5 * (1 + 7 * 5 * 3)],
    ["a definition beside them", kernel("d[i] + b[0, j]", "let d[i] = sum(k) a[i, k]; "), 3 * (1 + 7) + 3 * 5],
    // A point of a definition is 1 beside what is in it.
  ])("%s", (_, text, points) => expect(workOf(programOf(text), dims)).toBe(points));
});

const six = kernel("sum(k where (any(l: N, m: M, n: K) a[m, n] > b[k, l])) b[k, j]");
test("sizes with too many of them are not drawn", () => {
  const { artifact } = compile(check(six).instances[0]!, six, { target: "cuda" });
  const program = programOf(six);
  const largest = (admits?: (d: Readonly<Record<string, number>>) => boolean): number => {
    const random = seeded(1);
    return Math.max(
      ...Array.from({ length: 40 }, () => workOf(program, generate(artifact, random, { ...(admits ? { admits } : {}) })!.dims)),
    );
  };
  expect(largest()).toBeGreaterThan(10_000);
  expect(largest((d) => workOf(program, d) <= 10_000)).toBeLessThanOrEqual(10_000);
});
test("a program of sums of sums is fuzzed at sizes that end", async () => {
  const deep = kernel("sum(k where (any(l: N, m: M, n: K) (any(o: N, p: M) a[m, n] + a[p, k] > b[k, l] - b[n, o]))) b[k, j]");
  const reports = await expectKernel(deep).toAgree({ runs: 6, targets: ["reference"] });
  expect(reports.every((r) => r.ok && r.compared > 0)).toBe(true);
}, 60_000);
