import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { openCuda } from "../../runtime/cuda/index.ts";
import { type Arguments, type CallOptions, call, prepare, tensor, WeftError } from "../../runtime/index.ts";
import { ReferenceDevice } from "../../verify/reference-device.ts";
import { webgpu } from "../support/devices.ts";

const text =
  "kernel f[A, G, N](x: f32[A * G, N], w: f16[N], ix: index<A>[G], st: offsets<N>[A + 1], s: f32) -> (y: f32[A]) where N >= 2, s >= 0 {\n  y[a] = s * sum(g: G, n) x[a * G + g, n] * w[n]\n}\n";
const { artifact } = compile(check(text).instances[0]!, text, { target: "wgsl" });
const good = (): Record<string, Arguments[string]> => ({
  x: tensor("f32", [6, 4]),
  w: tensor("f16", [4]),
  ix: tensor("index", [3]),
  st: tensor("offsets", [3], Uint32Array.of(0, 1, 4)),
  s: 0.5,
});
const code = (change: Record<string, Arguments[string] | undefined>, options: CallOptions = {}): string => {
  const args = Object.fromEntries(Object.entries({ ...good(), ...change }).filter(([, v]) => v !== undefined)) as Arguments;
  try {
    prepare(artifact, args, options);
    return "ok";
  } catch (e) {
    if (e instanceof WeftError) return e.message;
    throw e;
  }
};

describe("arguments", () => {
  test("dimensions are solved from products and sums", () => {
    expect(prepare(artifact, good()).values).toMatchObject({ A: 2, G: 3, N: 4 });
    expect(prepare(artifact, good()).tensors.get("y")!.shape).toEqual([2]);
  });
  test.each([
    ["a missing argument", { x: undefined }, "R101: f: argument `x` is missing; it takes x, w, ix, st, s"],
    ["an unknown argument", { z: 1 }, "R101: f has no argument `z`; it takes x, w, ix, st, s"],
    ["a wrong element type", { w: tensor("f32", [4]) }, "R102: f: `w` is f16, found f32"],
    ["a number for a tensor", { w: 3 }, "R102: f: `w` is a tensor f16[N], found number"],
    ["a wrong rank", { w: tensor("f16", [4, 1]) }, "R103: f: `w` is f16[N], found 2 axes [4, 1]"],
    ["dimensions that disagree", { w: tensor("f16", [5]) }, "R103: f: axis 0 of `w` is 5, and N is 4"],
    ["a product that does not come out whole", { x: tensor("f32", [7, 4]) }, "R103: f: axis 0 of `x` is 7, and (A * G) is 6"],
    [
      "a precondition on a dimension",
      { x: tensor("f32", [6, 1]), w: tensor("f16", [1]), st: tensor("offsets", [3], Uint32Array.of(0, 1, 1)) },
      "R104: f: `where N >= 2` does not hold for N = 1",
    ],
    ["a precondition on a scalar", { s: -1 }, "R104: f: `where s >= 0.0` does not hold for s = -1"],
    ["a NaN scalar", { s: Number.NaN }, "R107: f: scalar `s` is NaN"],
    ["a tensor for a scalar", { s: tensor("f32", [1]) }, "R107: f: `s` is a scalar of type f32, found a tensor"],
  ] as const)("%s", (_name, change, message) => expect(code(change as never)).toBe(message));
  test("data is checked on request", () => {
    const wrong = { ix: tensor("index", [3], Uint32Array.of(0, 2, 1)) };
    expect(code(wrong)).toBe("ok");
    expect(code(wrong, { checkData: true })).toBe("R106: f: `ix`[1] is 2, and must be below A = 2");
    expect(code({ st: tensor("offsets", [3], Uint32Array.of(0, 3, 1)) }, { checkData: true })).toBe(
      "R106: f: `st`[2] is 1, less than the one before it",
    );
    expect(code({ st: tensor("offsets", [3], Uint32Array.of(0, 1, 3)) }, { checkData: true })).toBe(
      "R106: f: `st`[2] is 3, and must be N = 4",
    );
  });
  test("tensors are checked when they are made", () => {
    expect(() => tensor("f32", [2, 3], new Float32Array(5))).toThrow("R103: f32[2, 3] takes 6 elements, the data has 5");
    expect(() => tensor("u4", [9], new Uint32Array(1))).toThrow("R103: u4[9] takes 2 words, the data has 1");
    expect(() => tensor("f32", [-1])).toThrow(/R103/);
  });
  test("a dimension that nothing determines", async () => {
    const free = "kernel g[N](s: f32) -> (y: f32[N]) { y[i] = s }\n";
    const { artifact: a } = compile(check(free).instances[0]!, free, { target: "wgsl" });
    expect(() => prepare(a, { s: 1 })).toThrow("R105: g: no argument determines dimension N; pass it in `dims`");
    expect(() => prepare(a, { s: 1 }, { dims: { M: 3 } })).toThrow("R101: g has no dimension `M`; it has N");
    expect(() => prepare(a, { s: 1 }, { dims: { N: 1.5 } })).toThrow("R103: g: dimension N must be a natural number, found 1.5");
    const { outputs } = await call(new ReferenceDevice(), [a], { s: 2 }, { dims: { N: 3 } });
    expect(outputs["y"]!.data).toEqual(Float32Array.of(2, 2, 2));
  });
});

