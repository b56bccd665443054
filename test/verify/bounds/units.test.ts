/**
 * How matrix units cut, restated from their description (MMA-Sim: so many products, cut toward zero so many bits below the largest exponent, and
 * the sum once more; a subnormal has the exponent of the least normal number), against what the text promises and what a plan does.
 */
import { describe, expect, test } from "vitest";
import { check } from "../../../dsl/index.ts";
import { profiles } from "../../../dsl/interpret/accuracy.ts";
import { Interpreter } from "../../../dsl/interpret/interpreter.ts";
import { decode, exponentOf, formats } from "../../../dsl/tensor/narrow.ts";
import { unitDot } from "../../../verify/bounds/matrix.ts";
import { seeded } from "../../../verify/generate.ts";

type Form = "f8e4m3" | "f8e5m2" | "f16";
/** Exponent of the least normal number; bits that are kept below the largest exponent, and of a sum. */
const units: Record<Form, { least: number; products: number; below: number; kept: number }> = {
  f8e4m3: { least: -6, products: 32, below: 13, kept: 14 },
  f8e5m2: { least: -14, products: 32, below: 13, kept: 14 },
  // sm_80
  f16: { least: -14, products: 8, below: 24, kept: 24 },
};

function step(form: Form, c: number, a: readonly number[], b: readonly number[]): number {
  const { least, below, kept } = units[form];
  const exponent = (x: number): number => Math.max(exponentOf(x), least);
  const tops = a.flatMap((x, k) => (x === 0 || b[k] === 0 ? [] : [exponent(x) + exponent(b[k]!)]));
  if (c !== 0) tops.push(exponentOf(c));
  if (tops.length === 0) return 0;
  const last = 2 ** (Math.max(...tops) - below);
  const sum = a.reduce((total, x, k) => total + Math.trunc((x * b[k]!) / last), Math.trunc(c / last)) * last;
  if (sum === 0) return 0;
  const end = 2 ** (exponentOf(sum) - kept + 1);
  return Math.trunc(sum / end) * end;
}
/** As a kernel does it: halves go on from the sum before, floats of 8 bits begin at 0 and are added up in f32. */
function machine(form: Form, a: readonly number[], b: readonly number[]): number {
  const { products } = units[form];
  let sum = 0;
  for (let k = 0; k < a.length; k += products) {
    const [x, y] = [a.slice(k, k + products), b.slice(k, k + products)];
    sum = form === "f16" ? step(form, sum, x, y) : Math.fround(sum + step(form, 0, x, y));
  }
  return sum;
}
function promised(form: Form, relaxed: string, a: readonly number[], b: readonly number[]): { value: number; bound: number } {
  const text = `kernel f[K](a: ${form}[K], b: ${form}[K]) -> (c: f32[1]) { c[i] = sum(k) ${relaxed}(a[k] * b[k]) }`;
  const { program } = check(text).instances[0]!;
  const of = (values: readonly number[]): { shape: number[]; values: readonly number[] } => ({ shape: [values.length], values });
  const inputs = { dims: { K: a.length }, scalars: {}, tensors: { a: of(a), b: of(b) } };
  return new Interpreter(program, inputs, profiles["cuda"]!).elementAt("c", 0);
}
/** What the instructions of a plan may err by, and the sums of them in f32. */
function planned(form: Form, a: readonly number[], b: readonly number[]): { value: number; bound: number } {
  const terms = (list: readonly number[]): { value: number; error: number; chain: number }[] =>
    list.map((value) => ({ value, error: 0, chain: 0 }));
  let value = 0;
  let bound = 0;
  for (let k = 0; k < a.length; k += 32) {
    const zero = { value: 0, error: 0, chain: 0 };
    const one = unitDot(form, zero, terms(a.slice(k, k + 32)), terms(b.slice(k, k + 32)), "worst");
    value += one.value;
    bound += one.error;
    if (k > 0) bound += 2 ** -24 * (Math.abs(value) + bound);
  }
  return { value, bound };
}
/** One product that is large for its exponent alone, and 31 that are just too small to count beside it. */
const adversaries: Record<string, readonly [Form, large: readonly [number, number], small: readonly [number, number]]> = {
  "a power of two": ["f8e4m3", [1, 1], [1.875 * 2 ** -6, 2 ** -8]],
  "a subnormal": ["f8e4m3", [2 ** -9, 256], [1.875 * 2 ** -6, 2 ** -6]],
  "a power of two, e5m2": ["f8e5m2", [1, 1], [1.75 * 2 ** -7, 2 ** -7]],
  "a subnormal, e5m2": ["f8e5m2", [2 ** -16, 2 ** 15], [1.75 * 2 ** -6, 2 ** -7]],
};
describe.each(Object.entries(adversaries))("beside %s", (_, [form, large, small]) => {
  const [a, b] = [0, 1].map((f) => Array.from({ length: 32 }, (_, k) => (k === 7 ? large : small)[f]!)) as [number[], number[]];
  const exact = a.reduce((sum, x, k) => sum + x * b[k]!, 0);
  const error = Math.abs(machine(form, a, b) - exact);
  test("all else is lost", () => expect(machine(form, a, b)).toBe(large[0] * large[1]));
  test("the promise holds, and is little more than that", () => {
    const { value, bound } = promised(form, "relax<bf16>", a, b);
    expect(value).toBe(exact);
    expect(error).toBeLessThanOrEqual(bound);
    expect(bound).toBeLessThan(1.3 * error);
  });
  test("so does the bound of the plan", () => {
    const { bound } = planned(form, a, b);
    expect(error).toBeLessThanOrEqual(bound);
    expect(bound).toBeLessThan(1.3 * error);
  });
  test("a text that does not allow it promises more", () => {
    for (const relaxed of ["", "relax<f16>"]) expect(promised(form, relaxed, a, b).bound).toBeLessThan(error);
  });
});
test("beside a subnormal half, whose product is small, as much is lost as beside a large one", () => {
  const [a, b] = [2 ** -24, 2 ** 15].map((large, f) => [large, ...new Array<number>(7).fill([1.75, 1][f]! * 2 ** -12)]) as [
    number[],
    number[],
  ];
  const exact = a.reduce((sum, x, k) => sum + x * b[k]!, 0);
  const error = Math.abs(machine("f16", a, b) - exact);
  expect(machine("f16", a, b)).toBe(2 ** -9);
  // Of the magnitude of the products alone it is far more than a sum of eight may lose.
  expect(error).toBeGreaterThan(30 * 2 ** -24 * exact);
  for (const { bound } of [promised("f16", "", a, b), planned("f16", a, b)]) {
    expect(error).toBeLessThanOrEqual(bound);
    expect(bound).toBeLessThan(3 * error);
  }
});
test.each(["f8e4m3", "f8e5m2"] as const)("%s: codes of any size, many instructions", (form) => {
  const random = seeded(11);
  const format = formats[form]!;
  let worst = 0;
  for (let run = 0; run < 300; run++) {
    const spread = 1 + Math.floor(random() * 100);
    const code = (): number => {
      const x = decode(format, Math.floor(random() * spread) + 8 * Math.floor(random() * 3));
      return Number.isFinite(x) ? (random() < 0.5 ? -x : x) : 0;
    };
    const [a, b] = [0, 1].map(() => Array.from({ length: 32 * (1 + Math.floor(random() * 6)) }, code)) as [number[], number[]];
    b.length = a.length = Math.min(a.length, b.length);
    const exact = a.reduce((sum, x, k) => sum + x * b[k]!, 0);
    const error = Math.abs(machine(form, a, b) - exact);
    const [p, q] = [promised(form, "relax<bf16>", a, b), planned(form, a, b)];
    expect(error).toBeLessThanOrEqual(p.bound);
    expect(error).toBeLessThanOrEqual(q.bound);
    expect(q.bound).toBeLessThanOrEqual(p.bound * (1 + 2 ** -10));
    if (q.bound > 0) worst = Math.max(worst, error / q.bound);
  }
  expect(worst).toBeGreaterThan(0.05);
});
test("small integers lose nothing, and the plan says so; larger ones do", () => {
  const [a, b] = [5, 3].map((m) => Array.from({ length: 32 }, (_, k) => ((k * m) % 15) - 7)) as [number[], number[]];
  const exact = a.reduce((sum, x, k) => sum + x * b[k]!, 0);
  expect(planned("f8e4m3", a, b)).toEqual({ value: exact, bound: 0 });
  expect(machine("f8e4m3", a, b)).toBe(exact);
  a[0] = b[0] = 448;
  expect(planned("f8e4m3", a, b).bound).toBeGreaterThan(0);
  expect(machine("f8e4m3", a, b)).not.toBe(a.reduce((sum, x, k) => sum + x * b[k]!, 0));
});
