/** What the emulator must see: each fault planted in a small kernel, beside the kernel without it. */
import { beforeAll, describe, expect, test } from "vitest";
import { prepare, tensor } from "../../../runtime/index.ts";
import { EmulatedLibrary } from "../../../verify/cuda-cpu/device.ts";
import { type RawKernel, rawArtifact } from "../../../verify/hardware/raw.ts";
import { gxx } from "../../support/devices.ts";

const compiler = await gxx();
const n = 64;
/** Two warps; `x` and `y` have a word for each thread. */
const kernel = (body: readonly string[], more: Partial<RawKernel> = {}): Omit<RawKernel, "name"> => ({
  body,
  threads: n,
  sharedBytes: 1024,
  buffers: [
    { name: "x", role: "in", words: n },
    { name: "y", role: "out", words: n },
  ],
  ...more,
});
const shared = "WEFT_SHARED(unsigned, s, 64, 0);";
const stage = [shared, "s[thread] = x[thread];"];
const full = "0xffffffffu";
interface Case {
  readonly name: string;
  readonly good: Omit<RawKernel, "name">;
  readonly bad: Omit<RawKernel, "name">;
  readonly says: RegExp;
  /** Seen in one layout of shared memory alone. */
  readonly only?: "exact" | "spread";
}
const copies = (wait: number, end = "weft_copy_async_wait<0>();"): string[] => [
  shared,
  "weft_copy_async_4(s + thread, x + thread, true);",
  "weft_copy_async_commit();",
  `weft_copy_async_wait<${wait}>();`,
  end,
];
const signed = (op: string): string => `y[thread] = (unsigned)(${op});`;
const overflows = (name: string, good: string, bad: string): Case => ({
  name: `${name} that C++ does not define`,
  good: kernel([signed(good)]),
  bad: kernel([signed(bad)]),
  says: new RegExp(`${name} of signed integers leaves 32 bits`),
});
const cases: Case[] = [
  overflows("a sum", "(int)((unsigned)2147483647 + (x[thread] | 1u))", "2147483647 + (int)(x[thread] & 15u | 1u)"),
  overflows("a difference", "(int)(x[thread] & 15u) - 7", "(int)(x[thread] & 15u | 0x80000000u) - 16"),
  overflows("a product", "(int)(x[thread] & 15u) * 65536", "((int)(x[thread] & 15u) + 1) * 2147483647 * 2"),
  overflows("a negation", "-(int)(x[thread] & 15u)", "-(int)(x[thread] & 0u | 0x80000000u)"),
  {
    name: "no barrier between a write and another's read",
    good: kernel([...stage, "__syncthreads();", "y[thread] = s[63 - thread];"]),
    bad: kernel([...stage, "y[thread] = s[63 - thread];"]),
    says: /at the same time|nobody has written/,
  },
  {
    name: "no barrier before what others read is overwritten",
    good: kernel([
      ...stage,
      "__syncthreads();",
      "const unsigned v = s[63 - thread];",
      "__syncthreads();",
      "s[thread] = v;",
      "y[thread] = s[thread];",
    ]),
    bad: kernel([...stage, "__syncthreads();", "const unsigned v = s[63 - thread];", "s[thread] = v;", "y[thread] = s[thread];"]),
    says: /at the same time/,
  },
  {
    name: "no __syncwarp between lanes of one warp",
    good: kernel([...stage, "__syncwarp();", "y[thread] = s[thread ^ 1];"]),
    bad: kernel([...stage, "y[thread] = s[thread ^ 1];"]),
    says: /at the same time|nobody has written/,
  },
  {
    name: "__syncwarp where warps meet",
    good: kernel([...stage, "__syncthreads();", "y[thread] = s[thread ^ 32];"]),
    bad: kernel([...stage, "__syncwarp();", "y[thread] = s[thread ^ 32];"]),
    says: /at the same time|nobody has written/,
  },
  {
    name: "no __syncwarp before what lanes read is overwritten",
    good: kernel([
      ...stage,
      "__syncwarp();",
      "const unsigned v = s[thread ^ 1] + s[thread ^ 2];",
      "__syncwarp();",
      "s[thread] = v;",
      "y[thread] = s[thread];",
    ]),
    bad: kernel([
      ...stage,
      "__syncwarp();",
      "const unsigned v = s[thread ^ 1] + s[thread ^ 2];",
      "s[thread] = v;",
      "y[thread] = s[thread];",
    ]),
    says: /at the same time/,
  },
  {
    name: "a shuffle does not order memory",
    good: kernel([
      ...stage,
      `const unsigned v = __shfl_xor_sync(${full}, x[thread], 1);`,
      "__syncwarp();",
      "y[thread] = s[thread ^ 1] + v;",
    ]),
    bad: kernel([...stage, `const unsigned v = __shfl_xor_sync(${full}, x[thread], 1);`, "y[thread] = s[thread ^ 1] + v;"]),
    says: /at the same time/,
  },
  {
    name: "a barrier that some threads do not reach",
    good: kernel([...stage, "__syncthreads();", "y[thread] = s[0];"]),
    bad: kernel([...stage, "if (thread < 40) __syncthreads();", "y[thread] = s[thread];"]),
    says: /40 of 64 threads reach the barrier/,
  },
  {
    name: "a shuffle that half a warp does not reach",
    good: kernel([`y[thread] = __shfl_xor_sync(${full}, x[thread], 1);`]),
    bad: kernel([`unsigned v = x[thread];`, `if (thread % 32 < 16) v = __shfl_xor_sync(${full}, v, 1);`, "y[thread] = v;"]),
    says: /wait in line \d+ for lanes ffff0000/,
  },
  {
    name: "a shuffle from a lane that takes no part",
    good: kernel([`unsigned v = x[thread];`, `if (thread % 32 < 16) v = __shfl_xor_sync(0x0000ffffu, v, 8);`, "y[thread] = v;"]),
    bad: kernel([`unsigned v = x[thread];`, `if (thread % 32 < 16) v = __shfl_xor_sync(0x0000ffffu, v, 16);`, "y[thread] = v;"]),
    says: /does not take part/,
  },
  {
    name: "lanes of one warp at two shuffles",
    good: kernel([`y[thread] = __shfl_sync(${full}, x[thread], 0);`]),
    bad: kernel([
      "unsigned v = x[thread];",
      `if (thread % 2) v = __shfl_sync(${full}, v, 0);`,
      `else v = __shfl_sync(${full}, v, 1);`,
      "y[thread] = v;",
    ]),
    says: /lane \d+ is at a shuffle in line \d+, lane \d+ at a shuffle/,
  },
  {
    name: "reading what a copy is still bringing",
    good: kernel([...copies(0), "y[thread] = s[thread];"]),
    bad: kernel([...copies(1, ""), "y[thread] = s[thread];", "weft_copy_async_wait<0>();"]),
    says: /while a copy to it is in flight/,
  },
  {
    name: "a barrier is needed before another's copy is read",
    good: kernel([...copies(0), "__syncthreads();", "y[thread] = s[63 - thread];"]),
    bad: kernel([...copies(0), "y[thread] = s[63 - thread];"]),
    says: /in flight|at the same time|nobody has written/,
  },
  {
    name: "ending with copies that nobody has waited for",
    good: kernel([...copies(0), "y[thread] = s[thread];"]),
    bad: kernel([shared, "weft_copy_async_4(s + thread, x + thread, true);", "weft_copy_async_commit();", "y[thread] = 1u;"]),
    says: /ends with copies/,
  },
  {
    name: "an asynchronous copy out of bounds",
    good: kernel([...copies(0), "y[thread] = s[thread];"]),
    bad: kernel([
      shared,
      "weft_copy_async_4(s + thread, x + thread + 1, true);",
      "weft_copy_async_commit();",
      "weft_copy_async_wait<0>();",
      "y[thread] = s[thread];",
    ]),
    says: /reads byte 256 of x/,
  },
  {
    name: "an ldmatrix row that is not aligned",
    good: kernel([...stage, "__syncthreads();", "unsigned a, b;", "weft_ldmatrix_x2(a, b, s + thread % 16 * 4);", "y[thread] = a + b;"]),
    bad: kernel([...stage, "__syncthreads();", "unsigned a, b;", "weft_ldmatrix_x2(a, b, s + thread % 15 * 4 + 2);", "y[thread] = a + b;"]),
    says: /not aligned to 16/,
  },
  {
    name: "mma by half a warp",
    good: kernel(["float d = 0, e = 0, f = 0, g = 0;", "weft_mma_f16(d, e, f, g, 0u, 0u, 0u, 0u, 0u, 0u);", "y[thread] = (unsigned)d;"]),
    bad: kernel([
      "float d = 0, e = 0, f = 0, g = 0;",
      "if (thread % 32 < 16) weft_mma_f16(d, e, f, g, 0u, 0u, 0u, 0u, 0u, 0u);",
      "y[thread] = (unsigned)d;",
    ]),
    says: /wait in line/,
  },
  {
    name: "past the end of one shared array into the next",
    good: kernel([
      "WEFT_SHARED(unsigned, s, 64, 0);",
      "WEFT_SHARED(unsigned, t, 64, 256);",
      "s[thread] = t[thread] = x[thread];",
      "y[thread] = s[thread] + t[thread];",
    ]),
    bad: kernel([
      "WEFT_SHARED(unsigned, s, 64, 0);",
      "WEFT_SHARED(unsigned, t, 64, 256);",
      "t[thread] = x[thread];",
      "s[thread + (thread == 63)] = x[thread];",
      "y[thread] = t[thread];",
    ]),
    says: /byte 256 of s|at the same time/,
  },
  {
    name: "two shared arrays in one place",
    good: kernel([
      "WEFT_SHARED(unsigned, s, 64, 0);",
      "WEFT_SHARED(unsigned, t, 64, 256);",
      "s[thread] = 1u;",
      "t[63 - thread] = 2u;",
      "__syncthreads();",
      "y[thread] = s[thread] + t[thread];",
    ]),
    bad: kernel([
      "WEFT_SHARED(unsigned, s, 64, 0);",
      "WEFT_SHARED(unsigned, t, 64, 128);",
      "s[thread] = 1u;",
      "t[63 - thread] = 2u;",
      "__syncthreads();",
      "y[thread] = s[thread] + t[thread];",
    ]),
    says: /at the same time/,
    only: "exact",
  },
  {
    name: "reading shared memory that nobody wrote",
    good: kernel([...stage, "y[thread] = s[thread];"]),
    bad: kernel([shared, "if (thread < 63) s[thread] = x[thread];", "y[thread] = s[thread];"]),
    says: /nobody has written/,
  },
  {
    name: "beyond the end of a buffer",
    good: kernel(["y[thread] = x[thread];"]),
    bad: kernel(["y[thread] = x[thread + (thread > 62)];"]),
    says: /reads byte 256 of x, which has 256/,
  },
  {
    name: "a misaligned access of 16 bytes",
    good: kernel(["uint4 v = reinterpret_cast<const uint4*>(x)[thread % 16];", "y[thread] = v.x;"]),
    bad: kernel(["uint4 v = *reinterpret_cast<const uint4*>(x + thread % 32);", "y[thread] = v.x;"]),
    says: /misaligned/,
  },
  {
    name: "two blocks on one element",
    good: kernel(["if (block == 0) y[thread] = x[thread];"], { blocks: 2 }),
    bad: kernel(["y[thread] = x[thread];"], { blocks: 2 }),
    says: /at the same time/,
  },
  {
    name: "writing what is only read",
    good: kernel(["y[thread] = x[thread];"]),
    bad: kernel(["const_cast<unsigned*>(x)[thread] = 1u;", "y[thread] = 1u;"]),
    says: /only read/,
  },
];
const kernels = cases.flatMap((c, k) => [
  { name: `good_${k}`, ...c.good },
  { name: `bad_${k}`, ...c.bad },
]);
const artifacts = kernels.map(rawArtifact);
let library: EmulatedLibrary;
beforeAll(async () => {
  if (compiler) library = await EmulatedLibrary.build(artifacts);
});
const faults = (k: number, mode: number): string[] =>
  library.run(
    k,
    prepare(artifacts[k]!, {
      x: tensor(
        "u32",
        [n],
        Uint32Array.from({ length: n }, (_, i) => i * 3 + 1),
      ),
    }),
    mode,
  ).faults;
describe.skipIf(compiler === undefined)("the emulator", () => {
  test.each(cases.map((c, k) => [c.name, c, k] as const))("%s", (_, c, k) => {
    for (const mode of [0, 1, 2, 3, 10, 11]) {
      expect(faults(2 * k, mode), "without the fault").toEqual([]);
      const seen = faults(2 * k + 1, mode);
      if (c.only && (mode % 2 === 0) !== (c.only === "exact")) continue;
      expect(seen.join("\n"), `mode ${mode}`).toMatch(c.says);
    }
  });
  test("a launch that states fewer threads than the text", () => {
    const wrong = rawArtifact({ name: "good_0", ...cases[0]!.good });
    const step = wrong.steps[0]!;
    if (step.kind === "launch") Object.assign(step.launch, { threads: 32 });
    return EmulatedLibrary.build([wrong]).then((l) => {
      const { faults: seen } = l.run(0, prepare(wrong, { x: tensor("u32", [n]) }), 0);
      expect(seen[0]).toMatch(/launch bounds of 64, launched with 32/);
    });
  });
});
