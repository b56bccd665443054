/**
 * What can be counted without a GPU: bytes moved against the least that the tiling allows, bank conflicts, registers and spills as ptxas has
 * them, instructions of the PTX, SPIR-V operations with and without bounds checks. Exact, and no measure of time.
 */
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { Compiled } from "../compiler/index.ts";
import { check } from "../dsl/index.ts";
import { library } from "../kernels/index.ts";
import { prepare } from "../runtime/call.ts";
import { generate, seeded } from "../verify/generate.ts";
import { runThreads } from "../verify/levels.ts";
import { accessOf, newTraffic, TrafficCounter } from "./traffic.ts";
import { taken } from "./variant.ts";

const run = promisify(execFile);

export interface StaticRow {
  readonly kernel: string;
  readonly instance: string;
  readonly target: "cuda" | "wgsl";
  readonly dims: Readonly<Record<string, number>>;
  /** Bytes that blocks move, in sectors of 32 bytes, over the bytes that they need: each parameter in the launch that needs most of it. */
  readonly bytesOverMinimum: number;
  readonly bankConflicts: number;
  /** Share of the bytes asked for that go by 16 at a time. */
  readonly wideShare: number;
  readonly sharedBytes: number;
  /** Of ptxas for sm_80; null for WGSL, and where there is no nvcc. */
  readonly spillBytes: number | null;
  readonly registers: number | null;
  readonly matrixInstructions: number | null;
  /** SPIR-V operations with bounds checks over those without; null for CUDA, and where there is no WebGPU. */
  readonly spirvRobustOverPlain: number | null;
}
/** Sizes that are large enough for whole tiles and small enough to count every access. */
const sizes: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  attention: { B: 1, KV: 1, G: 2, M: 128, N: 128 },
  packed_attention: { R: 3, C: 256, KV: 1, G: 2 },
  restarts: { R: 127, C: 4096 },
  tables: { R: 8, C: 512 },
  decode: { B: 2, KV: 2, G: 8, N: 128 },
  w4a16: { M: 256, N: 128, NG: 2 },
  w4a16_marlin: { M: 256, N: 128, NG: 2 },
  w8a8: { M: 256, N: 128, K: 256 },
  dense: { M: 128, N: 128, K: 128 },
  eight: { M: 256, N: 128, K: 256 },
  adamw: { N: 1024 },
};
const own = ["dense", "eight"].map((name) => path.join(import.meta.dirname, "kernels", `${name}.weft`));
const files = [...Object.values(library), ...own];

export async function* staticRows(only: string | undefined): AsyncGenerator<StaticRow> {
  for (const file of files) {
    const text = fs.readFileSync(file, "utf8");
    const checked = check(text);
    for (const instance of checked.instances)
      for (const target of ["cuda", "wgsl"] as const) {
        if (only !== undefined && instance.kernel !== only) continue;
        const made = taken(instance, checked.schedules, text, target, sizes[instance.kernel] ?? {});
        const moved = traffic(made, sizes[instance.kernel]);
        const ptx = target === "cuda" ? await ptxas(made.artifact.source) : undefined;
        yield {
          kernel: instance.kernel,
          instance: instance.name ?? "",
          target,
          ...moved,
          sharedBytes: Math.max(0, ...launchBytes(made)),
          spillBytes: ptx?.spillBytes ?? null,
          registers: ptx?.registers ?? null,
          matrixInstructions: ptx?.matrix ?? null,
          spirvRobustOverPlain: target === "wgsl" ? await robustOverPlain(made) : null,
        };
      }
  }
}
const launchBytes = (c: Compiled): number[] =>
  c.artifact.steps.flatMap(function bytes(s): number[] {
    return s.kind === "launch" ? [s.launch.sharedBytes] : s.steps.flatMap(bytes);
  });
const rounded = (x: number): number => Number(x.toFixed(3));

function traffic(
  c: Compiled,
  dims: Readonly<Record<string, number>> | undefined,
): Pick<StaticRow, "dims" | "bytesOverMinimum" | "bankConflicts" | "wideShare"> {
  const made = generate(c.artifact, seeded(1), { ...(dims ? { dims } : { sizes: [1024, 512, 256, 64, 32] }), most: 400_000 });
  if (made === undefined) throw new Error(`${c.artifact.kernel}: no data at ${JSON.stringify(dims)}`);
  const into = newTraffic();
  const counter = new TrafficCounter(into);
  runThreads(c, prepare(c.artifact, made.args, { dims: made.dims, checkData: true }), counter.launch);
  counter.finish();
  const needed = (access: string): number => Math.max(0, ...into.touched.map((t) => t.get(access) ?? 0));
  const least = c.artifact.params.reduce((n, p) => n + needed(accessOf(p.name, false)) + needed(accessOf(p.name, true)), 0);
  return {
    dims: made.dims,
    bytesOverMinimum: rounded(into.moved / least),
    bankConflicts: into.conflicts,
    wideShare: rounded(into.asked === 0 ? 0 : into.wide / into.asked),
  };
}

async function ptxas(source: string): Promise<{ spillBytes: number; registers: number; matrix: number } | undefined> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "weft-bench-"));
  try {
    const file = path.join(dir, "k.cu");
    fs.writeFileSync(file, source);
    const flags = ["-arch=sm_80", "-fmad=false"];
    const { stderr } = await run("nvcc", [...flags, "-cubin", "-Xptxas", "-v", "-o", path.join(dir, "k.cubin"), file]);
    await run("nvcc", [...flags, "-ptx", "-o", path.join(dir, "k.ptx"), file]);
    const numbers = (pattern: RegExp): number[] => [...stderr.matchAll(pattern)].map((m) => Number(m[1]));
    return {
      spillBytes: numbers(/(\d+) bytes spill (?:stores|loads)/g).reduce((a, b) => a + b, 0),
      registers: Math.max(...numbers(/Used (\d+) registers/g)),
      matrix: [...fs.readFileSync(path.join(dir, "k.ptx"), "utf8").matchAll(/mma\.sync/g)].length,
    };
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw e;
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
}

/** Dawn prints the SPIR-V that it makes; a process of its own for each, since it prints at the time of its choosing. */
async function robustOverPlain(c: Compiled): Promise<number | null> {
  const entries = c.kernels.map((k) => k.name);
  const count = async (toggles: string): Promise<number> => {
    const child = [path.join(import.meta.dirname, "spirv.mjs"), toggles, JSON.stringify(entries)];
    const done = run(process.execPath, child, { maxBuffer: 2 ** 28 });
    done.child.stdin!.end(c.artifact.source);
    const { stdout, stderr } = await done;
    return [...`${stdout}\n${stderr}`.matchAll(/^\s*(?:%\w+ = )?Op[A-Z]\w*/gm)].length;
  };
  try {
    const [robust, plain] = [await count("dump_shaders"), await count("dump_shaders,disable_robustness")];
    return plain === 0 ? null : rounded(robust / plain);
  } catch {
    return null;
  }
}
