/** nvcc's PTX of every intrinsic, run in TypeScript, gives what the emulator gives: inline assembly whose operands are swapped would show here alone. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { scalarFn } from "../../compiler/scalar.ts";
import { profiles } from "../../dsl/interpret/accuracy.ts";
import { prepare, tensor } from "../../runtime/index.ts";
import { EmulatedLibrary } from "../../verify/cuda-cpu/device.ts";
import { probes } from "../../verify/hardware/probes.ts";
import { rawArtifact, rawSource } from "../../verify/hardware/raw.ts";
import { runPtx } from "../../verify/ptx/execute.ts";
import { type Module, parsePtx } from "../../verify/ptx/parse.ts";
import { gxx, nvcc } from "../support/devices.ts";

const compiler = await gxx();
const version = nvcc();
const artifacts = probes.map((p) => rawArtifact(p.kernel));
let library: EmulatedLibrary;
const modules = new Map<string, Module>();
const archOf = (k: number): string => probes[k]!.kernel.arch ?? "sm_80";
function ptxOf(source: string, arch = "sm_80"): Module {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "weft-ptx-"));
  try {
    fs.writeFileSync(path.join(dir, "k.cu"), source);
    execFileSync("nvcc", ["-ptx", `-arch=${arch}`, "-std=c++17", "-fmad=false", "k.cu", "-o", "k.ptx"], { cwd: dir });
    return parsePtx(fs.readFileSync(path.join(dir, "k.ptx"), "utf8"));
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
}
function run(k: number, m: Module = modules.get(archOf(k))!): Uint32Array {
  const p = probes[k]!;
  const y = new Uint32Array(p.words).fill(0xffffffff);
  const bytes = (w: Uint32Array): Uint8Array => new Uint8Array(w.buffer, w.byteOffset, w.byteLength);
  runPtx(m, p.kernel.name, [bytes(p.x.slice()), bytes(y)], { blocks: 1, threads: 32, sharedBytes: p.kernel.sharedBytes ?? 0 });
  return y;
}
describe.skipIf(version === undefined || compiler === undefined)("PTX", () => {
  beforeAll(async () => {
    library = await EmulatedLibrary.build(artifacts);
    for (const arch of new Set(probes.map((_, k) => archOf(k))))
      modules.set(arch, ptxOf(rawSource(probes.flatMap((p, k) => (archOf(k) === arch ? [p.kernel] : []))), arch));
  });
  test.each(probes.map((p, k) => [p.name, p, k] as const))("%s", (_, p, k) => {
    const y = run(k);
    if (p.op && !p.exact) {
      // nvcc's own code for the function, within CUDA's table.
      const f = scalarFn(p.op, "f64", "f64", 1);
      const rule = profiles["cuda"]!.functions[p.op]!;
      const [xs, ys] = [p.x, y].map((w) => new Float32Array(w.buffer, w.byteOffset, w.length)) as [Float32Array, Float32Array];
      xs.forEach((x, i) => {
        const z = f(x, 0, 0);
        expect(Math.abs(ys[i]! - z), `${p.op}(${x})`).toBeLessThanOrEqual(rule(x, 0, Math.abs(z)) + 2 ** -149);
      });
      return;
    }
    library.setMatrixModel("serial");
    const { result, faults } = library.run(k, prepare(artifacts[k]!, { x: tensor("u32", [p.x.length], p.x.slice()) }), 0);
    expect(faults).toEqual([]);
    expect([...y]).toEqual([...(result.outputs["y"]!.data as Uint32Array)]);
  });
  test("floats of 8 bits become halves by the instruction of newer chips as by arithmetic", () => {
    const k = probes.findIndex((p) => p.name === "widen_f8e4m3");
    const source = rawSource([probes[k]!.kernel]);
    expect([...run(k, ptxOf(source, "sm_90"))]).toEqual([...run(k)]);
  });
  // Each of these compiles, and is wrong.
  test.each([
    ["operands of mma swapped", "mma_f16_0", "{%4, %5, %6, %7}, {%8, %9}", "{%4, %6, %5, %7}, {%8, %9}"],
    ["a lost .trans", "ldmatrix_x4_trans", "x4.trans.shared", "x4.shared"],
    ["bf16 read as f16", "mma_bf16_0", "f32.bf16.bf16.f32", "f32.f16.f16.f32"],
    ["e5m2 read as e4m3", "mma_f8e5m2_0", "f32.e5m2.e5m2.f32", "f32.e4m3.e4m3.f32"],
    ["a copy of a valid size whatever the guard", "copy_async_16", '"r"(valid ? 16 : 0)', '"r"(valid ? 16 : 16)'],
    ["no number as 480", "widen_f8e4m3", '"r"(large), "r"(0u), "r"(h)', '"r"(0u), "r"(0u), "r"(h)'],
    ["bits that take another's place", "fields_f16", "%3, 0xea;", "%3, 0xe8;"],
    ["a wait for the wrong group", "copy_async_4", 'cp.async.wait_group %0;" :: "n"(N)', 'cp.async.wait_group %0;" :: "n"(N + 1)'],
  ])("a wrong line of assembly shows: %s", (_, name, right, wrong) => {
    const k = probes.findIndex((p) => p.name === name);
    const source = rawSource([probes[k]!.kernel]);
    expect(source).toContain(right);
    const good = [...run(k)];
    const bad = (): number[] => [...run(k, ptxOf(source.replaceAll(right, wrong), archOf(k)))];
    let got: number[] | undefined;
    try {
      got = bad();
    } catch (e) {
      expect((e as Error).message).toMatch(/under way/);
    }
    expect(got).not.toEqual(good);
  });
});
