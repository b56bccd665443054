/**
 * A kernel of one launch for many calls at once (CUDA): what differs between calls lies in a table, and a block finds its call there. A list of
 * tensors, as an optimizer has, then takes one launch instead of one for each.
 */
import type { ManyAbi, UniformAbi } from "../../runtime/abi.ts";
import type { Target } from "../targets/target.ts";
import type { ThreadKernel } from "../thread/ir.ts";
import { cudaEntry, cudaHelpersOf, type Parameter } from "./cuda-module.ts";
import { manyFrame } from "./frames.ts";

/** Undefined for a kernel of several launches, or one whose blocks share memory: such blocks are few and large, and gain nothing. */
export function emitMany(
  title: string,
  kernels: readonly ThreadKernel[],
  body: string,
  uniforms: readonly UniformAbi[],
  target: Target,
): ManyAbi | undefined {
  const [kernel] = kernels;
  if (kernel === undefined || kernels.length > 1 || kernel.shared.length > 0 || target.name !== "cuda") return undefined;
  if (uniforms.some((u) => u.kind === "step")) return undefined;
  const e = cudaEntry(kernel, body, uniforms, target);
  const entry = `${kernel.name}_many`;
  const field = (p: Parameter): string => `${p.type} ${p.name};`;
  const source = manyFrame({
    title,
    entry,
    call: `${kernel.name}_call`,
    helpers: cudaHelpersOf(e.body),
    fields: e.parameters.map(field),
    locals: e.parameters
      .filter((p) => new RegExp(`\\b${p.name}\\b`).test(e.body))
      .map((p) => `${p.type} const ${p.name} = weft_call.${p.name};`),
    threads: kernel.threads,
    usesThread: /\bthread\b/.test(e.body),
    body: e.body,
  });
  return { entry, source };
}
