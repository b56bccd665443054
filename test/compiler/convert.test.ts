/** Conversions between layouts of a tile, and the stores of a matrix unit's results that need them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { besideEachOther, conversionOf, sourceOf } from "../../compiler/layout/convert.ts";
import { Layout } from "../../compiler/layout/layout.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { gxx } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const outputs = [
  { name: "i", bits: 3 },
  { name: "j", bits: 4 },
];
const shape = { register: 3, lane: 3, warp: 1 };
const layoutOf = (columns: readonly number[]): Layout =>
  new Layout(
    new Map([
      ["register", columns.slice(0, shape.register)],
      ["lane", columns.slice(shape.register, shape.register + shape.lane)],
      ["warp", columns.slice(shape.register + shape.lane)],
    ]),
    outputs,
  );
/** What each register of each lane of a warp holds, by way of the conversion: numbers of elements, moved as a warp would. */
function converted(from: Layout, to: Layout, warp: number): number[][] | undefined {
  const plan = conversionOf(from, to);
  if (plan === undefined) return undefined;
  const number = (l: Layout, register: number, lane: number): number => {
    const { i, j } = l.at({ register, lane, warp });
    return i! + 8 * j!;
  };
  const lanes = Array.from({ length: 1 << shape.lane }, (_, lane) => lane);
  const registers = Array.from({ length: 1 << shape.register }, (_, r) => r);
  let held = lanes.map((lane) => registers.map((r) => number(from, r, lane)));
  for (const x of plan.exchanges)
    held = lanes.map((lane) =>
      registers.map((r) => {
        const odd = ((lane >> x.lane) & 1) === 1;
        const kept = ((r & x.pivot) !== 0) === odd;
        return kept ? held[lane]![r]! : held[lane ^ (1 << x.lane)]![r ^ x.registers]!;
      }),
    );
  const wrong = lanes.flatMap((lane) => registers.filter((r) => held[lane]![sourceOf(plan, r)] !== number(to, r, lane)));
  expect(wrong).toEqual([]);
  return held;
}
/** Columns of a random layout that holds every element once. */
const bases = fc.infiniteStream(fc.nat(1 << 16)).map((noise) => {
  const next = (): number => noise.next().value as number;
  const basis = Array.from({ length: 7 }, (_, k) => 1 << k);
  for (let k = 6; k > 0; k--) {
    const j = next() % (k + 1);
    [basis[k], basis[j]] = [basis[j]!, basis[k]!];
  }
  return { basis, next };
});

