/** Sums of products on the matrix unit: layouts of fragments, staging through shared memory, tails; on every level that has no GPU. */
import { describe, expect, test } from "vitest";
import { type Compiled, compile, Refusal } from "../../compiler/index.ts";
import { launchesOf, swizzleOf } from "../../compiler/tile/ir.ts";
import { check, profiles } from "../../dsl/index.ts";
import { isEightBits } from "../../dsl/tensor/matrix.ts";
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
import { statements } from "../support/levels.ts";
import { programs, schedule } from "./matrix-programs.ts";

const gxx = await compilerVersion();
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
    // Floats of 8 bits are multiplied as they are where the text and the chip allow it, and nowhere else.
    const forms = new Set(compiled.kernels.flatMap((k) => statements(k.body).flatMap((s) => (s.kind === "mma" ? [s.form] : []))));
    expect([...forms].some(isEightBits)).toBe(source.includes("with f8"));
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
  const tally = { matrix: 0, staged: 0, plain: 0, eights: 0 };
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
      if (one.compiled.artifact.source.includes("weft_mma_f8")) tally.eights++;
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
  if (cases >= 40) expect(tally.eights).toBeGreaterThan(0);
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
  test("a unit of 8 bits, where the text does not let it cut products", () => {
    const eights = halves.replaceAll("f16", "f8e4m3");
    const on = (source: string, body: string): string => source + schedule(body).replace("on cuda", "on cuda with f8");
    expect(() => compiled(on(eights, "mma c"))).toThrow("does not let a unit of 8 bits cut the products of `c`");
    expect(compiled(on(eights, "warps 1")).artifact.source).toContain("weft_mma_f16(");
    const cut = eights.replace("a[i, k] * b[k, j]", "relax<bf16>(a[i, k] * b[k, j])");
    expect(compiled(on(cut, "mma c")).artifact.source).toContain("weft_mma_f8e4m3(");
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