const gpu = await webgpu();
describe.skipIf(gpu === undefined)("devices", () => {
  test("a grid of more than 65535 blocks", async () => {
    const big = "kernel h[A, B](x: f32[A, B]) -> (y: f32[A, B]) { y[i, j] = x[i, j] + 1.0 }\n";
    const { artifact: a } = compile(check(big).instances[0]!, big, { target: "wgsl" });
    const x = tensor("f32", [70_001, 1]);
    x.data[70_000] = 4;
    const { outputs } = await call(gpu!, [a], { x });
    expect([outputs["y"]!.data[0], outputs["y"]!.data[70_000]]).toEqual([1, 5]);
  });
  test("a launch that takes too long is given up", async () => {
    const slow = "kernel slow[N](x: f32[N]) -> (y: f32[N]) { y[i] = sum(j: N, k: N, l: N) sin(x[j] * x[k] + x[l]) }\n";
    const { artifact: a } = compile(check(slow).instances[0]!, slow, { target: "wgsl" });
    await expect(call(gpu!, [a], { x: tensor("f32", [260]) }, { timeoutMs: 1 })).rejects.toMatchObject({ code: "R203" });
  });
  test("a device that was lost says so, and names the kernel", async () => {
    const { openWebGpu } = await import("../../runtime/webgpu/node.ts");
    const own = await openWebGpu({ notice: () => undefined });
    await own[Symbol.asyncDispose]();
    await new Promise((r) => setTimeout(r, 50));
    await expect(call(own, [artifact], good())).rejects.toThrow(/R202: f: the device was lost/);
  });
  test("a device that is lost in the middle of a launch says so", async () => {
    const { openWebGpu } = await import("../../runtime/webgpu/node.ts");
    const own = await openWebGpu({ notice: () => undefined });
    const product = "kernel p[N](a: f32[N, N]) -> (c: f32[N, N]) { c[i, j] = sum(k) a[i, k] * a[k, j] }\n";
    const { artifact: a } = compile(check(product).instances[0]!, product, { target: "wgsl" });
    const running = call(own, [a], { a: tensor("f32", [512, 512]) });
    const ended = expect(running).rejects.toThrow(/R202: p: the device was lost/);
    await new Promise((r) => setTimeout(r, 5));
    await own[Symbol.asyncDispose]();
    await ended;
  });
});
test("no GPU: CUDA says what is missing", async () => {
  const opened = await openCuda().then(
    (d) => d.name,
    (e: Error) => e.message,
  );
  // Either there is a GPU, or the message names what was looked for.
  expect(opened).toMatch(/NVIDIA|R201: .*(libcuda|libnvrtc|no device)/);
});
