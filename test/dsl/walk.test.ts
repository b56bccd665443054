/** Which points the reference visits: ranges that begin below 0, end beyond the extent, or hang on what is undefined, and no subscript beside its extent. */
import { expect, test } from "vitest";
import { check, Interpreter } from "../../dsl/index.ts";

const x = [1, 2, 4, 8, 16];
function run(body: string, shape = [x.length]): number[] {
  const checked = check(`kernel f[N](x: f32[N]) -> (y: f32[N]) {\n${body}\n}\n`);
  expect(checked.diagnostics.filter((d) => d.severity === "error")).toEqual([]);
  const tensors = { x: { shape, values: x.slice(0, shape[0]) } };
  const machine = new Interpreter(checked.instances[0]!.program, { dims: { N: x.length }, scalars: {}, tensors });
  return x.map((_, i) => machine.elementAt("y", i).value);
}
const sums = (inside: (i: number, j: number) => boolean): number[] => x.map((_, i) => x.reduce((s, v, j) => s + (inside(i, j) ? v : 0), 0));

test("a range on both sides of an index stays within the extent", () => {
  expect(run("  y[i] = sum(j in i - 2..i + 2) x[j]")).toEqual(sums((i, j) => j >= i - 2 && j < i + 2));
});
test("a range within a range", () => {
  const twice = run("  y[i] = sum(j: N in i - 1..i + 2, k in j..j + 2) x[k]");
  const want = x.map((_, i) => {
    let s = 0;
    for (let j = Math.max(0, i - 1); j < Math.min(5, i + 2); j++) for (let k = j; k < Math.min(5, j + 2); k++) s += x[k]!;
    return s;
  });
  expect(twice).toEqual(want);
});
test("a range that begins at what is undefined holds nothing", () => {
  const from = "  let first[i: N] where i < 3 = i32(i)\n  y[i] = sum(j in first[i]..N) x[j]";
  expect(run(from)).toEqual(sums((i, j) => i < 3 && j >= i));
});
test("a condition leaves out points, and the walk goes on after them", () => {
  expect(run("  y[i] = sum(j where j != 1 && j != i) x[j]")).toEqual(sums((i, j) => j !== 1 && j !== i));
});
test("an element beside a tensor that is smaller than its extent is an error, not a number", () => {
  expect(() => run("  y[i] = x[i]", [4])).toThrow("subscript 0 is 4, extent 4");
});
