/**
 * Every rule of the error bounds against an adversary of its own: operands at the ends of their errors, every rounding of the machine at its
 * extreme, all signs tried. The result must lie inside the bound, and the bound must not be much larger than the worst found, or it would
 * hide faults. What a machine may do is restated here from the sources (CUDA C++ Programming Guide, "Mathematical Functions", plus half an
 * ulp; WGSL, "Floating Point Accuracy"), not taken from the code under test.
 */
import { describe, expect, test } from "vitest";
import { check } from "../../dsl/index.ts";
import { profiles } from "../../dsl/interpret/accuracy.ts";
import { Interpreter } from "../../dsl/interpret/interpreter.ts";
import { compileOp, erf } from "../../dsl/interpret/scalar.ts";
import { state } from "../../dsl/interpret/state.ts";
import type { Op } from "../../dsl/tensor/ir.ts";
import { formats, roundStochastic, roundTo } from "../../dsl/tensor/narrow.ts";

type Profile = "cuda" | "wgsl";
interface Operand {
  readonly x: number;
  readonly e: number;
}
/** Value and bound of one operation, by the rule under test. */
function bound(profile: Profile, op: string, operands: readonly Operand[]): { value: number; e: number } {
  const typed = { kind: "op", op: op as Op, type: "f32", args: operands.map(() => ({ type: "f32" })) };
  const args = operands.map((o) => () => {
    state.error = o.e;
    return o.x;
  });
  const value = compileOp(typed as unknown as Parameters<typeof compileOp>[0], args, profiles[profile]!, () => ({ signs: [], terms: [] }))(
    new Float64Array(4),
  );
  const e = state.error;
  state.error = 0;
  return { value, e };
}
/** z moved by `ulps` units in the last place, or by an absolute amount, up or down. */
type Err = (z: number, ulps: number, absolute?: number) => number;
type Machine = (err: Err, x: number, y: number) => number;

