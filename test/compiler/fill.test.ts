/** Derived schedules of a product for sizes that its general one does not suit, and what the cost model says of all that are derived. */
import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { chips } from "../../compiler/cost/chips.ts";
import { rooflineOf } from "../../compiler/cost/roofline.ts";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { call, type Device, type PreparedCall, prepare, tensor } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { threadLevel, tileLevel } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { taken as mostFitting } from "../../verify/taken.ts";

const text = `kernel f[B, M, N, K](a: f16[B, M, K], b: f16[K, N], s: f32[N]) -> (c: f16[B, M, N]) where K % 8 == 0, N % 8 == 0 {
  c[e, i, j] = max(s[j] * sum(k) a[e, i, k] * b[k, j], 0.0)
}
`;
/** The same of bytes, and of floats of 8 bits. */
const inBytes = (elem: "i8" | "f8e4m3", product = "a[e, i, k] * b[j, k]"): string => {
  const sum = `sum(k) ${product}`;
  return `kernel f[B, M, N, K](a: ${elem}[B, M, K], b: ${elem}[N, K], s: f32[N]) -> (c: f16[B, M, N]) where K % 16 == 0 {
  c[e, i, j] = s[j] * ${elem === "i8" ? `f32(${sum})` : `(${sum})`}
}
`;
};
const variants = (source: string) => {
  const checked = check(source);
  return variantsOf(checked, checked.instances[0]!, "cuda");
};
const splits = (source: string): (number | undefined)[] =>
  variants(source).map(({ schedule }) => schedule?.directives.flatMap((d) => (d.kind === "split" ? [d.size] : []))[0]);
