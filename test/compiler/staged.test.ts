/** Operands of a reduction through shared memory: computed once for a block, read from there in pieces of 16 bytes. */
import { describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../compiler/index.ts";
import { launchesOf } from "../../compiler/tile/ir.ts";
import { check } from "../../dsl/index.ts";
import { prepare } from "../../runtime/call.ts";
import { tensor } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runThreads, runTiles } from "../../verify/levels.ts";
import { randomProduct } from "../../verify/random/products.ts";
import { Tape } from "../../verify/random/tape.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { scale, seed } from "../support/campaigns.ts";
import { webgpu } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";
import { conflicts, reads } from "../support/traffic.ts";

const gpu = await webgpu();
const product = (params: string, value: string, where = ""): string =>
  `kernel f[M, N, K](${params}) -> (c: f32[M, N])${where} { c[i, j] = ${value} }\n`;
const plain = product("a: f32[M, K], b: f32[K, N]", "sum(k) a[i, k] * b[k, j]");
const on = (target: string, text: string, directives: string): string => `${text}schedule f on ${target} { ${directives} }\n`;
const small = "tile i: 16, j: 16; unroll k: 8; stage a, b in shared, buffers: 2";
const texts: readonly (readonly [string, string])[] = [
  ["rows by columns", plain],
  ["columns of both along k", product("a: f32[M, K], b: f32[N, K]", "sum(k) a[i, k] * b[j, k]")],
  ["rows of both along k", product("a: f32[K, M], b: f32[K, N]", "sum(k) a[k, i] * b[k, j]")],
  ["both turned round", product("a: f32[K, M], b: f32[N, K]", "sum(k) b[j, k] * a[k, i]")],
  ["pieces of 16 bytes", product("a: f32[M, K], b: f32[K, N]", "sum(k) a[i, k] * b[k, j]", " where K % 4 == 0, N % 4 == 0")],
  ["pairs of pieces", product("a: f32[M, K], b: f32[K, N]", "sum(k) a[i, k] * b[k, j]", " where K % 2 == 0, N % 16 == 0, M % 2 == 0")],
  ["no tail", product("a: f32[M, K], b: f32[K, N]", "sum(k) a[i, k] * b[k, j]", " where K % 8 == 0, N % 16 == 0, M % 16 == 0")],
  ["halves", product("a: f16[M, K], b: bf16[K, N]", "sum(k) a[i, k] * b[k, j]")],
  ["decoded weights", product("a: f16[M, K], b: u4[K, N], s: f32[N]", "sum(k) a[i, k] * (f32(b[k, j] - 8) * s[j])")],
  ["distances", product("a: f32[M, K], b: f32[N, K]", "max(k) abs(a[i, k] - b[j, k]) else 0.0")],
  ["an operand twice", product("a: f32[M, K], b: f32[N, K]", "sum(k) (a[i, k] - b[j, k]) * (a[i, k] - b[j, k])")],
  ["a triangle", product("a: f32[M, K], b: f32[K, N]", "sum(k where k <= i) a[i, k] * b[k, j]")],
  ["a triangle from below", product("a: f32[M, K], b: f32[K, N]", "sum(k where k >= j) a[i, k] * b[k, j]")],
  ["rows that count", product("a: f32[M, K], b: f32[K, N], n: i32[M]", "sum(k where k < n[i]) a[i, k] * b[k, j]")],
  [
    "a batch",
    "kernel f[E, M, N, K](a: f32[E, M, K], b: f32[K, E, N]) -> (c: f32[E, M, N]) { c[e, i, j] = sum(k) a[e, i, k] * b[k, e, j] }\n",
  ],
  ["integers", "kernel f[M, N, K](a: i32[M, K], b: u2[K, N]) -> (c: i32[M, N]) { c[i, j] = sum(k) a[i, k] * b[k, j] }\n"],
  ["terms that zeros do not make zero", product("a: f32[M, K], b: f32[N, K]", "sum(k) exp(a[i, k] - b[j, k])")],
  [
    "part of the result",
    product("a: f32[M, K], b: f32[K, N]", "d[i, j] else -1.0").replace("{ c", "{ let d[i, j] where j <= i = sum(k) a[i, k] * b[k, j]\n c"),
  ],
];
const rings = (c: Compiled): string[] => launchesOf(c.tiles.steps).flatMap((l) => l.rings.map((r) => r.tensor));
/** Loops over steps that a run takes, for all blocks. */
function turns(c: Compiled, dims: Record<string, number>): number {
  let sum = 0;
  const drawn = generate(c.artifact, seeded(1), { dims })!;
  runTiles(c, prepare(c.artifact, drawn.args, { dims: drawn.dims }), (_index, n) => {
    sum += n;
  });
  return sum;
}
const numbers = (from: number, to: number): Set<number> => new Set(Array.from({ length: to - from }, (_, k) => from + k));