/** The largest distance from `value` that the machine reaches, over all ends of the operands and all directions of its errors. */
function reach(machine: Machine, value: number, [a, b = { x: 0, e: 0 }]: readonly Operand[]): number {
  let worst = 0;
  for (const x of [a!.x - a!.e, a!.x, a!.x + a!.e])
    for (const y of [b.x - b.e, b.x + b.e]) {
      let choices = 0;
      for (let word = 0; word < 2 ** Math.min(choices, 12) || word === 0; word++) {
        let used = 0;
        const err: Err = (z, ulps, absolute = 0) => {
          const up = (word >> used++) & 1 ? 1 : -1;
          return z + up * Math.max(ulps * 2 ** -23 * Math.abs(z), absolute);
        };
        worst = Math.max(worst, Math.abs(machine(err, x, y) - value));
        choices = Math.max(choices, used);
      }
    }
  return worst;
}
/** What f64 adds to this very computation. */
const noise = (...sizes: number[]): number => 8 * 2 ** -52 * Math.max(...sizes.map(Math.abs));
const half = 0.5;
/** + - * give a float as it is. */
const rounded = (err: Err, z: number, ulps: number): number => (Math.fround(z) === z ? z : err(z, ulps));
/** 2^(x log2 e), with log2 e as an f32. */
const cudaExp = (err: Err, x: number): number => err(2 ** rounded(err, x * Math.fround(Math.LOG2E), half), 2.5);
const cuda: Record<string, Machine> = {
  add: (err, x, y) => rounded(err, x + y, half),
  sub: (err, x, y) => rounded(err, x - y, half),
  mul: (err, x, y) => rounded(err, x * y, half),
  div: (err, x, y) => err(x / y, half),
  sqrt: (err, x) => err(Math.sqrt(Math.max(x, 0)), half),
  rsqrt: (err, x) => err(1 / Math.sqrt(x), 2.5),
  exp: cudaExp,
  exp2: (err, x) => err(2 ** x, 2.5),
  expm1: (err, x) => err(Math.expm1(x), 1.5),
  log: (err, x) => err(Math.log(x), 1.5),
  log2: (err, x) => err(Math.log2(x), 1.5),
  log1p: (err, x) => err(Math.log1p(x), 1.5),
  tanh: (err, x) => err(Math.tanh(x), 2.5),
  sin: (err, x) => err(Math.sin(x), 2.5),
  cos: (err, x) => err(Math.cos(x), 2.5),
  erf: (err, x) => err(erf(x), 2.5),
  pow: (err, x, y) => err(x ** y, 4.5),
  sigmoid: (err, x) => err(1 / err(1 + cudaExp(err, -x), half), half),
};
const exp = (err: Err, x: number): number => err(Math.exp(x), 3 + 2 * Math.abs(x));
const log2 = (err: Err, x: number): number => (x >= 0.5 && x <= 2 ? err(Math.log2(x), 0, 2 ** -21) : err(Math.log2(x), 3));
const wgsl: Record<string, Machine> = {
  add: (err, x, y) => rounded(err, x + y, 1),
  sub: (err, x, y) => rounded(err, x - y, 1),
  mul: (err, x, y) => rounded(err, x * y, 1),
  div: (err, x, y) => err(x / y, 2.5),
  // 1 / inverseSqrt(x)
  sqrt: (err, x) => (x <= 0 ? 0 : err(1 / err(1 / Math.sqrt(x), 2), 2.5)),
  rsqrt: (err, x) => err(1 / Math.sqrt(x), 2),
  exp,
  exp2: (err, x) => err(2 ** x, 3 + 2 * Math.abs(x)),
  expm1: (err, x) => err(exp(err, x) - 1, 1),
  log: (err, x) => (x >= 0.5 && x <= 2 ? err(Math.log(x), 0, 2 ** -21) : err(Math.log(x), 3)),
  log2,
  log1p: (err, x) => {
    const y = err(1 + x, 1);
    return y >= 0.5 && y <= 2 ? err(Math.log(y), 0, 2 ** -21) : err(Math.log(y), 3);
  },
  tanh: (err, x) => {
    const a = Math.min(Math.abs(x), 20);
    return Math.sign(x) * err(1 - err(2 / err(exp(err, 2 * a) + 1, 1), 2.5), 1);
  },
  sin: (err, x) => err(Math.sin(x), 0, 2 ** -11),
  cos: (err, x) => err(Math.cos(x), 0, 2 ** -11),
  pow: (err, x, y) => {
    const z = err(y * log2(err, x), 1);
    return err(2 ** z, 3 + 2 * Math.abs(z));
  },
  sigmoid: (err, x) => err(1 / err(1 + exp(err, -x), 1), 2.5),
};
/** How much larger than the worst found a bound may be: composed rules add up what cannot all happen at once. */
const slack: Record<string, number> = { sigmoid: 8, tanh: 12, log1p: 4, pow: 4, expm1: 3, erf: 4, log: 3, log2: 3, cos: 20, sin: 20 };
const points: Record<string, readonly number[]> = {
  exp: [-20, -1, 0, 0.3, 5, 40],
  exp2: [-30, -1, 0, 0.3, 5, 60],
  expm1: [-3, -0.1, 1e-3, 0.5, 10],
  log: [1e-6, 0.3, 0.7, 1.01, 1.9, 7, 1e9],
  log2: [1e-6, 0.3, 0.7, 1.01, 1.9, 7, 1e9],
  log1p: [-0.9, -0.2, 1e-3, 0.5, 3, 1e5],
  sqrt: [1e-8, 0.3, 1.7, 9.1, 1.3e12],
  rsqrt: [1e-8, 0.3, 1.7, 9.1, 1e12],
  tanh: [-3, -0.4, 0.01, 0.6, 2, 9],
  sigmoid: [-12, -1, 0, 0.5, 3, 15],
  sin: [-3, -1, 0.2, 1.5, 3],
  cos: [-3, -1, 0.2, 1.5, 3],
  erf: [-2, -0.3, 0.1, 1, 3],
};
const pairs: readonly (readonly [number, number])[] = [
  [1.31, 2.72],
  [-1.3, 1.2999],
  [1e5, 3e-3],
  [7.1, -0.9],
  [3.3e-6, 2.1e-4],
];
const cases = (["cuda", "wgsl"] as const).flatMap((profile) =>
  Object.entries(profile === "cuda" ? cuda : wgsl).map(([op, machine]) => ({ profile, op, machine })),
);
test.each(cases)("$profile: $op", ({ profile, op, machine }) => {
  const binary = ["add", "sub", "mul", "div", "pow"].includes(op);
  const operands = binary
    ? pairs.map(([x, y]) => (op === "pow" ? [Math.abs(x), Math.min(Math.abs(y), 4)] : [x, y]).map(Math.fround))
    : points[op]!.map((x) => [Math.fround(x)]);
  let ratio = 0;
  for (const xs of operands)
    for (const relative of [0, 1e-7, 1e-4, 0.05]) {
      const ends = xs.map((x) => ({ x, e: Math.abs(x) * relative }));
      const { value, e } = bound(profile, op, ends);
      const worst = reach(machine, value, ends);
      // Beyond their range sin and cos promise nothing on WGSL.
      if (e === Number.POSITIVE_INFINITY && (op === "sin" || op === "cos") && Math.abs(xs[0]!) * (1 + relative) > Math.PI) continue;
      expect(worst, `${op}(${xs}) with relative error ${relative}`).toBeLessThanOrEqual(e + noise(...xs, value));
      if (worst > 0) ratio = Math.max(ratio, e / worst);
    }
  expect(ratio, "the bound over the worst that the adversary reached").toBeLessThan(slack[op] ?? 2.2);
});

