/** Quotients and remainders that are taken apart are those of the whole, for every thread and turn of a loop. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type NodeId, Nodes } from "../../compiler/thread/nodes.ts";
import { natural } from "../../compiler/thread/ranges.ts";

type Tree =
  | { readonly kind: "thread" | "k" | "dim" }
  | { readonly kind: "const"; readonly value: number }
  | { readonly kind: "add" | "mul" | "and" | "xor" | "shr" | "truncdiv" | "truncmod" | "min"; readonly args: readonly [Tree, Tree] };
const constant = (values: readonly number[]) => fc.constantFrom(...values).map((value): Tree => ({ kind: "const", value }));
const { tree } = fc.letrec<{ tree: Tree }>((again) => ({
  tree: fc.oneof(
    { maxDepth: 5, depthSize: "small" },
    fc.constantFrom<Tree>({ kind: "thread" }, { kind: "k" }, { kind: "dim" }),
    constant([0, 1, 2, 3, 5, 8, 13, 64]),
    fc
      .tuple(fc.constantFrom("add" as const, "min" as const, "xor" as const), again("tree"), again("tree"))
      .map(([kind, a, b]): Tree => ({ kind, args: [a, b] })),
    fc.tuple(again("tree"), constant([1, 2, 4, 8, 16, 3])).map(([a, b]): Tree => ({ kind: "mul", args: [a, b] })),
    fc.tuple(again("tree"), constant([1, 3, 7, 31])).map(([a, b]): Tree => ({ kind: "and", args: [a, b] })),
    // A row of pieces and a piece of it, some bits flipped: how addresses in shared memory are made.
    fc
      .tuple(again("tree"), constant([8, 16, 64]), again("tree"), constant([3, 7, 31]), constant([1, 2, 4, 16, 64]))
      .map(([row, width, piece, mask, flipped]): Tree => {
        const within: Tree = { kind: "xor", args: [{ kind: "and", args: [piece, mask] }, flipped] };
        return { kind: "add", args: [{ kind: "mul", args: [row, width] }, within] };
      }),
    fc.tuple(again("tree"), constant([1, 2, 5])).map(([a, b]): Tree => ({ kind: "shr", args: [a, b] })),
    fc
      .tuple(fc.constantFrom("truncdiv" as const, "truncmod" as const), again("tree"), constant([2, 4, 8, 32, 3, 10]))
      .map(([kind, a, b]): Tree => ({ kind, args: [a, b] })),
  ),
}));
const meaning = {
  add: (a: number, b: number) => a + b,
  min: Math.min,
  mul: (a: number, b: number) => a * b,
  and: (a: number, b: number) => a & b,
  xor: (a: number, b: number) => a ^ b,
  shr: (a: number, b: number) => a >> b,
  truncdiv: (a: number, b: number) => Math.trunc(a / b),
  truncmod: (a: number, b: number) => a % b,
};
interface Point {
  readonly thread: number;
  readonly k: number;
  readonly dim: number;
}
const whole = (t: Tree, at: Point): number =>
  t.kind === "const" ? t.value : "args" in t ? meaning[t.kind](whole(t.args[0], at), whole(t.args[1], at)) : at[t.kind];

test("whatever is known of multiples and ranges", () => {
  const step = 16;
  fc.assert(
    fc.property(tree, (t) => {
      const n = new Nodes(64, () => ({ range: natural }));
      const k = n.variable("k", "i32", step, [0, 1024]);
      const build = (x: Tree): NodeId => {
        if (x.kind === "const") return n.int(x.value);
        if ("args" in x) return n.op(x.kind, x.args.map(build), "i32");
        return x.kind === "k" ? k : x.kind === "dim" ? n.uniform("dim", "i32") : n.special("thread");
      };
      const made = build(t);
      const value = (id: NodeId, at: Point): number => {
        const x = n.at(id);
        if (x.kind === "const") return x.value as number;
        if (x.kind === "op") return meaning[x.op as "add"](value(x.args[0]!, at), value(x.args[1]!, at));
        return x.kind === "variable" ? at.k : x.kind === "uniform" ? at.dim : at.thread;
      };
      for (const at of [0, 1, 2, 7, 31, 63].flatMap((thread) =>
        [0, step, 5 * step, 64 * step].map((turn): Point => ({ thread, k: turn, dim: thread * 3 })),
      )) {
        expect(value(made, at)).toBe(whole(t, at));
        const [from, to] = n.at(made).range;
        expect(value(made, at) >= from && value(made, at) <= to, "within its range").toBe(true);
      }
    }),
    { numRuns: 3000 },
  );
});
test("neighbours of a word are one load of it, and what lies in a group is found once", () => {
  const n = new Nodes(128, () => ({ range: natural }));
  const k = n.variable("k", "i32", 16, natural);
  const pair = n.op("mul", [n.op("and", [n.special("thread"), n.int(3)], "i32"), n.int(2)], "i32");
  const at = (by: number): NodeId => n.op("add", [n.op("add", [k, pair], "i32"), n.int(by)], "i32");
  const over = (by: number, d: number): NodeId => n.op("truncdiv", [at(by), n.int(d)], "i32");
  expect(over(1, 8)).toBe(over(0, 8));
  expect(over(9, 8)).toBe(n.op("add", [over(0, 8), n.int(1)], "i32"));
  expect(over(9, 128)).toBe(over(0, 128));
  expect(n.op("truncmod", [at(9), n.int(8)], "i32")).toBe(n.op("add", [pair, n.int(1)], "i32"));
});
test("what is whole leaves nothing over, and a constant goes outermost", () => {
  const n = new Nodes(128, () => ({ range: natural }));
  const k = n.variable("k", "i32", 16, natural);
  const column = n.op("and", [n.special("thread"), n.int(15)], "i32");
  const add = (a: NodeId, b: NodeId): NodeId => n.op("add", [a, b], "i32");
  const by = (op: "truncdiv" | "truncmod", a: NodeId, y: number): NodeId => n.op(op, [a, n.int(y)], "i32");
  expect(by("truncmod", add(k, column), 4)).toBe(by("truncmod", column, 4));
  expect(by("truncmod", add(add(k, column), n.int(8)), 4)).toBe(by("truncmod", column, 4));
  expect(by("truncdiv", add(column, n.int(9)), 4)).toBe(add(by("truncdiv", add(column, n.int(1)), 4), n.int(2)));
  expect(by("truncmod", by("truncdiv", add(add(k, column), n.int(8)), 4), 2)).toBe(by("truncmod", by("truncdiv", add(k, column), 4), 2));
  // However a constant got into a sum, what is left of it is the sum itself.
  const times = (a: NodeId, y: number): NodeId => n.op("mul", [a, n.int(y)], "i32");
  const nested = add(k, add(times(column, 2), times(n.op("shr", [n.special("thread"), n.int(4)], "i32"), 4)));
  expect(by("truncdiv", add(nested, n.int(1)), 2)).toBe(by("truncdiv", nested, 2));
  expect(by("truncdiv", add(nested, n.int(1)), 8)).toBe(by("truncdiv", nested, 8));
});
test("what is computed twice is one node, and what differs in any operand is not", () => {
  const n = new Nodes(128, () => ({ range: natural }));
  const leaves = Array.from({ length: 12 }, (_, k) => n.uniform(`u${k}`, "i32"));
  const found = new Map<NodeId, string>();
  const wrong: string[] = [];
  const ask = (op: "add" | "select" | "shl", args: readonly NodeId[]): void => {
    const made = n.op(op, args, "u32");
    const key = `${op} ${args.join()}`;
    if ((found.get(made) ?? key) !== key || n.op(op, args, "u32") !== made) wrong.push(key);
    found.set(made, key);
  };
  for (const a of leaves)
    for (const b of leaves) {
      ask("add", [a, b]);
      ask("shl", [a, b]);
      for (const c of leaves) if (b !== c) ask("select", [a, b, c]);
    }
  expect(wrong).toEqual([]);
  expect(found.size).toBe(2 * 12 ** 2 + 12 ** 2 * 11);
  const [x, y] = leaves as [NodeId, NodeId];
  for (const decided of [true, false]) expect(n.op("select", [n.constant(decided, "bool"), x, y], "u32")).toBe(decided ? x : y);
});
test("the greater or lesser of two choices between the same numbers is one choice", () => {
  const n = new Nodes(32, () => ({ range: natural }));
  const conditions = ["A", "B"].map((name) => n.op("lt", [n.special("thread"), n.uniform(name, "i32")], "bool"));
  const choices = (yes: number, no: number): NodeId[] => conditions.map((c) => n.op("select", [c, n.int(yes), n.int(no)], "i32"));
  const joined = (op: "min" | "max", yes: number, no: number) => {
    const { op: outer, args } = n.at(n.op(op, choices(yes, no), "i32"));
    return [outer, n.at(args[0]!).op];
  };
  expect(joined("max", 64, 0)).toEqual(["select", "lor"]);
  expect(joined("max", 0, 64)).toEqual(["select", "land"]);
  expect(joined("min", 64, 0)).toEqual(["select", "land"]);
  expect(joined("min", 0, 64)).toEqual(["select", "lor"]);
  const others = [
    n.op("select", [conditions[0]!, n.int(64), n.int(0)], "i32"),
    n.op("select", [conditions[1]!, n.int(32), n.int(0)], "i32"),
  ];
  expect(n.at(n.op("max", others, "i32")).op).toBe("max");
});