describe("operands of a block", () => {
  test.each(texts)("%s agrees on tiles and threads", async (_, text) => {
    for (const target of ["cuda", "wgsl"] as const) expect(rings(compiled(on(target, text, small), target)).length).toBeGreaterThan(1);
    const both = on("cuda", on("wgsl", text, small), small);
    expect(await agreesOnLevels(both, 3, 5, ["cuda", "wgsl"], [1, 2, 3, 8, 16, 17, 33, 40])).toBeGreaterThan(200);
  });
  test.skipIf(gpu === undefined).each(texts.slice(0, 9))("%s agrees on a device", async (_, text) => {
    const { artifact } = compiled(on("wgsl", text, small), "wgsl");
    const random = seeded(3);
    for (let run = 0; run < 4; run++) {
      const made = generate(artifact, random, { sizes: [1, 3, 16, 17, 40], most: 4000 })!;
      const call = prepare(artifact, made.args, { dims: made.dims });
      const machine = interpreterFor(call, "wgsl");
      const a = agree(call, await gpu!.run(call), machine);
      expect(a.disagreements.map(words), JSON.stringify(made.dims)).toEqual([]);
    }
  });
  test("three slots", async () => {
    const text = on("wgsl", plain, small.replace("buffers: 2", "buffers: 3"));
    expect(await agreesOnLevels(text, 3, 5, ["wgsl"], [1, 3, 17, 40])).toBeGreaterThan(100);
  });
  test("what no schedule speaks of goes this way, but on a software device", () => {
    expect(rings(compiled(plain, "wgsl"))).toEqual(["a", "b"]);
    expect(rings(compiled(plain, "cuda"))).toEqual(["a", "b"]);
    expect(rings(compiled(on("wgsl with software", plain, ""), "wgsl"))).toEqual([]);
    expect(rings(compiled(on("wgsl", plain, "tile i: 32, j: 32"), "wgsl"))).toEqual([]);
    const alone = compiled(on("wgsl", plain, small.replace("a, ", "")), "wgsl");
    expect(rings(alone)).toEqual(["b"]);
    expect(alone.directives).toContain("stage b in shared, buffers: 2");
    expect(rings(compiled(on("wgsl with software", plain, small), "wgsl"))).toEqual(["a", "b"]);
    expect(rings(compiled(plain.replaceAll("N,", "").replaceAll("N]", "4]"), "wgsl"))).toEqual([]);
  });
  test("what is derived prints as directives that mean the same", () => {
    const derived = compiled(plain, "wgsl");
    expect(derived.directives).toContain("stage a, b in shared, buffers: 2");
    expect(compiled(on("wgsl", plain, derived.directives.join("; ")), "wgsl").artifact.source).toBe(derived.artifact.source);
  });
  test("what cannot be staged is refused", () => {
    const text = on("wgsl", "kernel f[M, K](a: f32[M, K]) -> (c: f32[M]) { c[i] = sum(k) a[i, k] }\n", "stage a in shared");
    const { instances, schedules } = check(text);
    expect(() => compile(instances[0]!, text, { target: "wgsl", schedule: schedules[0] })).toThrow(/W606|cannot be staged/);
  });
  test("16 bytes at a time, from arrays of vectors", () => {
    const { source } = compiled(texts[4]![1], "wgsl").artifact;
    expect(source).toMatch(/var<workgroup> a_tile: array<vec4<f32>, 256>/);
    expect(source).toMatch(/var<workgroup> b_tile: array<vec4<f32>, 256>/);
    expect(source.match(/= b_tile\[/g)).toHaveLength(8 * 2);
    // What lies along k is put along k.
    const along = product("a: f32[M, K], b: f32[N, K]", "sum(k) a[i, k] * b[j, k]", " where K % 4 == 0");
    expect(compiled(along, "wgsl").artifact.source.match(/read> [ab]: array<vec4<f32>>/g)).toHaveLength(2);
  });
  describe("of 16 bits", () => {
    const halves = product("a: f16[M, K], b: bf16[K, N]", "sum(k) a[i, k] * b[k, j]", " where K % 8 == 0, N % 8 == 0");
    const along = product("a: f16[M, K], b: f16[N, K]", "sum(k) a[i, k] * b[j, k]", " where K % 8 == 0");
    const single = (source: string): RegExpMatchArray | null => source.match(/read> [ab]: array<u32>/g);
    test("a step is twice as long, and a thread reads 16 bytes of it, with and without a type of halves", () => {
      for (const text of [halves, along]) {
        const { artifact, directives } = compiled(text, "wgsl");
        expect(directives).toContain("unroll c.k: 16");
        expect(artifact.source.match(/read> [ab]: array<vec4<u32>>/g)).toHaveLength(2);
      }
      expect(compiled(on("wgsl with f16", along, ""), "wgsl").artifact.source.match(/read> [ab]: array<vec4<u32>>/g)).toHaveLength(2);
      // Three operands would not have room.
      const three = product("a: f16[M, K], b: f16[N, K], x: f16[M, K]", "sum(k) (a[i, k] - b[j, k]) * max(x[i, k], b[j, k])");
      expect(compiled(three, "wgsl").directives).toContain("unroll c.k: 8");
    });
    test("rows that are whole pieces of less go in less", () => {
      const { source } = compiled(halves.replaceAll("% 8", "% 4"), "wgsl").artifact;
      expect(single(source)).toHaveLength(2);
      expect(source).toMatch(/a\[at_\d+ \+ 1\]/);
    });
    test.each([
      ["whole pieces", halves, [0, 8, 16, 24, 40, 72]],
      ["both along the sum", along, [0, 8, 16, 24, 40, 72]],
      ["pieces of less", halves.replaceAll("% 8", "% 4"), [0, 4, 8, 12, 20, 68]],
      ["rows of any length", halves.replace(/ where[^{]*/, " "), [0, 1, 7, 17, 33, 65]],
    ] as const)("%s agree", async (_, text, sizes) => {
      expect(await agreesOnLevels(text, 5, 9, ["wgsl"], sizes)).toBeGreaterThan(100);
      const others = on("wgsl", text, small.replace("i: 16, j: 16; unroll k: 8", "i: 64, j: 64; unroll k: 16"));
      expect(rings(compiled(others, "wgsl")).length).toBeGreaterThan(0);
      expect(await agreesOnLevels(others, 3, 9, ["wgsl"], sizes)).toBeGreaterThan(50);
    });
    test.each([
      [64, 16, [8, 16]],
      [32, 32, [8, 16, 32]],
      [16, 64, [8, 16]],
      [64, 128, [8]],
    ] as const)("without bank conflicts, in tiles of %i and %i", (rows, columns, depths) => {
      for (const text of [halves, along])
        for (const k of depths) {
          const made = on("wgsl", text, `tile i: ${rows}, j: ${columns}; unroll k: ${k}; stage a, b in shared, buffers: 2`);
          expect(conflicts(compiled(made, "wgsl"), { M: 128, N: 128, K: 64 }), made).toBe(0);
        }
    });
  });
  describe("of fewer bits than threads have pieces for", () => {
    const bytes = product("a: f8e4m3[M, K], b: f8e5m2[N, K]", "sum(k) a[i, k] * b[j, k]", " where K % 16 == 0");
    const codes = product(
      "a: f16[M, K], b: u4[K, N], s: f16[N]",
      "sum(k) a[i, k] * (f32(b[k, j] - 8) * s[j])",
      " where K % 8 == 0, N % 8 == 0",
    );
    test("half of the threads read 16 bytes of one operand, the others of the other, and none what it has no use for", () => {
      const c = compiled(bytes, "wgsl");
      expect(c.artifact.source.match(/read> [ab]: array<vec4<u32>>/g)).toHaveLength(2);
      // Two blocks along each side, and every byte once a block; the last of three steps twice, where the next would be read ahead.
      const once = { 16: 2 * 128 * 64 };
      const read = reads(c, { M: 128, N: 128, K: 48 });
      expect(read.get("a")).toEqual({ bytes: once, threads: numbers(0, 64) });
      expect(read.get("b")).toEqual({ bytes: once, threads: numbers(64, 128) });
    });
    test("rows that begin anywhere are shared out over all threads", () => {
      const read = reads(compiled(bytes.replace("% 16", "% 4"), "wgsl"), { M: 64, N: 64, K: 16 });
      for (const t of ["a", "b"]) expect(read.get(t)).toEqual({ bytes: { 4: 64 * 32 }, threads: numbers(0, 128) });
    });
    test("codes beside halves: as many columns as are 16 bytes of these", () => {
      const read = reads(compiled(codes, "wgsl"), { M: 64, N: 64, K: 32 });
      expect(Object.keys(read.get("s")!.bytes)).toEqual(["16"]);
      expect(read.get("a")!.bytes).toEqual({ 16: 64 * 48 * 2 });
    });
    test("what a row has one of, and what lies in an order of its own, does not count", () => {
      const scaled = product(
        "a: f32[M, K], b: f32[N, K], s: f16[N]",
        "sum(k) a[i, k] * (b[j, k] * s[j])",
        " where K % 16 == 0, N % 8 == 0",
      );
      const turned = `layout turned[N, K](j, k) = (word: (j * K + k) / 2, bit: 16 * (1 - k % 2))\n${product("a: f32[M, K], b: f16[N, K] layout turned", "sum(k) a[i, k] * b[j, k]", " where K % 16 == 0, N % 8 == 0")}`;
      for (const text of [scaled, turned])
        expect(launchesOf(compiled(text, "wgsl").tiles.steps)[0]!.rings.map((r) => r.together)).toEqual([4, 4]);
    });
    test("three operands of which each needs few threads", async () => {
      const three = product(
        "a: f8e4m3[M, K], b: f8e4m3[N, K], x: f8e4m3[M, K]",
        "sum(k) (a[i, k] - b[j, k]) * max(x[i, k], b[j, k])",
        " where K % 16 == 0",
      );
      const text = on("wgsl", three, "tile i: 16, j: 16; unroll k: 16; stage a, b, x in shared, buffers: 2");
      expect(await agreesOnLevels(text, 3, 9, ["wgsl"], [1, 7, 16, 17, 32, 48])).toBeGreaterThan(100);
    });
    test.each([bytes, codes])("agree, without bank conflicts: %s", async (text) => {
      for (const target of ["cuda", "wgsl"] as const) expect(conflicts(compiled(text, target), { M: 128, N: 128, K: 32 })).toBe(0);
      expect(await agreesOnLevels(text, 5, 9, ["wgsl"], [0, 8, 16, 24, 48, 72])).toBeGreaterThan(100);
      const others = on("wgsl", text, "tile i: 16, j: 32; unroll k: 16; stage a, b in shared, buffers: 2");
      expect(await agreesOnLevels(others, 3, 9, ["wgsl"], [8, 16, 48, 72])).toBeGreaterThan(100);
    });
    test.skipIf(gpu === undefined).each([bytes, codes])("agree on a device: %s", async (text) => {
      const { artifact } = compiled(text, "wgsl");
      const made = generate(artifact, seeded(7), { dims: { M: 70, N: 72, K: 48 }, most: 100_000 })!;
      const call = prepare(artifact, made.args, { dims: made.dims });
      expect(agree(call, await gpu!.run(call), interpreterFor(call, "wgsl")).disagreements.map(words)).toEqual([]);
    });
  });
  describe("results of 16 bits", () => {
    const to16 = (params: string, value: string, where = " where K % 8 == 0, N % 8 == 0"): string =>
      product(params, value, where).replace("-> (c: f32", "-> (c: bf16");
    const across = to16("a: f16[M, K], b: f16[K, N]", "sum(k) a[i, k] * b[k, j]");
    const along = to16("a: f16[M, K], b: bf16[N, K]", "sum(k) a[i, k] * b[j, k]");
    const bytes = to16("a: f8e4m3[M, K], b: f8e4m3[N, K], s: f32[M]", "s[i] * (sum(k) a[i, k] * b[j, k])");
    test.each([across, along, bytes, along.replaceAll("bf16", "f16")])("a thread stores 16 bytes of a row: %s", (text) => {
      for (const target of ["wgsl", "wgsl with f16"]) {
        const { source } = compiled(on(target, text, ""), "wgsl").artifact;
        expect(source.match(/ c\[[^\]]*\] = vec4<u32>/g)).toHaveLength(4);
        expect(source).not.toContain("atomic");
      }
      expect(conflicts(compiled(text, "wgsl"), { M: 64, N: 64, K: 32 })).toBe(0);
    });
    test("f32 results of columns that lie apart in memory go 16 bytes at a time where rows begin there, and one by one where not", () => {
      const wide = product("a: f32[M, K], b: f32[N, K]", "sum(k) a[i, k] * b[j, k]", " where N % 4 == 0");
      expect(compiled(wide, "wgsl").artifact.source.match(/ c\[[^\]]*\] = vec4<f32>/g)).toHaveLength(8);
      expect(conflicts(compiled(wide, "wgsl"), { M: 128, N: 128, K: 32 })).toBe(0);
      const any = compiled(wide.replace(/ where[^{]*/, " "), "wgsl");
      expect(any.artifact.source).not.toMatch(/ c\[[^\]]*\] = vec4/);
      expect(launchesOf(any.tiles.steps)[0]!.rings.map((r) => r.rowsBeside ?? 1)).toEqual([1, 1]);
    });
    test.each([across, along, bytes])("agree: %s", async (text) => {
      expect(await agreesOnLevels(text, 3, 9, ["wgsl"], [0, 8, 16, 24, 72])).toBeGreaterThan(100);
      const tiles = on("wgsl", text, "tile i: 32, j: 64; unroll k: 8; stage a, b in shared, buffers: 2");
      expect(await agreesOnLevels(tiles, 3, 9, ["wgsl"], [8, 16, 72])).toBeGreaterThan(100);
    });
    test.skipIf(gpu === undefined).each([across, along, bytes])("agree on a device: %s", async (text) => {
      const { artifact } = compiled(text, "wgsl");
      const made = generate(artifact, seeded(7), { dims: { M: 70, N: 72, K: 40 }, most: 100_000 })!;
      const call = prepare(artifact, made.args, { dims: made.dims });
      expect(agree(call, await gpu!.run(call), interpreterFor(call, "wgsl")).disagreements.map(words)).toEqual([]);
    });
  });
  test("past the end of a sum both factors are zeros: no term is asked for, and infinite ones that are real stay so", () => {
    for (const text of [plain, texts[1]![1]]) {
      const c = compiled(text, "wgsl");
      expect(c.artifact.source).not.toMatch(/select\(0\.0f, [ab]_tile/);
      const [M, N, K] = [3, 2, 9];
      const lastInfinite = Float32Array.from({ length: M * K }, (_, at) => (at % K === K - 1 ? 1 / 0 : 1));
      const shape = text === plain ? [K, N] : [N, K];
      const args = { a: tensor("f32", [M, K], lastInfinite), b: tensor("f32", shape, new Float32Array(N * K).fill(1)) };
      const { result, faults } = runThreads(c, prepare(c.artifact, args));
      expect(faults).toEqual([]);
      expect(Array.from(result.outputs.c!.data as Float32Array)).toEqual(new Array(M * N).fill(1 / 0));
    }
    expect(compiled(texts[10]![1], "wgsl").artifact.source).toMatch(/select\(0\.0f, /);
  });
  test.each(texts.slice(0, 6))("%s: without bank conflicts", (_, text) => {
    for (const target of ["cuda", "wgsl"] as const) expect(conflicts(compiled(text, target), { M: 128, N: 128, K: 32 })).toBe(0);
  });
  test("a triangle is walked as far as its rows go", () => {
    const c = compiled(on("wgsl", texts[11]![1], small), "wgsl");
    // Of 4 x 4 blocks of 16, with 8 of k to a step: 2, 4, 6 and 8 steps.
    expect(turns(c, { M: 64, N: 64, K: 64 })).toBe(4 * (2 + 4 + 6 + 8));
    const square = compiled(on("wgsl", plain, small), "wgsl");
    expect(turns(square, { M: 64, N: 64, K: 64 })).toBe(16 * 8);
  });
});

test("random products agree with their operands in shared memory", async () => {
  const count = Math.max(12, Math.round(120 * scale));
  let staged = 0;
  for (let k = 0; k < count; k++) {
    const text = randomProduct(new Tape([], seeded(seed + k))).replace(/schedule f on cuda[^\n]*\n/, "");
    const tape = new Tape([], seeded(seed + 1000 + k));
    const directives = `tile i: ${tape.pick([8, 16, 32])}, j: ${tape.pick([16, 32])}; unroll k: ${tape.pick([4, 8, 16])}; stage x, y in shared, buffers: ${tape.pick([2, 3])}`;
    const whole = on("wgsl", text, directives);
    const { instances, schedules } = check(whole);
    try {
      const made = compile(instances[0]!, whole, { target: "wgsl", schedule: schedules.find((s) => s.target === "wgsl") });
      if (rings(made).length === 0) continue;
    } catch (e) {
      expect((e as { code?: string }).code).toBe("W606");
      continue;
    }
    staged++;
    await agreesOnLevels(whole, 1, k, ["wgsl"], [1, 2, 3, 5, 8, 16, 17, 24]);
  }
  expect(staged).toBeGreaterThan(count / 3);
});
