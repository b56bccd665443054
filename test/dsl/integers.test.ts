/** Integer operations of the reference interpreter, against whole numbers of any size wrapped to their type. */
import { describe, expect, test } from "vitest";
import { check, Interpreter } from "../../dsl/index.ts";

const floorDiv = (a: bigint, b: bigint): bigint => a / b - (a % b !== 0n && a < 0n !== b < 0n ? 1n : 0n);
const bool = (x: boolean): bigint => (x ? 1n : 0n);
const meanings: Record<string, (a: bigint, b: bigint) => bigint> = {
  "x + y": (a, b) => a + b,
  "x - y": (a, b) => a - b,
  "x * y": (a, b) => a * b,
  "min(x, y)": (a, b) => [b, a][Number(a < b)]!,
  "max(x, y)": (a, b) => [b, a][Number(a > b)]!,
  "x & y": (a, b) => a & b,
  "x | y": (a, b) => a | b,
  "x ^ y": (a, b) => a ^ b,
  "(x & 255) | (y ^ 65535)": (a, b) => (a & 255n) | (b ^ 65535n),
  "x / 7": (a) => floorDiv(a, 7n),
  "x % 7": (a) => a - 7n * floorDiv(a, 7n),
  "if x < y then 1 else 0": (a, b) => bool(a < b),
  "if x <= y then 1 else 0": (a, b) => bool(a <= b),
  "if x > y then 1 else 0": (a, b) => bool(a > b),
  "if x >= y then 1 else 0": (a, b) => bool(a >= b),
  "if x == y && x != 3 then 1 else 0": (a, b) => bool(a === b && a !== 3n),
  "if x == y || x == 3 then 1 else 0": (a, b) => bool(a === b || a === 3n),
};
const values = { i32: [0, 1, -1, 3, 7, -8, 255, 65536, 2 ** 31 - 1, -(2 ** 31)], u32: [0, 1, 3, 7, 255, 65536, 2 ** 31, 2 ** 32 - 1] };

/** `text` of elements that are read, or of indices: those are computed by other means. */
function run(text: string, type: string, a: readonly number[], indices: boolean): (i: number, j: number) => number {
  const [x, y] = indices ? ["i", "j"] : ["a[i]", "a[j]"];
  const body = text.replace(/\bx\b/g, x!).replace(/\by\b/g, y!);
  const checked = check(`kernel f[N](a: ${type}[N]) -> (r: ${type}[N, N]) {\n  r[i, j] = ${body}\n}\n`);
  expect(checked.diagnostics).toEqual([]);
  const machine = new Interpreter(checked.instances[0]!.program, {
    dims: { N: a.length },
    scalars: {},
    tensors: { a: { shape: [a.length], values: a } },
  });
  return (i, j) => machine.element("r", [i, j]).value;
}
describe.each(["i32", "u32"] as const)("%s", (type) => {
  test.each(Object.entries(meanings))("%s", (text, exact) => {
    const a = values[type];
    const at = run(text, type, a, false);
    const wrap = type === "i32" ? BigInt.asIntN : BigInt.asUintN;
    a.forEach((x, i) => {
      a.forEach((y, j) => {
        expect(at(i, j), `${x} ${y}`).toBe(Number(wrap(32, exact(BigInt(x), BigInt(y)))));
      });
    });
  });
});
test.each(Object.entries(meanings))("of indices: %s", (text, exact) => {
  const at = run(text, "i32", new Array(20).fill(0), true);
  for (let i = 0; i < 20; i++) for (let j = 0; j < 20; j++) expect(at(i, j), `${i} ${j}`).toBe(Number(exact(BigInt(i), BigInt(j))));
});
