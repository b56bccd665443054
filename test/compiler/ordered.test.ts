/** Operands whose 16 bytes hold elements along both of their indices: they go through shared memory in that order. */
import { describe, expect, test } from "vitest";
import type { Compiled } from "../../compiler/index.ts";
import { launchesOf } from "../../compiler/tile/ir.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { scale, seed } from "../support/campaigns.ts";
import { webgpu } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";
import { conflicts, reads } from "../support/traffic.ts";

const gpu = await webgpu();

type Step = readonly [index: "k" | "n", by: number];
/** All steps within a tile of 16 of k and 64 of n. */
const steps: readonly Step[] = [...[1, 2, 4, 8].map((by): Step => ["k", by]), ...[1, 2, 4, 8, 16, 32].map((by): Step => ["n", by])];
/** A layout in which a tile's elements follow one another by these steps, the nearest first; from step `gap` on, with as much between them that holds nothing. */
function layoutOf(order: readonly Step[], bits: number, gap = order.length): string {
  const inWord = Math.log2(32 / bits);
  const sum = (list: readonly Step[], first: number): string =>
    list.map(([index, by], b) => `${index} / ${by} % 2 * ${2 ** (first + b >= gap ? b + 1 : b)}`).join(" + ");
  const tile = `(k / 16 * (N / 64) + n / 64) * ${2 ** (order.length - inWord + (gap < order.length ? 1 : 0))}`;
  return `layout ordered[K, N](k, n) = (word: ${tile} + ${sum(order.slice(inWord), inWord)}, bit: ${bits} * (${sum(order.slice(0, inWord), 0)}))\n`;
}
const product = (elem: string, order: readonly Step[], bits: number, value = "f32(w[k, n])"): string =>
  `${layoutOf(order, bits)}kernel f[M, N, K](x: f16[M, K], w: ${elem}[K, N] layout ordered) -> (y: f16[M, N]) where K % 16 == 0, N % 64 == 0 {
  y[m, n] = sum(k) x[m, k] * ${value}
}
`;
/** The order of fragments of 4-bit weights (MARLIN): rows 0, 8, 1, 9 of a column, and columns 8 apart. */
const fragments: readonly Step[] = [
  ["k", 8],
  ["n", 8],
  ["k", 1],
  ["n", 16],
  ["n", 32],
  ["k", 2],
  ["k", 4],
  ["n", 1],
  ["n", 2],
  ["n", 4],
];
const codes = product("u4", fragments, 4, "(f32(w[k, n]) - 8.0)");
const ringOf = (c: Compiled, tensor: string) => launchesOf(c.tiles.steps)[0]!.rings.find((r) => r.tensor === tensor);
const onWgsl = (text: string, directives: string): string => `${text}schedule f on wgsl { ${directives} }\n`;
const sizes = [0, 16, 64];
const whole = { M: 70, N: 128, K: 48 };

