/** Emitted CUDA on the CPU, many kernels to a library: g++ spends most of its time on starting. */
import type { Artifact } from "../../runtime/abi.ts";
import { WeftError } from "../../runtime/errors.ts";
import type { Level } from "../levels.ts";
import { EmulatedLibrary } from "./device.ts";

export class EmulatedBatch {
  private library: EmulatedLibrary | undefined;
  private places: ReadonlyMap<string, number> = new Map();
  private runs = 0;

  /** What the level runs from now on. An artifact that is not among them is compiled alone, as are all where g++ refuses one. */
  async load(artifacts: readonly Artifact[]): Promise<void> {
    this.places = new Map();
    try {
      this.library = await EmulatedLibrary.build(artifacts);
      this.places = new Map(artifacts.map((a, k) => [a.source, k]));
    } catch (e) {
      if (!(e instanceof WeftError && e.code === "R204")) throw e;
    }
  }
  /** Both layouts of shared memory; threads first to last, last to first, shuffled: each run another. */
  readonly level: Level = {
    name: "cuda-cpu",
    target: "cuda",
    run: async ({ artifact }, call) => {
      const place = this.places.get(artifact.source);
      const library = place === undefined ? await EmulatedLibrary.build([artifact]) : this.library!;
      const mode = this.runs++ % 6;
      return library.run(place ?? 0, call, mode < 4 ? mode : this.runs);
    },
  };
}
