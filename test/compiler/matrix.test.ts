/** Sums of products on the matrix unit: layouts of fragments, staging through shared memory, tails; on every level that has no GPU. */
import { describe, expect, test } from "vitest";
import { type Compiled, compile, Refusal } from "../../compiler/index.ts";
import type { Stmt } from "../../compiler/thread/ir.ts";
import { launchesOf, swizzleOf } from "../../compiler/tile/ir.ts";
import { check, profiles } from "../../dsl/index.ts";
import { type CallResult, type PreparedCall, prepare } from "../../runtime/call.ts";
import { agree, describe as text } from "../../verify/agree.ts";
import { planBounds, withPlan } from "../../verify/bounds/call.ts";
import { EmulatedBatch } from "../../verify/cuda-cpu/batch.ts";
import { compilerVersion } from "../../verify/cuda-cpu/build.ts";
import { EmulatedLibrary } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runThreads, runTiles, threadLevel, tileLevel } from "../../verify/levels.ts";
import { randomProduct } from "../../verify/random/products.ts";
import { Tape } from "../../verify/random/tape.ts";
import { interpreterFor, rememberProgram } from "../../verify/reference-device.ts";
import { scale, seed } from "../support/campaigns.ts";

const gxx = await compilerVersion();
const schedule = (body: string): string => `schedule f on cuda { ${body} }`;
const small = schedule("tile i: 32, j: 16, k: 16\n warps 2");

