/** The quick part of the tests: random programs on the interpreters, and as emitted CUDA. Exit code 1 where something is wrong. */
import { EmulatedBatch } from "../../verify/cuda-cpu/batch.ts";
import { threadLevel, tileLevel } from "../../verify/levels.ts";
import { campaign } from "../../verify/random/campaign.ts";

const plain = await campaign({
  seed: 5,
  cases: 110,
  // Held against the promise alone: what each plan may err by costs as much again.
  levels: (k) => {
    const target = k % 2 === 0 ? "wgsl" : "cuda";
    return [tileLevel(target), { ...threadLevel(target), plan: undefined }];
  },
  shrinkBudget: 0,
});
if (plain.failure) {
  console.log(plain.failure.detail.split("\n")[0]);
  process.exit(1);
}
const emulated = new EmulatedBatch();
const emitted = await campaign({
  seed: 6,
  cases: 20,
  levels: () => [emulated.level],
  batch: 20,
  before: (cases) => emulated.load(cases.flatMap((c) => [c.exact, c.floats].map((p) => p.compiled.get("cuda")!.artifact))),
  shrinkBudget: 0,
});
if (emitted.failure) {
  console.log(emitted.failure.detail.split("\n")[0]);
  process.exit(1);
}
process.exit(0);
