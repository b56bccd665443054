/** What every tensor program guarantees (dsl/tensor/verify.ts): one that breaks it in one place is refused, by what is wrong. */
import { describe, expect, test } from "vitest";
import { check } from "../../dsl/index.ts";
import { bool, num } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr, Program, Statement } from "../../dsl/tensor/ir.ts";
import { verifyProgram } from "../../dsl/tensor/verify.ts";

const programOf = (text: string): Program => check(text).instances[0]!.program;
const rows = programOf(
  "kernel f[M, N](x: f32[M, N], s: f32) -> (y: f32[M], z: f32[M, N]) {\n  let a[i] = sum(j) x[i, j]\n  y[i] = s * a[i]\n  z[i, j] = x[i, j] - a[i]\n}\n",
);
type Define = Extract<Statement, { kind: "define" }>;
const broken =
  (f: (p: Program) => Program, plain = false) =>
  () =>
    verifyProgram(f(rows), "test", plain);
/** The first definition, changed. */
const first = (f: (d: Define) => Partial<Define>, p: Program = rows): Program => ({
  ...p,
  statements: p.statements.map((s, k) => (k === 0 && s.kind === "define" ? { ...s, ...f(s) } : s)),
});
const valued = (value: (v: Expr) => Expr) => broken(() => first((d) => ({ value: value(d.value) })));
/** An expression that checks accept, made wrong in one place. */
const from = (text: string, f: (e: Expr) => Expr, plain = false) => {
  const p = programOf(`kernel g[M, N](x: f32[M, N], t: offsets<N>[M], n: i32[M]) -> (y: f32[M, N]) { y[i, j] = ${text} }\n`);
  const changed = {
    ...p,
    statements: p.statements.map((s) => (s.kind === "write" || s.kind === "define" ? { ...s, value: f(s.value) } : s)),
  };
  return () => verifyProgram(changed, "test", plain);
};
const like = (e: Expr, kind: Expr["kind"], more: object): Expr => {
  expect(e.kind).toBe(kind);
  return { ...e, ...more } as Expr;
};
const f32 = (value: number): Expr => num(value, "f32");