const causal = `kernel f[B, M, N, D: static](q: f16[B, M, D], k: f16[B, N, D], v: f16[B, N, D], x: f32) -> (o: f16[B, M, D], lse: f32[B, M]) where M <= N {
  let s[b, i, j] where j <= i + (N - M) = x * sum(d) q[b, i, d] * k[b, j, d]
  let p[b, i, j] = softmax(j) s[b, i, j]
  o[b, i, d] = sum(j) relax<f16>(p[b, i, j]) * v[b, j, d]
  lse[b, i] = logsumexp(j) s[b, i, j]
}
instance f { D: 16 }
`;
/** Name, program, sizes to run, and whether its operands go through shared memory; "by element" where no instruction reads them as they lie there. */
const programs: readonly [string, string, readonly Record<string, number>[], "staged" | "by element" | "half" | "direct"][] = [
  [
    "rows times columns, any sizes",
    `kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f32[M, N]) { c[i, j] = sum(k) a[i, k] * b[k, j] }\n${small}`,
    [
      { M: 1, N: 1, K: 1 },
      { M: 33, N: 17, K: 35 },
      { M: 32, N: 16, K: 0 },
    ],
    "direct",
  ],
  [
    "both contiguous along k",
    `kernel f[M, N, K](a: f16[M, K], b: f16[N, K]) -> (c: f32[M, N]) where K % 8 == 0 { c[i, j] = sum(k) a[i, k] * b[j, k] }\n${small}`,
    [
      { M: 33, N: 17, K: 40 },
      { M: 1, N: 40, K: 8 },
      { M: 5, N: 3, K: 0 },
      { M: 32, N: 16, K: 48 },
    ],
    "staged",
  ],
  [
    "neither contiguous along k, four slots",
    `kernel f[M, N, K](a: bf16[K, M], b: bf16[K, N]) -> (c: f32[M, N]) where M % 8 == 0, N % 8 == 0 { c[i, j] = sum(k) a[k, i] * b[k, j] }
${schedule("tile i: 16, j: 32, k: 32\n warps 1\n stage a, b in shared, buffers: 4\n mma c")}`,
    [
      { M: 24, N: 40, K: 70 },
      { M: 8, N: 8, K: 1 },
    ],
    "staged",
  ],
  [
    "batches, heads that share keys, a scale after the sum",
    `kernel f[B, G, M, N, D: static](q: f16[B, G * 2, M, D], k: f16[B, 2, N, D], x: f32) -> (s: f32[B, G * 2, M, N]) {
  s[b, h, i, j] = x * sum(d) q[b, h, i, d] * k[b, h / G, j, d]
}
instance f { D: 24 }
${schedule("tile i: 16, j: 16, d: 16\n warps 1\n stage q, k in shared, buffers: 2")}`,
    [{ B: 2, G: 2, M: 17, N: 20 }],
    "staged",
  ],
  [
    "a computed operand, beside a stored one",
    `kernel f[M, N, K](a: f32[M, K], w: i8[K, N], s: f16[N], r: f16[M, K]) -> (c: f16[M, N], d: f32[M, N]) where K % 8 == 0 {
  c[i, j] = sum(k) r[i, k] * relax<f16>(f32(w[k, j]) * s[j])
  d[i, j] = sum(k) relax<f16>(a[i, k]) * f16(f32(w[k, j]) * s[j])
}\n${schedule("tile i: 16, j: 8, k: 16\n warps 1")}`,
    [{ M: 18, N: 11, K: 24 }],
    "half",
  ],
  [
    "points that do not count, on either side",
    `kernel f[M, N, K](a: f16[M, K], b: f16[K, N], n: index<K + 1>[M], x: f32[N]) -> (c: f32[M, N]) {
  let p[i, k] where k < n[i] = a[i, k]
  c[i, j] = sum(k where k >= j) p[i, k] * b[k, j] + x[j]
}\n${small}`,
    [
      { M: 20, N: 9, K: 37 },
      { M: 3, N: 2, K: 4 },
    ],
    "direct",
  ],
  [
    "two indices summed, the inner one in shared memory",
    `kernel f[M, N, K, H](a: f16[H, M, K], b: f16[H, K, N]) -> (c: f32[M, N]) where K % 8 == 0, N % 8 == 0 {
  c[i, j] = sum(h, k) a[h, i, k] * b[h, k, j]
}\n${small}`,
    [
      { M: 18, N: 24, K: 40, H: 3 },
      { M: 2, N: 8, K: 8, H: 0 },
    ],
    "staged",
  ],
  [
    "bytes, contiguous along k",
    `kernel f[M, N, K](a: i8[M, K], b: i8[N, K], s: f32[N]) -> (c: f32[M, N]) where K % 16 == 0 {
  let total[i, j] = sum(k) a[i, k] * b[j, k]
  c[i, j] = f32(total[i, j]) * s[j]
}\n${schedule("tile i: 32, j: 32, k: 32\n warps 2")}`,
    [
      { M: 33, N: 17, K: 48 },
      { M: 1, N: 40, K: 16 },
      { M: 5, N: 3, K: 0 },
      { M: 32, N: 16, K: 208 },
    ],
    "staged",
  ],
  [
    "bytes, one factor along its columns",
    `kernel f[M, N, K](a: i8[M, K], b: i8[K, N]) -> (c: i32[M, N]) where K % 16 == 0, N % 16 == 0 { c[i, j] = sum(k) a[i, k] * b[k, j] }
${schedule("tile i: 16, j: 32, k: 64\n warps 1\n stage a, b in shared, buffers: 2\n mma c")}`,
    [
      { M: 18, N: 48, K: 80 },
      { M: 1, N: 16, K: 16 },
    ],
    "staged",
  ],
  [
    "bytes in rows of any length, points that do not count, integers that wrap",
    `kernel f[M, N, K](a: i8[M, K], b: i8[K, N], z: i32[N]) -> (c: i32[M, N]) {
  c[i, j] = z[j] - 65536 * (sum(k where k <= i) a[i, k] * b[k, j])
}\n${schedule("tile i: 16, j: 16, k: 32\n warps 2")}`,
    [
      { M: 18, N: 11, K: 37 },
      { M: 2, N: 3, K: 1 },
    ],
    "direct",
  ],
  [
    "fields of four bits times bytes",
    `kernel f[M, N, K](a: i8[M, K], w: u4[K, N], v: i4[N, K]) -> (c: i32[M, N], d: i32[M, N]) where K % 16 == 0, N % 8 == 0 {
  c[i, j] = sum(k) a[i, k] * w[k, j]
  d[i, j] = sum(k) v[j, k] * a[i, k]
}\n${schedule("tile i: 16, j: 32, k: 32\n warps 1")}`,
    [
      { M: 18, N: 40, K: 48 },
      { M: 2, N: 8, K: 16 },
    ],
    "half",
  ],
  [
    "floats of 8 bits, contiguous along k",
    `kernel f[M, N, K](a: f8e4m3[M, K], b: f8e4m3[N, K], s: f32[N]) -> (c: f32[M, N]) where K % 16 == 0 {
  let total[i, j] = sum(k) a[i, k] * b[j, k]
  c[i, j] = total[i, j] * s[j]
}\n${schedule("tile i: 32, j: 32, k: 32\n warps 2")}`,
    [
      { M: 33, N: 17, K: 48 },
      { M: 1, N: 40, K: 16 },
      { M: 5, N: 3, K: 0 },
      { M: 32, N: 16, K: 208 },
    ],
    "staged",
  ],
  [
    "floats of 8 bits, one factor along its columns",
    `kernel f[M, N, K](a: f8e5m2[M, K], b: f8e5m2[K, N]) -> (c: f8e5m2[M, N]) where K % 16 == 0, N % 16 == 0 { c[i, j] = sum(k) a[i, k] * b[k, j] }
${schedule("tile i: 16, j: 32, k: 64\n warps 1\n stage a, b in shared, buffers: 2\n mma c")}`,
    [
      { M: 18, N: 48, K: 80 },
      { M: 1, N: 16, K: 16 },
    ],
    "staged",
  ],
  [
    "floats of 8 bits with halves, and of two types",
    `kernel f[M, N, K](a: f8e5m2[M, K], b: f8e4m3[N, K], h: f16[N, K]) -> (c: f32[M, N], d: f32[M, N]) where K % 16 == 0 {
  c[i, j] = sum(k) h[j, k] * a[i, k]
  d[i, j] = sum(k) a[i, k] * b[j, k]
}\n${schedule("tile i: 16, j: 16, k: 32\n warps 1")}`,
    [
      { M: 18, N: 11, K: 48 },
      { M: 2, N: 3, K: 16 },
    ],
    "staged",
  ],
  [
    "floats of 8 bits that are made on the way, points that do not count",
    `kernel f[M, N, K](a: f8e5m2[M, K], x: f32[N, K]) -> (c: f32[M, N]) where K % 16 == 0 {
  c[i, j] = sum(k where k >= j) a[i, k] * f8e5m2(3.0 * x[j, k])
}\n${schedule("tile i: 16, j: 16, k: 32\n warps 1")}`,
    [
      { M: 18, N: 11, K: 48 },
      { M: 2, N: 3, K: 16 },
    ],
    "half",
  ],
  [
    "attention over keys and values in 8 bits",
    `kernel f[B, M, N, D: static](q: f16[B, M, D], k: f8e4m3[B, N, D], v: f8e5m2[B, N, D]) -> (o: f16[B, M, D]) where M <= N {
  let s[b, i, j] where j <= i + (N - M) = 0.25 * sum(d) q[b, i, d] * k[b, j, d]
  let p[b, i, j] = softmax(j) s[b, i, j]
  o[b, i, d] = sum(j) relax<f16>(p[b, i, j]) * v[b, j, d]
}
instance f { D: 16 }
${schedule("stream j; tile i: 32, j: 16; warps 2")}`,
    [
      { B: 2, M: 33, N: 50 },
      { B: 1, M: 1, N: 1 },
    ],
    "staged",
  ],
  [
    "attention in 8 bits throughout",
    `kernel f[B, M, N, D: static](q: f8e4m3[B, M, D], k: f8e4m3[B, N, D], v: f8e4m3[B, N, D]) -> (o: f16[B, M, D]) {
  let p[b, i, j] = softmax(j) 0.25 * sum(d) q[b, i, d] * k[b, j, d]
  o[b, i, d] = sum(j) relax<bf16>(p[b, i, j]) * v[b, j, d]
}
instance f { D: 32 }
${schedule("stream j; tile i: 16, j: 32; warps 1")}`,
    [{ B: 2, M: 19, N: 50 }],
    "by element",
  ],
  [
    "causal attention in one pass, and the log-sum-exp of each row",
    `${causal}${schedule("stream j; tile i: 32, j: 16; warps 2")}`,
    [
      { B: 2, M: 33, N: 50 },
      { B: 1, M: 1, N: 1 },
      { B: 1, M: 16, N: 16 },
    ],
    "staged",
  ],
  [
    "causal attention in chunks of keys, and their combine",
    `${causal}${schedule("stream j; split j: 3; tile i: 32, j: 16; warps 2")}`,
    [
      { B: 2, M: 5, N: 90 },
      { B: 1, M: 1, N: 1 },
      { B: 1, M: 20, N: 130 },
    ],
    "staged",
  ],
  [
    "a window, heads that share keys, a bias of the scores",
    `kernel f[G, M, N, W, D: static](q: bf16[G * 2, M, D], k: bf16[2, N, D], v: bf16[2, N, D], z: f32[M, N]) -> (o: f32[G * 2, M, D]) where M <= N, W >= 1 {
  let s[h, i, j] where j <= i && j + W > i = 0.5 * (sum(d) q[h, i, d] * k[h / G, j, d]) - z[i, j]
  let p[h, i, j] = softmax(j) s[h, i, j]
  o[h, i, d] = (sum(j) relax<bf16>(p[h, i, j]) * v[h / G, j, d]) else 0.0
}
instance f { D: 32 }
${schedule("stream j; tile i: 16, j: 32; warps 1")}`,
    [
      { G: 2, M: 37, N: 40, W: 5 },
      { G: 1, M: 3, N: 70, W: 100 },
    ],
    "staged",
  ],
  [
    "rows of keys that end where data say, and rows without any",
    `kernel f[B, M, N, D: static](q: f16[B, M, D], k: f16[B, N, D], v: f16[B, N, D], n: index<N + 1>[B]) -> (o: f32[B, M, D]) {
  let s[b, i, j] where j < n[b] = sum(d) q[b, i, d] * k[b, j, d]
  let p[b, i, j] = softmax(j) s[b, i, j]
  o[b, i, d] = (sum(j) relax<f16>(p[b, i, j]) * v[b, j, d]) else -1.0
}
instance f { D: 16 }
${schedule("stream j; tile i: 16, j: 16; warps 1")}`,
    [
      { B: 3, M: 5, N: 33 },
      { B: 2, M: 17, N: 1 },
    ],
    "staged",
  ],
];

