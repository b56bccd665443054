/** Columns of results that fill 16 bytes in one lane, where weights are read as they are multiplied, along what is summed over. */
import { describe, expect, test } from "vitest";
import { launchesOf } from "../../compiler/tile/ir.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { gxx } from "../support/devices.ts";
import { agreesOnLevels, compiled, statements } from "../support/levels.ts";

const product = (factor: string, result: string, where = "K % 16 == 0, N % 8 == 0"): string =>
  `kernel f[M, N, K](x: ${factor}[M, K], w: ${factor}[N, K], s: f32[N]) -> (y: ${result}[M, N]) where ${where} {
  y[m, n] = s[n] * f32(sum(k) x[m, k] * w[n, k])
}
`;
const tiles = (m: number, n: number, k: number, warps: number): string =>
  `schedule f on cuda { tile m: ${m}, n: ${n}, k: ${k}; warps ${warps} }\n`;
/** What the steps of a kernel, and what comes after them, ask of lanes and memory. */
function asks(text: string): { exchanges: number; wideReads: number; singleReads: number; wideStores: number; singleStores: number } {
  const all = compiled(text, "cuda").kernels.flatMap((k) => statements(k.body));
  const source = compiled(text, "cuda").artifact.source;
  return {
    exchanges: all.filter((s) => s.kind === "shuffle").length,
    wideReads: all.filter((s) => s.kind === "loads" && s.buffer === "s").length,
    singleReads: [...source.matchAll(/[^&]s\[/g)].length,
    wideStores: all.filter((s) => s.kind === "stores").length,
    singleStores: all.filter((s) => s.kind === "store").length,
  };
}
const compiler = await gxx();
const sizes = [0, 8, 16, 24, 32, 40, 48];

describe.each([
  // Of 64 x 64 results a lane has 64: 8 columns of 8 rows, or 4 columns of 16.
  ["halves, 8 columns", product("f16", "f16") + tiles(64, 64, 32, 1), { exchanges: 0, wideReads: 4, wideStores: 16 }],
  ["bytes, 8 columns", product("i8", "f16") + tiles(64, 64, 32, 1), { exchanges: 0, wideReads: 4, wideStores: 16 }],
  ["floats of 8 bits, 8 columns", product("f8e4m3", "bf16") + tiles(64, 64, 32, 1), { exchanges: 0, wideReads: 4, wideStores: 16 }],
  ["results of 32 bits, 4 columns", product("f16", "f32") + tiles(64, 64, 32, 1), { exchanges: 0, wideReads: 4, wideStores: 32 }],
  ["four warps", product("f16", "f16") + tiles(64, 128, 32, 4), { exchanges: 0, wideReads: 2, wideStores: 8 }],
] as const)("%s", (_, text, expected) => {
  test("are read and stored by 16 bytes, and no lane exchanges anything", () =>
    expect(asks(text)).toEqual({ ...expected, singleReads: 0, singleStores: 0 }));
  test("agree", async () => expect(await agreesOnLevels(text, 8, 31, ["cuda"], sizes)).toBeGreaterThan(100), 60_000);
  test.skipIf(compiler === undefined)("agree as emitted CUDA", async () => {
    const { artifact } = compiled(text, "cuda");
    const made = generate(artifact, seeded(32), { dims: { M: 70, N: 136, K: 80 }, style: "plain" })!;
    const call = prepare(artifact, made.args, { dims: made.dims });
    const { result, faults } = await new CpuCudaDevice().watch(call);
    expect(faults).toEqual([]);
    expect(agree(call, result, interpreterFor(call, "cuda")).disagreements.map(words)).toEqual([]);
  });
});

describe("columns stay where an instruction has them", () => {
  test.each([
    ["where rows of results begin anywhere", product("f16", "f16", "K % 16 == 0") + tiles(64, 64, 32, 1)],
    [
      "where columns lie beside each other in memory",
      product("f16", "f16").replace("w: f16[N, K]", "w: f16[K, N]").replace("w[n, k]", "w[k, n]") + tiles(64, 64, 32, 1),
    ],
  ])("%s", (_, text) => {
    const [launch] = launchesOf(compiled(text, "cuda").tiles.steps);
    expect(
      launch!.layout
        .over(["n"])
        .columns.get("register")!
        .filter((c) => c > 0),
    ).toEqual([1, 8, 16, 32]);
  });
});

test.each([
  ["tiles of 8 columns", tiles(32, 8, 32, 1)],
  ["tiles of 16 columns", tiles(32, 16, 32, 1)],
  ["two warps of 16 columns, and shares", tiles(16, 32, 64, 4)],
])(
  "%s hold as many as there are",
  async (_, schedule) => {
    for (const [factor, result] of [
      ["f16", "f16"],
      ["i8", "f32"],
    ] as const)
      expect(await agreesOnLevels(product(factor, result) + schedule, 8, 33, ["cuda"], sizes)).toBeGreaterThan(100);
  },
  60_000,
);

test("a second product whose weights lie the other way", async () => {
  const text = `kernel f[M, N, K](x: f16[M, K], v: f16[N, K], w: f16[K, N]) -> (y: f16[M, N]) where K % 16 == 0, N % 8 == 0 {
  y[m, n] = (sum(k) x[m, k] * v[n, k]) + 0.5 * (sum(k) x[m, k] * w[k, n])
}
${tiles(32, 64, 32, 1)}`;
  expect(asks(text).wideStores).toBe(8);
  expect(await agreesOnLevels(text, 8, 34, ["cuda"], sizes)).toBeGreaterThan(100);
}, 60_000);
