/** Derived schedules of a product for sizes whose tiles would leave most of a chip idle. */
import { describe, expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { call, type Device, type PreparedCall, prepare, tensor } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { threadLevel, tileLevel } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";

const text = `kernel f[B, M, N, K](a: f16[B, M, K], b: f16[K, N], s: f32[N]) -> (c: f16[B, M, N]) where K % 8 == 0, N % 8 == 0 {
  c[e, i, j] = max(s[j] * sum(k) a[e, i, k] * b[k, j], 0.0)
}
`;
const variants = (source: string) => {
  const checked = check(source);
  return variantsOf(checked, checked.instances[0]!, "cuda");
};
const splits = (source: string): (number | undefined)[] =>
  variants(source).map(({ schedule }) => {
    const [d] = schedule?.directives ?? [];
    return d?.kind === "split" ? d.size : undefined;
  });
const artifactsOf = (source: string) => {
  const [instance] = check(source).instances;
  return variants(source).map(({ schedule }) => compile(instance!, source, { target: "cuda", schedule }).artifact);
};
/** Launches of the variant that a call of these sizes takes. */
async function launches(dims: Record<"B" | "M" | "N" | "K", number>): Promise<number> {
  let ran: PreparedCall | undefined;
  const device: Device = {
    ...{ name: "a fake device", target: "cuda", arch: "sm_90" },
    run: async (c) => {
      ran = c;
      return { outputs: {}, timeMs: 0 };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  const { B, M, N, K } = dims;
  await call(device, artifactsOf(text), { a: tensor("f16", [B, M, K]), b: tensor("f16", [K, N]), s: tensor("f32", [N]) });
  return ran!.artifact.steps.length;
}
describe("few tiles", () => {
  test("are cut into chunks of the sum, as many as fill a chip", async () => {
    expect(splits(text)).toEqual([undefined, 8, 3]);
    // 13 and 14 tiles, and enough to sum for 8 and for 3 chunks.
    expect(await launches({ B: 1, M: 1, N: 13 * 128, K: 4096 })).toBe(2);
    expect(await launches({ B: 1, M: 129, N: 18 * 128, K: 1536 })).toBe(2);
    expect(await launches({ B: 1, M: 129, N: 18 * 128 + 8, K: 1536 })).toBe(1);
    expect(await launches({ B: 36, M: 128, N: 128, K: 1536 })).toBe(2);
    expect(await launches({ B: 37, M: 128, N: 128, K: 1536 })).toBe(1);
    expect(await launches({ B: 1, M: 1, N: 8, K: 1528 })).toBe(1);
  });
  test("are left alone in what a schedule speaks of, and in what is more than a product", () => {
    expect(splits(`${text}schedule f on cuda where M >= 4 { warps 2 }\n`)).toEqual([undefined, undefined]);
    const simple = (params: string, value: string): string =>
      `kernel f[M, N, K](${params}) -> (c: f32[M, N]) where N % 8 == 0 { c[i, j] = ${value} }\n`;
    const operands = "a: f16[M, K], b: f16[K, N]";
    expect(splits(simple(operands, "sum(k) a[i, k] * b[k, j]"))).toEqual([undefined, 8, 3]);
    expect(splits(simple("a: f32[M, K], b: f32[K, N]", "sum(k) a[i, k] * b[k, j]"))).toEqual([undefined]);
    expect(splits(simple(operands, "(sum(k) a[i, k] * b[k, j]) + (sum(k) a[i, k])"))).toEqual([undefined]);
    expect(splits(simple(operands, "sum(k in 0..K / 2) a[i, k] * b[k, j]"))).toEqual([undefined]);
    expect(splits(simple("a: f16[M, 64], b: f16[64, N], d: f32[K]", "sum(k) a[i, k] * b[k, j]"))).toEqual([undefined]);
  });
  test("give what the text says", async () => {
    const checked = check(text);
    for (const { schedule } of variants(text)) {
      const made = compile(checked.instances[0]!, text, { target: "cuda", schedule });
      for (const K of [8, 40, 72]) {
        const drawn = generate(made.artifact, seeded(K), { dims: { B: 2, M: 3, N: 8, K } })!;
        for (const level of [tileLevel("cuda"), threadLevel("cuda")]) {
          const c = prepare(made.artifact, structuredClone(drawn.args), { dims: drawn.dims });
          const machine = interpreterFor(c, "cuda");
          const { result, faults } = await level.run(made, c);
          expect(faults).toEqual([]);
          expect(agree(c, result, machine).disagreements.map(words)).toEqual([]);
        }
      }
    }
  });
});
