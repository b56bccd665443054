/** What matrix instructions add to stays in its registers: a result takes the name of the one before where nothing else reads that. */
import { expect, test } from "vitest";
import type { Stmt } from "../../compiler/thread/ir.ts";
import { type NodeId, Nodes } from "../../compiler/thread/nodes.ts";
import { natural } from "../../compiler/thread/ranges.ts";
import { statementsOf } from "../../compiler/thread/statements.ts";

const products = (list: readonly Stmt[]): Extract<Stmt, { kind: "mma" }>[] =>
  list.flatMap((s) => (s.kind === "mma" ? [s] : s.kind === "for" ? products(s.body) : []));
/** Two products, the second added to the first; `between` and `after` say what else there is. */
function two(
  between: (n: Nodes, first: readonly NodeId[]) => void,
  after: (n: Nodes, second: readonly NodeId[]) => void = () => undefined,
) {
  const n = new Nodes(32, () => ({ range: natural }));
  const word = n.constant(0, "u32");
  const product = (c: readonly NodeId[]): NodeId[] => {
    const outs = c.map(() => n.variable("dot", "f32"));
    n.effect({ kind: "mma", form: "f16", outs, a: [word, word, word, word], b: [word, word], c });
    return outs;
  };
  const store = (v: NodeId, k: number): void => n.effect({ kind: "store", buffer: "y", at: n.int(k), value: v });
  const first = product(Array.from({ length: 4 }, () => n.constant(0, "f32")));
  between(n, first);
  const second = product(first);
  after(n, second);
  second.forEach(store);
  const [a, b] = products(statementsOf(n, new Set(), ["y"]).body);
  return a!.outs.map((name, k) => name === b!.outs[k]);
}
test("where only the next reads them", () => {
  expect(two(() => undefined)).toEqual([true, true, true, true]);
});
test("not what is stored as well", () => {
  const kept = two((n, first) => n.effect({ kind: "store", buffer: "y", at: n.int(9), value: first[2]! }));
  expect(kept).toEqual([true, true, false, true]);
});
test("not what a loop reads by a node of its own", () => {
  const seen = (n: Nodes, first: readonly NodeId[]): void => {
    n.effect({ kind: "store", buffer: "y", at: n.int(9), value: n.inside(first[1]!) });
  };
  expect(two(seen)).toEqual([true, false, true, true]);
});
test("not in a loop what was there before it", () => {
  let index: NodeId | undefined;
  const begin = (n: Nodes): void => {
    n.open();
    index = n.variable("k", "i32", 1, [0, 8]);
  };
  const end = (n: Nodes): void => {
    const body = n.close();
    n.effect({ kind: "loop", index: index!, from: n.int(0), to: n.int(8), step: 1, twice: false, assigns: [], body });
  };
  expect(two(begin, end)).toEqual([false, false, false, false]);
});
