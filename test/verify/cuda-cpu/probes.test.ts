/** Every intrinsic on the emulator: what it computes by definition, restated here in plain loops; the matrix unit under its four models. */
import { beforeAll, describe, expect, test } from "vitest";
import { scalarFn } from "../../../compiler/scalar.ts";
import { profiles } from "../../../dsl/interpret/accuracy.ts";
import { decode, formats } from "../../../dsl/tensor/narrow.ts";
import { prepare, tensor } from "../../../runtime/index.ts";
import { EmulatedLibrary, type MatrixModel } from "../../../verify/cuda-cpu/device.ts";
import { type Probe, probes } from "../../../verify/hardware/probes.ts";
import { rawArtifact } from "../../../verify/hardware/raw.ts";
import { gxx } from "../../support/devices.ts";

const compiler = await gxx();
const artifacts = probes.map((p) => rawArtifact(p.kernel));
let library: EmulatedLibrary;
beforeAll(async () => {
  if (compiler) library = await EmulatedLibrary.build(artifacts);
});
function run(p: Probe, mode: number, model: MatrixModel = "serial"): Uint32Array {
  library.setMatrixModel(model);
  const k = probes.indexOf(p);
  const { result, faults } = library.run(k, prepare(artifacts[k]!, { x: tensor("u32", [p.x.length], p.x.slice()) }), mode);
  expect(faults, p.name).toEqual([]);
  return result.outputs["y"]!.data as Uint32Array;
}
const find = (name: string): Probe => probes.find((p) => p.name === name)!;
const lanes = Array.from({ length: 32 }, (_, l) => l);
const floats = (w: Uint32Array): Float32Array => new Float32Array(w.buffer, w.byteOffset, w.length);

