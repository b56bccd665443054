/** What users hold their kernels with: expectKernel, and `weft fuzz` on right and wrong kernels. */
import { expect, test } from "vitest";
import type { Compiled } from "../../compiler/index.ts";
import type { PreparedCall } from "../../runtime/call.ts";
import { expectKernel, KernelDisagrees } from "../../verify/expect.ts";
import { type FuzzReport, fuzz } from "../../verify/fuzz.ts";
import { threadLevel } from "../../verify/levels.ts";
import type { OpenTarget } from "../../verify/targets.ts";

const text = `kernel rows[M, N](x: f32[M, N], len: index<N + 1>[M]) -> (y: f32[M]) {
  y[i] = sum(j in 0..len[i]) x[i, j]
}
schedule rows on wgsl { tile i: 8, j: 8 }
schedule wide of rows on cuda { tile j: 64 }
`;

test("a right kernel agrees, under every schedule", async () => {
  const reports = await expectKernel(text).toAgree({ runs: 12, targets: ["reference", "simulator"] });
  expect(reports.map((r) => `${r.target} ${r.schedule} ${r.runs} ${r.ok}`).sort()).toEqual([
    "reference derived 12 true",
    "reference wide 12 true",
    "simulator derived 12 true",
    "simulator first 12 true",
    "simulator wide 12 true",
  ]);
  expect(reports.every((r) => r.compared > 0 && r.errorOverBound <= 1)).toBe(true);
});
test("a text that does not check is an error with its code", async () => {
  await expect(expectKernel("kernel f[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i + 1] }\n").toAgree()).rejects.toThrow("W303");
});

/** A device that forgets the last element of what it was asked for. */
function forgetful(): OpenTarget {
  const right = threadLevel("cuda");
  return {
    name: "cuda",
    device: "a forgetful device",
    levels: [
      {
        name: "forgetful",
        target: "cuda",
        run: async (c: Compiled, call: PreparedCall) => {
          const done = await right.run(c, call);
          const { data } = done.result.outputs["y"]!;
          if (data.length > 0) data[data.length - 1] = 1000;
          return done;
        },
      },
    ],
    [Symbol.asyncDispose]: async () => undefined,
  };
}
async function reportsOf(seed: number): Promise<FuzzReport[]> {
  const out: FuzzReport[] = [];
  for await (const r of fuzz(text, undefined, [forgetful()], { runs: 10, seed, schedules: "derived" })) out.push(r);
  return out;
}
test("a wrong device is found, at small sizes, with what is needed to see it again", async () => {
  const [report] = await reportsOf(3);
  expect(report).toMatchObject({ kernel: "rows", schedule: "derived", target: "cuda", ok: false });
  const { failure } = report!;
  expect(failure!.element).toMatchObject({ tensor: "y", got: 1000 });
  expect(failure!.sizes).toEqual([1, 2]);
  expect(Math.max(...Object.values(failure!.dims))).toBeLessThanOrEqual(2);
  expect(new KernelDisagrees([report!]).message).toMatch(
    /rows, derived schedule, cuda: M=[12], N=\d\n {2}exact mode: forgetful cuda: y\[\d\]: got 1000, expected .* ± .*\n {2}again: toAgree\(/,
  );
});
test("the same seed, the same runs", async () => expect(await reportsOf(4)).toEqual(await reportsOf(4)));
test("data that cannot be drawn is no success", async () => {
  const never = "kernel f[N](x: f32[N]) -> (y: f32[N]) where N > 1000000, N < 1000002 { y[i] = x[i] }\n";
  await expect(expectKernel(never).toAgree({ runs: 2, targets: ["reference"] })).rejects.toThrow("no data met the preconditions");
});
test("random schedules are the same for every seed, so that a failure can be seen again", async () => {
  const labels = async (seed: number): Promise<string[]> =>
    (await expectKernel(text).toAgree({ runs: 1, seed, targets: ["reference"], schedules: "random" })).map((r) => r.schedule);
  expect(await labels(1)).toEqual(await labels(99));
});
