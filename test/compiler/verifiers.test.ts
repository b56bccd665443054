/** Verifiers and the simulator catch what they are for: each planted fault is named. */
import { describe, expect, test } from "vitest";
import { compile, targets } from "../../compiler/index.ts";
import type { Expr, Stmt, ThreadKernel } from "../../compiler/thread/ir.ts";
import { type Memory, simulate } from "../../compiler/thread/simulate.ts";
import { verifyKernel } from "../../compiler/thread/verify.ts";
import type { Launch, Op, TileProgram } from "../../compiler/tile/ir.ts";
import { verifyTileProgram } from "../../compiler/tile/verify.ts";
import { check } from "../../dsl/index.ts";
import type { Program } from "../../dsl/tensor/ir.ts";
import { verifyProgram } from "../../dsl/tensor/verify.ts";

const text =
  "kernel f[M, N](x: f32[M, N]) -> (y: f32[M], z: f32[M, N]) {\n  let a[i] = sum(j) x[i, j]\n  y[i] = 2.0 * a[i]\n  z[i, j] = x[i, j] - a[i]\n}\nschedule f on cuda { tile a.i: 1, a.j: 64; warps 2 }\n";
const checked = check(text);
const instance = checked.instances[0]!;
const compiled = compile(instance, text, { target: "cuda", schedule: checked.schedules[0] });

describe("the tensor verifier", () => {
  const p = instance.program;
  const broken = (f: (p: Program) => Program) => () => verifyProgram(f(p), "test");
  test("accepts the program", () => expect(broken((x) => x)).not.toThrow());
  test("a definition that is read before it exists", () =>
    expect(broken((x) => ({ ...x, statements: x.statements.slice(1) }))).toThrow(/after test, f: a\[i\]: not defined yet/));
  test("a definition twice", () =>
    expect(broken((x) => ({ ...x, statements: [x.statements[0]!, ...x.statements] }))).toThrow(/a is defined twice/));
  test("an index that nothing binds", () =>
    expect(
      broken((x) => ({ ...x, statements: x.statements.map((s, k) => (k === 1 && s.kind === "define" ? { ...s, axes: [] } : s)) })),
    ).toThrow(/i is not bound/));
  test("sugar that should be gone", () => {
    const soft = check("kernel g[N](x: f32[N]) -> (y: f32[N]) { y[i] = softmax(i) x[i] }\n").instances[0]!.program;
    expect(() => verifyProgram(soft, "test", true)).toThrow(/softmax is left/);
  });
});

describe("the tile verifier", () => {
  const change = (f: (l: Launch) => Launch): (() => void) => {
    const p: TileProgram = {
      ...compiled.tiles,
      steps: compiled.tiles.steps.map((s) => (s.kind === "launch" ? { ...s, launch: f(s.launch) } : s)),
    };
    return () => verifyTileProgram(p, targets.cuda);
  };
  const ops = (f: (ops: readonly Op[]) => readonly Op[]) => change((l) => ({ ...l, body: f(l.body) }));
  test("accepts the program", () => expect(change((l) => l)).not.toThrow());
  test("a value that is never made", () => expect(ops((list) => list.filter((o) => o.kind !== "block"))).toThrow(/used before it is made/));
  test("a value twice", () => expect(ops((list) => [list[0]!, ...list])).toThrow(/made twice/));
  test("a store to a buffer that is only read", () =>
    expect(change((l) => ({ ...l, buffers: l.buffers.map((b) => ({ ...b, access: "read" as const })) }))).toThrow(/does not write/));
  test("axes that are not those of the operands", () =>
    expect(change((l) => ({ ...l, tiles: l.tiles.map((t) => ({ ...t, axes: [] })) }))).toThrow(/axes/));
  test("a guard that is no bool", () => {
    const swap = (list: readonly Op[]): readonly Op[] => list.map((o) => (o.kind === "store" ? { ...o, guard: o.at } : o));
    expect(ops(swap)).toThrow(/position|bool/);
  });
});

const sum = compiled.kernels.find((k) => k.shared.length > 0)!;
const run = (k: ThreadKernel, m = 3, n = 100): string[] => {
  const size: Record<string, number> = { x: m * n, a: m, y: m, z: m * n };
  const memory: Memory = new Map(k.buffers.map((b) => [b.name, new Float32Array(size[b.name]!)]));
  return simulate(k, memory, { M: m, N: n }).map((f) => f.kind);
};
describe("the thread verifier and the simulator", () => {
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
  test("a name that nothing declares, and too much shared memory", () => {
    const bad: ThreadKernel = {
      ...sum,
      body: [{ kind: "let", name: "q", value: { kind: "name", name: "nothing", elem: "i32" } }, ...sum.body],
    };
    expect(() => verifyKernel(bad, targets.cuda)).toThrow(/nothing is used before it is declared/);
    expect(() => verifyKernel({ ...sum, shared: [{ name: "big", elem: "f32", count: 100_000 }] }, targets.cuda)).toThrow(/shared memory/);
  });
});
