/** The simulator of the thread level catches what it is for: each planted fault is named. */
import { describe, expect, test } from "vitest";
import { compile, targets } from "../../compiler/index.ts";
import type { Expr, Stmt, ThreadKernel } from "../../compiler/thread/ir.ts";
import { type Memory, simulate } from "../../compiler/thread/simulate.ts";
import { verifyKernel } from "../../compiler/thread/verify.ts";
import { check } from "../../dsl/index.ts";

const text =
  "kernel f[M, N](x: f32[M, N]) -> (y: f32[M], z: f32[M, N]) {\n  let a[i] = sum(j) x[i, j]\n  y[i] = 2.0 * a[i]\n  z[i, j] = x[i, j] - a[i]\n}\nschedule f on cuda { tile a.i: 1, a.j: 64; warps 2 }\n";
const checked = check(text);
const instance = checked.instances[0]!;
const compiled = compile(instance, text, { target: "cuda", schedule: checked.schedules[0] });

const sum = compiled.kernels.find((k) => k.shared.length > 0)!;
const run = (k: ThreadKernel, m = 3, n = 100): string[] => {
  const size: Record<string, number> = { x: m * n, a: m, y: m, z: m * n };
  const memory: Memory = new Map(k.buffers.map((b) => [b.name, new Float32Array(size[b.name]!)]));
  return simulate(k, memory, { M: m, N: n }).map((f) => f.kind);
};
describe("the simulator", () => {
  test("the kernel reduces over threads, and is clean", () => {
    expect(sum.body.some((s) => s.kind === "barrier")).toBe(true);
    expect(run(sum)).toEqual([]);
  });
  test("a dropped barrier is a race", () => {
    const at = sum.body.findIndex((s) => s.kind === "barrier");
    expect(run({ ...sum, body: sum.body.filter((_, k) => k !== at) })).toContain("race");
  });
  test("a barrier under a condition is refused, and reported when run all the same", () => {
    const first: Expr = {
      kind: "op",
      op: "eq",
      args: [
        { kind: "thread", elem: "i32" },
        { kind: "const", value: 0, elem: "i32" },
      ],
      elem: "bool",
    };
    const bad: ThreadKernel = { ...sum, body: [...sum.body, { kind: "if", test: first, then: [{ kind: "barrier" }] }] };
    expect(() => verifyKernel(bad, targets.cuda)).toThrow(/may diverge/);
    expect(run(bad)).toContain("divergent-barrier");
  });
  test("a barrier in a loop that threads leave at different times is reported", () => {
    const loop = (to: Expr): ThreadKernel => ({
      ...sum,
      body: [
        ...sum.body,
        { kind: "for", name: "turn", from: { kind: "const", value: 0, elem: "i32" }, to, step: 1, body: [{ kind: "barrier" }] },
      ],
    });
    expect(run(loop({ kind: "const", value: 3, elem: "i32" }))).toEqual([]);
    expect(run(loop({ kind: "thread", elem: "i32" }))).toContain("divergent-barrier");
  });
  test("shared memory that nobody wrote", () => {
    const at = sum.body.findIndex((s) => s.kind === "share");
    expect(run({ ...sum, body: sum.body.filter((_, k) => k !== at) })).toContain("uninitialised");
  });
  test("a write that only an earlier reader contradicts is a race", () => {
    const int = (value: number): Expr => ({ kind: "const", value, elem: "i32" });
    const last: Expr = { kind: "op", op: "eq", args: [{ kind: "thread", elem: "i32" }, int(sum.threads - 1)], elem: "bool" };
    const all: ThreadKernel = {
      ...sum,
      shared: [],
      buffers: [{ ...sum.buffers.find((b) => b.access !== "read")!, name: "a", access: "read_write" }],
      body: [
        { kind: "let", name: "old", value: { kind: "load", buffer: "a", at: int(0), elem: "f32" } },
        // The thread that writes reads last: the readers before it must be remembered.
        { kind: "if", test: last, then: [{ kind: "store", buffer: "a", at: int(0), value: { kind: "name", name: "old", elem: "f32" } }] },
      ],
    };
    expect(run(all, 1, 4)).toContain("race");
  });
  test("what a guard keeps from memory is 0, and no fault", () => {
    const int = (value: number): Expr => ({ kind: "const", value, elem: "i32" });
    const never: Expr = { kind: "const", value: false, elem: "bool" };
    const one: Expr = { kind: "load", buffer: "x", at: int(1000), guard: never, elem: "f32" };
    const name = (k: number): Expr => ({ kind: "name", name: `v${k}`, elem: "f32" });
    const first: Expr = { kind: "op", op: "eq", args: [{ kind: "thread", elem: "i32" }, int(0)], elem: "bool" };
    const guarded: ThreadKernel = {
      ...sum,
      shared: [],
      buffers: [
        { ...sum.buffers.find((b) => b.access === "read")!, name: "x" },
        { ...sum.buffers.find((b) => b.access !== "read")!, name: "a" },
      ],
      body: [
        { kind: "loads", name: "v", outs: ["v0", "v1", "v2", "v3"], buffer: "x", at: int(1000), guard: never, elem: "f32" },
        {
          kind: "if",
          test: first,
          then: [one, name(0), name(3)].map((value, k): Stmt => ({ kind: "store", buffer: "a", at: int(k), value })),
        },
      ],
    };
    const a = new Float32Array(4).fill(7);
    const memory: Memory = new Map([
      ["x", new Float32Array(8).fill(5)],
      ["a", a],
    ]);
    expect(simulate(guarded, memory, { M: 1, N: 8 })).toEqual([]);
    expect([...a]).toEqual([0, 0, 0, 7]);
  });
  test("a copy that is still in flight when it is read", () => {
    const int = (value: number): Expr => ({ kind: "const", value, elem: "i32" });
    const copied = (leave: number): string[] => {
      const kernel: ThreadKernel = {
        ...sum,
        threads: 1,
        shared: [{ name: "held", elem: "f32", count: 4 }],
        body: [
          { kind: "copy", array: "held", to: int(0), buffer: "x", from: int(0), valid: int(1) },
          { kind: "commit" },
          { kind: "land", leave },
          {
            kind: "store",
            buffer: "a",
            at: { kind: "block", elem: "i32" },
            value: { kind: "shared", array: "held", at: int(0), elem: "f32" },
          },
        ],
      };
      const out = sum.buffers.find((b) => b.access !== "read")!;
      return run({ ...kernel, buffers: [sum.buffers.find((b) => b.access === "read")!, { ...out, name: "a" }] }, 1, 8);
    };
    expect(copied(0)).toEqual([]);
    expect(copied(1)).toContain("uninitialised");
  });
  test("a lost guard writes twice or outside", () => {
    const bare: ThreadKernel = { ...sum, body: sum.body.flatMap((s) => (s.kind === "if" ? s.then : [s])) };
    expect(run(bare)).toContain("race");
  });
  test("a lost clamp reads past the end", () => {
    const unclamped = (e: Expr): Expr => {
      if (e.kind === "op") return e.op === "min" ? unclamped(e.args[0]!) : { ...e, args: e.args.map(unclamped) };
      return e.kind === "load" ? { ...e, at: unclamped(e.at) } : e;
    };
    const loose = (list: readonly Stmt[]): Stmt[] =>
      list.map((s) =>
        s.kind === "for"
          ? { ...s, body: loose(s.body) }
          : s.kind === "let"
            ? { ...s, value: unclamped(s.value) }
            : s.kind === "assign"
              ? { ...s, value: unclamped(s.value) }
              : s,
      );
    expect(run({ ...sum, body: loose(sum.body) }, 3, 70)).toContain("out-of-bounds");
  });
});
