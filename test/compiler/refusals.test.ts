/** What a target or a schedule cannot do is refused with a code, and schedules never change results. */
import { describe, expect, test } from "vitest";
import { compile, Refusal } from "../../compiler/index.ts";
import { type CheckedInstance, check } from "../../dsl/index.ts";
import { prepare } from "../../runtime/index.ts";
import { agree } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runThreads } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";

const refusal = (text: string, target: "cuda" | "wgsl"): Refusal | undefined => {
  const checked = check(text);
  expect(checked.diagnostics.filter((d) => d.severity === "error")).toEqual([]);
  try {
    compile(checked.instances[0] as CheckedInstance, text, { target, schedule: checked.schedules[0] });
    return undefined;
  } catch (e) {
    if (e instanceof Refusal) return e;
    throw e;
  }
};
const double = "kernel f[N](x: f64[N]) -> (y: f64[N]) { y[i] = 2.0 * x[i] }\n";
const plane =
  "monoid m(a: f32) { identity 0.0; combine(x, y) = x.a + y.a }\nkernel f[M, N, K](x: f32[M, N, K]) -> (y: f32[M]) { y[i] = monoid m(j, k) x[i, j, k] }\nschedule f on cuda { split j: 4 }\n";

describe("refusals", () => {
  test("W701: f64 on WGSL", () => {
    expect(refusal(double, "wgsl")).toMatchObject({ code: "W701", message: "wgsl has no element type f64: `x` cannot be held" });
    expect(refusal(double, "cuda")).toBeUndefined();
  });
  test("W606: a split of a reduction over two indices, and of none", () => {
    expect(refusal(plane, "cuda")).toMatchObject({ code: "W606", message: "`y`: a monoid over 2 indices cannot be split" });
    expect(refusal("kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i] }\nschedule f on cuda { split i: 4 }\n", "cuda")).toMatchObject({
      code: "W606",
    });
  });
  test("W502: a kernel whose static dimension nothing binds", () => {
    expect(refusal("kernel f[N, D: static](x: f32[N, D]) -> (y: f32[N]) { y[i] = sum(d) x[i, d] }\n", "cuda")).toMatchObject({
      code: "W502",
    });
  });
});

const text = (
  directives: string,
): string => `kernel f[M, N, K](a: f32[M, K], b: f16[K, N], c: f32[M]) -> (y: f32[M, N], top: f32[M], s: f32[]) where K >= 1 {
  let p[i, j] = sum(k) a[i, k] * b[k, j]
  let e[i, k] = exp(a[i, k] - c[i])
  y[i, j] = p[i, j] + c[i]
  top[i] = max(k) e[i, k]
  s = sum(i, k) e[i, k]
}
schedule f on cuda { ${directives} }
`;
const schedules = [
  "",
  "grid j, i",
  "tile i: 8, j: 16",
  "tile y.i: 4, y.j: 64; warps 1",
  "tile i: 1, j: 32, k: 8; warps 8",
  "unroll k: 4",
  "unroll p.k: 2; tile i: 2, j: 2",
  "split k: 3",
  "split top.k: 5; tile k: 64",
  "materialize p, e",
  "fuse e; fuse p",
  "warps 16",
  "tile k: 128; warps 4",
];
describe("schedules keep the meaning", () => {
  test.each(schedules)("{ %s }", (directives) => {
    const source = text(directives);
    const checked = check(source);
    expect(checked.diagnostics.map((d) => d.message)).toEqual([]);
    const compiled = compile(checked.instances[0]!, source, { target: "cuda", schedule: checked.schedules[0] });
    const random = seeded(4);
    for (let run = 0; run < 4; run++) {
      const made = generate(compiled.artifact, random, { sizes: [1, 3, 7, 18, 33], most: 6000 })!;
      const call = prepare(compiled.artifact, made.args, { dims: made.dims });
      const machine = interpreterFor(call, "cuda");
      const { result, faults } = runThreads(compiled, call);
      expect(faults).toEqual([]);
      expect(agree(call, result, machine).disagreements).toEqual([]);
    }
  });
});
