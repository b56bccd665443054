/** Sizes that a schedule asks to be multiples: what its code makes of them, who is kept from running it on others, and that it agrees. */
import { describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../compiler/index.ts";
import { check, type TargetName } from "../../dsl/index.ts";
import { call, type Device, prepare, tensor, WeftError } from "../../runtime/index.ts";
import { agreesOnLevels, statements } from "../support/levels.ts";

const update = (where: string): string => `kernel f[M, N](inout p: f32[M, N], g: bf16[M, N], s: f32[N], x: f32) -> (q: bf16[M, N]) {
  let n[i, j] = p[i, j] - x * g[i, j] * s[j]
  p[i, j] := n[i, j]
  q[i, j] = bf16(n[i, j])
}
schedule f on cuda${where} { }
schedule f on wgsl${where} { }
`;
function made(text: string, target: TargetName): Compiled {
  const checked = check(text);
  expect(checked.diagnostics.filter((d) => d.severity === "error")).toEqual([]);
  return compile(checked.instances[0]!, text, { target, schedule: checked.schedules.find((s) => s.target === target) });
}
const kinds = (c: Compiled): Set<string> => new Set(c.kernels.flatMap((k) => statements(k.body).map((s) => s.kind)));

describe("what an update touches goes by 16 bytes", () => {
  test("where its rows are multiples of the elements that fill them", () => {
    const all = made(update(" where N % 8 == 0"), "cuda").kernels.flatMap((k) => statements(k.body));
    const count = (kind: string): number => all.filter((s) => s.kind === kind).length;
    // Of eight neighbours, in a launch for each result: two loads of p, one of g, two of s; two stores of p or one of q.
    expect([count("loads"), count("stores")]).toEqual([10, 3]);
    expect(all.some((s) => s.kind === "store")).toBe(false);
  });
  test.each([
    ["no condition", ""],
    ["a multiple that is too small", " where N % 4 == 0"],
    ["one of another axis", " where M % 8 == 0"],
  ])("and not with %s", (_, where) => expect(kinds(made(update(where), "cuda")).has("stores")).toBe(false));
  test("in WGSL, as words where elements are narrow", () => {
    const stores = made(update(" where N % 8 == 0"), "wgsl")
      .kernels.flatMap((k) => statements(k.body))
      .filter((s) => s.kind === "stores");
    expect(new Set(stores.map((s) => s.buffer))).toEqual(new Set(["p", "q"]));
  });
});
test.each(["", " where N % 8 == 0", " where N % 8 == 0 && M % 2 == 0", " where M >= 2"])("any schedule agrees:%s", async (where) => {
  expect(await agreesOnLevels(update(where), 10, 31, ["cuda", "wgsl"], [0, 1, 2, 3, 8, 9, 16, 24, 40])).toBeGreaterThan(200);
});
describe("sizes that are no multiples", () => {
  const text = update(" where N % 8 == 0");
  const args = (n: number) => ({ p: tensor("f32", [2, n]), g: tensor("bf16", [2, n]), s: tensor("f32", [n]), x: 1 });
  test("are kept from the code that relies on them", () => {
    const { artifact } = made(text, "cuda");
    expect(() => prepare(artifact, args(16))).not.toThrow();
    expect(() => prepare(artifact, args(12))).toThrow(WeftError);
    expect(() => prepare(artifact, args(12))).toThrow(/`where N % 8 == 0` does not hold for N = 12/);
  });
  test("have the other schedule of a call", async () => {
    const checked = check(text);
    const artifacts = [made(text, "cuda").artifact, compile(checked.instances[0]!, text, { target: "cuda" }).artifact];
    const asked: string[] = [];
    const device: Device = {
      name: "a fake device",
      target: "cuda",
      run: async (c) => {
        asked.push(c.artifact.when === undefined ? "any" : "multiples");
        return { outputs: {}, timeMs: 0 };
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    for (const n of [16, 12]) await call(device, artifacts, args(n));
    expect(asked).toEqual(["multiples", "any"]);
  });
});
