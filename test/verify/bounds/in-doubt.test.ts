/** A plan's bound says that it does not know exactly where a decision on floats is in doubt: what then is written, and what then is left. */
import { expect, test } from "vitest";
import { compile } from "../../../compiler/index.ts";
import type { Expr } from "../../../compiler/thread/ir.ts";
import { check, profiles } from "../../../dsl/index.ts";
import { prepare, tensor } from "../../../runtime/index.ts";
import { planBounds } from "../../../verify/bounds/call.ts";
import { Certain } from "../../../verify/bounds/certain.ts";

/** A little over 1, by less than a sum of these in f32 may err by. */
const nearOne = Float32Array.of(0.1, 0.2, 0.3, 0.4);
const open = Number.POSITIVE_INFINITY;
const counts = { i32: Int32Array, u4: Uint32Array } as const;

/** Value and bound of the first elements of `x`, which holds 3s before the call. */
function planned(text: string, elem: "i32" | "u4" | undefined, target: "cuda" | "wgsl"): (readonly [number, number])[] {
  const checked = check(text);
  expect(checked.diagnostics).toEqual([]);
  const made = compile(checked.instances[0]!, text, { target });
  const held = elem && new counts[elem](8).fill(elem === "u4" ? 0x33333333 : 3);
  const call = prepare(made.artifact, {
    a: tensor("f32", [4], nearOne),
    ...(held && { x: tensor(elem!, [8], held.slice(0, elem === "u4" ? 1 : 8)) }),
  });
  const plan = planBounds(made, call, profiles[target === "wgsl" ? "wgsl rne" : "cuda"]!);
  return Array.from({ length: held ? 8 : 1 }, (_, i) => {
    const { value, bound } = plan.elementAt(held ? "x" : "y", i);
    return [value, bound] as const;
  });
}
const conditions = [
  ["> 0.5", true, 0],
  ["> 2.0", false, 0],
  ["> 1.0", true, open],
  ["< 1.0", false, open],
] as const;
for (const target of ["cuda", "wgsl"] as const) {
  for (const elem of ["i32", "u4"] as const)
    test.each(conditions)(`${target}: an update of ${elem} where a sum %s`, (condition, holds, bound) => {
      const seven = elem === "i32" ? "7" : "u4(7)";
      const x = planned(
        `kernel f[N, K](inout x: ${elem}[N], a: f32[K]) {\n  x[i] where (sum(k) a[k]) ${condition} := ${seven}\n}`,
        elem,
        target,
      );
      // Fields that share a word share what is known of them.
      expect(x).toEqual(x.map(() => [holds ? 7 : 3, bound]));
    });
  test.each(conditions)(`${target}: an update of the first places where a sum %s leaves the others certain`, (condition, holds, bound) => {
    const x = planned(
      `kernel f[N, K](inout x: i32[N], a: f32[K]) {\n  x[i] where i < 2 && (sum(k) a[k]) ${condition} := 7\n}`,
      "i32",
      target,
    );
    expect(x).toEqual(x.map((_, i) => (i < 2 ? [holds ? 7 : 3, bound] : [3, 0])));
  });
  test.each(conditions)(`${target}: one of two values where a sum %s`, (condition, holds, bound) => {
    const [y] = planned(`kernel f[K](a: f32[K]) -> (y: i32[]) {\n  y = if (sum(k) a[k]) ${condition} then 7 else 3\n}`, undefined, target);
    expect(y).toEqual([holds ? 7 : 3, bound]);
  });
  test.each([
    ["0.5", 1, 0],
    ["2.0", -1, 0],
    ["1.0", 1, open],
  ] as const)(`${target}: the sign of a sum less %s`, (less, sign, bound) => {
    const [y] = planned(`kernel f[K](a: f32[K]) -> (y: f32[]) {\n  y = sign((sum(k) a[k]) - ${less})\n}`, undefined, target);
    expect(y).toEqual([sign, bound]);
  });
  test.each([
    ["1.5", 1, 0],
    ["1.0", 1, open],
  ] as const)(`${target}: the whole part of a sum times %s`, (times, whole, bound) => {
    const [y] = planned(`kernel f[K](a: f32[K]) -> (y: i32[]) {\n  y = i32((sum(k) a[k]) * ${times})\n}`, undefined, target);
    expect(y).toEqual([whole, bound]);
  });
  test.each([
    ["1.5", 0],
    ["1.0", open],
  ] as const)(`${target}: an element at the whole part of a sum times %s`, (times, bound) => {
    const at = (place: string): string => `(if ${place} >= 0 && ${place} < K then a[${place}] else 0.0)`;
    const text = `kernel f[K](a: f32[K]) -> (y: f32[]) {\n  let p = i32((sum(k) a[k]) * ${times})\n  y = max(${at("p + 1")}, ${at("p + 2")})\n}`;
    expect(planned(text, undefined, target)[0]![1]).toBe(bound);
  });
}
test("what is reckoned from index, sizes and counters alone is certain, and nothing else", () => {
  const slots = new Map<string, number>();
  const slot = (name: string): number => slots.get(name) ?? slots.set(name, 3 * slots.size).get(name)!;
  const certain = new Certain(slot, { N: 10 });
  const name = (n: string): Expr => ({ kind: "name", name: n, elem: "i32" });
  const sum = (...args: Expr[]): Expr => ({ kind: "op", op: "add", args, elem: "i32" });
  const two: Expr = { kind: "const", value: 2, elem: "i32" };
  const thread: Expr = { kind: "thread", elem: "i32" };
  const size: Expr = { kind: "uniform", name: "N", elem: "i32" };
  certain.add("k");
  const place = sum(sum(thread, size), sum(name("k"), two));
  expect(certain.has(place)).toBe(true);
  const frame = new Float64Array(9);
  const value = certain.compile(place);
  frame[slot(" thread")] = 5;
  frame[slot("k")] = 7;
  expect(value(frame)).toBe(24);
  for (const read of [
    name("p"),
    { kind: "load", buffer: "a", at: two, elem: "i32" },
    { kind: "shared", array: "s", at: two, elem: "i32" },
  ] as const)
    expect(certain.has(sum(name("k"), read))).toBe(false);
  expect(certain.has({ kind: "op", op: "to_f32", args: [two], elem: "f32" })).toBe(false);
});
