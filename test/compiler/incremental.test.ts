/** What is compiled again after an edit is what differs; and what is not compiled again is what would have come out. */
import fs from "node:fs";
import { expect, test } from "vitest";
import { type Compiled, compile, IncrementalCompiler } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { examples } from "../support/examples.ts";

const two = `fn twice(x: f32) -> f32 { return 2.0 * x }
kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = twice(x[i]) }
kernel g[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i] + 1.0 }
schedule g on cuda { tile i: 64 }
`;
/** Each instance by a compiler that has seen the text before the edit, and by one that has not; how many came from memory. */
function both(before: string, after: string): { remembered: Compiled[]; fresh: Compiled[]; known: number } {
  const compiler = new IncrementalCompiler();
  const all = (text: string, make: (...args: Parameters<typeof compile>) => Compiled): Compiled[] => {
    const checked = check(text);
    return checked.instances.flatMap((i) =>
      (["cuda", "wgsl"] as const).flatMap((target) => {
        const schedule = checked.schedules.find((s) => s.kernel === i.kernel && s.target === target);
        return [make(i, text, { target, schedule }), make(i, text, { target, schedule, exact: true })];
      }),
    );
  };
  const first = new Set(all(before, (...a) => compiler.compile(...a)).map((c) => c.tiles));
  const remembered = all(after, (...a) => compiler.compile(...a));
  return { remembered, fresh: all(after, compile), known: remembered.filter((c) => first.has(c.tiles)).length };
}
const edits: readonly (readonly [name: string, after: string, known: number])[] = [
  ["a comment at the end", `${two}// a comment\n`, 8],
  ["the other kernel", two.replace("+ 1.0", "+ 3.0"), 4],
  ["a function that one of them calls", two.replace("2.0 * x", "4.0 * x"), 4],
  ["a schedule", two.replace("tile i: 64", "tile i: 128"), 6],
  ["a line before all", `// a comment\n${two}`, 0],
];
test.each(edits)("%s", (_, after, known) => {
  const made = both(two, after);
  expect(made.known).toBe(known);
  expect(made.remembered.map((c) => c.artifact)).toEqual(made.fresh.map((c) => c.artifact));
  expect(made.remembered.map((c) => c.directives)).toEqual(made.fresh.map((c) => c.directives));
});
test("a line within a fold moves what follows it", () => {
  // Nothing stands after the fold: only what is in it moves.
  const fold = `kernel f[N, K: static](x: f32[N]) -> (path: f32[K, N]) {
  fold s: K {
    state u[i] = x[i]
    let v[i: N] = exp(u[i])
    next u[i] = (sum(j) v[j]) * x[i]
    emit path[s, i] = u[i]
  }
}
instance f { K: 2 }
`;
  const made = both(fold, fold.replace("    let v", "    // a comment\n    let v"));
  expect(made.remembered.map((c) => c.artifact)).toEqual(made.fresh.map((c) => c.artifact));
});
const texts = [...Object.values(library).map((f) => fs.readFileSync(f, "utf8")), ...examples().map((e) => e.text)];
test("nothing of the library or the examples is compiled twice", () => {
  for (const text of texts) {
    const { remembered, fresh, known } = both(text, `${text}\n// another line\n`);
    expect(known, text).toBe(remembered.length);
    expect(remembered.map((c) => c.artifact)).toEqual(fresh.map((c) => c.artifact));
  }
});
