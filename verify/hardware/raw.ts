/** A CUDA text of one kernel as an artifact, so that every device that runs artifacts can run it. */
import { cudaHelpers, neededHelpers } from "../../compiler/emit/helpers.ts";
import { intrinsics } from "../../compiler/emit/intrinsics.ts";
import type { Artifact, TensorParam } from "../../runtime/abi.ts";

export interface RawKernel {
  readonly name: string;
  /** Statements; `thread` and `block` are its place, the buffers are named as below. */
  readonly body: readonly string[];
  readonly threads: number;
  readonly blocks?: number;
  readonly sharedBytes?: number;
  /** The least that has its instructions, where that is not every one. */
  readonly arch?: string;
  /** In words of 32 bits. */
  readonly buffers: readonly { readonly name: string; readonly role: "in" | "inout" | "out"; readonly words: number }[];
}
const param = (b: RawKernel["buffers"][number]): TensorParam => ({
  ...{ name: b.name, kind: "tensor", role: b.role, elem: "u32", shape: [b.words] },
});
/** CUDA text of several kernels, with the helpers that they need. */
export function rawSource(kernels: readonly RawKernel[]): string {
  const bodies = kernels.map((k) => k.body.join("\n  "));
  const helpers = neededHelpers(bodies.join("\n"), [...cudaHelpers, ...intrinsics]);
  const entries = kernels.map((k, i) => {
    const params = k.buffers.map((b) => `${b.role === "in" ? "const " : ""}unsigned* ${b.name}`).join(", ");
    return `extern "C" __global__ void __launch_bounds__(${k.threads}, 1) ${k.name}(${params}) {
  const int thread = threadIdx.x;
  const int block = blockIdx.x;
  (void)thread; (void)block;
  ${bodies[i]}
}`;
  });
  return `${[...helpers.map((h) => h.text), ...entries].join("\n\n")}\n`;
}
export function rawArtifact(k: RawKernel): Artifact {
  return {
    kernel: k.name,
    instance: "",
    target: "cuda",
    ...(k.arch ? { arch: k.arch } : {}),
    dims: [],
    params: k.buffers.map(param),
    requires: [],
    dataRequires: [],
    temps: [],
    uniforms: [],
    steps: [
      {
        kind: "launch",
        launch: {
          entry: k.name,
          grid: k.blocks ?? 1,
          threads: k.threads,
          sharedBytes: k.sharedBytes ?? 0,
          buffers: k.buffers.map((b, binding) => ({ name: b.name, access: b.role === "in" ? "read" : "read_write", binding })),
        },
      },
    ],
    source: rawSource([k]),
    lines: [],
    weft: "",
  };
}