describe("operands that reach where nothing is promised", () => {
  test.each([
    ["div", { x: 1, e: 0 }, { x: 1e-3, e: 2e-3 }],
    ["log", { x: 1e-3, e: 2e-3 }, { x: 0, e: 0 }],
    ["rsqrt", { x: 1e-3, e: 2e-3 }, { x: 0, e: 0 }],
    ["mul", { x: 1e30, e: 0 }, { x: 1e30, e: 0 }],
  ])("%s is unbounded", (op, a, b) => {
    for (const profile of ["cuda", "wgsl"] as const)
      expect(bound(profile, op, op === "log" || op === "rsqrt" ? [a] : [a, b]).e).toBe(Number.POSITIVE_INFINITY);
  });
  test("WGSL: division by what lies outside 2^-126 .. 2^126, sin beyond pi", () => {
    expect(
      bound("wgsl", "div", [
        { x: 1e10, e: 0 },
        { x: 2 ** 127, e: 0 },
      ]).e,
    ).toBe(Number.POSITIVE_INFINITY);
    expect(
      bound("cuda", "div", [
        { x: 1e10, e: 0 },
        { x: 2 ** 127, e: 0 },
      ]).e,
    ).toBeLessThan(1);
    expect(bound("wgsl", "sin", [{ x: 4, e: 0 }]).e).toBe(Number.POSITIVE_INFINITY);
  });
  test("subnormal results may be flushed on WGSL, and are rounded to 2^-149 on CUDA", () => {
    const [a, b] = [
      { x: 3e-20, e: 0 },
      { x: 1.7e-20, e: 0 },
    ];
    expect(bound("wgsl", "mul", [a, b]).e).toBeGreaterThanOrEqual(a.x * b.x);
    expect(bound("cuda", "mul", [a, b]).e).toBeGreaterThanOrEqual(2 ** -150);
  });
});

