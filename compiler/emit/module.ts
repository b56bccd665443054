/** All launches of a kernel as one source file, with what the ABI says of each. */
import type { BufferBinding, LaunchAbi, UniformAbi } from "../../runtime/abi.ts";
import { unitType } from "../targets/cuda.ts";
import { spelledName, type Target } from "../targets/target.ts";
import { placeShared, type ThreadKernel } from "../thread/ir.ts";
import { emitBody, sizeText } from "./emit.ts";
import { exactCuda, exactWgsl } from "./exact.ts";
import { cudaFrame, wgslFrame } from "./frames.ts";
import { cudaHelpers, neededHelpers, wgslHelpers } from "./helpers.ts";
import { intrinsics } from "./intrinsics.ts";

export interface EmittedModule {
  readonly source: string;
  readonly launches: readonly LaunchAbi[];
  readonly lines: readonly (readonly [number, number])[];
}

export function emitModule(
  title: string,
  kernels: readonly ThreadKernel[],
  uniforms: readonly UniformAbi[],
  target: Target,
): EmittedModule {
  const bodies = kernels.map((k) => emitBody(k, target));
  const texts = bodies.map((b) => b.lines.join("\n"));
  const { source, bindings } =
    target.name === "wgsl" ? wgslModule(title, kernels, texts, uniforms, target) : cudaModule(title, kernels, texts, uniforms, target);
  const launches = kernels.map(
    (k, i): LaunchAbi => ({
      entry: k.name,
      grid: k.blocks,
      threads: k.threads,
      sharedBytes: placeShared(k.shared).bytes,
      buffers: bindings[i]!,
    }),
  );
  return { source, launches, lines: originsIn(source, kernels, bodies) };
}
/** Generated line -> Weft line, both from 1: a comment's origin holds until the next. */
function originsIn(source: string, kernels: readonly ThreadKernel[], bodies: readonly ReturnType<typeof emitBody>[]): [number, number][] {
  const all = source.split("\n");
  const out: [number, number][] = [];
  kernels.forEach((k, i) => {
    const body = bodies[i]!;
    const entry = all.findIndex((l) => l.includes(` ${k.name}(`));
    const start = all.indexOf(body.lines[0] ?? "", entry);
    if (start < 0) return;
    for (const [line, weft] of body.origins) out.push([start + line + 1, weft]);
  });
  return out;
}

const access = (b: ThreadKernel["buffers"][number]): "read" | "read_write" => (b.access === "read" ? "read" : "read_write");

function wgslModule(
  title: string,
  kernels: readonly ThreadKernel[],
  texts: readonly string[],
  uniforms: readonly UniformAbi[],
  target: Target,
): { source: string; bindings: BufferBinding[][] } {
  // One variable for each buffer as each kernel sees it: read-only, written, or with fields merged into its words.
  const declared = new Map<string, { binding: number; text: string }>();
  const names = new Map<string, string>();
  const bodies: string[] = [];
  const bindings = kernels.map((k, i) => {
    let body = texts[i]!;
    const list = k.buffers.map((b): BufferBinding => {
      const mode = b.access === "read" ? "read" : b.atomic ? "atomic" : "write";
      const key = `${b.name} ${mode}${b.vector ? " wide" : ""}`;
      let d = declared.get(key);
      const unit = b.unit === "f64" || b.unit === "u8" || b.unit === "u16" ? "u32" : b.unit;
      if (d === undefined) {
        const taken = names.has(b.name) || target.reserved.has(b.name);
        const name = taken ? `${b.name}_${mode}${b.vector ? "_wide" : ""}` : b.name;
        names.set(b.name, name).set(key, name);
        const binding = declared.size + 1;
        d = {
          binding,
          text: `@group(0) @binding(${binding}) var<storage, ${access(b)}> ${name}: array<${mode === "atomic" ? `atomic<${unit}>` : b.vector ? `vec4<${unit}>` : unit}>;`,
        };
        declared.set(key, d);
      }
      const name = names.get(key)!;
      if (name !== b.name) body = body.replace(new RegExp(`\\b${b.name}\\[`, "g"), `${name}[`);
      return { name: b.name, access: access(b), binding: d.binding };
    });
    bodies.push(body);
    return list;
  });
  const helpers = neededHelpers(bodies.join("\n"), [...wgslHelpers, ...exactWgsl]);
  // Shared arrays belong to one entry: names that two entries use get the entry's name.
  const entries = kernels.map((k, i) => {
    let body = bodies[i]!;
    const shared = k.shared.map((s) => {
      const name = kernels.length > 1 ? `${k.name}_${s.name}` : s.name;
      body = body.replace(new RegExp(`\\b${s.name}\\[`, "g"), `${name}[`);
      return target.sharedArray(name, s.elem, s.count, 0);
    });
    return { name: k.name, shared, threads: k.threads, blocks: sizeText(k.blocks, target), body };
  });
  const fields = uniforms.length > 0 ? uniforms.map((u) => `${spelledName(target, u.name)}: ${u.type}`) : ["unused: u32"];
  const source = wgslFrame({
    title,
    subgroups: target.lanes > 1,
    fields,
    bindings: [...declared.values()].map((d) => d.text),
    helpers: helpers.map((h) => h.text),
    entries,
  });
  return { source, bindings };
}

function sharedLines(k: ThreadKernel, target: Target): string[] {
  const { offsets } = placeShared(k.shared);
  return k.shared.map((s, j) => target.sharedArray(s.name, s.elem, s.count, offsets[j]!));
}
function cudaModule(
  title: string,
  kernels: readonly ThreadKernel[],
  texts: readonly string[],
  uniforms: readonly UniformAbi[],
  target: Target,
): { source: string; bindings: BufferBinding[][] } {
  const types = { i32: "int", u32: "unsigned", f32: "float", f64: "double" } as const;
  const bodies = kernels.map((k, i) =>
    k.buffers.reduce((body, b) => {
      const name = spelledName(target, b.name);
      return name === b.name ? body : body.replace(new RegExp(`\\b${b.name}\\[`, "g"), `${name}[`);
    }, texts[i]!),
  );
  const entries = kernels.map((k, i) => ({
    name: k.name,
    params: [
      ...k.buffers.map((b) => `${b.access === "read" ? "const " : ""}${unitType(b.unit)}* __restrict__ ${spelledName(target, b.name)}`),
      ...uniforms.map((u) => `${types[u.type]} ${target.uniform(u.name)}`),
    ].join(", "),
    shared: sharedLines(k, target),
    threads: k.threads,
    // Only what is used: an unused variable is a warning.
    places: [
      ["thread", "threadIdx"],
      ["block", "blockIdx"],
    ].flatMap(([name, from]) => (new RegExp(`\\b${name}\\b`).test(bodies[i]!) ? [`const int ${name} = ${from}.x;`] : [])),
    body: bodies[i]!,
  }));
  const used = [...bodies, ...entries.flatMap((e) => e.shared)].join("\n");
  const helpers = neededHelpers(used, [...cudaHelpers, ...exactCuda, ...intrinsics]);
  const source = cudaFrame({ title, helpers: helpers.map((h) => h.text), entries });
  return { source, bindings: kernels.map((k) => k.buffers.map((b, j) => ({ name: b.name, access: access(b), binding: j }))) };
}
