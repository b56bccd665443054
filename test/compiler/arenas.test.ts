/** Kernels with more tensors than core WebGPU binds: what shares a binding, and that results stay those of the reference. */
import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { arenasOf, boundTo } from "../../compiler/emit/arenas.ts";
import { compile, variantsOf } from "../../compiler/index.ts";
import type { ThreadBuffer, ThreadKernel } from "../../compiler/thread/ir.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { type Artifact, evaluateSize, unroll } from "../../runtime/abi.ts";
import { openWebGpu } from "../../runtime/webgpu/node.ts";
import { fuzz } from "../../verify/fuzz.ts";
import { seeded } from "../../verify/generate.ts";
import { deviceLevel } from "../../verify/levels.ts";
import { randomCrowd } from "../../verify/random/crowded.ts";
import { Tape } from "../../verify/random/tape.ts";
import { scale, seed } from "../support/campaigns.ts";
import { webgpu } from "../support/devices.ts";

const most = 8;
const boundOf = (a: Artifact, dims: Record<string, number>): number[] => unroll(a.steps, dims).map(({ launch }) => launch.buffers.length);
const artifactOf = (text: string, target: "cuda" | "wgsl" = "wgsl"): Artifact => {
  const checked = check(text);
  expect(checked.diagnostics).toEqual([]);
  return compile(checked.instances[0]!, text, { target }).artifact;
};
const names = Array.from({ length: 12 }, (_, k) => `x${k}`);
const wide = `kernel f[N](${names.map((n, k) => `${n}: ${["f32", "u8", "i32"][k % 3]}[N]`).join(", ")}) -> (y: f32[N]) {\n  y[i] = ${names.map((n) => `f32(${n}[i])`).join(" + ")}\n}\n`;
const updated = `kernel f[N](inout ${names.map((n, k) => `${n}: ${k % 4 === 3 ? "f16" : "f32"}[N]`).join(", inout ")}) {\n${names.map((n, k) => (k % 4 === 3 ? `  ${n}[i] := f16(2.0 * f32(${n}[i]))` : `  ${n}[i] := ${n}[i] + ${k}.0`)).join("\n")}\n}\n`;

describe("what shares a binding", () => {
  test("is what is only read, where a launch has more than every device binds", () => {
    const a = artifactOf(wide);
    expect(boundOf(a, { N: 5 })).toEqual([2]);
    expect(a.arenas).toHaveLength(1);
    const [arena] = a.arenas!;
    expect(arena!.members.map((m) => m.name)).toEqual(names);
    // 5 words take two steps of 16 bytes, 5 bytes one.
    expect(arena!.members.map((m) => evaluateSize(m.at, { N: 5 }))).toEqual([0, 2, 3, 5, 7, 8, 10, 12, 13, 15, 17, 18]);
    expect(evaluateSize(arena!.size, { N: 5 })).toBe(20);
    expect(a.uniforms.map((u) => u.name)).toEqual(["N", ...names.slice(1).map((n) => `${n}_at`)]);
  });
  test("is what is written as well, where it must be", () => {
    const a = artifactOf(updated);
    expect(Math.max(...boundOf(a, { N: 5 }))).toBeLessThanOrEqual(most);
    expect(a.arenas!.flatMap((r) => r.members.map((m) => m.name)).sort()).toEqual([...names].sort());
  });
  test("has a name that nothing else has", () => {
    const a = artifactOf(wide.replaceAll("x3", "arena").replaceAll("x5", "x4_at"));
    expect(a.arenas!.map((r) => r.name)).toEqual(["arena2"]);
    expect(a.uniforms.map((u) => u.name)).toContain("x4_at2");
  });
  test("is nothing on CUDA, or in the library", () => {
    expect(artifactOf(wide, "cuda").arenas).toBeUndefined();
    for (const file of Object.values(library)) {
      const text = fs.readFileSync(file, "utf8");
      const checked = check(text);
      for (const i of checked.instances)
        for (const { schedule } of variantsOf(checked, i, "wgsl"))
          expect(compile(i, text, { target: "wgsl", schedule }).artifact.arenas).toBeUndefined();
    }
  });
  test("is not what two launches access in two ways, and there may be too much of that", () => {
    const buffer = (name: string, more: Partial<ThreadBuffer>): ThreadBuffer => ({
      ...{ name, elem: "f32", access: "write", count: 4, unit: "f32", units: 4, vector: false, atomic: false },
      ...more,
    });
    const kernel = (name: string, buffers: readonly ThreadBuffer[]): ThreadKernel => ({
      ...{ name, threads: 32, grid: [], blocks: 1, beside: 1, shared: [], body: [] },
      buffers,
    });
    const listed = (vector: (k: number) => boolean) => Array.from({ length: 10 }, (_, k) => buffer(`y${k}`, { vector: vector(k) }));
    const none = new Set<string>();
    const alike = [
      kernel(
        "a",
        listed(() => false),
      ),
      kernel(
        "b",
        listed(() => true),
      ),
    ];
    const made = arenasOf(alike, most, none)!;
    expect(alike.map((k) => boundTo(k, made).map((b) => b.buffer.name))).toEqual([["arena"], ["arena_wide"]]);
    // A buffer is one of vectors in a launch of its own: no two lie in one arena.
    const apart = Array.from({ length: 10 }, (_, one) =>
      kernel(
        `l${one}`,
        listed((k) => k === one),
      ),
    );
    expect(arenasOf(apart, most, none)).toBeUndefined();
    expect(arenasOf(apart, 10, none)!.arenas).toEqual([]);
  });
});

const gpu = await webgpu();
describe.skipIf(gpu === undefined)("on a device", () => {
  // Devices are asked for no more bindings than core WebGPU promises.
  const agrees = async (text: string, at: number, runs: number): Promise<number> => {
    const device = await openWebGpu({ notice: () => undefined });
    const levels = [deviceLevel("wgsl", "wgsl", device)];
    let compared = 0;
    const target = { name: "wgsl" as const, device: device.name, levels, [Symbol.asyncDispose]: async () => undefined };
    for await (const r of fuzz(text, undefined, [target], { runs, seed: at, schedules: "all", sizes: [1, 2, 3, 5, 8, 17, 33] })) {
      expect(r.failure, `${text}\n${JSON.stringify(r)}`).toBeUndefined();
      compared += r.compared;
    }
    await device[Symbol.asyncDispose]();
    return compared;
  };
  test.each([wide, updated])("twelve tensors", async (text) => {
    expect(await agrees(text, 1, 10)).toBeGreaterThan(200);
  });
  test("random crowds", async () => {
    const cases = Math.max(6, Math.round(100 * scale));
    const tally = { ran: 0, refused: 0, compared: 0 };
    for (let k = 0; tally.ran < cases && k < 2 * cases + 10; k++) {
      const text = randomCrowd(new Tape([], seeded(seed * 7919 + k)));
      if (check(text).diagnostics.some((d) => d.severity === "error")) {
        tally.refused++;
        continue;
      }
      tally.compared += await agrees(text, k, 4);
      tally.ran++;
    }
    console.log(`random crowds: seed ${seed}, ${JSON.stringify(tally)}`);
    expect(tally.ran).toBe(cases);
    expect(tally.compared).toBeGreaterThan(100 * cases);
  }, 1_200_000);
});
