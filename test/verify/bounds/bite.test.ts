/** The derived bounds bite: small faults in a product leave them, and a right evaluation does not. Two statistical tests see what hides in every single output. */
import { Float16Array } from "@petamoriken/float16";
import { describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../../compiler/index.ts";
import { check, profiles } from "../../../dsl/index.ts";
import { type PreparedCall, prepare, tensor } from "../../../runtime/index.ts";
import { agree } from "../../../verify/agree.ts";
import { planBounds, withPlan } from "../../../verify/bounds/call.ts";
import { gainTest, rootTest } from "../../../verify/bounds/statistics.ts";
import { seeded } from "../../../verify/generate.ts";
import { runThreads } from "../../../verify/levels.ts";
import { interpreterFor } from "../../../verify/reference-device.ts";

const [M, N] = [24, 24];
const product = (elem: "f32" | "f16"): string =>
  `kernel product[M, N, K](a: f16[M, K], b: f16[K, N], s: f32) -> (y: ${elem}[M, N]) { y[i, j] = s * sum(k) a[i, k] * b[k, j] }\n`;
const s = 0.75;
const half = new Float16Array(1);
const f16 = (x: number): number => {
  half[0] = x;
  return half[0]!;
};
const bits = (x: Float16Array): Uint16Array<ArrayBuffer> => new Uint16Array(x.buffer as ArrayBuffer, x.byteOffset, x.length);

/** A product of K terms with data of random signs, ready to be held against what a kernel may have made of it. */
class Product {
  readonly compiled: Compiled;
  readonly call: PreparedCall;
  private readonly a: Float16Array;
  private readonly b: Float16Array;
  readonly K: number;
  private readonly elem: "f32" | "f16";
  private spread: ReturnType<typeof planBounds> | undefined;
  constructor(K: number, target: "cuda" | "wgsl", elem: "f32" | "f16" = "f32") {
    this.K = K;
    this.elem = elem;
    const random = seeded(12);
    const halves = (n: number): Float16Array => Float16Array.from({ length: n }, () => random() * 2 - 1);
    [this.a, this.b] = [halves(M * K), halves(K * N)];
    const text = product(elem);
    this.compiled = compile(check(text).instances[0]!, text, { target });
    this.call = prepare(this.compiled.artifact, { a: tensor("f16", [M, K], bits(this.a)), b: tensor("f16", [K, N], bits(this.b)), s });
  }
  terms(i: number, j: number): number[] {
    return Array.from({ length: this.K }, (_, k) => this.a[i * this.K + k]! * this.b[k * N + j]!);
  }
  /** Share of the outputs that lie outside a bound. */
  outside(oracle: Parameters<typeof agree>[2], element: (t: readonly number[]) => number): number {
    const y = Float32Array.from({ length: M * N }, (_, at) => element(this.terms(Math.floor(at / N), at % N)));
    const out = this.elem === "f32" ? tensor("f32", [M, N], y) : tensor("f16", [M, N], bits(Float16Array.from(y)));
    const report = agree(this.call, { outputs: { y: out }, timeMs: 0 }, oracle);
    expect(report.compared).toBe(M * N);
    return report.disagreements.length / report.compared;
  }
  /** Errors and spreads of the plan's outputs, where `element` is what the kernel made. */
  deviations(profile: string, element: (t: readonly number[]) => number): { error: number; spread: number; value: number }[] {
    this.spread ??= planBounds(this.compiled, this.call, profiles[profile]!, "spread");
    const plan = this.spread;
    const machine = interpreterFor(this.call, "ideal");
    return Array.from({ length: M * N }, (_, at) => {
      const { value } = machine.elementAt("y", at);
      return { error: element(this.terms(Math.floor(at / N), at % N)) - value, spread: plan.elementAt("y", at).bound, value };
    });
  }
}
const add = (x: number, y: number): number => Math.fround(x + y);
const f32 = (list: readonly number[]): number => list.map(Math.fround).reduce(add, 0);
const tree = (list: readonly number[]): number =>
  list.length === 1 ? Math.fround(list[0]!) : add(tree(list.slice(0, list.length >> 1)), tree(list.slice(list.length >> 1)));
const bf16 = (x: number): number => {
  const v = new Uint32Array(new Float32Array([x]).buffer);
  v[0] = (v[0]! + 0x7fff + ((v[0]! >> 16) & 1)) & 0xffff0000;
  return new Float32Array(v.buffer)[0]!;
};
type Evaluation = (t: readonly number[]) => number;
const right = (t: readonly number[]): number => Math.fround(s * f32(t));
const dropped: Evaluation = (t) => Math.fround(s * f32(t.slice(1)));
const narrowSum: Evaluation = (t) => Math.fround(s * t.reduce((x, y) => f16(x + y), 0));
const scaleOff: Evaluation = (t) => Math.fround(s * (1 + 2 ** -10) * f32(t));
const partials: Evaluation = (t) =>
  Math.fround(s * [0, 1, 2, 3].reduce((x, q) => x + bf16(f32(t.slice((q * t.length) / 4, ((q + 1) * t.length) / 4))), 0));

describe.each(["cuda", "wgsl"] as const)("promise, %s", (target) => {
  const p = new Product(64, target);
  const oracle = interpreterFor(p.call, target);
  test.each<[string, Evaluation]>([
    ["in order", right],
    ["backwards", (t) => right([...t].reverse())],
    ["as a tree", (t) => Math.fround(s * tree(t))],
    ["the scale inside", (t) => f32(t.map((x) => x * s))],
  ])("inside: %s", (_, element) => expect(p.outside(oracle, element)).toBe(0));
  test.each<[string, number, Evaluation]>([
    ["one product dropped", 0.95, dropped],
    ["an f16 accumulator", 0.9, narrowSum],
    ["a scale one f16 ulp off", 0.9, scaleOff],
    ["bf16 partial sums", 0.9, partials],
  ])("outside: %s, in more than %d of the outputs", (_, share, element) => expect(p.outside(oracle, element)).toBeGreaterThan(share));
});

describe.each([
  ["cuda", "cuda"],
  ["wgsl", "wgsl rne"],
] as const)("plan, %s", (target, profile) => {
  const p = new Product(1024, target);
  const promise = interpreterFor(p.call, target);
  const plan = planBounds(p.compiled, p.call, profiles[profile]!);
  const oracle = withPlan(promise, plan);
  test("the schedule itself is inside", () => {
    const { result, faults } = runThreads(p.compiled, p.call);
    expect(faults).toEqual([]);
    const report = agree(p.call, result, oracle);
    expect(report.compared).toBe(M * N);
    expect(report.disagreements).toEqual([]);
  });
  test("it is several times tighter than the promise, and the depth bound lies between", () => {
    const depth = interpreterFor(p.call, { ...profiles[profile]!, depth: plan.depth });
    expect(plan.depth).toBeGreaterThan(1);
    for (let at = 0; at < M * N; at += 37) {
      const [own, deep, any] = [plan, depth, promise].map((o) => o.elementAt("y", at).bound) as [number, number, number];
      expect(own).toBeLessThan(any / 4);
      expect(own).toBeLessThan(deep);
      expect(deep).toBeLessThanOrEqual(any);
    }
  });
  test.each<[string, number, Evaluation]>([
    ["one product dropped", 0.95, dropped],
    ["an f16 accumulator", 0.95, narrowSum],
    ["a scale one f16 ulp off", 0.9, scaleOff],
    ["bf16 partial sums", 0.9, partials],
  ])("outside at K = 1024: %s, in more than %d of the outputs", (_, share, element) => {
    expect(p.outside(oracle, element)).toBeGreaterThan(share);
  });
});

describe("statistical tests, f16 outputs of 1024 terms", () => {
  const p = new Product(1024, "cuda", "f16");
  const stored =
    (f: Evaluation): Evaluation =>
    (t) =>
      f16(f(t));
  const columns = <T>(list: readonly T[]): T[][] => Array.from({ length: N }, (_, j) => list.filter((_, at) => at % N === j));
  const verdicts = (f: Evaluation) => {
    const all = p.deviations("cuda", stored(f));
    return { root: rootTest(all).ratio, gain: gainTest(columns(all)).ratio, whole: gainTest([all]).ratio };
  };
  test("a right kernel passes both", () => {
    const v = verdicts(right);
    expect(v.root).toBeLessThan(1);
    expect(v.gain).toBeLessThan(1);
    expect(v.whole).toBeLessThan(1);
    // Neither is vacuous.
    expect(v.root).toBeGreaterThan(0.02);
  });
  test("the plan bound misses outputs with a scale 2^-11 off behind an f16 rounding; the gain test sees it", () => {
    const off: Evaluation = (t) => Math.fround(s * (1 + 2 ** -11) * f32(t));
    const oracle = withPlan(interpreterFor(p.call, "cuda"), planBounds(p.compiled, p.call, profiles["cuda"]!));
    expect(p.outside(oracle, off)).toBeLessThan(0.95);
    expect(verdicts(off).whole).toBeGreaterThan(1);
  });
  test("dropped products fail the root test", () => expect(verdicts(dropped).root).toBeGreaterThan(1));
  test("bf16 partial sums fail the root test", () => expect(verdicts(partials).root).toBeGreaterThan(1));
});
