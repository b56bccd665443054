/** Every example of the language reference and every kernel of the library, on the tile interpreter, the thread simulator and WebGPU. */
import fs from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { lacking } from "../../runtime/call.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as text } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runThreads, runTiles } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { webgpu } from "../support/devices.ts";
import { examples } from "../support/examples.ts";

const sources = [...examples(), ...Object.entries(library).map(([name, file]) => ({ name, text: fs.readFileSync(file, "utf8") }))];
const cases = sources.flatMap((s) => {
  const checked = check(s.text);
  return checked.instances.flatMap((i) =>
    (["wgsl", "cuda"] as const).flatMap((target) =>
      variantsOf(checked, i, target).map(({ schedule, label }) => ({
        title: [i.kernel, i.name, target, label].filter(Boolean).join(" "),
        text: s.text,
        i,
        target,
        schedule,
      })),
    ),
  );
});
const gpu = await webgpu();
afterAll(async () => gpu?.[Symbol.asyncDispose]());

describe("levels", () => {
  test("the reference has no errors", () => {
    for (const s of sources) expect(check(s.text).diagnostics.filter((d) => d.severity === "error")).toEqual([]);
  });
  test.each(cases)("$title", async ({ text: source, i, target, schedule }) => {
    const compiled = compile(i, source, { target, schedule });
    const small = { sizes: [1, 2, 3, 5, 8, 9, 16, 17, 33], most: 12_000 };
    const feature = target === "wgsl" && gpu ? lacking(compiled.artifact, gpu) : undefined;
    if (feature !== undefined) console.warn(`SKIPPED: a device, since ${gpu!.name} has no ${feature}`);
    const able = target === "wgsl" && gpu !== undefined && feature === undefined;
    for (const level of able ? (["tile", "thread", "device"] as const) : (["tile", "thread"] as const)) {
      const random = seeded(11);
      let compared = 0;
      for (let run = 0; run < 4 || (compared === 0 && run < 40); run++) {
        const made = generate(compiled.artifact, random, small);
        expect(made, "arguments that meet the preconditions").toBeDefined();
        const call = prepare(compiled.artifact, made!.args, { dims: made!.dims, checkData: true });
        const machine = interpreterFor(call, target);
        if (level === "thread") {
          const { result, faults } = runThreads(compiled, call);
          expect(faults.map((f) => f.text)).toEqual([]);
          const a = agree(call, result, machine);
          expect(a.disagreements.map(text), JSON.stringify(made!.dims)).toEqual([]);
          compared += a.compared;
        } else {
          const result = level === "tile" ? runTiles(compiled, call) : await gpu!.run(call);
          const a = agree(call, result, machine);
          expect(a.disagreements.map(text), `${level} ${JSON.stringify(made!.dims)}`).toEqual([]);
          compared += a.compared;
        }
      }
      expect(compared, level).toBeGreaterThan(0);
    }
  });
});