interface Made {
  readonly compiled: Compiled;
  readonly calls: readonly (() => PreparedCall)[];
}
function made(source: string, dims: readonly Record<string, number>[], exact: boolean): Made {
  const checked = check(source);
  expect(checked.diagnostics.filter((d) => d.severity === "error")).toEqual([]);
  const instance = checked.instances[0]!;
  const compiled = compile(instance, source, { target: "cuda", exact, schedule: checked.schedules[0] });
  rememberProgram(compiled.artifact, instance.program);
  const calls = dims.map((d, k) => {
    const data = generate(compiled.artifact, seeded(k + 1), { dims: d, style: exact ? "bits" : "plain", most: 100_000 });
    return () => prepare(compiled.artifact, structuredClone(data!.args), { dims: data!.dims, checkData: true });
  });
  return { compiled, calls };
}
const statements = (list: readonly Stmt[]): Stmt[] =>
  list.flatMap((s) => [s, ...(s.kind === "for" ? statements(s.body) : s.kind === "if" ? statements(s.then) : [])]);
/** @returns how many elements were compared */
function agrees(fresh: () => PreparedCall, result: CallResult, m: Compiled, planned: boolean, title = ""): number {
  const call = fresh();
  const machine = interpreterFor(call, "cuda");
  const a = agree(call, result, machine);
  expect(a.disagreements.map(text), title).toEqual([]);
  if (!planned) return a.compared;
  const own = agree(call, result, withPlan(machine, planBounds(m, fresh(), profiles.cuda!)));
  expect(own.disagreements.map(text), title).toEqual([]);
  expect(own.void, title).toBeLessThanOrEqual(a.void);
  return a.compared;
}

