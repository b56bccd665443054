/** How the steps of a streamed product are put together: what stands first, what is left out, and what a row without elements is. */
import { describe, expect, test } from "vitest";
import { targets } from "../../compiler/index.ts";
import { lowerLaunch } from "../../compiler/thread/lower.ts";
import { verifyKernel } from "../../compiler/thread/verify.ts";
import type { Launch, Op, Value } from "../../compiler/tile/ir.ts";
import { type PreparedCall, prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { tensorOf } from "../../verify/convert.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { threadLevel } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { gxx } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const attention = (D: number, domain: string): string => `
kernel f[M, N, D: static](q: f16[M, D], k: f16[N, D], v: f16[N, D], t: f32) -> (o: f16[M, D]) where t >= 0 {
  let s[i, j]${domain} = t * sum(d) q[i, d] * k[j, d]
  let p[i, j] = softmax(j) s[i, j]
  o[i, d] = sum(j) relax<f16>(p[i, j]) * v[j, d]
}
instance f { D: ${D} }
schedule f on cuda { stream j }
`;
const source = (text: string): string => compiled(text, "cuda").artifact.source;
/** The first loop over keys. */
const loopOf = (text: string): string =>
  source(text)
    .split(/^ {2}for \(int j/m)[1]!
    .split(/^ {2}}/m)[0]!;

const compiler = await gxx();

describe("what a step of a stream multiplies before it adds", () => {
  test("is left as it is where no factor of the warp differs from 1, if there are many products of a factor", () => {
    expect(source(attention(128, ""))).toContain("if (__any_sync(0xffffffffu, ");
    expect(source(attention(64, ""))).not.toContain("__any_sync");
  });
  test.each([
    ["one row", (i: number) => i === 9],
    ["another row", (i: number) => i === 30],
    ["a row of each lane's", (i: number) => i >= 8 && i < 16],
    ["all rows", () => true],
    ["no row", () => false],
  ])("is the same on threads and as emitted, where the maximum rises in %s", async (_, rises) => {
    const made = compiled(attention(128, ""), "cuda");
    const [M, N, D] = [32, 70, 128];
    const random = seeded(4);
    // Row i has score 4 at the first key, and 8 at a key of the second step where its maximum rises.
    const q = Array.from({ length: M * D }, (_, e) => (e % D === Math.floor(e / D) ? 1 : 0));
    const k = Array.from({ length: N * D }, (_, e) => {
      const [j, d] = [Math.floor(e / D), e % D];
      return j === 0 ? 4 : j === 66 && rises(d) ? 8 : 0;
    });
    const v = Array.from({ length: N * D }, () => 2 * random() - 1);
    const args = { q: tensorOf("f16", [M, D], q), k: tensorOf("f16", [N, D], k), v: tensorOf("f16", [N, D], v), t: 1 };
    const emulated = new CpuCudaDevice();
    for (const run of [
      (c: PreparedCall) => threadLevel("cuda").run(made, c),
      ...(compiler ? [(c: PreparedCall) => emulated.watch(c)] : []),
    ]) {
      const call = prepare(made.artifact, structuredClone(args));
      const machine = interpreterFor(call, "cuda");
      const { result, faults } = await run(call);
      expect(faults).toEqual([]);
      expect(agree(call, result, machine).disagreements.map(words)).toEqual([]);
    }
  });
});
describe("the order of a step", () => {
  test("reads fragments before it copies, where the step goes on after its product", () => {
    const step = loopOf(attention(64, ""));
    expect(step.indexOf("weft_ldmatrix")).toBeLessThan(step.indexOf("weft_copy_async_16"));
    expect(step.indexOf("__syncthreads")).toBeLessThan(step.indexOf("weft_ldmatrix"));
    const dense = `kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f16[M, N]) where K % 8 == 0, N % 8 == 0 { c[i, j] = sum(j_1) a[i, j_1] * b[j_1, j] }\n`;
    const product = loopOf(dense);
    expect(product.indexOf("weft_copy_async_16")).toBeLessThan(product.indexOf("weft_ldmatrix"));
  });
  test("has neighbours in the matrix unit share an operand", () => {
    const calls = [...loopOf(attention(64, "")).matchAll(/weft_mma_f16\(\S+, \S+, \S+, \S+, (\S+), \S+, \S+, \S+, (\S+), \S+\)/g)];
    expect(calls.length).toBeGreaterThan(64);
    const alone = calls.slice(1).filter(([, a, b], k) => a !== calls[k]![1] && b !== calls[k]![2]);
    // Between the steps of a sum, and between the two products.
    expect(alone.length).toBeLessThan(calls.length / 8);
  });
});
describe("whether a row has an element at all", () => {
  test.each([
    ["causal", " where j <= i + N - M"],
    ["a window", " where j <= i && j + 3 > i"],
    ["rows that have none", " where j <= i && i < 5"],
  ])("bounds tell: %s", { timeout: 120_000 }, async (_, domain) => {
    const text = attention(16, domain);
    expect(source(text)).not.toMatch(/bool acc/);
    expect(await agreesOnLevels(text, 3, 5, ["cuda"], [1, 2, 7, 40, 70])).toBeGreaterThan(200);
  });
  test("elements tell where bounds do not", { timeout: 120_000 }, async () => {
    const text = attention(16, " where (i + j) % 3 == 0");
    expect(source(text)).toMatch(/bool acc/);
    expect(await agreesOnLevels(text, 3, 5, ["cuda"], [1, 2, 7, 40, 70])).toBeGreaterThan(200);
  });
});
test("places are made again after a loop that needs the registers", () => {
  expect(source(attention(64, ""))).toContain("weft_again(");
  expect(source(attention(16, "").replace("{ stream j }", "{ stream j; tile i: 16; warps 1 }"))).not.toContain("weft_again(");
});
test("places of a loop that carries as much as there are registers are not those of a loop around it", () => {
  const { tiles } = compiled(attention(128, ""), "cuda");
  const { launch } = tiles.steps.find((s) => s.kind === "launch")!;
  const at = launch.body.findIndex((o) => o.kind === "loop" && o.carried.length > 0);
  const [from, to, index] = [0, 1, 2].map((k) => launch.tiles.length + k) as [Value, Value, Value];
  const around: Op = { kind: "loop", index, from, to, step: 1, carried: [], body: launch.body.slice(at) };
  const whole = { axes: [], elem: "i32" } as const;
  const nested: Launch = {
    ...launch,
    tiles: [...launch.tiles, whole, whole, { ...whole, name: "again" }],
    body: [
      ...launch.body.slice(0, at),
      { kind: "const", out: from, value: 0 },
      { kind: "dim", out: to, name: launch.body.flatMap((o) => (o.kind === "dim" ? [o.name] : []))[0]! },
      around,
    ],
  };
  const kernel = lowerLaunch(nested, targets.cuda);
  expect(() => verifyKernel(kernel, targets.cuda)).not.toThrow();
  const inner = kernel.body.flatMap((s) => (s.kind === "for" ? s.body : [])).find((s) => s.kind === "for")!;
  expect(JSON.stringify(inner)).toContain('"op":"again"');
});
test("sizes that have to be a multiple are drawn from its first ones", () => {
  const { artifact } = compiled("kernel f[N, K](x: f32[N, K]) -> (y: f32[N]) where N % 48 == 0 { y[i] = sum(k) x[i, k] }\n", "cuda");
  const drawn = [...Array(40).keys()].map((k) => generate(artifact, seeded(k), { sizes: [1, 2, 3], filled: true })!.dims);
  expect(new Set(drawn.map((d) => d["N"]))).toEqual(new Set([48, 96, 144]));
  expect(new Set(drawn.map((d) => d["K"]))).toEqual(new Set([1, 2, 3]));
});
