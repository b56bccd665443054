/** Which of several schedules a call runs. */
import { expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { lacking } from "../../runtime/call.ts";
import { featuresOf } from "../../runtime/cuda/device.ts";
import { call, type Device, type PreparedCall, tensor } from "../../runtime/index.ts";

const text = `kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i] + 1.0 }
schedule f on cuda sm_90 { warps 1 }
schedule f on cuda sm_90 where N >= 8 { warps 2 }
schedule f on cuda sm_90a { warps 3 }
schedule f on cuda { warps 4 }
schedule thin of f on cuda { warps 5 }
schedule f on wgsl with subgroups { tile i: 64 }
`;
const checked = check(text);
const artifacts = (["cuda", "wgsl"] as const).flatMap((target) =>
  variantsOf(checked, "f", target).map(({ schedule }) => compile(checked.instances[0]!, text, { target, schedule }).artifact),
);
/** A device that only says what it was given. */
async function chosen(
  device: { target: "cuda" | "wgsl"; arch?: string; features?: string[] },
  n: number,
  schedule?: string,
): Promise<string> {
  let ran: PreparedCall | undefined;
  const fake: Device = {
    name: "a fake device",
    target: device.target,
    ...(device.arch ? { arch: device.arch } : {}),
    ...(device.features ? { features: new Set(device.features) } : {}),
    run: async (c) => {
      ran = c;
      return { outputs: {}, timeMs: 0 };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  await call(fake, artifacts, { x: tensor("f32", [n]) }, schedule ? { schedule } : {});
  const { artifact } = ran!;
  return [artifact.arch ?? "any", artifact.features?.join(), artifact.when && "conditional", artifact.schedule].filter(Boolean).join(" ");
}

test("files are labelled by what their schedule asks", () => {
  expect(variantsOf(checked, "f", "cuda").map((v) => v.label)).toEqual(["", "sm_90", "sm_90a", "any", "thin"]);
  expect(variantsOf(checked, "f", "wgsl").map((v) => v.label)).toEqual(["", "any", "software"]);
  expect(variantsOf(checked, "g", "wgsl").map((v) => [v.label, v.schedule?.features])).toEqual([
    ["", undefined],
    ["software", ["software"]],
  ]);
  expect(variantsOf({ schedules: [] }, "g", "cuda").map((v) => v.label)).toEqual([""]);
});
test("a schedule whose condition no call of an instance can meet is not one of its variants", () => {
  const own = `kernel f[N, D: static](x: f32[N, D]) -> (y: f32[N, D]) { y[i, d] = x[i, d] + 1.0 }
instance f { D: 32 | 128 }
schedule f on cuda where D >= 64 && N >= 8 { warps 1 }
schedule f on cuda where N >= 100 { warps 2 }
`;
  const both = check(own);
  const warps = both.instances.map((i) =>
    variantsOf(both, i, "cuda").map((v) => v.schedule?.directives.map((d) => d.kind === "warps" && d.count)[0]),
  );
  expect(warps).toEqual([
    [2, undefined],
    [1, 2, undefined],
  ]);
});
test("chips that multiply floats of 8 bits as they are", () => {
  const have = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120", "sm_121"].filter((arch) => featuresOf(arch).has("f8"));
  expect(have).toEqual(["sm_89", "sm_120", "sm_121"]);
});
test.each([
  [{ target: "cuda", arch: "sm_80" } as const, 16, "any"],
  [{ target: "cuda", arch: "sm_90" } as const, 16, "sm_90a"],
  [{ target: "cuda", arch: "sm_120" } as const, 16, "sm_90 conditional"],
  [{ target: "cuda", arch: "sm_120" } as const, 4, "sm_90"],
  [{ target: "wgsl", features: ["subgroups", "f16"] } as const, 4, "any subgroups"],
  [{ target: "wgsl" } as const, 4, "any"],
  [{ target: "wgsl", features: ["software"] } as const, 4, "any software"],
])("%j with N = %i runs %s", async (device, n, expected) => {
  expect(await chosen({ ...device, features: [...("features" in device ? device.features : [])] }, n)).toBe(expected);
});
test.each([
  [["subgroups64"], ["subgroups", "subgroups8"], "subgroups64"],
  [["f16", "subgroups8"], ["subgroups8"], "f16"],
  [["subgroups8"], ["subgroups", "subgroups8"], undefined],
  [["software", "subgroups"], ["subgroups"], undefined],
  [["software"], [], undefined],
])("a variant that uses %j lacks on a device with %j: %s", (features, offered, missing) => {
  expect(lacking({ features }, { features: new Set(offered) })).toBe(missing);
});
test("a named schedule is used where it is asked for, and only there", async () => {
  expect(await chosen({ target: "cuda", arch: "sm_90" }, 4, "thin")).toBe("any thin");
  await expect(chosen({ target: "cuda", arch: "sm_90" }, 4, "thick")).rejects.toThrow(
    "R206: f has no schedule `thick` for cuda; there are thin",
  );
});
test("a schedule's condition speaks of dimensions", () => {
  const wrong = check("kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i] }\nschedule f on cuda where M > 1 { warps 1 }\n");
  expect(wrong.diagnostics.map((d) => d.code)).toEqual(["W101"]);
});
