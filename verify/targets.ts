/** Where kernels can be fuzzed, by name. */
import { profiles } from "../dsl/index.ts";
import { openCuda } from "../runtime/cuda/index.ts";
import { openWebGpu } from "../runtime/webgpu/node.ts";
import { roundsToNearest } from "./bounds/probe.ts";
import { CpuCudaDevice } from "./cuda-cpu/device.ts";
import { deviceLevel, type Level, threadLevel, tileLevel } from "./levels.ts";
import { ReferenceDevice } from "./reference-device.ts";

export const fuzzTargets = ["reference", "simulator", "wgsl", "cuda-cpu", "cuda"] as const;
export type FuzzTarget = (typeof fuzzTargets)[number];

/** A target that is ready to run kernels. */
export interface OpenTarget extends AsyncDisposable {
  readonly name: FuzzTarget;
  /** As the driver names it. */
  readonly device: string;
  readonly levels: readonly Level[];
}

/**
 * `reference`: the interpreter as a device; `simulator`: the compiler's tile and thread levels for both targets, with races, accesses and
 * barriers checked; `wgsl`: a WebGPU device; `cuda-cpu`: the emitted CUDA text on the CPU, watched; `cuda`: an NVIDIA GPU.
 * @throws WeftError R201 with what is missing
 */
export async function openTarget(name: FuzzTarget): Promise<OpenTarget> {
  const nothing = async (): Promise<void> => undefined;
  switch (name) {
    case "reference":
      return {
        name,
        device: "reference interpreter",
        levels: [deviceLevel(name, "cuda", new ReferenceDevice())],
        [Symbol.asyncDispose]: nothing,
      };
    case "simulator":
      return {
        name,
        device: "tile interpreter and thread simulator",
        levels: (["wgsl", "cuda"] as const).flatMap((t) => [tileLevel(t), threadLevel(t)]),
        [Symbol.asyncDispose]: nothing,
      };
    case "cuda-cpu": {
      const device = new CpuCudaDevice();
      let runs = 0;
      const level: Level = {
        name,
        target: "cuda",
        plan: profiles["cuda"],
        // Both layouts of shared memory; first to last, last to first, shuffled: each run another.
        run: (_, call) => {
          const mode = runs++ % 6;
          return device.watch(call, mode < 4 ? mode : runs);
        },
      };
      return { name, device: device.name, levels: [level], [Symbol.asyncDispose]: () => device[Symbol.asyncDispose]() };
    }
    default: {
      const device = name === "wgsl" ? await openWebGpu() : await openCuda();
      const plan = name === "cuda" ? profiles["cuda"] : (await roundsToNearest(device)) ? profiles["wgsl rne"] : undefined;
      return {
        name,
        device: device.name,
        levels: [deviceLevel(name, name, device, plan)],
        [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
      };
    }
  }
}