describe("what adds no rounding", () => {
  test.each(["min", "max"])("%s: within the larger error", (op) => {
    for (const [x, y] of pairs) {
      const ends = [
        { x, e: 0.01 },
        { x: y, e: 0.02 },
      ];
      const { value, e } = bound("cuda", op, ends);
      const f = op === "min" ? Math.min : Math.max;
      const worst = reach((_e, p, q) => f(p, q), value, ends);
      expect(worst).toBeLessThanOrEqual(e + noise(x, y));
      expect(e).toBe(0.02);
    }
  });
  test("neg, abs and clamp keep the error", () => {
    expect(bound("wgsl", "neg", [{ x: 3, e: 0.1 }])).toEqual({ value: -3, e: 0.1 });
    expect(bound("wgsl", "abs", [{ x: -3, e: 0.1 }])).toEqual({ value: 3, e: 0.1 });
    expect(
      bound("wgsl", "clamp", [
        { x: 3, e: 0.1 },
        { x: 0, e: 0 },
        { x: 1, e: 0 },
      ]),
    ).toEqual({ value: 1, e: 0.1 });
  });
  test.each(["floor", "ceil", "round", "trunc"])("%s: all integers that the interval reaches", (op) => {
    const f = { floor: Math.floor, ceil: Math.ceil, round: (x: number) => Math.round(x), trunc: Math.trunc }[op]!;
    for (const x of [1.95, 2.05, 2.49, 2.51, -0.02, 7.3]) {
      const { value, e } = bound("cuda", op, [{ x, e: 0.1 }]);
      for (const d of [-0.1, -0.05, 0, 0.05, 0.1]) expect(Math.abs(f(x + d) - value)).toBeLessThanOrEqual(e);
      expect(e).toBeLessThanOrEqual(1);
    }
  });
});

/** Runs a text on given tensors under a profile. */
function run(text: string, profile: Profile, dims: Record<string, number>, tensors: Record<string, readonly number[]>): Interpreter {
  const { program } = check(text).instances[0]!;
  return new Interpreter(
    program,
    { dims, scalars: {}, tensors: Object.fromEntries(Object.entries(tensors).map(([k, v]) => [k, { shape: [v.length], values: v }])) },
    profiles[profile],
  );
}
const values = (n: number): number[] => Array.from({ length: n }, (_, k) => Math.fround(((k * 7919) % 1009) / 1009 + 0.1));

