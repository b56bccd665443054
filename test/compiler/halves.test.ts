/** Halves as elements of memory in WGSL, where a device has a type for them. */
import { describe, expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { decode, formats } from "../../dsl/tensor/narrow.ts";
import { lacking } from "../../runtime/call.ts";
import { call, type Device, type PreparedCall, prepare, tensor } from "../../runtime/index.ts";
import { featuresOf } from "../../runtime/webgpu/device.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { webgpu } from "../support/devices.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const gpu = await webgpu();
const able = gpu?.features.has("f16") === true;
if (gpu && !able) console.warn(`SKIPPED: ${gpu.name} has no f16`);

const on = (features: string, text: string): string => `${text}schedule f on wgsl with ${features} { }\n`;
const texts: readonly (readonly [string, string])[] = [
  ["one by one", "kernel f[N](x: f16[N]) -> (y: f16[N]) { y[i] = x[i] * 2.0 }\n"],
  ["eight at a time", "kernel f[N](x: f16[N]) -> (y: f16[N]) where N % 8 == 0 { y[i] = x[i] * 2.0 }\n"],
  ["in one place, of wide ones", "kernel f[N](x: f16[N]) -> (y: f16[N]) where N % 8 == 0, N >= 8 { y[i] = x[i] + x[N - 1] }\n"],
  ["in place", "kernel f[N](a: f32, inout y: f16[N]) { y[i] := a * y[i] }\n"],
  ["beside bf16", "kernel f[N](x: f16[N], b: bf16[N]) -> (y: bf16[N], z: f16[N]) { y[i] = x[i] + b[i]\n z[i] = b[i] }\n"],
  ["every third, and those before it", "kernel f[N](x: f16[3 * N]) -> (y: f16[3 * N]) { y[i] = if i % 3 == 0 then x[i] else 1.0 }\n"],
  [
    "a row's sum",
    "kernel f[M, N](x: f16[M, N]) -> (y: f16[M], z: f16[M, N]) { y[i] = sum(j) x[i, j]\n z[i, j] = x[i, j] + (sum(k) x[i, k]) }\n",
  ],
  ["a product", "kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f32[M, N]) { c[i, j] = sum(k) a[i, k] * b[k, j] }\n"],
  ["a stored row", "kernel f[M, N](x: f16[M, N]) -> (y: f16[M, N]) where N >= 1 { y[i, j] = softmax(j) x[i, j] }\n"],
];
describe("halves", () => {
  test.each(texts)("%s agree on tiles and threads", async (_, text) => {
    for (const features of ["f16", "software, f16"])
      expect(await agreesOnLevels(on(features, text), 12, 5, ["wgsl"], [0, 1, 2, 3, 8, 16, 17])).toBeGreaterThan(40);
  });
  test.skipIf(!able).each(texts)("%s agree on a device", async (_, text) => {
    for (const features of ["f16", "software, f16"]) {
      const { artifact } = compiled(on(features, text), "wgsl");
      const random = seeded(7);
      let compared = 0;
      for (let run = 0; run < 6; run++) {
        const made = generate(artifact, random, { sizes: [0, 1, 2, 3, 8, 16, 17, 64], most: 4000 });
        if (made === undefined) continue;
        const c = prepare(artifact, made.args, { dims: made.dims });
        const machine = interpreterFor(c, "wgsl");
        const a = agree(c, await gpu!.run(c), machine);
        expect(a.disagreements.map(words)).toEqual([]);
        compared += a.compared;
      }
      expect(compared).toBeGreaterThan(20);
    }
  });
  test.skipIf(!able)("every half is read and written as it is; NaN stays NaN, and what is subnormal may become 0", async () => {
    const { artifact } = compiled(on("f16", texts[0]![1].replace(" * 2.0", "")), "wgsl");
    const bits = Uint16Array.from({ length: 65536 }, (_, k) => k);
    const { outputs } = await gpu!.run(prepare(artifact, { x: tensor("f16", [65536], bits) }));
    const f16 = formats.f16!;
    const wrong = [...bits].filter((x) => {
      const y = outputs["y"]!.data[x]!;
      const value = decode(f16, x);
      if (Number.isNaN(value)) return !Number.isNaN(decode(f16, y));
      return y !== x && !(Math.abs(value) < 2 ** -14 && (y & 0x7fff) === 0);
    });
    expect(wrong).toEqual([]);
  });
  test("need no merging of fields, and lie in vectors where all accesses are wide", () => {
    const source = (k: number, features: string): string => compiled(on(features, texts[k]![1]), "wgsl").artifact.source;
    expect(source(0, "software")).toMatch(/atomicOr/);
    expect(source(0, "f16")).toMatch(/^enable f16;/m);
    expect(source(0, "f16")).toMatch(/y: array<f16>/);
    expect(source(0, "f16")).toMatch(/f32\(x\[/);
    expect(source(0, "f16")).not.toMatch(/atomic/);
    expect(source(1, "f16")).toMatch(/x: array<vec4<u32>>/);
    expect(source(1, "f16")).not.toMatch(/f16>|atomic|enable/);
    expect(source(2, "f16")).toMatch(/x: array<f16>/);
    expect(source(4, "f16")).toMatch(/atomicOr\(&y/);
  });
});
describe("variants with halves", () => {
  const labels = (text: string): string[] => {
    const checked = check(text);
    return variantsOf(checked, checked.instances[0]!, "wgsl").map((v) => v.label);
  };
  test("are derived where a kernel has halves and no schedule for every device", () => {
    expect(labels(texts[0]![1])).toEqual(["", "f16", "software-f16", "software"]);
    expect(labels(texts[0]![1].replaceAll("f16", "bf16"))).toEqual(["", "software"]);
    expect(labels(`${texts[0]![1]}schedule f on wgsl { }\n`)).toEqual([""]);
    expect(labels(`${texts[0]![1]}schedule f on wgsl with f16 { tile i: 32 }\n`)).toEqual(["", "any", "software"]);
  });
  test("run where a device has them", async () => {
    const [, text] = texts[0]!;
    const checked = check(text);
    const artifacts = variantsOf(checked, "f", "wgsl")
      .concat(variantsOf(checked, checked.instances[0]!, "wgsl"))
      .map(({ schedule }) => compile(checked.instances[0]!, text, { target: "wgsl", schedule }).artifact);
    const chosen = async (features: readonly string[]): Promise<string> => {
      let ran: PreparedCall | undefined;
      const device: Device = {
        ...{ name: "a fake device", target: "wgsl", features: new Set(features) },
        run: async (c) => {
          ran = c;
          return { outputs: {}, timeMs: 0 };
        },
        [Symbol.asyncDispose]: async () => undefined,
      };
      await call(device, artifacts, { x: tensor("f16", [4]) });
      return (ran!.artifact.features ?? []).join();
    };
    expect(await chosen([])).toBe("");
    expect(await chosen(["f16"])).toBe("f16");
    expect(await chosen(["software"])).toBe("software");
    expect(await chosen(["software", "f16"])).toBe("software,f16");
    expect(lacking({ features: ["software", "f16"] }, { features: new Set(["software"]) })).toBe("f16");
    expect([...featuresOf({ subgroupMinSize: 8 } as GPUAdapterInfo, ["shader-f16"], new Set())]).toEqual(["f16"]);
  });
});
