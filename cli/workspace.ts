/** From a name on the command line to a checked kernel, and the schedule that a target gets. */
import fs from "node:fs";
import pc from "picocolors";
import { type Checked, type CheckedInstance, check, type Schedule, type TargetName } from "../dsl/index.ts";
import { library } from "../kernels/index.ts";
import { UserError } from "./fail.ts";
import { readSource, walk } from "./files.ts";
import { noteLock, withLock } from "./lock.ts";
import { asJson, render } from "./render.ts";

export interface Found {
  readonly file: string;
  readonly text: string;
  readonly checked: Checked;
  readonly kernel: string;
  readonly instances: readonly CheckedInstance[];
}

/** Prints diagnostics where people read them, or as JSON lines. @returns whether there were errors */
export function report(checked: Checked, file: string, json: boolean): boolean {
  for (const d of checked.diagnostics) {
    if (json) console.log(asJson(d, file, checked.text));
    else console.error(render(d, file, checked.text, pc.isColorSupported && process.stderr.isTTY));
  }
  return !checked.ok;
}
/** `attention`, `file.weft`, or `file.weft:attention`; a bare name is looked up in the library, then below the current folder. */
export function findKernel(name: string): { file: string; text: string; kernel: string | undefined } {
  const split = /^(.*\.weft)(?::(\w+))?$/.exec(name);
  if (split) return { file: split[1]!, text: readSource(split[1]!), kernel: split[2] };
  const candidates = [...Object.values(library), ...walk(process.cwd(), 4)];
  for (const file of candidates) {
    if (!fs.existsSync(file)) continue;
    const text = fs.readFileSync(file, "utf8");
    if (new RegExp(`\\bkernel\\s+${name.replace(/\W/g, "")}\\b`).test(text)) return { file, text, kernel: name };
  }
  throw new UserError(`there is no kernel \`${name}\` in the library or below this folder; name its file: file.weft:${name}`);
}
/** @throws UserError where the file has errors, which are printed first */
export function load(name: string, json: boolean): Found {
  const { file, text, kernel } = findKernel(name);
  const checked = withLock(check(text), file, noteLock);
  if (report(checked, file, json)) throw new UserError(`${file} has errors`);
  const names = [...new Set(checked.instances.map((i) => i.kernel))];
  const own = kernel ?? names[0];
  if (own === undefined) throw new UserError(`${file} has no kernel`);
  if (kernel === undefined && names.length > 1)
    throw new UserError(`${file} has several kernels; name one: ${names.map((n) => `${file}:${n}`).join(", ")}`);
  const instances = checked.instances.filter((i) => i.kernel === own);
  if (instances.length === 0) throw new UserError(`${file} has no kernel \`${own}\`; it has ${names.join(", ")}`);
  return { file, text, checked, kernel: own, instances };
}
/** The instance named `T=f16, D=64` (blanks do not matter), or the first that agrees with the given dimensions. */
export function pickInstance(found: Found, wanted: string | undefined, dims: Readonly<Record<string, number>> = {}): CheckedInstance {
  const plain = (s: string): string => s.replace(/\s/g, "");
  if (wanted !== undefined) {
    const i = found.instances.find((x) => plain(x.name) === plain(wanted));
    if (i === undefined)
      throw new UserError(
        `${found.kernel} has no instance \`${wanted}\`; it has ${found.instances.map((x) => `\`${x.name}\``).join(", ")}`,
      );
    return i;
  }
  const agrees = (i: CheckedInstance): boolean =>
    i.program.dims.every((d) => d.value === undefined || dims[d.name] === undefined || d.value === dims[d.name]);
  const i = found.instances.find(agrees);
  if (i === undefined)
    throw new UserError(
      `no instance of ${found.kernel} has ${Object.entries(dims)
        .map(([k, v]) => `${k}=${v}`)
        .join(", ")}; there are ${found.instances.map((x) => `\`${x.name}\``).join(", ")}`,
    );
  return i;
}
/** @throws UserError for a dimension that the kernel does not have */
export function ownDims(instance: CheckedInstance, dims: Readonly<Record<string, number>>): void {
  for (const d of Object.keys(dims))
    if (!instance.program.dims.some((x) => x.name === d))
      throw new UserError(`${instance.kernel} has no dimension ${d}; it has ${instance.program.dims.map((x) => x.name).join(", ")}`);
}
/** The schedule for a target: the one asked for by name, else the first unnamed one that every launch may use. */
export function scheduleFor(found: Found, target: TargetName, name?: string): Schedule | undefined {
  const own = found.checked.schedules.filter((s) => s.kernel === found.kernel && s.target === target);
  if (name === undefined) return own.find((s) => s.name === undefined && s.features.length === 0 && s.where === undefined);
  const s = own.find((x) => x.name === name);
  if (s === undefined) throw new UserError(`${found.kernel} has no schedule \`${name}\` for ${target}`);
  return s;
}
export function targetOf(text: string): TargetName {
  if (text === "cuda" || text === "wgsl") return text;
  throw new UserError(`there is no target \`${text}\`; targets are cuda and wgsl`);
}
/** `M=16,N=32` as numbers. */
export function shapeOf(text: string | undefined): Record<string, number> {
  const out: Record<string, number> = {};
  for (const part of (text ?? "").split(",").filter((p) => p.trim() !== "")) {
    const m = /^\s*(\w+)\s*=\s*(\d+)\s*$/.exec(part);
    if (m === null) throw new UserError(`--shape takes dimensions such as M=16,N=32; \`${part.trim()}\` is none`);
    out[m[1]!] = Number(m[2]);
  }
  return out;
}