describe("the tensor verifier", () => {
  test("accepts the program", () => expect(broken((p) => p)).not.toThrow());
  test("names the stage and the kernel", () =>
    expect(broken((p) => ({ ...p, statements: p.statements.slice(1) }))).toThrow(/after test, f: a\[i\]: not defined yet/));
  test("a definition twice", () =>
    expect(broken((p) => ({ ...p, statements: [p.statements[0]!, ...p.statements] }))).toThrow(/a is defined twice/));
  test("an index that nothing binds", () => expect(broken((p) => first(() => ({ axes: [] }), p))).toThrow(/i is not bound/));
  test("an index that hides another", () =>
    expect(broken((p) => first((d) => ({ axes: [...d.axes, ...d.axes] }), p))).toThrow(/the index i hides another/));
  test("a bound that is no integer", () => {
    const wide = (a: Axis): Axis => ({ ...a, extent: f32(2) });
    expect(broken((p) => first((d) => ({ axes: d.axes.map(wide) }), p))).toThrow(/the axis i has a bound of type f32/);
    const ranged = (a: Axis): Axis => ({ ...a, range: { from: num(0, "i32"), to: f32(2) } });
    expect(broken((p) => first((d) => ({ axes: d.axes.map(ranged) }), p))).toThrow(/the axis i has a bound of type f32/);
  });
  test("a condition that is a number", () => expect(broken((p) => first(() => ({ where: f32(1) }), p))).toThrow(/the condition .* is f32/));
  test("a truth value as a number", () => expect(valued(() => ({ ...bool(true), type: "f32" }) as Expr)).toThrow(/true as f32/));
  test("a dimension or a scalar that there is not", () => {
    expect(broken((p) => ({ ...p, dims: [] }))).toThrow(/no dimension/);
    expect(broken((p) => ({ ...p, params: p.params.filter((x) => x.axes !== undefined) }))).toThrow(/no scalar s/);
  });
  test("a write with too few subscripts", () => {
    const p = programOf("kernel g[N](inout y: f32[N], x: f32[N]) { y[i] := x[i] }\n");
    const bare = { ...p, statements: p.statements.map((s) => (s.kind === "write" ? { ...s, subscripts: [] } : s)) };
    expect(() => verifyProgram(p, "test")).not.toThrow();
    expect(() => verifyProgram(bare, "test")).toThrow(/y is written with 0 subscripts/);
  });

  test("a subscript that is no integer", () =>
    expect(from("x[i, j]", (e) => like(e, "read", { subscripts: [f32(0), f32(0)] }))).toThrow(/a subscript of type f32/));
  test("a read with too few subscripts", () => expect(from("x[i, j]", (e) => like(e, "read", { subscripts: [] }))).toThrow(/2 axes/));
  test("branches of two types", () => {
    expect(from("if i < j then x[i, j] else 0.0", (e) => like(e, "if", { else: num(0, "i32") }))).toThrow(
      /the branches of .* are f32 and i32/,
    );
    expect(from("(max(k: M where k > 3) x[k, j]) else 0.0", (e) => like(e, "else", { other: num(0, "i32") }))).toThrow(
      /the sides of .* are f32 and i32/,
    );
  });
  test("operands of two types, a comparison that is a number, a number in a condition", () => {
    const args = (list: (a: readonly Expr[]) => readonly Expr[]) => (e: Expr) =>
      like(e, "op", { args: list(e.kind === "op" ? e.args : []) });
    expect(
      from(
        "x[i, j] + 1.0",
        args(([a]) => [a!, num(1, "i32")]),
      ),
    ).toThrow(/f32 and i32/);
    const inCondition = (f: (c: Expr) => Expr) =>
      from("if i < j && n[i] > 2 then x[i, j] else 0.0", (e) => like(e, "if", { cond: f((e as Extract<Expr, { kind: "if" }>).cond) }));
    expect(inCondition((c) => args(([a]) => [a!, f32(1)])(c))).toThrow(/ and f32|is f32 in a condition/);
    expect(inCondition((c) => args(() => [f32(1), f32(1)])(c))).toThrow(/is f32 in a condition/);
    expect(inCondition((c) => args(([a, b]) => [{ ...a!, type: "f32" } as Expr, b!])(c))).toThrow(/i < j is f32$/);
  });
  test("sugar that should be gone", () => {
    for (const text of ["softmax(j) x[i, j]", "mean(k: N) x[i, k]", "logsumexp(k: N) x[i, k]"]) {
      expect(from(text, (e) => e)).not.toThrow();
      expect(from(text, (e) => e, true)).toThrow(/(softmax|mean|logsumexp) is left/);
    }
  });
  test("a sweep over an index that is not there, and a reduction without a body", () => {
    expect(from("softmax(j) x[i, j]", (e) => like(e, "sweep", { over: [{ name: "k" }] }))).toThrow(/softmax sweeps k, which is not bound/);
    expect(from("sum(k: N) x[i, k]", (e) => like(e, "reduce", { bodies: [] }))).toThrow(/has 0 bodies/);
  });
  test("a segment of what is no table", () => {
    const p = programOf("kernel g[B, N](t: offsets<N>[B + 1]) -> (y: i32[N]) { y[i] = segment(t, i) }\n");
    const changed = {
      ...p,
      statements: p.statements.map((s) =>
        s.kind === "write" || s.kind === "define" ? { ...s, value: like(s.value, "segment", { table: "y" }) } : s,
      ),
    };
    expect(() => verifyProgram(p, "test")).not.toThrow();
    expect(() => verifyProgram(changed, "test")).toThrow(/segment of y/);
  });
});
