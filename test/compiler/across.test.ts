/** Tiles that are read along one index and stored along another, and the way through shared memory between any two layouts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { staticRows } from "../../bench/static.ts";
import { compile, variantsOf } from "../../compiler/index.ts";
import { passageOf } from "../../compiler/layout/convert.ts";
import { Layout } from "../../compiler/layout/layout.ts";
import { check } from "../../dsl/index.ts";
import { type PreparedCall, prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runThreads } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { gxx, webgpu } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const outputs = [
  { name: "i", bits: 4 },
  { name: "j", bits: 5 },
];
const bits = { register: 2, lane: 5, warp: 2 };
const layoutOf = (columns: readonly number[]): Layout =>
  new Layout(
    new Map([
      ["register", columns.slice(0, bits.register)],
      ["lane", columns.slice(bits.register, bits.register + bits.lane)],
      ["warp", columns.slice(bits.register + bits.lane)],
    ]),
    outputs,
  );
/** Columns of a random layout that holds every element once; some of them combine others. */
const bases = fc.infiniteStream(fc.nat(1 << 16)).map((noise) => {
  const next = (): number => noise.next().value as number;
  const basis = Array.from({ length: 9 }, (_, k) => 1 << k);
  for (let k = 8; k > 0; k--) {
    const j = next() % (k + 1);
    [basis[k], basis[j]] = [basis[j]!, basis[k]!];
  }
  for (let k = next() % 6; k > 0; k--) {
    const [a, b] = [next() % 9, next() % 9];
    if (a !== b) basis[a] = basis[a]! ^ basis[b]!;
  }
  return { basis, layout: layoutOf(basis), next };
});
/** As `basis`, where as many registers as can be have the columns of the first ones of `own`. */
function sharing(basis: readonly number[], own: readonly number[], registers: number): Layout {
  const made = [...basis];
  for (let k = 0; k < registers; k++) {
    const held = made.indexOf(own[k]!);
    if (held < 0) continue;
    [made[k], made[held]] = [made[held]!, made[k]!];
  }
  return layoutOf(made);
}
const count = (n: number): number[] => Array.from({ length: 1 << n }, (_, k) => k);

describe("a way through shared memory", () => {
  test("takes every element from where it was put, and lanes that are served at one time never share a bank", () => {
    const widths = new Set<number>();
    fc.assert(
      fc.property(bases, bases, fc.nat(2), fc.constantFrom<(1 | 2 | 4)[]>(1, 2, 4), ({ basis, layout: from }, other, registers, most) => {
        const to = sharing(other.basis, basis, registers);
        const { put, take, together } = passageOf(from, to, most);
        widths.add(together);
        expect(together).toBeLessThanOrEqual(most);
        const number = (l: Layout, inputs: Record<string, number>): number => l.at(inputs)["i"]! + 16 * l.at(inputs)["j"]!;
        const memory = new Map<number, number>();
        const wrong: Record<string, number>[] = [];
        for (const [places, own] of [
          [put, from],
          [take, to],
        ] as const)
          for (const warp of count(bits.warp)) {
            const at = (register: number, lane: number): number => places.at({ register, lane, warp })["place"]!;
            for (const first of count(bits.register).filter((r) => at(r, 0) % together === 0)) {
              const access = (lane: number): number[] => count(Math.log2(together)).map((k) => at(first, lane) + k);
              for (let lane = 0; lane < 32; lane += 32 / together) {
                const served = count(5 - Math.log2(together)).flatMap((l) => access(lane + l));
                expect(new Set(served.map((p) => p % 32)).size).toBe(32);
              }
            }
            for (const register of count(bits.register))
              for (const lane of count(bits.lane)) {
                const element = number(own, { register, lane, warp });
                if (places === put) memory.set(at(register, lane), element);
                else if (memory.get(at(register, lane)) !== element) wrong.push({ register, lane, warp });
              }
          }
        expect(wrong).toEqual([]);
        expect(memory.size).toBe(512);
      }),
      { numRuns: 300, seed: 1 },
    );
    expect([...widths].sort()).toEqual([1, 2, 4]);
  });
  test("goes where lanes or warps hold copies, and where there are fewer elements than banks", () => {
    const few = [{ name: "i", bits: 3 }];
    const spread = (register: number[], lane: number[], warp: number[]): Layout =>
      new Layout(
        new Map([
          ["register", register],
          ["lane", lane],
          ["warp", warp],
        ]),
        few,
      );
    const [from, to] = [spread([1], [0, 2, 0], [4]), spread([4], [1, 0, 2], [0])];
    const { put, take } = passageOf(from, to, 4);
    for (const e of count(3)) {
      const at = (l: Layout, own: Layout): Set<number> =>
        new Set(
          count(1).flatMap((register) =>
            count(3).flatMap((lane) =>
              count(1).flatMap((warp) => (own.at({ register, lane, warp })["i"] === e ? l.at({ register, lane, warp })["place"]! : [])),
            ),
          ),
        );
      expect([...at(put, from)]).toEqual([...at(take, to)]);
      expect(at(put, from).size).toBe(1);
    }
  });
});