describe.each(programs)("%s", (_, source, dims, staging) => {
  test("is done by matrix instructions, and staged where it can be", () => {
    const { compiled } = made(source, dims, false);
    const kinds = compiled.kernels.map((k) => new Set(statements(k.body).map((s) => s.kind)));
    // What combines the states of chunks multiplies nothing.
    const combining = source.includes("split") ? kinds.length - 1 : 0;
    expect(kinds.filter((k) => k.has("mma")).length).toBe(kinds.length - combining);
    const rings = launchesOf(compiled.tiles.steps)
      .slice(0, kinds.length - combining)
      .map((l) => l.rings.length);
    if (staging === "staged" || staging === "by element") expect(Math.min(...rings)).toBeGreaterThanOrEqual(2);
    else if (staging === "half") expect(Math.max(...rings)).toBe(1);
    else expect(Math.max(...rings)).toBe(0);
    if (staging !== "half") expect(kinds[0]!.has("fragment")).toBe(staging === "staged");
  });
  test.each([true, false])("agrees on tiles and threads; exact: %s", (exact) => {
    const { compiled, calls } = made(source, dims, exact);
    for (const call of calls) {
      agrees(call, runTiles(compiled, call()), compiled, false);
      const { result, faults } = runThreads(compiled, call());
      expect(faults.map((f) => f.text)).toEqual([]);
      agrees(call, result, compiled, !exact);
    }
  });
  test.skipIf(gxx === undefined)(
    "agrees as emitted CUDA, in every order, layout of shared memory and model of the unit",
    async () => {
      for (const exact of [true, false]) {
        const { compiled, calls } = made(source, dims, exact);
        const library = await EmulatedLibrary.build([compiled.artifact]);
        for (const [k, call] of calls.entries())
          for (const model of exact ? (["exact"] as const) : (["exact", "serial", "hopper", "ampere"] as const)) {
            library.setMatrixModel(model);
            const { result, faults } = library.run(0, call(), k);
            expect(faults).toEqual([]);
            agrees(call, result, compiled, !exact);
          }
      }
    },
    120_000,
  );
});

