/** What the thread level guarantees (compiler/thread/verify.ts): a kernel that breaks it in one place is refused, by what is wrong. */
import { describe, expect, test } from "vitest";
import { targets } from "../../compiler/index.ts";
import type { Expr, Stmt, ThreadBuffer, ThreadKernel } from "../../compiler/thread/ir.ts";
import { verifyKernel } from "../../compiler/thread/verify.ts";

const int = (value: number): Expr => ({ kind: "const", value, elem: "i32" });
const float: Expr = { kind: "const", value: 1, elem: "f32" };
const zero: Expr = { kind: "const", value: 0, elem: "f32" };
const word: Expr = { kind: "const", value: 1, elem: "u32" };
const yes: Expr = { kind: "const", value: true, elem: "bool" };
const name = (text: string): Expr => ({ kind: "name", name: text, elem: "f32" });
const buffer = (text: string, access: "read" | "write"): ThreadBuffer => ({
  ...{ name: text, elem: "f32", access, count: 64, unit: "f32", units: 64, vector: false, atomic: false },
});
const kernel = (body: readonly Stmt[], more: Partial<ThreadKernel> = {}): ThreadKernel => ({
  ...{ name: "k", threads: 64, grid: [], blocks: 1, beside: 1, buffers: [buffer("x", "read"), buffer("y", "write")] },
  ...{ shared: [{ name: "s", elem: "f32", count: 64 }], body, ...more },
});
const verified = (body: readonly Stmt[], more?: Partial<ThreadKernel>) => () => verifyKernel(kernel(body, more), targets.cuda);
const under = (s: Stmt): Stmt[] => [{ kind: "if", test: yes, then: [s] }];

const shuffle: Stmt = { kind: "shuffle", out: "o", value: float, mask: 1 };
const scale: Stmt = { kind: "scale", outs: ["o"], values: [float], by: [float] };
const fragment: Stmt = { kind: "fragment", outs: ["f0"], array: "s", at: int(0), transposed: false };
const mma: Stmt = {
  ...{ kind: "mma", form: "f16", outs: ["d0", "d1", "d2", "d3"], elem: "f32" },
  ...{ a: [word, word, word, word], b: [word, word], c: [float, float, float, float] },
};
const loads: Stmt = { kind: "loads", name: "v", outs: ["v0", undefined, "v2", "v3"], buffer: "x", at: int(0), guard: yes, elem: "f32" };
const takes: Stmt = { kind: "takes", name: "v", outs: ["v0", "v1"], array: "s", at: int(0), elem: "f32" };

