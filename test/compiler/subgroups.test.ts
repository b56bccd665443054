/** WGSL whose lanes read each other's registers: what a schedule asks of a device, what a device offers, and rows that lanes share. */
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { prepare } from "../../runtime/call.ts";
import { featuresOf } from "../../runtime/webgpu/device.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { fuzz } from "../../verify/fuzz.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { deviceLevel, threadLevel, tileLevel } from "../../verify/levels.ts";
import { interpreterFor, rememberProgram } from "../../verify/reference-device.ts";
import type { OpenTarget } from "../../verify/targets.ts";
import { webgpu } from "../support/devices.ts";

const rows = (
  features: string,
): string => `kernel f[M, N](x: f32[M, N], n: i32[M, N]) -> (y: f32[M], top: i32[M], some: bool[M], most: i32[M]) where N >= 1 {
  y[i] = sum(j) x[i, j]
  top[i] = argmax(j) x[i, j]
  some[i] = any(j) x[i, j] > 2.5
  most[i] = max(j) n[i, j]
}
schedule f on wgsl with ${features} { }
`;
function made(text: string, exact = false) {
  const checked = check(text);
  expect(checked.diagnostics).toEqual([]);
  const [instance] = checked.instances;
  const compiled = compile(instance!, text, { target: "wgsl", schedule: checked.schedules[0], exact });
  rememberProgram(compiled.artifact, instance!.program);
  return compiled;
}
const masks = (text: string): Set<string> =>
  new Set([...made(text).artifact.source.matchAll(/subgroupShuffleXor\(\w+(?:\(\w+\))?, (\d+)u\)/g)].map((m) => m[1]!));

const device = await webgpu();

describe("what a variant uses", () => {
  test.each([
    ["subgroups", ["1", "2"]],
    ["subgroups8", ["1", "2", "4"]],
    ["subgroups32", ["1", "2", "4", "8", "16"]],
    ["subgroups64", ["1", "2", "4", "8", "16"]],
    ["subgroups, subgroups8", ["1", "2", "4"]],
  ])("%s: lanes that differ in the bits %j, rows of 32", (features, bits) => {
    expect(masks(rows(features))).toEqual(new Set(bits));
  });
  test("threads are numbered by subgroup and lane, there alone", () => {
    const { source } = made(rows("subgroups8")).artifact;
    expect(source).toMatch(/^enable subgroups;\nrequires subgroup_id;$/m);
    expect(source).toContain("let thread = i32(subgroup * lanes + lane);");
    const plain = made(rows("software")).artifact.source;
    expect(plain).not.toContain("subgroup");
    expect(plain).toContain("let thread = i32(local);");
  });
  test("a block that is no multiple of the lanes shares through memory", () => {
    const text = rows("subgroups64").replace("{ }\n", "{ warps 1 }\n");
    expect(masks(text)).toEqual(new Set());
  });
});
test.each(["subgroups", "subgroups8", "subgroups32"])("%s agrees on tiles and threads, and on a device that has them", async (features) => {
  for (const exact of [true, false]) {
    const compiled = made(rows(features), exact);
    const levels = [tileLevel("wgsl"), threadLevel("wgsl"), ...(device ? [deviceLevel("wgsl", "wgsl", device)] : [])];
    for (const [k, N] of [1, 3, 31, 32, 65, 200].entries()) {
      const { args } = generate(compiled.artifact, seeded(k), { dims: { M: 11, N }, most: 20_000, style: exact ? "bits" : "plain" })!;
      for (const level of levels) {
        if (level.lacks?.(compiled.artifact) !== undefined) continue;
        const call = prepare(compiled.artifact, structuredClone(args));
        const { result, faults } = await level.run(compiled, call);
        expect(faults).toEqual([]);
        const a = agree(call, result, interpreterFor(call, "wgsl"));
        expect(a.disagreements.map(words), `${level.name} N=${N}`).toEqual([]);
        expect(a.compared).toBeGreaterThan(30);
      }
    }
  }
});

describe("what a device offers", () => {
  const adapter = (subgroupMinSize: number) =>
    ({ subgroupMinSize, isFallbackAdapter: false, architecture: "", device: "", description: "" }) as never;
  const language = new Set(["subgroup_id"]);
  test("as many lanes as the least subgroup has", () => {
    expect([...featuresOf(adapter(32), ["subgroups", "shader-f16"], language)]).toEqual([
      "subgroups",
      "subgroups8",
      "subgroups16",
      "subgroups32",
      "f16",
    ]);
    expect([...featuresOf(adapter(4), ["subgroups"], language)]).toEqual(["subgroups"]);
  });
  test("nothing where lanes cannot be numbered, or the device was not asked for them", () => {
    expect([...featuresOf(adapter(32), ["subgroups"], new Set())]).toEqual([]);
    expect([...featuresOf(adapter(32), [], language)]).toEqual([]);
  });
  test.skipIf(device === undefined)("a variant for wider subgroups is refused, not run", async () => {
    const { artifact } = made(rows("subgroups64"));
    const { args } = generate(artifact, seeded(1), { dims: { M: 3, N: 5 }, most: 100, style: "plain" })!;
    const offered = device!.features.has("subgroups64");
    const run = device!.run(prepare(artifact, args));
    if (offered) await run;
    else await expect(run).rejects.toThrow(/R206: f: this variant is for devices with subgroups64/);
  });
  test("fuzzing says what it skips", async () => {
    const level = {
      ...deviceLevel("wgsl", "wgsl", { run: () => Promise.reject(new Error("is not run")), features: new Set(["subgroups"]) }),
    };
    const target: OpenTarget = {
      name: "wgsl",
      device: "a device of 4 lanes",
      levels: [level],
      [Symbol.asyncDispose]: async () => undefined,
    };
    const reports = [];
    for await (const r of fuzz(rows("subgroups8"), undefined, [target], { runs: 1, seed: 1, schedules: "all", only: "first" }))
      reports.push(r);
    expect(reports.map((r) => [r.schedule, r.ok, r.runs, r.skipped])).toEqual([["first", true, 0, "the device has no subgroups8"]]);
  });
});
