/** Declared monoids keep their laws on the values that occur; broken ones are found. */
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { prepare } from "../../runtime/index.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { type BrokenLaw, brokenLaws } from "../../verify/laws.ts";
import { examples } from "../support/examples.ts";

function lawsOf(text: string): BrokenLaw[] {
  const checked = check(text);
  expect(checked.diagnostics.filter((d) => d.severity === "error")).toEqual([]);
  return checked.instances.flatMap((i) => {
    const { artifact } = compile(i, text, { target: "cuda" });
    const random = seeded(5);
    return Array.from({ length: 20 }, () => generate(artifact, random, { most: 4000 })).flatMap((made) =>
      made ? brokenLaws(prepare(artifact, made.args, { dims: made.dims }), random) : [],
    );
  });
}
const withMonoids = examples().filter((e) => /^monoid /m.test(e.text));

test("some examples declare monoids", () => expect(withMonoids.length).toBeGreaterThan(0));
test.each(withMonoids)("$name", ({ text }) => expect(lawsOf(text)).toEqual([]));

const using = (monoid: string): string => `${monoid}
kernel f[M, N](x: f32[M, N]) -> (y: f32[M]) {
  y[i] = monoid m(j) x[i, j]
}
`;
describe("a broken law is found", () => {
  test.each([
    ["associative", "monoid m(a: f32) { identity 0.0; combine (x, y) = x.a - y.a }", ["associative", "left identity"]],
    [
      "commutative",
      "monoid m(a: f32) commutative { identity 0.0; combine (x, y) = if x.a == 0.0 then y.a else if y.a == 0.0 then x.a else x.a }",
      ["commutative"],
    ],
    ["identity", "monoid m(a: f32) commutative { identity 0.0; combine (x, y) = max(x.a, y.a) }", ["left identity", "right identity"]],
    ["none", "monoid m(a: f32) commutative { identity 1.0; combine (x, y) = x.a * y.a }", []],
    ["none, first of two", "monoid m(a: f32) { identity 0.0; combine (x, y) = if x.a == 0.0 then y.a else x.a }", []],
  ])("%s", (_, monoid, laws) => {
    expect([...new Set(lawsOf(using(monoid)).map((b) => b.law))].sort()).toEqual(laws);
  });
});
