/** What nvcc and ptxas make of a source for sm_80: registers, spills, instructions of each class, and how many blocks fit on a multiprocessor. */
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Of the PTX of all launches, loops once. */
export const classes = {
  mma: /\bmma\.sync/g,
  ldmatrix: /\bldmatrix\./g,
  "cp.async": /\bcp\.async\.c[ag]\./g,
  "global, 16 bytes": /\b(?:ld|st)\.global(?:\.nc)?(?:\.L[\w:]+)*\.v4\./g,
  "global, less": /\b(?:ld|st)\.global(?:\.nc)?(?:\.L[\w:]+)*\.(?!v4\.|L|nc\.)/g,
  shared: /\b(?:ld|st)\.shared\./g,
  "special functions": /\b(?:ex2|lg2|rsqrt|sqrt|rcp|div|sin|cos|tanh)\.(?:approx|full|rn)/g,
  shuffles: /\bshfl\.sync/g,
  barriers: /\bbar\.sync|\bbarrier\.sync/g,
} as const;
export type InstructionClass = keyof typeof classes;
export interface Kernel {
  readonly name: string;
  readonly registers: number;
  readonly spillBytes: number;
}
export interface Counted {
  readonly kernels: readonly Kernel[];
  readonly instructions: Readonly<Record<InstructionClass, number>>;
}
/** Undefined where there is no nvcc. */
export async function counted(source: string): Promise<Counted | undefined> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "weft-bench-"));
  try {
    const file = path.join(dir, "k.cu");
    fs.writeFileSync(file, source);
    const flags = ["-arch=sm_80", "-fmad=false"];
    const { stderr } = await run("nvcc", [...flags, "-cubin", "-Xptxas", "-v", "-o", path.join(dir, "k.cubin"), file]);
    await run("nvcc", [...flags, "-ptx", "-o", path.join(dir, "k.ptx"), file]);
    const ptx = fs.readFileSync(path.join(dir, "k.ptx"), "utf8");
    const kernels = stderr
      .split("Compiling entry function '")
      .slice(1)
      .map((text): Kernel => {
        const numbers = (pattern: RegExp): number[] => [...text.matchAll(pattern)].map((m) => Number(m[1]));
        return {
          name: text.slice(0, text.indexOf("'")),
          registers: numbers(/Used (\d+) registers/g)[0]!,
          spillBytes: numbers(/(\d+) bytes spill (?:stores|loads)/g).reduce((a, b) => a + b, 0),
        };
      });
    const instructions = Object.fromEntries(Object.entries(classes).map(([name, pattern]) => [name, [...ptx.matchAll(pattern)].length]));
    return { kernels, instructions: instructions as Record<InstructionClass, number> };
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw e;
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
}

/**
 * Warps that a multiprocessor of sm_80 holds at once, of the 64 that it has room for: CUDA C++ Programming Guide, "Compute Capabilities", 8.0.
 * Registers are given out to warps in units of 256; a block has 1 KiB of shared memory beside its own.
 */
export function occupancy(threads: number, registers: number, sharedBytes: number): number {
  const warps = Math.ceil(threads / 32);
  const ofRegisters = Math.floor(65536 / (Math.ceil((registers * 32) / 256) * 256) / warps);
  const ofShared = Math.floor((164 * 1024) / (Math.ceil(sharedBytes / 128) * 128 + 1024));
  return (Math.min(32, Math.floor(64 / warps), ofRegisters, ofShared) * warps) / 64;
}