describe.each(["cuda", "wgsl"] as const)("reductions, %s", (profile) => {
  const u = profile === "cuda" ? 2 ** -24 : 2 ** -23;
  test("sum: the largest first, every rounding upwards", () => {
    const list = [1, ...values(99).map((v) => Math.fround(v * 1e-3))];
    const e = run("kernel f[N](x: f32[N]) -> (y: f32) { y = sum(i) x[i] }\n", profile, { N: 100 }, { x: list }).elementAt("y", 0);
    const up = list.reduce((s, x, k) => (k === 0 ? x : (s + x) * (1 + u)));
    expect(up - e.value).toBeLessThanOrEqual(e.bound);
    expect(e.bound).toBeLessThan(1.3 * (up - e.value));
  });
  test("sum of inexact terms: their errors and the roundings add up", () => {
    const list = [1, ...values(39).map((v) => Math.fround(v * 1e-3))];
    const e = run("kernel f[N](x: f32[N]) -> (y: f32) { y = sum(i) exp(x[i]) }\n", profile, { N: 40 }, { x: list }).elementAt("y", 0);
    const term = (x: number): number => Math.exp(x) * (1 + (profile === "cuda" ? 2.5 : 3 + 2 * x) * 2 ** -23);
    const up = list.reduce((s, x, k) => (k === 0 ? term(x) : (s + term(x)) * (1 + u)), 0);
    expect(up - e.value).toBeLessThanOrEqual(e.bound);
    expect(e.bound).toBeLessThan(2.2 * (up - e.value));
  });
  test("dot: products round as well", () => {
    const [a, b] = [values(50), values(51).slice(1)];
    const text = "kernel f[N](a: f32[N], b: f32[N]) -> (y: f32) { y = sum(i) a[i] * b[i] }\n";
    const e = run(text, profile, { N: 50 }, { a, b }).elementAt("y", 0);
    const order = a.map((x, k) => x * b[k]!).sort((x, y) => y - x);
    const up = order.reduce((s, x, k) => (k === 0 ? x * (1 + u) : (s + x * (1 + u)) * (1 + u)), 0);
    expect(up - e.value).toBeLessThanOrEqual(e.bound);
    expect(e.bound).toBeLessThan(2.2 * (up - e.value));
  });
  test("prod", () => {
    const list = values(20);
    const e = run("kernel f[N](x: f32[N]) -> (y: f32) { y = prod(i) x[i] }\n", profile, { N: 20 }, { x: list }).elementAt("y", 0);
    const up = list.reduce((s, x, k) => (k === 0 ? x : s * x * (1 + u)));
    expect(Math.abs(up - e.value)).toBeLessThanOrEqual(e.bound * (1 + 1e-9));
    expect(e.bound).toBeLessThan(1.2 * Math.abs(up - e.value));
  });
  test("cumsum: every prefix", () => {
    const list = values(30);
    const machine = run("kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = cumsum(i) x[i] }\n", profile, { N: 30 }, { x: list });
    let up = 0;
    list.forEach((x, k) => {
      up = k === 0 ? x : (up + x) * (1 + u);
      const e = machine.elementAt("y", k);
      expect(up - e.value).toBeLessThanOrEqual(e.bound);
      if (k > 0) expect(e.bound).toBeLessThan(2.5 * (up - e.value));
    });
  });
  test("a chain of + and - on WGSL may be regrouped: 1 + (-1) + c", () => {
    const text = "kernel f[N](a: f32[N], b: f32[N], c: f32[N]) -> (y: f32[N]) { y[i] = a[i] + b[i] + c[i] }\n";
    const c = Math.fround(1.1e-4);
    const e = run(text, profile, { N: 1 }, { a: [1], b: [-1], c: [c] }).elementAt("y", 0);
    const regrouped = 1 + Math.fround(-1 + c);
    if (profile === "wgsl") expect(Math.abs(regrouped - e.value)).toBeLessThanOrEqual(e.bound);
    else expect(e.bound).toBeLessThan(1e-10);
  });
  test("a chain whose terms are finer than their sum is rounded all the same", () => {
    // Multiples of 2^-11; their sum, and that of their magnitudes, are multiples of 2^-10 below 2^14.
    const [a, b, c] = [-203 / 2048, 13718, 2009 / 2048];
    const text = "kernel f[N](a: f32[N], b: f32[N], c: f32[N]) -> (y: f32[N]) { y[i] = a[i] + b[i] + c[i] }\n";
    const e = run(text, profile, { N: 1 }, { a: [a], b: [b], c: [c] }).elementAt("y", 0);
    const rounded = Math.fround(Math.fround(a + b) + c);
    expect(rounded).not.toBe(a + b + c);
    expect(Math.abs(rounded - e.value)).toBeLessThanOrEqual(e.bound);
    expect(run(text, profile, { N: 1 }, { a: [2 * a], b: [b], c: [2 * c] }).elementAt("y", 0).bound).toBe(0);
  });
  test("rounding to f16: every code that the interval reaches, and none beyond", () => {
    const text = "kernel f[N](x: f32[N]) -> (y: f16[N]) { y[i] = exp(x[i]) }\n";
    const list = values(200);
    const machine = run(text, profile, { N: 200 }, { x: list });
    list.forEach((x, k) => {
      const e = machine.elementAt("y", k);
      const k_ = profile === "cuda" ? 2.5 : 3 + 2 * x;
      for (const d of [-1, 1]) {
        const code = roundTo(formats.f16!, Math.exp(x) * (1 + d * k_ * 2 ** -23));
        expect(Math.abs(code - e.value)).toBeLessThanOrEqual(e.bound);
      }
    });
    // Most have one admissible code alone.
    expect(list.filter((_, k) => machine.elementAt("y", k).bound === 0).length).toBeGreaterThan(150);
  });
  test("relax: half an ulp of the narrow type, and no less than its smallest step", () => {
    const text = "kernel f[N](x: f32[N]) -> (y: f32[N]) { let p[i] = relax<f16>(x[i])\n  y[i] = p[i] * 1.0 }\n";
    const list = values(50);
    const machine = run(text, profile, { N: 50 }, { x: list });
    list.forEach((x, k) => {
      const e = machine.elementAt("y", k);
      for (const z of [roundTo(formats.f16!, x), x]) expect(Math.abs(z - e.value)).toBeLessThanOrEqual(e.bound);
      expect(e.bound).toBeLessThan(2 * 2 ** -11 * x + 2 ** -13);
    });
  });
});