test("random products agree with the reference over the exact algebra, and within the bounds", async () => {
  const cases = Math.max(8, Math.round(80 * scale));
  const found: { text: string; made: Made; exact: boolean }[] = [];
  const tally = { matrix: 0, staged: 0, plain: 0 };
  for (let k = 0; found.length < 2 * cases; k++) {
    const source = randomProduct(new Tape([], seeded(seed * 104_729 + k)));
    const sizes = [1, 3, 8, 16, 17, 24, 33, 40];
    const random = seeded(k);
    const pick = (): number => sizes[Math.floor(random() * sizes.length)]!;
    // K, M and N are multiples of 8 or 16 in half of the runs: those that ask for it get it.
    const unit = source.includes("% 16 ==") ? 16 : 8;
    const whole = (): number => unit * Math.floor(random() * (48 / unit));
    const dims = [0, 1].map((n) => ({ M: n ? pick() : whole(), N: n ? pick() : whole(), K: n ? pick() : whole(), B: 2, H: 2 }));
    for (const exact of [true, false]) {
      const one = made(
        source,
        dims.filter((d) => !source.includes(`% ${unit} ==`) || [d.M, d.N, d.K].every((n) => n % unit === 0)),
        exact,
      );
      found.push({ text: source, made: one, exact });
      const [kernel] = one.compiled.kernels;
      const kinds = new Set(statements(kernel!.body).map((s) => s.kind));
      tally[kinds.has("fragment") || kinds.has("copy") ? "staged" : kinds.has("mma") ? "matrix" : "plain"]++;
    }
  }
  const batch = new EmulatedBatch();
  if (gxx) await batch.load(found.map((f) => f.made.compiled.artifact));
  let compared = 0;
  for (const f of found)
    for (const call of f.made.calls) {
      for (const level of [tileLevel("cuda"), threadLevel("cuda"), ...(gxx ? [{ ...batch.level, plan: profiles.cuda }] : [])]) {
        const { result, faults } = await level.run(f.made.compiled, call());
        expect(faults, `${level.name}\n${f.text}`).toEqual([]);
        compared += agrees(call, result, f.made.compiled, level.plan !== undefined && !f.exact, `${level.name}\n${f.text}`);
      }
    }
  console.log(`random products: seed ${seed}, ${JSON.stringify(tally)}, ${compared} elements compared${gxx ? "" : ", not as CUDA"}`);
  expect(tally.staged).toBeGreaterThan(0);
  expect(tally.matrix).toBeGreaterThan(0);
}, 600_000);

test("a tile that cuts the columns leaves each output its own launch", () => {
  const cut = programs.find(([name]) => name.startsWith("causal attention"))![1].replace("stream j;", "stream j; tile d: 8;");
  const { compiled, calls } = made(cut, [{ B: 1, M: 9, N: 12 }], true);
  expect(compiled.kernels.length).toBe(2);
  const { result, faults } = runThreads(compiled, calls[0]!());
  expect(faults.map((f) => f.text)).toEqual([]);
  agrees(calls[0]!, result, compiled, false);
  const together = made(programs.find(([name]) => name.startsWith("causal attention"))![1], [], true).compiled;
  expect(together.kernels.length).toBe(1);
});

