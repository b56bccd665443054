/** The factor of a score in the exponent of its weight: folded into a power of two where the target has one, and taken out of a maximum. */
import { describe, expect, test } from "vitest";
import { launchesOf, type Op } from "../../compiler/tile/ir.ts";
import { profiles, type TargetName } from "../../dsl/index.ts";
import { encode, formats } from "../../dsl/tensor/narrow.ts";
import { prepare, tensor } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { planBounds, withPlan } from "../../verify/bounds/call.ts";
import { seeded } from "../../verify/generate.ts";
import { threadLevel, tileLevel } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { compiled } from "../support/levels.ts";

const attention = (score: string, where = ""): string => `kernel f[M, N](
  q: f16[M, 16], k: f16[N, 16], v: f16[N, 16], x: f32, z: f32[N]
) -> (o: f32[M, 16], l: f32[M]) where N >= 1${where} {
  let s[i, j] = ${score}
  let p[i, j] = softmax(j) s[i, j]
  o[i, d] = sum(j) relax<f16>(p[i, j]) * v[j, d]
  l[i] = logsumexp(j) s[i, j]
}
schedule f on cuda { stream j; tile i: 16, j: 16; warps 1 }
schedule f on wgsl { stream j }
`;
const product = "sum(d) q[i, d] * k[j, d]";
/** The operations of the first loop over keys. */
function step(text: string, target: TargetName = "cuda"): readonly Op[] {
  const [launch] = launchesOf(compiled(text, target).tiles.steps);
  return launch!.body.find((o) => o.kind === "loop")!.body;
}
const maps = (ops: readonly Op[], name: string): number => ops.filter((o) => o.kind === "map" && o.op === name).length;

describe("a score that is a product with a factor of its own", () => {
  const scaled = attention(`x * (${product})`);
  test("is weighed by a power of two", () => {
    const ops = step(scaled);
    expect(maps(ops, "exp2")).toBe(1);
    // What is left moves the old sums to the new centre.
    expect(maps(ops, "exp")).toBe(1);
  });
  test("is not on a target whose powers lose bits with the exponent", () => expect(maps(step(scaled, "wgsl"), "exp2")).toBe(0));
  test.each([
    ["without a factor: nothing of the size of the exponent is rounded twice", product],
    ["a factor that varies with the key", `z[j] * (${product})`],
  ])("%s", (_, score) => expect(maps(step(attention(score)), "exp2")).toBe(0));
  test.each([
    ["a factor that is not negative is taken out of the maximum", ", x >= 0", true],
    ["any positive bound serves, either way round", ", 0.5 < x", true],
    ["one that may be negative stays", "", false],
    ["and so does one above a negative bound", ", x >= -1.0", false],
  ])("%s", (_, where, out) => {
    const ops = step(attention(`x * (${product})`, where));
    const largest = ops.flatMap((o) => (o.kind === "reduce" && o.by.kind === "max" ? o.values : []))[0];
    expect(ops.some((o) => o.kind === "dot" && o.out === largest)).toBe(out);
  });
});

describe.each([
  ["near 0", 0.5, 0],
  ["far above 0, close together", 0.125, 700],
  ["far below 0, close together", -1, 700],
  ["far apart", 3, 0],
])("scores %s keep the promise and the plan", (_, x, offset) => {
  test.each([
    ["any factor", "", x],
    ["a factor that is not negative", ", x >= 0", Math.abs(x)],
  ])("%s", async (_name, where, factor) => {
    const made = compiled(attention(`x * (${product})`, where), "cuda");
    const random = seeded(17);
    const [M, N] = [20, 70];
    const halves = (n: number, of: () => number) =>
      tensor(
        "f16",
        [n, 16],
        Uint16Array.from({ length: n * 16 }, () => encode(formats["f16"]!, of())),
      );
    // With an offset, scores of 8 factor offset and up to 3 % more.
    const args = {
      q: halves(M, () => (offset === 0 ? 2 * random() - 1 : offset)),
      k: halves(N, () => (offset === 0 ? 2 * random() - 1 : 0.5 + random() / 64)),
      v: halves(N, () => 2 * random() - 1),
      z: tensor("f32", [N]),
      x: factor,
    };
    for (const level of [tileLevel("cuda"), threadLevel("cuda")]) {
      const fresh = () => prepare(made.artifact, structuredClone(args), { dims: { M, N } });
      const call = fresh();
      const machine = interpreterFor(call, "cuda");
      const { result, faults } = await level.run(made, call);
      expect(faults).toEqual([]);
      const a = agree(call, result, machine);
      expect(a.disagreements.map(words)).toEqual([]);
      expect(a.compared).toBe(M * 17);
      if (level.plan === undefined) continue;
      const own = agree(call, result, withPlan(machine, planBounds(made, fresh(), profiles.cuda!)));
      expect(own.disagreements.map(words)).toEqual([]);
      expect(own.void).toBeLessThanOrEqual(a.void);
    }
  });
});
