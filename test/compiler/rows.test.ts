/** Rows in one launch, where a profile asks for them: what a row needs has no memory, unless others read it too. */
import { describe, expect, test } from "vitest";
import { launchesOf } from "../../compiler/tile/ir.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const software = "schedule f on wgsl with software { }\n";
/** A text, its launches, and the temporaries that have memory. */
const programs: readonly (readonly [name: string, text: string, launches: number, temps: readonly string[]])[] = [
  ["softmax", "kernel f[M, N](x: f32[M, N]) -> (y: f32[M, N]) { y[i, j] = softmax(j) x[i, j] }", 1, []],
  [
    "causal softmax of heads",
    "kernel f[H, M](x: f32[H, M, M]) -> (y: f32[H, M, M]) { y[h, i, j] = (softmax(j where j <= i) x[h, i, j]) else 0.0 }",
    1,
    [],
  ],
  [
    "layer norm",
    `kernel f[M, N](x: f32[M, N], g: f32[N], b: f32[N]) -> (y: f32[M, N]) where N >= 1 {
  let mu[i] = mean(j) x[i, j]
  let v[i] = mean(j) (x[i, j] - mu[i]) * (x[i, j] - mu[i])
  y[i, j] = (x[i, j] - mu[i]) * rsqrt(v[i] + 0.001) * g[j] + b[j]
}`,
    1,
    [],
  ],
  [
    "a sum of the row that a later result reads as well",
    `kernel f[M, N](x: f32[M, N]) -> (y: f32[M, N], z: f32[M]) {
  let t[i] = sum(j) x[i, j] * x[i, j]
  y[i, j] = x[i, j] / (t[i] + 1.0)
  z[i] = sum(j in 0..M) t[j]
}`,
    2,
    ["t"],
  ],
  [
    "a sum of another row",
    `kernel f[M, N](x: f32[M, N]) -> (y: f32[M, N]) {
  let t[i] = sum(j) x[i, j] * x[i, j]
  y[i, j] = x[i, j] / (t[M - 1 - i] + 1.0)
}`,
    2,
    ["t"],
  ],
  [
    "an update in place",
    `kernel f[M, N](inout x: f32[M, N]) {
  let t[i] = sum(j) x[i, j] * x[i, j]
  x[i, j] := x[i, j] / (t[i] + 1.0)
}`,
    2,
    ["t"],
  ],
];
describe("rows in one launch", () => {
  test.each(programs)("%s", async (_, text, launches, temps) => {
    const c = compiled(`${text}\n${software}`, "wgsl");
    expect(launchesOf(c.tiles.steps).length).toBe(launches);
    expect(c.artifact.temps.map((t) => t.name)).toEqual(temps);
    expect(await agreesOnLevels(`${text}\n${software}`, 8, 3, ["wgsl"])).toBeGreaterThan(40);
  });
});

describe("with a schedule", () => {
  const softmax = programs[0]![1];
  const on = (directives: string): string => `${softmax}\nschedule f on wgsl with software { ${directives} }\n`;
  const launches = (directives: string): number => launchesOf(compiled(on(directives), "wgsl").tiles.steps).length;
  test("what is derived prints as directives that mean the same", () => {
    const { artifact, directives } = compiled(on(""), "wgsl");
    expect(directives).toEqual(["tile y.i: 64"]);
    expect(compiled(on(directives.join("; ")), "wgsl").artifact.source).toBe(artifact.source);
  });
  test.each(["tile i: 16", "tile y.i: 8", "tile y.i: 128", "warps 1; tile y.i: 128"])("that is about rows: %s", async (directives) => {
    expect(launches(directives)).toBe(1);
    expect(await agreesOnLevels(on(directives), 8, 3, ["wgsl"])).toBeGreaterThan(40);
  });
  test.each(["tile i: 16, j: 16", "tile y.j: 64", "unroll j: 4", "vectorize y.j: 4", "vectorize y.i: 2"])(
    "that is about more: %s",
    async (directives) => {
      expect(launches(directives)).toBe(3);
      expect(await agreesOnLevels(on(directives), 8, 3, ["wgsl"])).toBeGreaterThan(40);
    },
  );
  test("of another definition", () => {
    const text = `kernel f[M, N, K](a: f32[M, K], b: f32[K, N]) -> (y: f32[M, N]) {
  let s[i, j] = sum(k) a[i, k] * b[k, j]
  y[i, j] = softmax(j) s[i, j]
}
schedule f on wgsl with software { tile s.i: 32, s.j: 16; unroll s.k: 2 }
`;
    expect(launchesOf(compiled(text, "wgsl").tiles.steps).length).toBe(2);
  });
});