const artifactsOf = (source: string) => {
  const [instance] = check(source).instances;
  return variants(source).map(({ schedule }) => compile(instance!, source, { target: "cuda", schedule }).artifact);
};
/** What the schedule says that a call of these sizes takes. */
async function taken(dims: Record<"B" | "M" | "N" | "K", number>, source = text, features: readonly string[] = []): Promise<string> {
  let ran: PreparedCall | undefined;
  const device: Device = {
    ...{ name: "a fake device", target: "cuda", arch: "sm_90", features: new Set(features) },
    run: async (c) => {
      ran = c;
      return { outputs: {}, timeMs: 0 };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  const artifacts = artifactsOf(source);
  const { B, M, N, K } = dims;
  const inEights = source.includes("b: f8e4m3");
  const elem = inEights ? "f8e4m3" : "f16";
  await call(device, artifacts, { a: tensor(elem, [B, M, K]), b: tensor(elem, inEights ? [N, K] : [K, N]), s: tensor("f32", [N]) });
  const { schedule } = variants(source)[artifacts.indexOf(ran!.artifact)]!;
  const size = (kind: string, index: string): string =>
    (schedule?.directives ?? []).flatMap((d) => ("size" in d && d.kind === kind && d.index === index ? [`${kind} ${d.size}`] : [])).join();
  return [...(schedule?.features ?? []), size("tile", "i"), size("split", "k"), schedule?.where ? "" : "any"].filter(Boolean).join(", ");
}
describe("sizes of a product that its general schedule does not suit", () => {
  test("few rows are one tile, few tiles are cut into chunks of the sum", async () => {
    expect(splits(text)).toEqual([undefined, 8, 4, 8, 3]);
    expect(await taken({ B: 1, M: 16, N: 8, K: 4096 })).toBe("tile 16, split 8");
    expect(await taken({ B: 3, M: 17, N: 8, K: 2048 })).toBe("tile 64, split 4");
    // 13 and 14 tiles, and enough to sum for 8 and for 3 chunks.
    expect(await taken({ B: 1, M: 65, N: 13 * 128, K: 4096 })).toBe("split 8");
    expect(await taken({ B: 1, M: 129, N: 18 * 128, K: 1536 })).toBe("split 3");
    expect(await taken({ B: 1, M: 129, N: 18 * 128 + 8, K: 1536 })).toBe("any");
    expect(await taken({ B: 36, M: 128, N: 128, K: 1536 })).toBe("split 3");
    expect(await taken({ B: 37, M: 128, N: 128, K: 1536 })).toBe("any");
    expect(await taken({ B: 1, M: 1, N: 8, K: 1528 })).toBe("any");
  });
  test("rows that begin at 16 bytes have code of their own, where the text does not say that they do", async () => {
    const open = text.replace(" where K % 8 == 0, N % 8 == 0", "");
    expect(splits(open)).toEqual([undefined, 8, 4, 8, 3, undefined]);
    expect(await taken({ B: 1, M: 300, N: 8 * 1000, K: 1000 }, open)).toBe("");
    expect(await taken({ B: 1, M: 300, N: 8 * 1000, K: 1001 }, open)).toBe("any");
    expect(await taken({ B: 1, M: 1, N: 9, K: 4096 }, open)).toBe("any");
    expect(artifactsOf(open)[5]!.source).toContain("weft_copy_async_16");
    expect(artifactsOf(open)[0]!.source).not.toContain("weft_copy_async_16");
  });
  test("what a schedule speaks of is left alone, and what is more than a product", () => {
    expect(splits(`${text}schedule f on cuda where M >= 4 { warps 2 }\n`)).toEqual([undefined, undefined]);
    const simple = (params: string, value: string): string =>
      `kernel f[M, N, K](${params}) -> (c: f32[M, N]) where N % 8 == 0 { c[i, j] = ${value} }\n`;
    const operands = "a: f16[M, K], b: f16[K, N]";
    expect(splits(simple(operands, "sum(k) a[i, k] * b[k, j]"))).toHaveLength(6);
    expect(splits(simple("a: f32[M, K], b: f32[K, N]", "sum(k) a[i, k] * b[k, j]"))).toEqual([undefined]);
    expect(splits(simple(operands, "(sum(k) a[i, k] * b[k, j]) + (sum(k) a[i, k])"))).toEqual([undefined]);
    expect(splits(simple(operands, "sum(k in 0..K / 2) a[i, k] * b[k, j]"))).toEqual([undefined]);
    expect(splits(simple("a: f16[M, 64], b: f16[64, N], d: f32[K]", "sum(k) a[i, k] * b[k, j]"))).toEqual([undefined]);
  });
  test("of bytes too, of which 16 are a piece", () => {
    for (const elem of ["i8", "f8e4m3"] as const) {
      expect(splits(inBytes(elem))).toEqual([undefined, 8, 4, 8, 3, undefined]);
      const conditions = variants(inBytes(elem)).flatMap(({ schedule }) => (schedule?.where ? [JSON.stringify(schedule.where)] : []));
      expect(conditions).toHaveLength(5);
      for (const c of conditions) expect(c).toMatch(/"op":"mod".*"value":"?16/);
    }
  });
  test("where products of floats of 8 bits may be cut, all of them for chips that do that, and for others", async () => {
    const cut = inBytes("f8e4m3", "relax<bf16>(a[e, i, k] * b[j, k])");
    expect(splits(cut)).toEqual([undefined, 8, 8, 4, 4, 8, 8, 3, 3, undefined, undefined, undefined]);
    const sources = artifactsOf(cut);
    for (const { features, source } of sources) expect(source.includes("weft_mma_f8e4m3(")).toBe(features?.[0] === "f8");
    // Not for what is multiplied as halves in any case, or must not be cut.
    for (const other of [cut.replaceAll("f8e4m3", "f16"), cut.replaceAll("relax<bf16>", "relax<f16>")])
      expect(variants(other).flatMap((v) => v.schedule?.features ?? [])).toEqual([]);
    const sizes = { B: 1, M: 16, N: 16, K: 4096 };
    expect(await taken(sizes, cut, [])).toBe("tile 16, split 8");
    expect(await taken(sizes, cut, ["f8"])).toBe("f8, tile 16, split 8");
    expect(await taken({ ...sizes, N: 17, K: 48 }, cut, ["f8"])).toBe("f8, any");
  });
  test("chunks of a sum are copied ahead where the schedule alone says that rows begin at 16 bytes", () => {
    const open = text.replace(" where K % 8 == 0, N % 8 == 0", "");
    const staged = artifactsOf(open).map(({ source }) => source.includes("a_tile"));
    expect(staged).toEqual([false, true, true, true, true, true]);
  });
  test.each([
    ["floats of 8 bits that may be cut", inBytes("f8e4m3", "relax<bf16>(a[e, i, k] * b[j, k])"), 16],
    ["halves", text, 8],
    ["bytes", inBytes("i8"), 16],
    ["floats of 8 bits", inBytes("f8e4m3"), 16],
  ])("give what the text says: %s", async (_, source, piece) => {
    const checked = check(source);
    for (const { schedule } of variants(source)) {
      const made = compile(checked.instances[0]!, source, { target: "cuda", schedule });
      for (const pieces of [1, 5, 9]) {
        const drawn = generate(made.artifact, seeded(pieces), { dims: { B: 2, M: 3, N: 16, K: pieces * piece } })!;
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
  test.each([
    ["attention", "attention", "T=f16, D=64", { B: 4, KV: 16, G: 1, M: 1024, N: 1024 }],
    ["attention", "decode", "T=f16, D=128", { B: 1, KV: 8, G: 8, N: 32768 }],
    ["attention", "decode", "T=f16, D=128", { B: 64, KV: 8, G: 8, N: 8192 }],
    ["gemm", "w4a16", "GS=128, v1=false", { M: 1, N: 8192, NG: 64 }],
    ["gemm", "w4a16", "GS=128, v1=false", { M: 16, N: 8192, NG: 64 }],
    ["gemm", "w4a16", "GS=128, v1=false", { M: 64, N: 8192, NG: 64 }],
    ["gemm", "w4a16", "GS=128, v1=false", { M: 2048, N: 8192, NG: 64 }],
    ["gemm", "w4a16", "GS=32, v1=false", { M: 16, N: 8192, NG: 256 }],
    ["gemm", "w4a16_marlin", "GS=128", { M: 16, N: 8192, NG: 64 }],
    ["gemm", "w4a16_marlin", "GS=128", { M: 2048, N: 8192, NG: 64 }],
    ["gemm", "w8a8", "", { M: 16, N: 8192, K: 8192 }],
    ["gemm", "w8a8", "", { M: 2048, N: 8192, K: 8192 }],
    ["adamw", "adamw", "", { N: 1 << 24 }],
  ] as const)(
    "%s: %s %s at %o takes at most 1.5 times what the library's schedule does, by the cost model",
    (file, kernel, instance, dims) => {
      const source = fs.readFileSync(library[file], "utf8");
      const bare = source.replace(/^schedule [^{]*\{[^}]*\}\n?/gm, (s) => s.replace(/[^\n]/g, " "));
      const parts = (name: string): string => name.split(", ").sort().join();
      const seconds = (from: string): number => {
        const checked = check(from);
        const found = checked.instances.find((i) => i.kernel === kernel && parts(i.name) === parts(instance))!;
        const { artifact, kernels } = mostFitting(found, checked.schedules, from, "cuda", dims);
        const values = { ...Object.fromEntries(artifact.dims.map((d) => [d.name, d.value ?? 1])), ...dims };
        return kernels.reduce((sum, k) => {
          const r = rooflineOf(k, values, chips.h100);
          return sum + Math.max(r.computeSeconds, r.memorySeconds);
        }, 0);
      };
      expect(bare).not.toMatch(/^schedule/m);
      expect(seconds(bare) / seconds(source)).toBeLessThanOrEqual(1.5);
    },
  );
});