describe("a conversion", () => {
  test("puts every element where the other layout has it, and says what it takes", () => {
    const tally = { none: 0, registers: 0, shuffles: 0, refused: 0, combined: 0 };
    fc.assert(
      fc.property(bases, ({ basis, next }) => {
        const to = [...basis];
        let combined = false;
        // Columns of registers and lanes change places, some are combined; now and then a warp has another.
        for (let k = next() % 4; k > 0; k--) {
          const [a, b] = [next() % 6, next() % (next() % 16 === 0 ? 7 : 6)];
          if (next() % 3 === 0 && a < 6 && b < 6 && a !== b) {
            to[a] = to[a]! ^ to[b]!;
            combined ||= a >= 3;
          } else [to[a], to[b]] = [to[b]!, to[a]!];
        }
        const [x, y] = [layoutOf(basis), layoutOf(to)];
        const plan = conversionOf(x, y);
        tally[plan?.kind ?? "refused"]++;
        expect(plan?.kind === "none").toBe(x.equals(y));
        for (const warp of [0, 1]) converted(x, y, warp);
        if (plan?.kind === "registers") expect(y.restrict(["lane", "warp"]).equals(x.restrict(["lane", "warp"]))).toBe(true);
        // Where lanes have columns as they were, in any order, shuffles are enough.
        if (basis[6] === to[6] && to.every((c) => basis.includes(c))) expect(plan).toBeDefined();
        if (combined && plan) tally.combined++;
      }),
      { numRuns: 2000, seed: 1 },
    );
    for (const kind of ["none", "registers", "shuffles", "refused", "combined"] as const) expect(tally[kind], kind).toBeGreaterThan(20);
  });
  test("brings what another lane has of a combination by way of a register that is not part of it", () => {
    const [from, to] = [layoutOf([1, 2, 4, 8, 16, 32, 64]), layoutOf([8, 16, 4, 1 ^ 16, 2, 32, 64])];
    expect(conversionOf(from, to)?.exchanges.length).toBe(2);
    for (const warp of [0, 1]) converted(from, to, warp);
  });
  test("of lanes that combine what lanes have is refused", () => {
    const from = layoutOf([1, 2, 4, 8, 16, 32, 64]);
    expect(conversionOf(from, layoutOf([1, 2, 4, 8, 16 ^ 8, 32, 64]))).toBeUndefined();
    expect(conversionOf(from, layoutOf([1, 2, 4, 8, 16, 64, 32]))).toBeUndefined();
    expect(conversionOf(from, layoutOf([1, 2, 4, 8, 16, 32, 64 ^ 1])), "the other warp has its neighbour's").toBeUndefined();
  });
});
test("neighbours along an index are in the lowest registers, and the rest is as near as can be", () => {
  let shuffled = 0;
  fc.assert(
    fc.property(bases, fc.constantFrom(1, 2, 4, 8), ({ basis }, count) => {
      const from = layoutOf(basis);
      const to = besideEachOther(from, "j", count);
      const low = Array.from({ length: Math.log2(count) }, (_, b) => 8 << b);
      if (to === undefined) {
        expect(low).toContain(basis[6]);
        return;
      }
      expect(to.columns.get("register")!.slice(0, low.length)).toEqual(low);
      expect(to.vector("j")).toBeGreaterThanOrEqual(count);
      expect(to.rank).toBe(from.rank);
      const plan = conversionOf(from, to)!;
      expect(plan.exchanges.length).toBe(low.filter((c) => basis.indexOf(c) >= shape.register).length);
      if (plan.kind === "shuffles") shuffled++;
      for (const warp of [0, 1]) converted(from, to, warp);
    }),
    { numRuns: 500, seed: 2 },
  );
  expect(shuffled).toBeGreaterThan(100);
});
test("an accumulator of 16 x 64 becomes rows of 16 bytes by two exchanges, in each of which neighbouring lanes have the next", () => {
  const accumulator = new Layout(
    new Map([
      ["register", [16, 8, 128, 256, 512]],
      ["lane", [32, 64, 1, 2, 4]],
      ["warp", []],
    ]),
    [
      { name: "i", bits: 4 },
      { name: "j", bits: 6 },
    ],
  );
  const rows = besideEachOther(accumulator, "j", 8)!;
  expect(rows.toString()).toBe("register j+1 j+2 j+4 i+8 j+32 | lane j+8 j+16 i+1 i+2 i+4");
  expect(conversionOf(accumulator, rows)).toMatchObject({ kind: "shuffles", exchanges: [{ lane: 0 }, { lane: 1 }] });
  expect(besideEachOther(accumulator, "j", 128)).toBeUndefined();
});

