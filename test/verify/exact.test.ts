/** The exact algebra keeps its laws, and the library gives the reference's bits over it on every level. */
import fs from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { exactExp, exactHash, exactInverse } from "../../dsl/tensor/exact.ts";
import { library } from "../../kernels/index.ts";
import { type PreparedCall, prepare } from "../../runtime/index.ts";
import { agree, describe as text } from "../../verify/agree.ts";
import { CpuCudaDevice } from "../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { deviceLevel, type Level, threadLevel, tileLevel } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { gxx, webgpu } from "../support/devices.ts";

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
describe("the algebra", () => {
  test("exp(a + b) = exp(a) exp(b)", () =>
    fc.assert(fc.property(word, word, (a, b) => exactExp((a + b) | 0) === Math.imul(exactExp(a), exactExp(b)))));
  test("an odd number times its inverse is 1", () => fc.assert(fc.property(word, (a) => Math.imul(a | 1, exactInverse(a | 1)) === 1)));
  test("exp(0) = 1, and exp is odd", () => {
    expect(exactExp(0)).toBe(1);
    fc.assert(fc.property(word, (a) => (exactExp(a) & 1) === 1));
  });
  test("functions without a law differ", () => fc.assert(fc.property(word, (a) => exactHash(1, a) !== exactHash(2, a))));
});

const gpu = await webgpu();
const compiler = await gxx();
const emulator = new CpuCudaDevice();
const levels: Level[] = [
  ...(["wgsl", "cuda"] as const).flatMap((t) => [tileLevel(t), threadLevel(t)]),
  ...(gpu ? [deviceLevel("wgsl", "wgsl", gpu)] : []),
  ...(compiler
    ? [{ name: "cuda-cpu", target: "cuda" as const, run: (_: unknown, call: Parameters<Level["run"]>[1]) => emulator.watch(call) }]
    : []),
];
const cases = Object.entries(library).flatMap(([family, file]) => {
  const source = fs.readFileSync(file, "utf8");
  const checked = check(source);
  return checked.instances.map((i) => ({ title: `${family}: ${i.kernel} ${i.name}`, source, checked, i }));
});
test.each(cases)("$title", async ({ source, checked, i }) => {
  for (const target of ["wgsl", "cuda"] as const)
    for (const { schedule } of variantsOf(checked, i, target)) {
      const compiled = compile(i, source, { target, schedule, exact: true });
      const random = seeded(3);
      const compared = new Map(levels.filter((l) => l.target === target).map((l) => [l, 0]));
      for (let k = 0; k < 2 || ([...compared.values()].includes(0) && k < 30); k++) {
        const made = generate(compiled.artifact, random, { sizes: [1, 1, 2, 3, 5, 8, 9, 16, 17, 33], most: 4000, style: "bits" });
        // Sizes that do not meet the preconditions; that some do is asked below.
        if (made === undefined) continue;
        const drawn = (): PreparedCall => prepare(compiled.artifact, structuredClone(made.args), { dims: made.dims });
        // One reference for all levels: what it has computed it keeps.
        const machine = interpreterFor(drawn(), target);
        for (const level of compared.keys()) {
          const call = drawn();
          const { result, faults } = await level.run(compiled, call);
          expect(faults, level.name).toEqual([]);
          const a = agree(call, result, machine);
          expect(a.disagreements.map(text), `${level.name} ${target} ${JSON.stringify(made.dims)}`).toEqual([]);
          expect(a.open + a.void).toBe(0);
          compared.set(level, compared.get(level)! + a.compared);
        }
      }
      for (const [level, elements] of compared) expect(elements, `${level.name} ${target}`).toBeGreaterThan(0);
    }
});