describe.skipIf(compiler === undefined)("intrinsics on the emulator", () => {
  test.each(probes.map((p) => [p.name, p] as const))("%s: one result under all orders of threads and layouts of shared memory", (_, p) => {
    const first = [...run(p, 0)];
    for (const mode of [1, 2, 3, 8, 9]) expect([...run(p, mode)]).toEqual(first);
  });
  test("shuffles and votes", () => {
    const x = (name: string): Uint32Array => find(name).x;
    expect([...run(find("shuffle"), 0)]).toEqual(lanes.map((l) => x("shuffle")[(l * 7 + 3) % 32]));
    expect([...run(find("shuffle_down"), 0)]).toEqual(lanes.map((l) => x("shuffle_down")[(l % 16) + 3 < 16 ? l + 3 : l]));
    expect([...run(find("shuffle_up"), 0)]).toEqual(lanes.map((l) => x("shuffle_up")[l % 16 >= 5 ? l - 5 : l]));
    let v = [...x("shuffle_xor")];
    const y = run(find("shuffle_xor"), 0);
    [1, 2, 4, 8, 16].forEach((b, k) => {
      v = v.map((w, l) => (Math.imul(w, 3) + v[l ^ b]!) >>> 0);
      expect(lanes.map((l) => y[l * 5 + k])).toEqual(v);
    });
    const odd = [...x("votes")].map((w) => w & 1);
    const ballot = odd.reduce((m, o, l) => (m | (o << l)) >>> 0, 0);
    expect([...run(find("votes"), 0)]).toEqual(lanes.flatMap(() => [ballot, Number(ballot !== 0), Number(ballot === 0xffffffff)]));
  });
  test.each([
    [2, false],
    [2, true],
    [4, false],
    [4, true],
  ])("ldmatrix x%d, transposed %s", (count, trans) => {
    const p = find(`ldmatrix_x${count}${trans ? "_trans" : ""}`);
    // Row r of matrix m lies where lane 8 m + r says.
    const element = (m: number, r: number, c: number): number => {
      const row = ((8 * m + r) * 5 + 3) % 32;
      return (p.x[row * 4 + (c >> 1)]! >>> ((c & 1) * 16)) & 0xffff;
    };
    const expected = lanes.flatMap((l) =>
      Array.from({ length: count }, (_, m) => {
        const [r, c] = [l >> 2, (l & 3) * 2];
        const [low, high] = trans ? [element(m, c, r), element(m, c + 1, r)] : [element(m, r, c), element(m, r, c + 1)];
        return (low | (high << 16)) >>> 0;
      }),
    );
    expect([...run(p, 0)]).toEqual(expected);
  });
  /** A, B and C of a product out of the lanes' words (PTX ISA, figures of m16n8k16 and m16n8k32), and where each element of D goes. */
  function matrices(p: Probe, read: (word: number, at: number) => number, depth: 16 | 32) {
    const per = depth / 8;
    const a = Array.from({ length: 16 }, () => new Array<number>(depth).fill(0));
    const b = Array.from({ length: depth }, () => new Array<number>(8).fill(0));
    for (const l of lanes) {
      const [group, at] = [l >> 2, l & 3];
      for (let w = 0; w < 4; w++)
        for (let k = 0; k < per; k++) a[group + (w % 2) * 8]![at * per + k + (w >> 1) * per * 4] = read(p.x[l * 10 + w]!, k);
      for (let w = 0; w < 2; w++) for (let k = 0; k < per; k++) b[at * per + k + w * per * 4]![group] = read(p.x[l * 10 + 4 + w]!, k);
    }
    const place = (l: number, k: number): readonly [number, number] => [(l >> 2) + (k >> 1) * 8, (l & 3) * 2 + (k & 1)];
    return { a, b, place };
  }
  const half = (format: "f16" | "bf16") => (w: number, at: number) => decode(formats[format]!, (w >>> (at * 16)) & 0xffff);
  test.each(["f16", "bf16"] as const)("mma of %s on integers, in every model: exact", (format) => {
    const p = find(`mma_${format}_whole`);
    const { a, b, place } = matrices(p, half(format), 16);
    const c = floats(p.x);
    const expected = lanes.flatMap((l) =>
      [0, 1, 2, 3].map((k) => {
        const [r, n] = place(l, k);
        return a[r]!.reduce((s, v, i) => s + v * b[i]![n]!, c[l * 10 + 6 + k]!);
      }),
    );
    for (const model of ["exact", "serial", "hopper", "ampere"] as const) expect([...floats(run(p, 0, model))]).toEqual(expected);
  });
  test("mma of s8, wrapping", () => {
    const p = find("mma_s8");
    const { a, b, place } = matrices(p, (w, at) => ((w >>> (at * 8)) << 24) >> 24, 32);
    const expected = lanes.flatMap((l) =>
      [0, 1, 2, 3].map((k) => {
        const [r, n] = place(l, k);
        return a[r]!.reduce((s, v, i) => (s + Math.imul(v, b[i]![n]!)) | 0, p.x[l * 10 + 6 + k]! | 0) >>> 0;
      }),
    );
    expect([...run(p, 0)]).toEqual(expected);
  });
  // error-bounds: (g + 1) products cut at F bits of the largest, and the result at 23.
  test.each([
    ["exact", 0, 0, 0.5],
    ["serial", 17, 24, 0],
    ["hopper", 17, 25, 1],
    ["ampere", 18, 24, 2],
  ] as const)("mma in the %s model stays within its bound of the true sum, and differs from the others", (model, cuts, bits, ends) => {
    let differs = false;
    for (const format of ["f16", "bf16"] as const)
      for (const k of [0, 1, 2, 3]) {
        const p = find(`mma_${format}_${k}`);
        const { a, b, place } = matrices(p, half(format), 16);
        const c = floats(p.x);
        const got = floats(run(p, 0, model));
        const other = floats(run(p, 0, model === "serial" ? "exact" : "serial"));
        for (const l of lanes)
          for (const i of [0, 1, 2, 3]) {
            const [r, n] = place(l, i);
            const start = c[l * 10 + 6 + i]!;
            const products = a[r]!.map((v, q) => v * b[q]![n]!);
            const sum = products.reduce((s, v) => s + v, start);
            const size = products.reduce((s, v) => s + Math.abs(v), Math.abs(start));
            const largest = 4 * Math.max(Math.abs(start), ...products.map(Math.abs));
            const bound =
              model === "serial" ? cuts * 2 ** -24 * size : cuts * 2 ** -bits * largest * (cuts > 0 ? 1 : 0) + ends * 2 ** -23 * size;
            expect(Math.abs(got[l * 4 + i]! - sum), `${p.name} lane ${l}`).toBeLessThanOrEqual(bound);
            differs ||= got[l * 4 + i] !== other[l * 4 + i];
          }
      }
    expect(differs).toBe(true);
  });
  test.each([4, 16])("copies of %d bytes beside the thread", (bytes) => {
    const n = bytes / 4;
    const p = find(`copy_async_${bytes}`);
    const first = lanes.flatMap((l) => Array.from({ length: n }, (_, k) => p.x[(l ^ 1) * n + k]));
    const second = lanes.flatMap((l) => Array.from({ length: n }, (_, k) => ((l ^ 2) % 3 === 0 ? 0 : p.x[(32 + (l ^ 2)) * n + k])));
    expect([...run(p, 0)]).toEqual([...first, ...second]);
  });
  test.each(probes.filter((p) => p.op).map((p) => [p.name, p] as const))("%s within CUDA's table", (_, p) => {
    const f = scalarFn(p.op!, "f64", "f64", 1);
    const rule = profiles["cuda"]!.functions[p.op!] ?? (() => 0);
    const y = floats(run(p, 0));
    floats(p.x).forEach((x, k) => {
      const z = f(x, 0, 0);
      expect(Math.abs(y[k]! - z), `${p.op}(${x})`).toBeLessThanOrEqual(rule(x, 0, Math.abs(z)) + 2 ** -149);
    });
  });
});
