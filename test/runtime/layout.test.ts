/** Layouts against positions written out by hand, and the pack kernel against the host's pack. */
import { describe, expect, test } from "vitest";
import { compile, packKernels } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import type { TensorParam } from "../../runtime/abi.ts";
import { packFor, prepare, tensor } from "../../runtime/index.ts";
import { unpack } from "../../runtime/layout.ts";
import { tensorOf } from "../../verify/convert.ts";
import { runThreads } from "../../verify/levels.ts";

const artifactOf = (text: string) => compile(check(text).instances[0]!, text, { target: "wgsl" }).artifact;
const copy = (type: string, layout: string, dims: string, where = "") =>
  `kernel f${dims}(x: ${type} layout ${layout}) -> (y: ${type}) ${where} { y[i, j] = x[i, j] }\n`;
const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe("pack puts elements where the form says", () => {
  test("strides", () => {
    const a = artifactOf(copy("f32[M, N]", "strides(LD, 1)", "[M, N, LD]", "where N <= LD"));
    const x = tensor("f32", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
    expect([...packFor([a], "x", x, { dims: { LD: 5 } }).data]).toEqual([1, 2, 3, 0, 0, 4, 5, 6]);
    expect(() => packFor([a], "x", x)).toThrow("R105");
  });
  test("blocked", () => {
    const a = artifactOf(copy("f32[M, N]", "blocked(2, 2)", "[M, N]"));
    const x = tensor("f32", [3, 3], Float32Array.from(counting(9)));
    expect([...packFor([a], "x", x).data]).toEqual([0, 1, 3, 4, 2, 0, 5, 0, 6, 7, 0, 0, 8, 0, 0, 0]);
  });
  test("packed, in the order of AWQ: fields hold columns 0 2 4 6 1 3 5 7", () => {
    const a = artifactOf(copy("u4[i: M, j: N]", "packed(j, 8, order: {0, 2, 4, 6, 1, 3, 5, 7})", "[M, N]"));
    const x = tensorOf("u4", [1, 8], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...packFor([a], "x", x).data]).toEqual([0x86427531]);
  });
  test("packed along the first axis, as GPTQ has it", () => {
    const a = artifactOf(copy("u4[i: M, j: N]", "packed(i, 8)", "[M, N]"));
    const x = tensorOf("u4", [9, 2], [...counting(16).map((v) => v % 16), 9, 10]);
    expect([...packFor([a], "x", x).data]).toEqual([0xeca86420, 0xfdb97531, 9, 10]);
  });
  test("packed in an order that permutes no bits", () => {
    const a = artifactOf(copy("u4[i: M, j: N]", "packed(j, 8, order: {1, 0, 2, 4, 3, 6, 5, 7})", "[M, N]"));
    expect([...packFor([a], "x", tensorOf("u4", [1, 8], counting(8))).data]).toEqual([0x75634201]);
  });
  test("swizzled", () => {
    const a = artifactOf(copy("f32[M, N]", "swizzled(1, 2, 4)", "[M, N]"));
    const rows = [...packFor([a], "x", tensor("f32", [6, 4], Float32Array.from(counting(24)))).data];
    const expected = counting(6).flatMap((row) => counting(4).map((chunk) => row * 4 + (chunk ^ (Math.floor(row / 2) % 4))));
    expect(rows).toEqual(expected);
  });
  test("paged", () => {
    const text =
      "kernel f[B, P, PG](x: f32[b: B, j: P * 2] layout paged(j, 2 by page), page: index<PG>[B, P]) -> (y: f32[B]) { y[b] = sum(j) x[b, j] }\n";
    const a = artifactOf(text);
    const page = tensor("index", [2, 2], Uint32Array.of(3, 1, 0, 4));
    const x = tensor("f32", [2, 4], Float32Array.from(counting(8)));
    const packed = packFor([a], "x", x, { tables: { page }, dims: { PG: 5 } });
    expect([...packed.data]).toEqual([4, 5, 2, 3, 0, 0, 0, 1, 6, 7]);
    expect(() => packFor([a], "x", x, { dims: { PG: 5 } })).toThrow("R101");
    const p = a.params[0] as TensorParam;
    expect([...unpack(p, packed, { B: 2, P: 2, PG: 5 }, new Map([["page", page]])).data]).toEqual([...x.data]);
  });
});

describe("the generated pack kernel makes what pack makes", () => {
  const kernel = `layout columns[K, N](k, n) = (word: (k / 8) * N + n, bit: 4 * (k % 8))
kernel gemv<T: float>[NG, GS: static, N, LD](
  x: T[NG * GS],
  w: u4[k: NG * GS, n: N] layout packed(k, 8),
  z: u4[NG, N] layout columns,
  s: T[NG, N] layout strides(LD, 1),
) -> (y: f32[N]) where N <= LD {
  y[n] = sum(g: NG, u: GS) x[g * GS + u] * f32(w[g * GS + u, n] - z[g, n]) * s[g, n]
}
instance gemv { T: f16 | f32, GS: 32 }
`;
  const text = packKernels(kernel)!;
  const checked = check(text);
  test("it checks, once for each type and size that it depends on", () => {
    expect(checked.diagnostics).toEqual([]);
    expect(checked.instances.map((i) => `${i.kernel} ${i.name}`)).toEqual([
      "gemv_pack_w GS=32",
      "gemv_pack_z ",
      "gemv_pack_s T=f16",
      "gemv_pack_s T=f32",
    ]);
  });
  const original = check(kernel).instances.map((i) => compile(i, kernel, { target: "wgsl" }).artifact);
  test.each(checked.instances)("$kernel $name", (instance) => {
    const compiled = compile(instance, text, { target: "wgsl" });
    const [plain] = compiled.artifact.params as [TensorParam];
    const shape = plain.name === "w" ? [64, 5] : [2, 5];
    const count = shape[0]! * shape[1]!;
    const t = tensorOf(
      plain.elem,
      shape,
      counting(count).map((v) => v % 16),
    );
    const dims: Record<string, number> = plain.name === "s" ? { LD: 7 } : {};
    const call = prepare(compiled.artifact, { [plain.name]: t }, { dims });
    const { result, faults } = runThreads(compiled, call);
    expect(faults).toEqual([]);
    const host = packFor(original, plain.name, t, { dims });
    expect([...result.outputs["packed"]!.data]).toEqual([...host.data]);
    expect(host.data.some((v) => v !== 0)).toBe(true);
  });
});
test("a file without layouts has no pack kernels", () => {
  expect(packKernels("kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i] }\n")).toBeUndefined();
});