test("scores of bytes are streamed without the unit, whose sums of them are no scores", () => {
  const source = `kernel f[M, N, D: static](q: i8[M, D], k: i8[N, D], v: f16[N, D], c: f32) -> (o: f32[M, D]) where N >= 1 {
  let p[i, j] = softmax(j) c * f32(sum(d) q[i, d] * k[j, d])
  o[i, e] = sum(j) relax<f16>(p[i, j]) * v[j, e]
}
instance f { D: 32 }
${schedule("stream j; tile i: 16, j: 32; warps 1")}`;
  for (const exact of [true, false]) {
    const { compiled, calls } = made(source, [{ M: 18, N: 35 }], exact);
    expect(compiled.kernels.flatMap((k) => statements(k.body)).some((s) => s.kind === "mma")).toBe(false);
    const { result, faults } = runThreads(compiled, calls[0]!());
    expect(faults.map((f) => f.text)).toEqual([]);
    expect(agrees(calls[0]!, result, compiled, false)).toBe(18 * 32);
  }
});

test("a score that several fields of a state need is one product", () => {
  const [, text] = programs.find(([name]) => name.startsWith("causal attention in one pass"))!;
  const { compiled } = made(text, [], true);
  const products = compiled.kernels.flatMap((k) => statements(k.body).filter((s) => s.kind === "mma"));
  // Of a warp with 16 rows and 16 keys: two pieces of 8 keys by 16 of d, and two of 8 columns by 16 keys; in whole tiles, and in others.
  expect(products.length).toBe(2 * 4);
});

describe("what a schedule asks for by name and does not get", () => {
  const compiled = (source: string): Compiled => {
    const checked = check(source);
    return compile(checked.instances[0]!, source, { target: "cuda", schedule: checked.schedules[0] });
  };
  const floats = "kernel f[M, N, K](a: f32[M, K], b: f32[K, N]) -> (c: f32[M, N]) { c[i, j] = sum(k) a[i, k] * b[k, j] }\n";
  const halves = floats.replaceAll("f32[M, K]", "f16[M, K]").replaceAll("f32[K, N]", "f16[K, N]");
  test.each([
    ["mma of f32", floats, "mma c"],
    [
      "mma of bytes as floats",
      floats.replaceAll(": f32[", ": i8[").replace("-> (c: i8[", "-> (c: f32[").replace("a[i, k] * b[k, j]", "f32(a[i, k]) * f32(b[k, j])"),
      "mma c",
    ],
    ["mma in a tile that is too small", halves, "mma c\n tile i: 8, j: 8"],
    ["stage of rows whose length is any", halves, "stage a"],
  ])("%s is refused", (_, source, directives) => {
    expect(() => compiled(source + schedule(directives))).toThrow(Refusal);
  });
  test("a condition on the sizes lets it", () => {
    expect(() => compiled(halves.replace(" {", " where K % 8 == 0 {") + schedule("stage a\n mma c"))).not.toThrow();
  });
});

describe("shared memory", () => {
  // 32 banks of 4 bytes; a phase is 8 lanes of 16 bytes.
  test.each([1, 2, 4, 8, 16])("rows of %i pieces have no bank conflict, copied or read as matrices", (pieces) => {
    const ring = { width: 8, fast: { extent: 8 * pieces } } as Parameters<typeof swizzleOf>[0];
    const { every, pieces: turned } = swizzleOf(ring);
    const at = (row: number, piece: number): number => row * pieces + (piece ^ (Math.floor(row / every) % turned));
    const banks = (places: readonly number[]): number => new Set(places.map((p) => p % 8)).size;
    for (let row = 0; row < 32; row += 8)
      for (let piece = 0; piece < pieces; piece++) expect(banks(Array.from({ length: 8 }, (_, r) => at(row + r, piece)))).toBe(8);
    for (let first = 0; first < 32 * pieces; first += 8)
      expect(banks(Array.from({ length: 8 }, (_, l) => at(Math.floor((first + l) / pieces), (first + l) % pieces)))).toBe(8);
  });
});