describe("the order of fragments", () => {
  test("every 16 bytes are read at once, by one thread of a block, which puts 16 bytes as well", () => {
    const c = compiled(codes, "wgsl");
    expect(ringOf(c, "w")).toMatchObject({ byPassage: true, slow: { extent: 64 }, fast: { extent: 16 } });
    // Two blocks along each side, of three steps; the last step twice, where the next would be read ahead.
    const { bytes, threads } = reads(c, whole).get("w")!;
    expect(bytes).toEqual({ 16: (2 * 128 * (48 + 16)) / 2 });
    expect(threads.size).toBe(32);
    expect(c.artifact.source.match(/w_tile\[[^\]]*\] = vec4<f32>/g)).toHaveLength(8);
    expect(conflicts(c, whole)).toBe(0);
    // A thread multiplies what it takes in one access before it goes on.
    const { layout } = launchesOf(c.tiles.steps)[0]!;
    expect(layout.over(["k.unroll"]).columns.get("register")!.slice(0, 4)).toEqual([8, 1, 2, 4]);
  });
  test("agrees", async () => expect(await agreesOnLevels(codes, 5, 9, ["cuda", "wgsl"], sizes)).toBeGreaterThan(50));
  test.skipIf(gpu === undefined)("agrees on a device", async () => {
    const { artifact } = compiled(codes, "wgsl");
    const made = generate(artifact, seeded(7), { dims: whole, most: 100_000 })!;
    const call = prepare(artifact, made.args, { dims: made.dims });
    expect(agree(call, await gpu!.run(call), interpreterFor(call, "wgsl")).disagreements.map(words)).toEqual([]);
  });
  test.each([
    ["tile m: 64, n: 64; unroll k: 32; stage w in shared, buffers: 2", true],
    ["tile m: 16, n: 64; unroll k: 16; stage x, w in shared, buffers: 2", true],
    ["tile m: 32, n: 64; unroll k: 16; stage w in shared, buffers: 3", true],
    ["tile m: 16, n: 128; unroll k: 16; stage w in shared, buffers: 2", true],
    ["tile m: 64, n: 32; unroll k: 16; stage x, w in shared, buffers: 2", false],
    ["tile m: 64, n: 64; unroll k: 8; stage x, w in shared, buffers: 2", false],
  ] as const)("in other tiles: %s", async (directives, ordered) => {
    const text = onWgsl(codes, directives);
    expect(ringOf(compiled(text, "wgsl"), "w")?.byPassage ?? false).toBe(ordered);
    expect(await agreesOnLevels(text, 4, 9, ["wgsl"], sizes)).toBeGreaterThan(50);
    if (!ordered) return;
    // Rows of 192 end within a tile of 128, and pieces of the order with them.
    const dims = { ...whole, N: 192 };
    expect(conflicts(compiled(text, "wgsl"), dims)).toBe(0);
    expect(Object.keys(reads(compiled(text, "wgsl"), dims).get("w")!.bytes)).toEqual(["16"]);
  });
  test("sizes that are no whole pieces of it are read one by one", async () => {
    const text = codes.replace("N % 64 == 0", "N % 32 == 0").replace("(N / 64)", "((N + 63) / 64)");
    expect(ringOf(compiled(text, "wgsl"), "w")?.byPassage).toBeUndefined();
    expect(await agreesOnLevels(text, 4, 9, ["wgsl"], [16, 32])).toBeGreaterThan(50);
  });
});

test("words that lie beside each other as columns do are read so, in rows", async () => {
  // GPTQ: eight rows to a word, columns one after another.
  const order: readonly Step[] = [["k", 1], ["k", 2], ["k", 4], ["n", 1], ["n", 2], ...fragments.slice(3, 5), ["n", 4], ["n", 8], ["k", 8]];
  const text = product("u4", order, 4, "(f32(w[k, n]) - 8.0)");
  const c = compiled(text, "wgsl");
  expect(ringOf(c, "w")?.byPassage).toBeUndefined();
  expect(Object.keys(reads(c, whole).get("w")!.bytes)).toEqual(["16"]);
  expect(await agreesOnLevels(text, 4, 9, ["wgsl"], sizes)).toBeGreaterThan(50);
});
test("where two words of four hold nothing, 16 bytes are no order", async () => {
  const text = codes.replace(/layout .*\n/, layoutOf(fragments, 4, 4));
  const c = compiled(text, "wgsl");
  expect(ringOf(c, "w")?.byPassage).toBeUndefined();
  expect(await agreesOnLevels(text, 4, 9, ["wgsl"], sizes)).toBeGreaterThan(50);
});
test("any order of a tile's elements: 16 bytes at a time where it is one of both indices, without bank conflicts", async () => {
  const random = seeded(seed);
  const drawn = (n: number): number => Math.floor(random() * n);
  const run = Math.max(4, Math.round(30 * scale));
  let [ordered, oneStep] = [0, 0];
  while (ordered < run || oneStep < run) {
    const [elem, bits] = (
      [
        ["u4", 4],
        ["f16", 16],
        ["f8e4m3", 8],
        ["u2", 2],
      ] as const
    )[drawn(4)]!;
    const order = [...steps].sort(() => random() - 0.5);
    const near = order.slice(0, Math.log2(128 / bits));
    const [word, next] = near.slice(-2) as [Step, Step];
    const alongOne = word[0] === next[0] && word[1] === 1 && next[1] === 2;
    const along = near.filter(([index]) => index === "k").length;
    const wants = along >= 2 && !alongOne;
    const text = product(elem, order, bits);
    const c = compiled(text, "wgsl");
    expect(ringOf(c, "w")?.byPassage ?? false, text).toBe(wants);
    if (along === 1) oneStep++;
    if (!wants || ordered++ >= run) continue;
    expect(Object.keys(reads(c, whole).get("w")!.bytes), text).toEqual(["16"]);
    expect(conflicts(c, whole), text).toBe(0);
    await agreesOnLevels(text, 2, ordered, ["wgsl"], sizes.slice(1));
  }
}, 240_000);
