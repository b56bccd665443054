/** All launches of a kernel as one source file, with what the ABI says of each. */
import type { BufferBinding, LaunchAbi, ManyAbi, UniformAbi } from "../../runtime/abi.ts";
import { spelledName, type Target } from "../targets/target.ts";
import { placeShared, type ThreadKernel } from "../thread/ir.ts";
import { type Arenas, boundTo } from "./arenas.ts";
import { accessOf, cudaModule } from "./cuda-module.ts";
import { emitBody, sizeText } from "./emit.ts";
import { exactWgsl } from "./exact.ts";
import { wgslFrame } from "./frames.ts";
import { neededHelpers, wgslHelpers } from "./helpers.ts";
import { emitMany } from "./many.ts";

export interface EmittedModule {
  readonly source: string;
  readonly launches: readonly LaunchAbi[];
  readonly lines: readonly (readonly [number, number])[];
  readonly many?: ManyAbi;
}

export function emitModule(
  title: string,
  kernels: readonly ThreadKernel[],
  uniforms: readonly UniformAbi[],
  target: Target,
  arenas: Arenas,
): EmittedModule {
  const bodies = kernels.map((k) => emitBody(k, target, arenas));
  const texts = bodies.map((b) => b.lines.join("\n"));
  const { source, bindings } =
    target.name === "wgsl"
      ? wgslModule(title, kernels, texts, uniforms, target, arenas)
      : cudaModule(title, kernels, texts, uniforms, target);
  const launches = kernels.map(
    (k, i): LaunchAbi => ({
      entry: k.name,
      grid: k.blocks,
      threads: k.threads,
      sharedBytes: placeShared(k.shared).bytes,
      buffers: bindings[i]!,
    }),
  );
  const many = emitMany(title, kernels, texts[0] ?? "", uniforms, target);
  return { source, launches, lines: originsIn(source, kernels, bodies), ...(many ? { many } : {}) };
}
/** Generated line -> Weft line, both from 1: a comment's origin holds until the next. */
function originsIn(source: string, kernels: readonly ThreadKernel[], bodies: readonly ReturnType<typeof emitBody>[]): [number, number][] {
  const out: [number, number][] = [];
  kernels.forEach((k, i) => {
    const body = bodies[i]!;
    const start = source.indexOf(`\n${body.lines[0] ?? ""}\n`, source.indexOf(` ${k.name}(`));
    if (start < 0) return;
    const before = linesUpTo(source, start + 1);
    for (const [line, weft] of body.origins) out.push([before + line + 1, weft]);
  });
  return out;
}
/** Lines that end before a position. */
function linesUpTo(text: string, end: number): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at >= 0 && at < end; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}
function wgslModule(
  title: string,
  kernels: readonly ThreadKernel[],
  texts: readonly string[],
  uniforms: readonly UniformAbi[],
  target: Target,
  arenas: Arenas,
): { source: string; bindings: BufferBinding[][] } {
  // One variable for each buffer as each kernel sees it: read-only, written, or with fields merged into its words.
  const declared = new Map<string, { binding: number; text: string }>();
  const names = new Map<string, string>();
  const bodies: string[] = [];
  const bindings = kernels.map((k, i) => {
    let body = texts[i]!;
    const list = boundTo(k, arenas).map(({ buffer: b, memory }): BufferBinding => {
      const mode = b.access === "read" ? "read" : b.atomic ? "atomic" : "write";
      const key = `${b.name} ${mode}${b.vector ? " wide" : ""}`;
      let d = declared.get(key);
      const unit = b.unit === "u16" && !b.vector ? "f16" : b.unit === "f64" || b.unit === "u8" || b.unit === "u16" ? "u32" : b.unit;
      if (d === undefined) {
        const taken = names.has(b.name) || target.reserved.has(b.name);
        const name = taken ? `${b.name}_${mode}${b.vector ? "_wide" : ""}` : b.name;
        names.set(b.name, name).set(key, name);
        const binding = declared.size + 1;
        d = {
          binding,
          text: `@group(0) @binding(${binding}) var<storage, ${accessOf(b)}> ${name}: array<${mode === "atomic" ? `atomic<${unit}>` : b.vector ? `vec4<${unit}>` : unit}>;`,
        };
        declared.set(key, d);
      }
      const name = names.get(key)!;
      if (name !== b.name) body = body.replace(new RegExp(`\\b${b.name}\\[`, "g"), `${name}[`);
      return { name: memory, access: accessOf(b), binding: d.binding };
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
      return target.sharedArray(name, s.elem, s.count, 0, s.vector);
    });
    return { name: k.name, shared, threads: k.threads, blocks: sizeText(k.blocks, target), body };
  });
  const fields = uniforms.length > 0 ? uniforms.map((u) => `${spelledName(target, u.name)}: ${u.type}`) : ["unused: u32"];
  const source = wgslFrame({
    title,
    subgroups: target.lanes > 1,
    halves: [...declared.values()].some((d) => d.text.includes("<f16>")),
    fields,
    bindings: [...declared.values()].map((d) => d.text),
    helpers: helpers.map((h) => h.text),
    entries,
  });
  return { source, bindings };
}
