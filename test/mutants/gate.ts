/** The quick part of the tests: random programs on the interpreters, and as emitted CUDA. Exit code 1 where something is wrong. */
import { EmulatedLibrary } from "../../verify/cuda-cpu/device.ts";
import { type Level, threadLevel, tileLevel } from "../../verify/levels.ts";
import { campaign } from "../../verify/random/campaign.ts";

const plain = await campaign({
  seed: 5,
  cases: 120,
  levels: (k) => (k % 2 === 0 ? [tileLevel("wgsl"), threadLevel("wgsl")] : [tileLevel("cuda"), threadLevel("cuda")]),
  shrinkBudget: 0,
});
if (plain.failure) {
  console.log(plain.failure.detail.split("\n")[0]);
  process.exit(1);
}
let library: EmulatedLibrary | undefined;
let places = new Map<string, number>();
const level: Level = { name: "cuda-cpu", target: "cuda", run: async (c, call) => library!.run(places.get(c.artifact.source)!, call, 1) };
const emitted = await campaign({
  seed: 6,
  cases: 20,
  levels: () => [level],
  batch: 20,
  before: async (cases) => {
    const artifacts = cases.flatMap((c) => [c.exact, c.floats].map((p) => p.compiled.get("cuda")!.artifact));
    library = await EmulatedLibrary.build(artifacts);
    places = new Map(artifacts.map((a, k) => [a.source, k]));
  },
  shrinkBudget: 0,
});
if (emitted.failure) {
  console.log(emitted.failure.detail.split("\n")[0]);
  process.exit(1);
}
process.exit(0);
