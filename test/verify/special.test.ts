/** NaN, infinities, signed zeros and subnormals, where the language says what they do (rules 10, 39): CUDA's levels and the reference. */
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { type HostTensor, prepare, tensor } from "../../runtime/index.ts";
import { readElement } from "../../verify/convert.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { runThreads, runTiles } from "../../verify/levels.ts";
import { ReferenceDevice } from "../../verify/reference-device.ts";
import { gxx } from "../support/devices.ts";

const text = `kernel special[M, N](x: f32[M, N]) -> (
  top: f32[M], low: f32[M], at: index<N>[M], best: f32[M, 2], half: f16[M, N], eight: f8e4m3[M, N], whole: i32[M, N], pair: f32[M, N],
) where N >= 2 {
  top[i] = max(j) x[i, j]
  low[i] = min(j) x[i, j]
  at[i] = argmax(j) x[i, j]
  let (v[i, r], w[i, r]) = topk(j, 2) x[i, j]
  best[i, r] = v[i, r] else 0.0
  half[i, j] = x[i, j]
  eight[i, j] = x[i, j]
  whole[i, j] = i32(x[i, j])
  pair[i, j] = max(x[i, j], 1.0)
}
`;
const [nan, inf] = [Number.NaN, Number.POSITIVE_INFINITY];
const rows = [
  [1, nan, 2, -3],
  [nan, nan, -1, nan],
  [inf, 1, -inf, 0],
  [-inf, -inf, -inf, -5],
  [0, -0, 2 ** -149, -(2 ** -149)],
  [70000, -70000, 2 ** -25, 2 ** 99],
];
const numbers = (list: readonly number[]): number[] => list.filter((v) => !Number.isNaN(v));
const expected = {
  top: rows.map((r) => Math.max(...numbers(r))),
  low: rows.map((r) => Math.min(...numbers(r))),
  at: rows.map((r) => r.indexOf(Math.max(...numbers(r)))),
  best: rows.flatMap((r) => [...numbers(r).sort((a, b) => b - a), nan].slice(0, 2)),
  // f16 overflows to infinity, f8e4m3 saturates at 448; 2^-25 is half the least f16, and goes to even.
  half: rows.flat().map((v) => (Math.abs(v) > 65520 ? Math.sign(v) * inf : Math.abs(v) <= 2 ** -25 ? v * 0 : v)),
  eight: rows.flat().map((v) => (Number.isNaN(v) ? nan : Math.abs(v) <= 2 ** -10 ? v * 0 : Math.max(-448, Math.min(448, v)))),
  whole: rows.flat().map((v) => (Number.isNaN(v) ? 0 : Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(v))))),
  pair: rows.flat().map((v) => (Number.isNaN(v) ? 1 : Math.max(v, 1))),
};
const compiled = compile(check(text).instances[0]!, text, { target: "cuda" });
const compiler = await gxx();
const emulator = new CpuCudaDevice();
const levels: Record<string, (call: ReturnType<typeof prepare>) => Promise<Readonly<Record<string, HostTensor>>>> = {
  reference: async (call) => (await new ReferenceDevice().run(call)).outputs,
  tile: async (call) => runTiles(compiled, call).outputs,
  thread: async (call) => runThreads(compiled, call).result.outputs,
  ...(compiler ? { "cuda-cpu": async (call) => (await emulator.run(call)).outputs } : {}),
};
describe.each(Object.keys(levels))("%s", (level) => {
  test("special values", async () => {
    const call = prepare(compiled.artifact, { x: tensor("f32", [rows.length, 4], Float32Array.from(rows.flat())) });
    const outputs = await levels[level]!(call);
    for (const [name, want] of Object.entries(expected)) {
      const t = outputs[name]!;
      // The sign of a zero is open.
      const got = Array.from({ length: want.length }, (_, i) => readElement(t.elem, t.data, i) + 0);
      expect(got.map(String), name).toEqual(want.map((v) => String(v + 0)));
    }
  });
});
