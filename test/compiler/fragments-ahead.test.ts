/** The order of a product's steps on the matrix unit: the first fragments of a step are read during the one before. */
import { describe, expect, test } from "vitest";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { gxx } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const product = (elem: string, w: string, directives: string): string => `
kernel f[M, N, K](a: ${elem}[M, K], b: ${elem}[${w === "k, j" ? "K, N" : "N, K"}]) -> (c: ${elem === "i8" ? "i32" : "f32"}[M, N])
where K % 16 == 0, N % 16 == 0 {
  c[i, j] = sum(k) a[i, k] * b[${w}]
}
schedule f on cuda { ${directives} }
`;
const large = "tile i: 64, j: 64, k: 32; warps 2; stage a, b in shared, buffers: 3";
const small = "tile i: 32, j: 32, k: 32; warps 1; stage a, b in shared, buffers: 3";
const dense = product("f16", "k, j", large);
/** What is done before the loop and in a step of it, each once where it stands several times in a row. */
function stepOf(text: string): { readonly before: readonly string[]; readonly step: readonly string[] } {
  const [before, rest] = compiled(text, "cuda").artifact.source.split(/^ {2}for \(int k/m) as [string, string];
  const kinds = {
    copy: /copy_async_16\(/,
    wait: /copy_async_wait</,
    barrier: /__syncthreads/,
    fragment: /weft_ldmatrix/,
    product: /weft_mma/,
  };
  const look = (part: string): string[] =>
    part
      .split("\n")
      .flatMap((line) => Object.entries(kinds).flatMap(([kind, test]) => (test.test(line) && line.startsWith("  ") ? [kind] : [])))
      .filter((kind, k, all) => kind !== all[k - 1]);
  return { before: look(before.slice(before.lastIndexOf("__global__"))), step: look(rest.split(/^ {2}}/m)[0]!) };
}
const compiler = await gxx();

describe("steps of a product that are copied ahead", () => {
  test("begin with products, whose fragments the step before has read", () => {
    const { before, step } = stepOf(dense);
    expect(before).toEqual(["copy", "wait", "barrier", "fragment"]);
    expect(step.slice(0, 2)).toEqual(["copy", "product"]);
    expect(step.slice(-4)).toEqual(["wait", "barrier", "fragment", "product"]);
    expect(step.filter((kind) => kind === "wait")).toHaveLength(1);
  });
  test("wait first where no step is on its way meanwhile", () => {
    const { before, step } = stepOf(dense.replace("buffers: 3", "buffers: 2"));
    expect(before).toEqual(["copy"]);
    expect(step.slice(0, 3)).toEqual(["wait", "barrier", "copy"]);
  });
  test("wait first where one set of fragments is all that a step has", () => {
    const { before, step } = stepOf(product("f16", "k, j", "tile i: 16, j: 16, k: 16; warps 1; stage a, b in shared, buffers: 3"));
    expect(before).toEqual(["copy"]);
    expect(step[0]).toBe("wait");
  });
  test("wait first where elements are read one by one: bytes that lie by columns", async () => {
    const text = product("i8", "k, j", small.replace("k: 32", "k: 64"));
    expect(stepOf(text).before).toEqual(["copy"]);
    expect(stepOf(text).step[0]).toBe("wait");
    expect(await agreesOnLevels(text, 3, 3, ["cuda"], [16, 48, 144])).toBeGreaterThan(100);
  });
  test.each([
    ["halves", dense],
    ["along the sum", product("bf16", "j, k", large)],
    ["bytes", product("i8", "j, k", large.replace("k: 32", "k: 64"))],
    ["four slots", product("f16", "k, j", small.replace("buffers: 3", "buffers: 4"))],
    ["pieces of the sum", product("f16", "k, j", `split k: 3; ${small}`)],
  ])("%s agree", async (_, text) => {
    expect(stepOf(text).before.at(-1)).toBe("fragment");
    expect(await agreesOnLevels(text, 4, 3, ["cuda"], [0, 16, 32, 48, 80, 112])).toBeGreaterThan(100);
  });
  test.skipIf(compiler === undefined).each([
    ["halves", product("f16", "k, j", small)],
    ["bytes", product("i8", "j, k", small.replace("k: 32", "k: 64"))],
  ])("%s, as emitted", async (_, text) => {
    const { artifact } = compiled(text, "cuda");
    const emulated = new CpuCudaDevice();
    for (const K of [0, 16, 64, 144]) {
      const made = generate(artifact, seeded(2), { dims: { M: 40, N: 48, K }, most: 100_000 })!;
      const call = prepare(artifact, made.args, { dims: made.dims });
      const { result, faults } = await emulated.watch(call);
      expect(faults).toEqual([]);
      expect(agree(call, result, interpreterFor(call, "cuda")).disagreements.map(words)).toEqual([]);
    }
  });
});
