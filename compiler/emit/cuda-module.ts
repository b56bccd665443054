/** Launches as CUDA C++. */
import type { BufferBinding, UniformAbi } from "../../runtime/abi.ts";
import { unitType } from "../targets/cuda.ts";
import { spelledName, type Target } from "../targets/target.ts";
import { placeShared, type ThreadKernel } from "../thread/ir.ts";
import { exactCuda } from "./exact.ts";
import { cudaFrame } from "./frames.ts";
import { cudaHelpers, neededHelpers } from "./helpers.ts";
import { intrinsics } from "./intrinsics.ts";

/** What a kernel function takes: a buffer, or a uniform. */
export interface Parameter {
  readonly type: string;
  readonly name: string;
  readonly buffer: boolean;
}
const types = { i32: "int", u32: "unsigned", f32: "float", f64: "double" } as const;
export const accessOf = (b: ThreadKernel["buffers"][number]): "read" | "read_write" => (b.access === "read" ? "read" : "read_write");

/** The parameters of a launch's function, and its body with their names. */
export function cudaEntry(
  k: ThreadKernel,
  text: string,
  uniforms: readonly UniformAbi[],
  target: Target,
): { readonly parameters: readonly Parameter[]; readonly body: string } {
  const body = k.buffers.reduce((made, b) => {
    const name = spelledName(target, b.name);
    return name === b.name ? made : made.replace(new RegExp(`\\b${b.name}\\[`, "g"), `${name}[`);
  }, text);
  const parameters = [
    ...k.buffers.map((b) => ({
      type: `${b.access === "read" ? "const " : ""}${unitType(b.unit)}*`,
      name: spelledName(target, b.name),
      buffer: true,
    })),
    ...uniforms.map((u) => ({ type: types[u.type], name: target.uniform(u.name), buffer: false })),
  ];
  return { parameters, body };
}
export const cudaHelpersOf = (text: string): string[] =>
  neededHelpers(text, [...cudaHelpers, ...exactCuda, ...intrinsics]).map((h) => h.text);

function sharedLines(k: ThreadKernel, target: Target): string[] {
  const { offsets } = placeShared(k.shared);
  return k.shared.map((s, j) => target.sharedArray(s.name, s.elem, s.count, offsets[j]!, s.vector));
}
export function cudaModule(
  title: string,
  kernels: readonly ThreadKernel[],
  texts: readonly string[],
  uniforms: readonly UniformAbi[],
  target: Target,
): { source: string; bindings: BufferBinding[][] } {
  const entries = kernels.map((k, i) => {
    const { parameters, body } = cudaEntry(k, texts[i]!, uniforms, target);
    return {
      name: k.name,
      params: parameters.map((p) => `${p.type}${p.buffer ? " __restrict__" : ""} ${p.name}`).join(", "),
      shared: sharedLines(k, target),
      threads: k.threads,
      beside: k.beside,
      // Only what is used: an unused variable is a warning.
      places: [
        ["thread", "threadIdx"],
        ["block", "blockIdx"],
      ].flatMap(([name, from]) => (new RegExp(`\\b${name}\\b`).test(body) ? [`const int ${name} = ${from}.x;`] : [])),
      body,
    };
  });
  const used = entries.flatMap((e) => [e.body, ...e.shared]).join("\n");
  const source = cudaFrame({ title, helpers: cudaHelpersOf(used), entries });
  return { source, bindings: kernels.map((k) => k.buffers.map((b, j) => ({ name: b.name, access: accessOf(b), binding: j }))) };
}