const product = (result: string, tile: string, where = "K % 8 == 0, N % 8 == 0"): string =>
  `kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: ${result}[M, N]) where ${where} { c[i, j] = sum(k) a[i, k] * b[k, j] }
schedule f on cuda { tile ${tile}, k: 16; warps 1 }
`;
/** A text, what its source has of stores, and what it has not. */
const one = /\bc\[[^\]]*\] = /;
const programs: readonly (readonly [name: string, text: string, has: readonly RegExp[], hasNot?: RegExp])[] = [
  ["halves", product("f16", "i: 32, j: 32"), [/<uint4\*>\(&c\[/, /__shfl_xor_sync/], one],
  ["halves of a tile whose rows lend a register", product("bf16", "i: 16, j: 16"), [/<uint4\*>\(&c\[/], one],
  ["halves of a tile that has no register to lend", product("f16", "i: 16, j: 8"), [one], /uint4\*>\(&c/],
  ["floats", product("f32", "i: 16, j: 32", "K % 8 == 0, N % 4 == 0"), [/<float4\*>\(&c\[/], one],
  ["rows that may begin anywhere", product("f16", "i: 32, j: 32", "K % 8 == 0, N % 4 == 0"), [one], /uint4\*>\(&c/],
  [
    "two results of one launch, one of which varies with a row alone",
    `kernel f[M, N, K](a: bf16[M, K], b: bf16[N, K], x: f32[N]) -> (c: bf16[M, N], d: f32[M, N], e: f32[M]) where K % 8 == 0, N % 8 == 0 {
  let s[i, j] = sum(k) a[i, k] * b[j, k]
  c[i, j] = bf16(s[i, j] + x[j])
  d[i, j] = max(s[i, j], 0.0)
  e[i] = sum(j) x[j]
}
schedule f on cuda { tile i: 32, j: 32, k: 16; warps 2; fuse s }
`,
    [/<uint4\*>\(&c\[/, /<float4\*>\(&d\[/],
    one,
  ],
  [
    "sums of bytes, in integers of 16 and of 32 bits",
    `kernel f[M, N, K](a: i8[M, K], b: i8[N, K]) -> (c: i32[M, N], d: i16[M, N]) where K % 16 == 0, N % 8 == 0 {
  let s[i, j] = sum(k) a[i, k] * b[j, k]
  c[i, j] = s[i, j]
  d[i, j] = i16(s[i, j] % 1000)
}
schedule f on cuda { tile i: 32, j: 32, k: 32; warps 1; fuse s }
`,
    [/<int4\*>\(&c\[/, /<uint4\*>\(&d\[/],
    one,
  ],
  [
    "a result that is updated in place stays with who has read it",
    `kernel f[M, N, K](a: f16[M, K], b: f16[K, N], inout c: f16[M, N]) where K % 8 == 0, N % 8 == 0 {
  c[i, j] := 0.5 * c[i, j] + sum(k) a[i, k] * b[k, j]
}
schedule f on cuda { tile i: 32, j: 32, k: 16; warps 1 }
`,
    [one],
    /uint4\*>\(&c/,
  ],
  [
    "pieces of a sum, and what combines them",
    `kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f16[M, N]) where K % 8 == 0, N % 8 == 0 { c[i, j] = sum(k) a[i, k] * b[k, j] }
schedule f on cuda { split k: 2; tile i: 16, j: 64, k: 32; warps 4 }
`,
    [/<float4\*>\(&c_part\[/, /<const float4\*>\(&c_part\[|const float4\*>\(&c_part/, /<uint4\*>\(&c\[/],
    one,
  ],
  [
    "streamed attention",
    `kernel f[B, M, N, D: static](q: f16[B, M, D], k: f16[B, N, D], v: f16[B, N, D]) -> (c: f16[B, M, D], lse: f32[B, M]) where M <= N {
  let s[b, i, j] where j <= i + (N - M) = 0.25 * sum(d) q[b, i, d] * k[b, j, d]
  c[b, i, d] = sum(j) (softmax(j) s[b, i, j]) * v[b, j, d]
  lse[b, i] = logsumexp(j) s[b, i, j]
}
instance f { D: 16 }
`,
    [/<uint4\*>\(&c\[/],
    one,
  ],
];
const compiler = await gxx();
describe.each(programs.map((p) => ({ name: p[0], text: p[1], has: p[2], hasNot: p[3] })))("$name", ({ text, has, hasNot }) => {
  test("go by 16 bytes where they may", async () => {
    const { source } = compiled(text, "cuda").artifact;
    for (const v of has) expect(source).toMatch(v);
    if (hasNot) expect(source).not.toMatch(hasNot);
    expect(await agreesOnLevels(text, 5, 31, ["cuda"], [0, 1, 8, 12, 16, 20, 32, 40])).toBeGreaterThan(100);
  });
  test.skipIf(compiler === undefined)("agree as emitted CUDA", async () => {
    const random = seeded(32);
    for (const exact of [true, false])
      for (let run = 0; run < (exact ? 1 : 2); run++) {
        const { artifact } = compiled(text, "cuda", exact);
        const made = generate(artifact, random, { sizes: [8, 12, 16, 24, 40], most: 6000, style: exact ? "bits" : "plain" })!;
        const call = prepare(artifact, made.args, { dims: made.dims });
        const machine = interpreterFor(call, "cuda");
        const { result, faults } = await new CpuCudaDevice().watch(call);
        expect(faults).toEqual([]);
        expect(agree(call, result, machine).disagreements.map(words)).toEqual([]);
      }
  });
});
