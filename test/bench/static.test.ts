/** What the static counts say of kernels that can be counted by hand. */
import { describe, expect, test } from "vitest";
import { classes, occupancy } from "../../bench/ptx.ts";
import { newTraffic, TrafficCounter } from "../../bench/traffic.ts";
import { prepare } from "../../runtime/call.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runThreads } from "../../verify/levels.ts";
import { compiled } from "../support/levels.ts";

/** Of all launches of a text at these sizes. */
function launches(text: string, target: "cuda" | "wgsl", dims: Record<string, number>): [string, number][] {
  const c = compiled(text, target);
  const into = newTraffic();
  const counter = new TrafficCounter(into);
  const drawn = generate(c.artifact, seeded(1), { dims, most: 100_000 })!;
  runThreads(c, prepare(c.artifact, drawn.args, { dims: drawn.dims }), counter.launch);
  counter.finish();
  return [...into.launches].map(([name, l]) => [name, l.operations]);
}
describe("operations of a launch", () => {
  const product = (elem: string, where: string): string =>
    `kernel f[M, N, K](a: ${elem}[M, K], b: ${elem}[N, K]) -> (c: f32[M, N])${where} { c[i, j] = sum(k) a[i, k] * b[j, k] }\n`;
  test("are a product and a sum for each term, one by one or by a matrix unit", () => {
    const dims = { M: 128, N: 128, K: 32 };
    const all = 2 * 128 * 128 * 32;
    for (const target of ["cuda", "wgsl"] as const) expect(launches(product("f32", ""), target, dims)).toEqual([["f_c", all]]);
    const tile = "schedule f on cuda { tile i: 32, j: 32, k: 32; warps 1 }\n";
    for (const elem of ["bf16", "f8e4m3"]) expect(launches(product(elem, "") + tile, "cuda", dims)).toEqual([["f_c", all]]);
    const bytes = product("i8", " where K % 16 == 0").replace("c: f32", "c: i32");
    expect(launches(bytes + tile, "cuda", dims)).toEqual([["f_c", all]]);
    expect(launches(bytes, "wgsl", dims)).toEqual([["f_c", all]]);
  });
  test("of what combines chunks stand by themselves", () => {
    const text = `${product("f32", "")}schedule f on cuda { split k: 4 }\n`;
    expect(launches(text, "cuda", { M: 128, N: 256, K: 128 })).toEqual([
      ["f_c_part", 2 * 128 * 256 * 128],
      ["f_c", 4 * 128 * 256],
    ]);
  });
});
test("occupancy is bounded by warps, registers, shared memory or blocks", () => {
  // Six blocks of 8 warps of 40 registers; the example of the occupancy calculator's documentation.
  expect(occupancy(256, 40, 0)).toBe(0.75);
  expect(occupancy(128, 255, 0)).toBe(8 / 64);
  expect(occupancy(128, 32, 48 * 1024)).toBe(12 / 64);
  expect(occupancy(32, 16, 0)).toBe(0.5);
  expect(occupancy(1024, 32, 0)).toBe(1);
});
test("instructions are told apart by their names", () => {
  const ptx = `ld.global.nc.v4.u32 {%r1}, [%rd1]; st.global.v4.f32 [%rd1], {%f1}; ld.global.nc.u16 %rs1, [%rd1]; st.global.f32 [%rd1], %f1;
ld.global.nc.L1::no_allocate.v4.u32 {%r1}, [%rd1]; mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1}; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1};
cp.async.cg.shared.global [%r1], [%rd1], 16; ex2.approx.ftz.f32 %f1, %f2; div.rn.f32 %f1, %f2, %f3; shfl.sync.bfly.b32 %r1, %r2; bar.sync 0; st.shared.u32 [%r1], %r2;`;
  const found = Object.fromEntries(Object.entries(classes).map(([name, pattern]) => [name, [...ptx.matchAll(pattern)].length]));
  expect(found).toEqual({
    ...{ mma: 1, ldmatrix: 1, "cp.async": 1, "global, 16 bytes": 3, "global, less": 2, shared: 1 },
    ...{ "special functions": 2, shuffles: 1, barriers: 1 },
  });
});
