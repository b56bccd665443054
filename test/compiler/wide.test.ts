/** Accesses of 16 bytes, and of 8, on CUDA: where a thread has all of them, aligned for every size, and nowhere else. */
import { describe, expect, test } from "vitest";
import type { Stmt } from "../../compiler/thread/ir.ts";
import { settleWide } from "../../compiler/thread/settle.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { gxx } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const weighted = (elem: string): string => `kernel f[M, N, D: static](q: f32[M, D], k: f32[N, D], v: ${elem}[N, D]) -> (o: ${elem}[M, D]) {
  let s[i, j] = sum(d) q[i, d] * k[j, d]
  o[i, d] = (sum(j) (softmax(j) s[i, j]) * f32(v[j, d])) else 0.0
}
instance f { D: 8 }
`;
/** A text, what its source has, and what it has not. */
const programs: readonly (readonly [name: string, text: string, has: readonly RegExp[], hasNot: RegExp])[] = [
  ["rows of f32", weighted("f32"), [/const float4\*>\(&v\[/, /<float4\*>\(&o\[.*make_float4/], /uint4/],
  ["rows of f16", weighted("f16"), [/const uint4\*>\(&v\[/, /<uint4\*>\(&o\[.*make_uint4/], /float4\*>\(&v/],
  [
    "rows of 8 bytes",
    weighted("f16").replace("D: 8", "D: 4"),
    [/const uint2\*>\(&v\[/, /<uint2\*>\(&o\[.*make_uint2/, /const float4\*>\(&k\[/],
    /uint4\*>|out\[at_\d+\] =/,
  ],
  [
    "rows that a condition makes a multiple",
    "kernel f[M, K](x: f32[M, K], w: f32[K]) -> (y: f32[M]) where K % 4 == 0 { y[i] = sum(k) x[i, k] * w[k] }\nschedule f on cuda { tile i: 64; unroll k: 4; warps 2 }\n",
    [/const float4\*>\(&x\[/, /const float4\*>\(&w\[/],
    /make_float4/,
  ],
  ["rows of odd length", weighted("f32").replace("v: f32[N, D]", "v: f32[N, D + 1]"), [/const float4\*>\(&k\[/], /4\*>\(&v\[/],
  [
    "elements one off",
    weighted("f32").replace("v: f32[N, D]", "v: f32[N, D + 4]").replace("v[j, d]", "v[j, d + 1]"),
    [/4\*>\(&k\[/],
    /4\*>\(&v\[at_\d+ \+ [123]\]/,
  ],
];
const compiler = await gxx();
describe.each(programs)("%s", (_, text, has, hasNot) => {
  test("go by 16 bytes where they may", async () => {
    const { source } = compiled(text, "cuda").artifact;
    for (const v of has) expect(source).toMatch(v);
    expect(source).not.toMatch(hasNot);
    expect(compiled(text, "cuda", true).artifact.source).toMatch(/const int4\*>/);
    expect(await agreesOnLevels(text, 12, 21)).toBeGreaterThan(50);
  });
  test.skipIf(compiler === undefined)("agree as emitted CUDA", async () => {
    const random = seeded(22);
    for (const exact of [true, false]) {
      const { artifact } = compiled(text, "cuda", exact);
      const made = generate(artifact, random, { sizes: [1, 4, 8, 12, 20, 36], most: 4000, style: exact ? "bits" : "plain" })!;
      const call = prepare(artifact, made.args, { dims: made.dims });
      const machine = interpreterFor(call, "cuda");
      const { result, faults } = await new CpuCudaDevice().watch(call);
      expect(faults).toEqual([]);
      expect(agree(call, result, machine).disagreements.map(words)).toEqual([]);
    }
  });
});
describe("WGSL", () => {
  const types = (text: string): string[] =>
    [...compiled(text, "wgsl").artifact.source.matchAll(/var<storage, \w+> (\w+): array<([\w<>]+)>;/g)].map((m) => `${m[1]} ${m[2]}`);
  test("a buffer that goes by 16 bytes everywhere is one of vectors", () => {
    expect(types(weighted("f32"))).toEqual(["q vec4<f32>", "k vec4<f32>", "v vec4<f32>", "o vec4<f32>"]);
  });
  test("one that does not somewhere is none", () => {
    const [, text] = programs.find(([name]) => name === "elements one off")!;
    expect(types(text)).toEqual(["q vec4<f32>", "k vec4<f32>", "v f32", "o vec4<f32>"]);
  });
  test("nothing goes by 8 bytes", () => {
    expect(types(weighted("f16").replace("D: 8", "D: 4"))).toEqual(["q vec4<f32>", "k vec4<f32>", "v u32", "o u32"]);
  });
  test("an array whose accesses take various numbers of words is one of words", () => {
    const at = { kind: "const", value: 0, elem: "i32" } as const;
    const take = (array: string, count: number): Stmt => {
      const outs = Array.from({ length: count }, (_, k) => `${array}_${count}_${k}`);
      return { kind: "takes", name: `${array}_${count}`, outs, array, at, elem: "f32" };
    };
    const { body, vectors } = settleWide([take("a", 2), take("b", 4), take("b", 2), take("c", 4)]);
    expect([...vectors]).toEqual([
      ["a", 2],
      ["c", 4],
    ]);
    expect(body.map((s) => s.kind).join(" ")).toBe("takes let let let let let let let let takes");
  });
  test("words of narrow elements go four at a time too, read and written", async () => {
    expect(types(weighted("f16"))).toEqual(["q vec4<f32>", "k vec4<f32>", "v vec4<u32>", "o vec4<u32>"]);
    const sums = (elem: string, piece: number): string =>
      `kernel f[M, K](x: ${elem}[M, K], w: ${elem}[K]) -> (y: f32[M]) where K % ${piece} == 0 { y[i] = sum(k) f32(x[i, k]) * f32(w[k]) }
schedule f on wgsl { tile i: 32; unroll k: ${piece} }
`;
    for (const [elem, piece] of [
      ["bf16", 8],
      ["i8", 16],
      ["f8e4m3", 16],
    ] as const) {
      expect(types(sums(elem, piece))).toEqual(["x vec4<u32>", "w vec4<u32>", "y f32"]);
      expect(types(sums(elem, piece / 2))).toEqual(["x u32", "w u32", "y f32"]);
      for (const p of [piece, piece / 2])
        expect(await agreesOnLevels(sums(elem, p), 4, 6, ["wgsl"], [0, p, 2 * p, 6 * p])).toBeGreaterThan(20);
    }
  });
  test("two launches may see one buffer differently", async () => {
    const text = weighted("f32")
      .replace("-> (o: f32[M, D])", "-> (o: f32[M, D], t: f32[M])")
      .replace("}\ninstance", "  t[i] = sum(d: D - 1) q[i, d + 1]\n}\ninstance");
    expect(types(text).filter((t) => t.startsWith("q"))).toEqual(["q vec4<f32>", "q_read f32"]);
    expect(await agreesOnLevels(text, 6, 5)).toBeGreaterThan(50);
  });
});
