/** The prover and the search for counterexamples share no code: what one proves, the other must not refute. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findExample } from "../../dsl/check/example.ts";
import type { Facts } from "../../dsl/check/facts.ts";
import { Prover } from "../../dsl/check/prove.ts";
import { compare, indexVar, num, op } from "../../dsl/tensor/expr.ts";
import type { Expr } from "../../dsl/tensor/ir.ts";

const dim = (name: string): Expr => ({ kind: "dim", name, type: "int", span: { start: 0, end: 0 } });
const read = (tensor: string, at: Expr): Expr => ({ kind: "read", tensor, subscripts: [at], type: "int", span: { start: 0, end: 0 } });
const [M, N, G, R] = ["M", "N", "G", "R"].map(dim) as [Expr, Expr, Expr, Expr];
const add = (a: Expr, b: Expr): Expr => op("add", [a, b], "int");
const sub = (a: Expr, b: Expr): Expr => op("sub", [a, b], "int");
const mul = (a: Expr, b: Expr): Expr => op("mul", [a, b], "int");
const div = (a: Expr, b: Expr): Expr => op("div", [a, b], "int");
const i = indexVar("i");
const s: Expr = { kind: "scalar", name: "s", type: "int", span: { start: 0, end: 0 } };
const facts = (axes: Facts["axes"], conditions: readonly Expr[] = []): Facts => ({
  dims: ["M", "N", "G", "R"].map((name) => ({ name })),
  tables: new Map([
    ["start", { elem: { name: "offsets", bound: N }, extents: [add(R, num(1))] }],
    ["ix", { elem: { name: "index", bound: N }, extents: [M] }],
    ["i8", { elem: { name: "i8" }, extents: [M] }],
    ["u8", { elem: { name: "u8" }, extents: [M] }],
  ]),
  axes,
  conditions,
});
const seg = (t: Expr): Expr => ({ kind: "segment", table: "start", arg: t, type: "int", span: { start: 0, end: 0 } });

describe("goals", () => {
  const over = (extent: Expr) => [{ name: "i", extent }];
  const cases: [string, boolean, Facts, Expr][] = [
    ["i / G < M where i < M * G", true, facts(over(mul(M, G))), compare("lt", div(i, G), M)],
    ["i / G <= M - 2 is not proven", false, facts(over(mul(M, G))), compare("le", div(i, G), sub(M, num(2)))],
    ["i + (N - M) >= 0 where M <= N", true, facts(over(M), [compare("le", M, N)]), compare("ge", add(i, sub(N, M)), num(0))],
    ["i + (N - M) >= 1 is not proven", false, facts(over(M), [compare("le", M, N)]), compare("ge", add(i, sub(N, M)), num(1))],
    [
      "8 (i / 8) + 7 < 8 M where i < 8 M",
      true,
      facts(over(mul(num(8), M))),
      compare("lt", add(mul(num(8), div(i, num(8))), num(7)), mul(num(8), M)),
    ],
    ["i / G + M * N >= 0, as natural numbers are", true, facts(over(M)), compare("ge", add(div(i, G), mul(M, N)), num(0))],
    ["i / G + M * N > 0 is not proven", false, facts(over(M)), compare("gt", add(div(i, G), mul(M, N)), num(0))],
    ["M * (start[i] + ix[i]) >= -1", true, facts(over(M)), compare("ge", mul(M, add(read("start", i), read("ix", i))), num(-1))],
    ["M - N >= 0 is not proven: one is taken from the other", false, facts([]), compare("ge", sub(M, N), num(0))],
    ["i8[i] >= 0 is not proven of what may be negative", false, facts(over(M)), compare("ge", read("i8", i), num(0))],
    ["u8[i] / 2 >= 0", true, facts(over(M)), compare("ge", div(read("u8", i), num(2)), num(0))],
    ["s / 2 >= 0 is not proven of a scalar", false, facts(over(M)), compare("ge", div(s, num(2)), num(0))],
    ["ix[i] < N", true, facts(over(M)), compare("lt", read("ix", i), N)],
    ["ix[i] < N - 1 is not proven", false, facts(over(M)), compare("lt", read("ix", i), sub(N, num(1)))],
    ["start[i] <= start[i + 1]", true, facts(over(R)), compare("le", read("start", i), read("start", add(i, num(1))))],
    [
      "start[i] < start[i + 1] is not proven: segments may be empty",
      false,
      facts(over(R)),
      compare("lt", read("start", i), read("start", add(i, num(1)))),
    ],
    ["start[R] == N", true, facts([]), compare("eq", read("start", R), N)],
    ["segment(start, i) < R", true, facts(over(N)), compare("lt", seg(i), R)],
    ["segment(start, i) < R - 1 is not proven", false, facts(over(N)), compare("lt", seg(i), sub(R, num(1)))],
    ["start[segment(start, i)] <= i", true, facts(over(N)), compare("le", read("start", seg(i)), i)],
    ["min(i, i + 1) == i", true, facts(over(N)), compare("eq", op("min", [i, add(i, num(1))], "int"), i)],
    ["max(i, i + 1) == i is false", false, facts(over(N)), compare("eq", op("max", [i, add(i, num(1))], "int"), i)],
    ["7 / 4 == 1", true, facts([]), compare("eq", div(num(7), num(4)), num(1))],
    ["(2 * i + 1) / 4 <= i / 2", true, facts(over(N)), compare("le", div(add(mul(num(2), i), num(1)), num(4)), div(i, num(2)))],
    ["i % 3 < 3", true, facts(over(N)), compare("lt", op("mod", [i, num(3)], "int"), num(3))],
    ["i % 3 < 2 is not proven", false, facts(over(N)), compare("lt", op("mod", [i, num(3)], "int"), num(2))],
    [
      "(2 i + 3) / -4 == (i - 1) / -2 - 1 is false",
      false,
      facts(over(N)),
      compare("eq", div(add(mul(num(2), i), num(3)), num(-4)), sub(div(sub(i, num(1)), num(-2)), num(1))),
    ],
    ["i / -4 <= 0", true, facts(over(N)), compare("le", div(i, num(-4)), num(0))],
    ["min(M, N) <= N", true, facts([]), compare("le", op("min", [M, N], "int"), N)],
    ["max(M, N) <= N is not proven", false, facts([]), compare("le", op("max", [M, N], "int"), N)],
  ];
  test.each(cases)("%s", (_name, proved, f, goal) => {
    expect(new Prover(f).proves(goal)).toBe(proved);
    expect(findExample(f, goal) === undefined).toBe(proved);
  });
});

test("nothing that is proved has a counterexample", () => {
  const leaf = fc.oneof(
    fc.integer({ min: -3, max: 9 }).map((v) => num(v)),
    fc.constantFrom(i, M, N, G),
    fc.constantFrom(i).map((x) => read("ix", x)),
  );
  const term: fc.Arbitrary<Expr> = fc.letrec<{ t: Expr }>((tie) => ({
    t: fc.oneof(
      { maxDepth: 2 },
      leaf,
      fc.tuple(tie("t"), tie("t")).map(([a, b]) => add(a, b)),
      fc.tuple(tie("t"), tie("t")).map(([a, b]) => sub(a, b)),
      fc.tuple(tie("t"), leaf).map(([a, b]) => mul(a, b)),
      fc.tuple(tie("t"), fc.constantFrom(1, 2, 3, 4, 5, -1, -2, -3, -4)).map(([a, b]) => div(a, num(b))),
      fc.tuple(tie("t"), fc.constantFrom(M, G)).map(([a, b]) => div(a, b)),
      fc.tuple(tie("t"), tie("t")).map(([a, b]) => op("min", [a, b], "int")),
    ),
  })).t;
  const comparison = fc
    .tuple(fc.constantFrom("lt" as const, "le" as const, "eq" as const), term, term)
    .map(([o, a, b]) => compare(o, a, b));
  let proved = 0;
  fc.assert(
    fc.property(comparison, comparison, (fact, goal) => {
      const f = facts([{ name: "i", extent: M }], [fact]);
      if (!new Prover(f).proves(goal)) return true;
      proved++;
      return findExample(f, goal, 800) === undefined;
    }),
    { numRuns: 250, seed: 5 },
  );
  // The property is worth something only if goals are proved.
  expect(proved).toBeGreaterThan(15);
});
