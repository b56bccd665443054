/** Integer operations as text and as functions, against whole numbers of any size wrapped to their type. */
import { describe, expect, test } from "vitest";
import { scalarFn, scalarText } from "../../compiler/scalar.ts";
import type { MapOp } from "../../compiler/tile/ir.ts";
import { seeded } from "../../verify/generate.ts";

const floorDiv = (a: bigint, b: bigint): bigint => (b === 0n ? 0n : a / b - (a % b !== 0n && a < 0n !== b < 0n ? 1n : 0n));
const bool = (x: boolean): bigint => (x ? 1n : 0n);
const meanings: Partial<Record<MapOp, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: floorDiv,
  mod: (a, b) => a - b * floorDiv(a, b),
  min: (a, b) => [b, a][Number(a < b)]!,
  max: (a, b) => [b, a][Number(a > b)]!,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << (b & 31n),
  shr: (a, b) => a >> (b & 31n),
  neg: (a) => -a,
  not: (a) => ~a,
  lt: (a, b) => bool(a < b),
  le: (a, b) => bool(a <= b),
  gt: (a, b) => bool(a > b),
  ge: (a, b) => bool(a >= b),
  eq: (a, b) => bool(a === b),
  ne: (a, b) => bool(a !== b),
  land: (a, b) => bool(a !== 0n && b !== 0n),
  lor: (a, b) => bool(a !== 0n || b !== 0n),
  lnot: (a) => bool(a === 0n),
};
const decided = new Set(["lt", "le", "gt", "ge", "eq", "ne", "land", "lor", "lnot"]);
const edges = { i32: [0, 1, -1, 2, 7, 8, -8, 64, 31, 32, 2 ** 31 - 1, -(2 ** 31)], u32: [0, 1, 2, 7, 8, 64, 31, 32, 2 ** 31, 2 ** 32 - 1] };

describe.each(["i32", "u32"] as const)("%s", (type) => {
  test.each(Object.keys(meanings) as MapOp[])("%s", (op) => {
    const random = seeded(7);
    const drawn = (): number => (type === "i32" ? Math.floor(random() * 2 ** 32) - 2 ** 31 : Math.floor(random() * 2 ** 32));
    const values = [...edges[type], ...Array.from({ length: 12 }, drawn)];
    const wrap = type === "i32" ? BigInt.asIntN : BigInt.asUintN;
    const f = scalarFn(op, decided.has(op) ? "bool" : type, type, 2);
    for (const a of values)
      for (const b of values) {
        const exact = meanings[op]!(BigInt(a), BigInt(b));
        const want = Number(decided.has(op) ? exact : wrap(32, exact));
        expect(f(a, b, 0), `${a} ${op} ${b}`).toBe(want);
        // A number on the right may be known when the text is made.
        const text = scalarText(op, decided.has(op) ? "bool" : type, "a", String(b));
        if (text) expect(new Function("a", `return ${text};`)(a), text).toBe(want);
      }
  });
});