describe("the thread verifier", () => {
  test("accepts one of each statement", () => {
    const all: Stmt[] = [
      { kind: "let", name: "a", value: { kind: "load", buffer: "x", at: int(0), elem: "f32" } },
      { kind: "var", name: "b", value: name("a") },
      { kind: "assign", name: "b", value: { kind: "shared", array: "s", at: int(0), elem: "f32" } },
      { kind: "for", name: "i", from: int(0), to: int(4), step: 1, body: [{ kind: "barrier" }] },
      ...under({ kind: "store", buffer: "y", at: int(0), value: name("b") }),
      ...[loads, { kind: "stores", buffer: "y", at: int(0), values: [name("v0"), name("v2")] } as Stmt],
      ...[
        { kind: "share", array: "s", at: int(0), value: float } as Stmt,
        { kind: "shares", array: "s", at: int(0), values: [float, float] } as Stmt,
      ],
      ...[
        { ...takes, outs: ["t0", "t1"] } as Stmt,
        { kind: "copy", array: "s", to: int(0), buffer: "x", from: int(0), valid: int(1) } as Stmt,
      ],
      ...[{ kind: "commit" } as Stmt, { kind: "land", leave: 0 } as Stmt, shuffle, { ...scale, outs: ["p"] } as Stmt, fragment, mma],
      { ...mma, outs: ["d0", "e1", "e2", "e3"], c: [name("d0"), float, float, float] },
      { kind: "merge", buffer: "y", at: int(0), mask: word, bits: word },
    ];
    expect(verified(all)).not.toThrow();
  });
  test.each<[string, readonly Stmt[], RegExp]>([
    ["a name that nothing declares", [{ kind: "let", name: "a", value: name("b") }], /b is used before it is declared/],
    [
      "a name twice",
      [
        { kind: "let", name: "a", value: float },
        { kind: "let", name: "a", value: float },
      ],
      /a is declared twice/,
    ],
    [
      "a name after its block",
      [...under({ kind: "let", name: "a", value: float }), { kind: "let", name: "b", value: name("a") }],
      /outside its block/,
    ],
    [
      "a loop's index after it",
      [
        { kind: "for", name: "i", from: int(0), to: int(1), step: 1, body: [] },
        { kind: "let", name: "b", value: name("i") },
      ],
      /outside its block/,
    ],
    ["what was read and has no name", [loads, { kind: "let", name: "b", value: name("v1") }], /v1 is used before/],
    [
      "what is no variable, assigned",
      [
        { kind: "let", name: "a", value: float },
        { kind: "assign", name: "a", value: float },
      ],
      /a is assigned and is no variable/,
    ],
    ["a load of nothing", [{ kind: "let", name: "a", value: { kind: "load", buffer: "z", at: int(0), elem: "f32" } }], /no buffer z/],
    ["loads of nothing", [{ ...loads, buffer: "z" } as Stmt], /no buffer z/],
    [
      "shared memory that there is not",
      [{ kind: "let", name: "a", value: { kind: "shared", array: "r", at: int(0), elem: "f32" } }],
      /no shared array r/,
    ],
    ["a store to what is read", [{ kind: "store", buffer: "x", at: int(0), value: float }], /x is written and not declared so/],
    ["stores to what is read", [{ kind: "stores", buffer: "x", at: int(0), values: [float, float] }], /x is written and not declared so/],
    ["a merge into nothing", [{ kind: "merge", buffer: "z", at: int(0), mask: word, bits: word }], /z is written and not declared so/],
    ["a value shared nowhere", [{ kind: "share", array: "r", at: int(0), value: float }], /no shared array r/],
    ["values shared nowhere", [{ kind: "shares", array: "r", at: int(0), values: [float, float] }], /no shared array r/],
    ["values taken from nowhere", [{ ...takes, array: "r" } as Stmt], /no shared array r/],
    ["a fragment of nothing", [{ ...fragment, array: "r" } as Stmt], /no shared array r/],
    ["a copy from nowhere", [{ kind: "copy", array: "s", to: int(0), buffer: "z", from: int(0), valid: int(1) }], /a copy from z to s/],
    ["a copy to nowhere", [{ kind: "copy", array: "r", to: int(0), buffer: "x", from: int(0), valid: int(1) }], /a copy from x to r/],
    ["a barrier under a condition", under({ kind: "barrier" }), /a barrier in control flow that may diverge/],
    ["a shuffle under a condition", under(shuffle), /a shuffle in control flow that may diverge/],
    ["a warp that scales under a condition", under(scale), /a warp that scales in control flow that may diverge/],
    ["a fragment under a condition", under(fragment), /a fragment in control flow that may diverge/],
    ["a matrix instruction under a condition", under(mma), /a matrix instruction in control flow that may diverge/],
    ["sums of a unit of 8 bits that go on", [{ ...mma, form: "f8e4m3", c: [zero, float, zero, zero] } as Stmt], /do not begin at 0/],
    ["a shuffle beyond the warp", [{ ...shuffle, mask: 32 } as Stmt], /a shuffle beyond the lanes/],
    [
      "a matrix instruction over what another did not give",
      [{ kind: "let", name: "d0", value: float }, { ...mma, c: [name("d0"), float, float, float] } as Stmt],
      /d0 is no result of a matrix instruction/,
    ],
  ])("refuses %s", (_, body, message) => expect(verified(body)).toThrow(message));
  test("refuses blocks that the target does not have, or that are not whole warps", () => {
    expect(verified([], { threads: 2048 })).toThrow(/2048 threads/);
    expect(verified([], { shared: [{ name: "s", elem: "f32", count: 100_000 }] })).toThrow(/bytes of shared memory/);
    expect(verified([mma], { threads: 48 })).toThrow(/not whole warps/);
    expect(verified([shuffle], { threads: 48 })).toThrow(/a shuffle beyond the lanes/);
  });
});
