/** The kernel library on WebGPU: 200 random small shapes each, with 0, 1 and one off a tile, within the derived bound. */
import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as text } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { webgpu } from "../support/devices.ts";

const gpu = await webgpu();
const kernels = Object.values(library).flatMap((file) => {
  const source = fs.readFileSync(file, "utf8");
  return check(source).instances.map((i) => ({ title: `${i.kernel} ${i.name}`, i, source, runs: 200 }));
});

describe.skipIf(gpu === undefined)("the library on WebGPU", () => {
  test.each(kernels)("$title", async ({ i, source, runs }) => {
    const { artifact } = compile(i, source, { target: "wgsl" });
    const random = seeded(2026);
    let compared = 0;
    let open = 0;
    let empty = 0;
    for (let run = 0; run < runs; run++) {
      const made = generate(artifact, random, { most: 20_000 })!;
      const call = prepare(artifact, made.args, { dims: made.dims, checkData: true });
      if ([...call.tensors.values()].some((t) => t.data.length === 0)) empty++;
      const machine = interpreterFor(call, "wgsl");
      const result = await gpu!.run(call);
      const a = agree(call, result, machine, { sample: 120, random });
      expect(a.disagreements.map(text), JSON.stringify(made.dims)).toEqual([]);
      compared += a.compared;
      open += a.open + a.void;
    }
    expect(compared).toBeGreaterThan(1000);
    expect(open / compared).toBeLessThan(0.01);
    expect(empty).toBeGreaterThan(0);
  });
});
