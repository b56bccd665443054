/** Random programs as emitted text: CUDA on the CPU, and WGSL on a software device. */
import { describe, expect, test } from "vitest";
import { openWebGpu } from "../../runtime/webgpu/node.ts";
import { EmulatedBatch } from "../../verify/cuda-cpu/batch.ts";
import type { Level } from "../../verify/levels.ts";
import { budgetMs, runCampaign } from "../support/campaigns.ts";
import { gxx, webgpu } from "../support/devices.ts";

const compiler = await gxx();
describe.skipIf(compiler === undefined)("CUDA on the CPU", () => {
  test(
    "random programs",
    async () => {
      const emulated = new EmulatedBatch();
      const { compared } = await runCampaign("CUDA on the CPU", {
        cases: 1000,
        shard: 2,
        levels: () => [emulated.level],
        batch: 20,
        before: (cases) => emulated.load(cases.flatMap((c) => [c.exact, c.floats].map((p) => p.compiled.get("cuda")!.artifact))),
        shrinkBudget: 60,
      });
      expect(compared).toBeGreaterThan(0);
    },
    budgetMs,
  );
});

const gpu = await webgpu();
describe.skipIf(gpu === undefined)("WGSL on a device", () => {
  test(
    "random programs",
    async () => {
      // lavapipe crashes in its own code after a hundred or so pipelines of one device: each batch gets a fresh one.
      let device = await openWebGpu({ notice: () => undefined });
      const level: Level = { name: "wgsl", target: "wgsl", run: async (_, call) => ({ result: await device.run(call), faults: [] }) };
      const { compared } = await runCampaign(`WGSL on ${gpu!.name}`, {
        cases: 500,
        shard: 3,
        levels: () => [level],
        batch: 40,
        before: async () => {
          await device[Symbol.asyncDispose]();
          device = await openWebGpu({ notice: () => undefined });
        },
        shrinkBudget: 60,
      });
      await device[Symbol.asyncDispose]();
      expect(compared).toBeGreaterThan(0);
    },
    budgetMs,
  );
});
