/** Every example of the language reference and every kernel of the library, on the tile interpreter, the thread simulator and WebGPU. */
import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { lacking } from "../../runtime/call.ts";
import { type PreparedCall, prepare } from "../../runtime/index.ts";
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
    const levels = able ? (["tile", "thread", "device"] as const) : (["tile", "thread"] as const);
    const random = seeded(11);
    const compared = new Map<string, number>(levels.map((level) => [level, 0]));
    const missing = (): boolean => [...compared.values()].includes(0);
    for (let run = 0; run < 3 || (missing() && run < 40); run++) {
      const made = generate(compiled.artifact, random, small);
      expect(made, "arguments that meet the preconditions").toBeDefined();
      const drawn = (): PreparedCall => prepare(compiled.artifact, structuredClone(made!.args), { dims: made!.dims, checkData: true });
      // One reference for all levels: what it has computed it keeps.
      const machine = interpreterFor(drawn(), target);
      for (const level of levels) {
        const call = drawn();
        const threads = level === "thread" ? runThreads(compiled, call) : undefined;
        expect(threads?.faults.map((f) => f.text) ?? []).toEqual([]);
        const result = threads?.result ?? (level === "tile" ? runTiles(compiled, call) : await gpu!.run(call));
        const a = agree(call, result, machine);
        expect(a.disagreements.map(text), `${level} ${JSON.stringify(made!.dims)}`).toEqual([]);
        compared.set(level, compared.get(level)! + a.compared);
      }
    }
    expect(missing(), JSON.stringify([...compared])).toBe(false);
  });
});