describe("selections", () => {
  const text =
    "kernel f[N](x: f32[N]) -> (at: index<N>, w: index<N>[3], v: f32[3]) where N >= 3 {\n  at = argmax(i) exp(x[i])\n  let (b[r], c[r]) = topk(i, 3) exp(x[i])\n  v[r] = b[r] else 0.0\n  w[r] = c[r] else 0\n}\n";
  test("an open argmax admits every index that rounding could choose, and no other", () => {
    const list = [0.5, 0.5 + 2 ** -24, 0.2, 0.5 - 2 ** -24, 0.4999];
    const machine = run(text, "cuda", { N: 5 }, { x: list });
    expect(machine.elementAt("at", 0).open).toBe(true);
    expect(machine.choicesAt("at", 0)).toEqual([0, 1, 3]);
  });
  test("a clear argmax is not open", () => {
    const machine = run(text, "cuda", { N: 4 }, { x: [0.1, 0.9, 0.3, 0.2] });
    expect(machine.elementAt("at", 0)).toMatchObject({ open: false, value: 1 });
    expect(machine.choicesAt("at", 0)).toBeUndefined();
  });
  test("topk: values lie between the ends of their rank", () => {
    const list = [0.5, 0.5 + 2 ** -24, 0.2, 0.9, 0.1];
    const machine = run(text, "cuda", { N: 5 }, { x: list });
    [0.9, 0.5 + 2 ** -24, 0.5].forEach((x, r) => {
      const e = machine.elementAt("v", r);
      expect(e.open).toBe(false);
      for (const d of [-1, 1]) expect(Math.abs(Math.exp(x) * (1 + d * 2.5 * 2 ** -23) - e.value)).toBeLessThanOrEqual(e.bound);
      expect(e.bound).toBeLessThan(1e-6);
    });
    expect(machine.elementAt("w", 0)).toMatchObject({ open: false, value: 3 });
    expect(machine.elementAt("w", 1).open).toBe(true);
  });
  test("any and all: one sure element decides, whatever the open ones are", () => {
    const many =
      "kernel f[N](x: f32[N], y: f32[N]) -> (some: i32, every: i32) {\n  some = if any(i) exp(x[i]) > y[i] then 1 else 0\n  every = if all(i) exp(x[i]) > y[i] then 1 else 0\n}\n";
    const open = [1, Math.E] as const;
    const at = (list: readonly (readonly [number, number])[]) => {
      const machine = run(many, "cuda", { N: list.length }, { x: list.map(([x]) => x), y: list.map(([, y]) => Math.fround(y)) });
      return ["some", "every"].map((n) => (machine.elementAt(n, 0).open ? "open" : machine.elementAt(n, 0).value));
    };
    expect(at([open, [1, 2]])).toEqual([1, "open"]);
    expect(at([open, [1, 3]])).toEqual(["open", 0]);
    expect(at([open])).toEqual(["open", "open"]);
    expect(at([[1, 2]])).toEqual([1, 1]);
  });
  test("an open condition between floats: the hull of both branches", () => {
    const choose = "kernel f[N](x: f32[N], y: f32[N]) -> (z: f32[N]) { z[i] = if exp(x[i]) > y[i] then 2.0 else 5.0 }\n";
    const e = run(choose, "cuda", { N: 1 }, { x: [1], y: [Math.fround(Math.E)] }).elementAt("z", 0);
    expect(e).toMatchObject({ open: false, bound: 3 });
  });
});

test("stochastic rounding: both neighbours where the bits lie within the error of the fraction", () => {
  const format = formats.bf16!;
  const text = "kernel f[N](x: f32[N], r: u32[N]) -> (y: bf16[N]) { y[i] = bf16(exp(x[i]), stochastic: r[i]) }\n";
  const checked = check(text);
  expect(checked.diagnostics.filter((d) => d.severity === "error")).toEqual([]);
  const x = values(300);
  const r = x.map((_, k) => (k * 2654435761) >>> 0);
  const machine = run(text, "wgsl", { N: 300 }, { x, r });
  x.forEach((v, k) => {
    const e = machine.elementAt("y", k);
    for (const d of [-1, 0, 1]) {
      const z = roundStochastic(format, Math.exp(v) * (1 + d * (3 + 2 * v) * 2 ** -23), r[k]!);
      expect(Math.abs(z - e.value)).toBeLessThanOrEqual(e.bound);
    }
  });
});