const programs: readonly (readonly [name: string, text: string, tile: string])[] = [
  ["a transpose", "kernel f[M, N](x: f32[M, N]) -> (y: f32[N, M]) { y[j, i] = x[i, j] }\n", "tile y.j: 32, y.i: 32\nvectorize y.j: 4"],
  [
    "a transpose of rows that begin at 16 bytes",
    "kernel f[M, N](x: f32[M, N]) -> (y: f32[N, M]) where M % 4 == 0, N % 4 == 0 { y[j, i] = 2.0 * x[i, j] }\n",
    "tile y.j: 32, y.i: 32\nvectorize y.i: 4",
  ],
  [
    "of halves",
    "kernel f[M, N](x: f16[M, N]) -> (y: f16[N, M]) where M % 8 == 0, N % 8 == 0 { y[j, i] = x[i, j] }\n",
    "tile y.j: 64, y.i: 64\nvectorize y.j: 2, y.i: 8",
  ],
  [
    "halves that become floats, which fill 16 bytes with half as many",
    "kernel f[M, N](x: f16[M, N]) -> (y: f32[N, M]) where M % 8 == 0, N % 8 == 0 { y[j, i] = x[i, j] }\n",
    "tile y.j: 32, y.i: 32\nvectorize y.j: 4",
  ],
  [
    "bytes and words, both ways",
    "kernel f[M, N](x: i8[M, N], z: i32[N, M], w: i32[M, N]) -> (y: i32[N, M]) { y[j, i] = i32(x[i, j]) * z[j, i] + w[i, j] }\n",
    "tile y.j: 32, y.i: 32\nvectorize y.j: 4",
  ],
  [
    "a sum with its own transpose",
    "kernel f[N](x: f32[N, N]) -> (y: f32[N, N]) { y[i, j] = x[i, j] + x[j, i] }\n",
    "tile y.i: 32, y.j: 32\nvectorize y.i: 4",
  ],
  [
    "heads before tokens, features last but one",
    "kernel f[B, S, H, D](x: bf16[B, S, H, D]) -> (y: f32[B, H, D, S]) { y[b, h, d, s] = x[b, s, h, d] }\n",
    "tile y.d: 32, y.s: 32\nvectorize y.d: 4",
  ],
  [
    "two results, of which one is read again",
    "kernel f[M, N](x: f32[M, N], s: f32[M]) -> (y: f32[N, M], z: f32[N, M]) {\n  y[j, i] = x[i, j] * s[i]\n  z[j, i] = y[j, i] + x[i, j]\n}\n",
    "tile y.j: 32, y.i: 32\nvectorize y.j: 4",
  ],
  [
    "of pages that a table names, by column",
    "kernel f[P, M, N](x: f32[P, M, N], t: index<P>[M]) -> (y: f32[N, M]) { y[j, i] = x[t[i], i, j] }\n",
    "tile y.j: 32, y.i: 32\nvectorize y.j: 4",
  ],
  [
    "a tile of fewer points than threads",
    "kernel f[M, N](x: f32[M, N]) -> (y: f32[N, M]) { y[j, i] = x[i, j] }\nschedule f on cuda { tile y.j: 8, y.i: 8 }\nschedule f on wgsl { tile y.j: 8, y.i: 8 }\n",
    "",
  ],
  [
    "neighbours of a row that may begin anywhere",
    "kernel f[M, N](x: f32[M, N]) -> (y: f32[N, M]) { y[j, i] = x[i, j] }\nschedule f on cuda { tile y.j: 16, y.i: 16; vectorize y.i: 4 }\nschedule f on wgsl { tile y.j: 16, y.i: 16; vectorize y.i: 4 }\n",
    "",
  ],
  [
    "rows by a shifted column, which lies along both",
    "kernel f[N](x: f32[2 * N, N]) -> (y: f32[N, N]) { y[j, i] = x[i + j, j] }\n",
    "tile y.j: 32, y.i: 32\nvectorize y.j: 4",
  ],
];
const compiler = await gxx();
const gpu = await webgpu();
describe.each(programs.map(([name, text, tile]) => ({ name, text, tile })))("$name", ({ text, tile }) => {
  test("goes through shared memory, on all levels", async () => {
    for (const target of ["cuda", "wgsl"] as const) {
      const { artifact, directives } = compiled(text, target);
      expect(directives.join("\n")).toContain(tile);
      expect(artifact.source).toMatch(/across_(f32|i32|u32)\[/);
    }
    expect(await agreesOnLevels(text, 4, 41, ["cuda", "wgsl"], [0, 1, 8, 24, 32, 40, 64])).toBeGreaterThan(100);
  });
  const calls = (target: "cuda" | "wgsl"): PreparedCall[] => {
    const random = seeded(42);
    const { artifact } = compiled(text, target);
    return [0, 1].map(() => {
      const made = generate(artifact, random, { sizes: [1, 8, 32, 40, 64], most: 20000, style: "bits" })!;
      return prepare(artifact, made.args, { dims: made.dims });
    });
  };
  test.skipIf(compiler === undefined)("agrees as emitted CUDA", async () => {
    for (const call of calls("cuda")) {
      const { result, faults } = await new CpuCudaDevice().watch(call);
      expect(faults).toEqual([]);
      expect(agree(call, result, interpreterFor(call, "cuda")).disagreements.map(words)).toEqual([]);
    }
  });
  test.skipIf(gpu === undefined)("agrees as emitted WGSL", async () => {
    for (const call of calls("wgsl"))
      expect(agree(call, await gpu!.run(call), interpreterFor(call, "wgsl")).disagreements.map(words)).toEqual([]);
  });
});
test("words that stay beside each other in registers go in one access", () => {
  const text = programs[2]![1];
  expect(compiled(text, "cuda").artifact.source.match(/uint2\*>\(&across_u32/g)).toHaveLength(8);
  expect(compiled(text, "wgsl").artifact.source).toContain("var<workgroup> across_u32: array<vec2<u32>, 1024>;");
});
test("blocks move what they need, without bank conflicts", async () => {
  const rows = [];
  for await (const r of staticRows("transpose")) rows.push(r);
  expect(rows.map((r) => r.target)).toEqual(["cuda", "wgsl"]);
  for (const r of rows) expect(r).toMatchObject({ bytesOverMinimum: 1, bankConflicts: 0 });
});
test("short sides, places in memory of their own, and what only a condition reads are left as they lie", () => {
  for (const text of [
    "kernel f[M](x: f32[M, 8]) -> (y: f32[8, M]) { y[j, i] = x[i, j] }\n",
    "kernel f[M, N](x: f32[M, N]) -> (y: f32[N, M]) { y[j, i] = if i < j then x[i, j] else 0.0 }\n",
    "kernel f[M, N](x: f32[M, N], t: index<N>[N]) -> (y: f32[N, M]) { y[j, i] = x[i, t[j]] }\n",
    "kernel f[N](x: f32[N]) -> (y: f32[N, N]) { y[j, i] = x[j] }\n",
  ])
    for (const target of ["cuda", "wgsl"] as const) expect(compiled(text, target).artifact.source, text).not.toContain("across_");
});
test("a tile that shared memory has no room for is read as it lies", () => {
  const text = (size: number): string =>
    ["cuda", "wgsl"].reduce(
      (all, target) => `${all}schedule f on ${target} { tile y.j: ${size}, y.i: ${size} }\n`,
      "kernel f[M, N](x: f32[M, N]) -> (y: f32[N, M]) { y[j, i] = x[i, j] }\n",
    );
  const across = (size: number): boolean[] =>
    (["cuda", "wgsl"] as const).map((target) => compiled(text(size), target).artifact.source.includes("across_"));
  expect([64, 128, 256].map(across)).toEqual([
    [true, true],
    [true, false],
    [false, false],
  ]);
});
test("a software adapter, whose caches hold what a block reads, has no barriers for it", () => {
  const text = programs[0]![1];
  const checked = check(text);
  const variants = variantsOf(checked, checked.instances[0]!, "wgsl").map(({ schedule }) =>
    compile(checked.instances[0]!, text, { target: "wgsl", schedule }),
  );
  expect(variants.map((v) => [(v.artifact.features ?? []).includes("software"), v.artifact.source.includes("workgroupBarrier")])).toEqual([
    [false, true],
    [true, false],
  ]);
});
test("lanes exchange registers only where a block has whole subgroups; seed 17 of the random programs met one of 16 threads", () => {
  const text = `kernel f[M, N, K](x: bool[N, M, M], inout z: f32[M], g: index<K>[M]) -> (y: f32[N, M]) {
  let d[i: M, k: K, j: N] where (x[j, i, i] && (any(l: N) x[l, i, i])) = abs(sqrt(3.0))
  y[j, i] = (if x[j, i, i] then (sum(k: M where (any(l: M) x[j, l, i])) z[k]) else 2.0) + (d[i, g[i], j] else 1.0)
  z[h] := (sum(i: M, k: K, j: N) d[i, k, j])
}
schedule f on wgsl with software, subgroups { }
`;
  const checked = check(text);
  const { schedule } = variantsOf(checked, checked.instances[0]!, "wgsl")[0]!;
  const c = compile(checked.instances[0]!, text, { target: "wgsl", schedule });
  expect(c.kernels.find((k) => k.name === "f_y")!.threads).toBe(16);
  expect(c.artifact.source).toContain("across_");
  const made = generate(c.artifact, seeded(1), { dims: { M: 3, N: 2, K: 2 } })!;
  const call = () => prepare(c.artifact, structuredClone(made.args), { dims: made.dims });
  const { result, faults } = runThreads(c, call());
  expect(faults).toEqual([]);
  expect(agree(call(), result, interpreterFor(call(), "wgsl")).disagreements.map(words)).toEqual([]);
});
