/**
 * What can be counted without a GPU: bytes moved against the least that the tiling allows, operations against those of the mathematics, bank
 * conflicts, registers, spills and blocks to a multiprocessor as ptxas has them, instructions of the PTX, SPIR-V operations with and without
 * bounds checks. Exact, and no measure of time.
 */
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import type { Compiled } from "../compiler/index.ts";
import { placeShared } from "../compiler/thread/ir.ts";
import { check } from "../dsl/index.ts";
import { library } from "../kernels/index.ts";
import { prepare } from "../runtime/call.ts";
import { generate, seeded } from "../verify/generate.ts";
import { runThreads } from "../verify/levels.ts";
import { taken } from "../verify/taken.ts";
import { type Counted, counted, occupancy } from "./ptx.ts";
import { accessOf, type LaunchTraffic, newTraffic, TrafficCounter } from "./traffic.ts";

const run = promisify(execFile);

export interface StaticRow {
  readonly kernel: string;
  readonly instance: string;
  readonly target: "cuda" | "wgsl";
  readonly dims: Readonly<Record<string, number>>;
  /** Bytes that blocks move, in sectors of 32 bytes, over the bytes that they need: each parameter in the launch that needs most of it. */
  readonly bytesOverMinimum: number;
  /**
   * Sums, differences, products and quotients of floats that all threads make, over those of the products that the text sums up; null where
   * it sums none.
   */
  readonly operationsOverMinimum: number | null;
  readonly bankConflicts: number;
  /** Share of the bytes asked for that go by 16 at a time. */
  readonly wideShare: number;
  readonly sharedBytes: number;
  /** Of ptxas for sm_80; null for WGSL, and where there is no nvcc. */
  readonly spillBytes: number | null;
  readonly registers: number | null;
  /** Of the launch that has the fewest warps of those that a multiprocessor has room for, the share that it has. */
  readonly occupancy: number | null;
  readonly matrixInstructions: number | null;
  readonly instructions: Counted["instructions"] | null;
  /** Each launch by itself. */
  readonly launches: readonly LaunchRow[];
  /** SPIR-V operations with bounds checks over those without; null for CUDA, and where there is no WebGPU. */
  readonly spirvRobustOverPlain: number | null;
}
export interface LaunchRow {
  readonly name: string;
  readonly threads: number;
  readonly sharedBytes: number;
  /** Bytes that its blocks move, in sectors. */
  readonly movedBytes: number;
  readonly operations: number;
  readonly registers: number | null;
  readonly spillBytes: number | null;
  readonly occupancy: number | null;
}
type Dims = Readonly<Record<string, number>>;
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
  transpose: { M: 128, N: 96 },
  transpose_halves: { M: 128, N: 192 },
  adamw: { N: 1024 },
};
/** A product and a sum for each term of a sum of products, as the mathematics has them; `start`: where the rows of a packed batch begin. */
const operations: Readonly<Record<string, (d: Dims, start: ArrayLike<number>) => number>> = {
  attention: (d) => 4 * d["B"]! * d["KV"]! * d["G"]! * d["D"]! * pairs(d["M"]!, d["N"]!),
  packed_attention: (d, start) =>
    4 * d["KV"]! * d["G"]! * d["D"]! * Array.from(start).reduce((sum, to, r) => sum + (r === 0 ? 0 : pairs(to - start[r - 1]!)), 0),
  decode: (d) => 4 * d["B"]! * d["KV"]! * d["G"]! * d["N"]! * d["D"]!,
  w4a16: (d) => 2 * d["M"]! * d["N"]! * d["NG"]! * d["GS"]!,
  w4a16_marlin: (d) => 2 * d["M"]! * d["N"]! * d["NG"]! * d["GS"]!,
  w8a8: (d) => 2 * d["M"]! * d["N"]! * d["K"]!,
  dense: (d) => 2 * d["M"]! * d["N"]! * d["K"]!,
  eight: (d) => 2 * d["M"]! * d["N"]! * d["K"]!,
};
/** Rows and columns that a causal mask leaves, the last row having them all. */
const pairs = (rows: number, columns = rows): number => rows * (columns - rows) + (rows * (rows + 1)) / 2;
const own = ["dense", "eight", "transpose"].map((name) => path.join(import.meta.dirname, "kernels", `${name}.weft`));
const files = [...Object.values(library), ...own];

export async function* staticRows(only: string | undefined): AsyncGenerator<StaticRow> {
  for (const file of files) {
    const text = fs.readFileSync(file, "utf8");
    const checked = check(text);
    for (const instance of checked.instances)
      for (const target of ["cuda", "wgsl"] as const) {
        if (only !== undefined && instance.kernel !== only) continue;
        const made = taken(instance, checked.schedules, text, target, sizes[instance.kernel] ?? {});
        const { moved, ...measured } = traffic(made, sizes[instance.kernel]);
        const ptx = target === "cuda" ? await counted(made.artifact.source) : undefined;
        const launches = made.kernels.map((k, n): LaunchRow => {
          const { bytes: sharedBytes } = placeShared(k.shared);
          const own = ptx?.kernels.find((x) => x.name === k.name);
          return {
            ...{ name: k.name, threads: k.threads, sharedBytes, movedBytes: moved[n]!.moved, operations: moved[n]!.operations },
            registers: own?.registers ?? null,
            spillBytes: own?.spillBytes ?? null,
            occupancy: own ? rounded(occupancy(k.threads, own.registers, sharedBytes)) : null,
          };
        });
        const of = (pick: (l: LaunchRow) => number | null): number[] => launches.flatMap((l) => pick(l) ?? []);
        yield {
          kernel: instance.kernel,
          instance: instance.name ?? "",
          target,
          ...measured,
          sharedBytes: Math.max(0, ...of((l) => l.sharedBytes)),
          spillBytes: ptx ? ptx.kernels.reduce((n, k) => n + k.spillBytes, 0) : null,
          registers: ptx ? Math.max(...ptx.kernels.map((k) => k.registers)) : null,
          occupancy: ptx ? Math.min(...of((l) => l.occupancy)) : null,
          matrixInstructions: ptx?.instructions.mma ?? null,
          instructions: ptx?.instructions ?? null,
          launches,
          spirvRobustOverPlain: target === "wgsl" ? await robustOverPlain(made) : null,
        };
      }
  }
}
const rounded = (x: number): number => Number(x.toFixed(3));

function traffic(
  c: Compiled,
  dims: Dims | undefined,
): Pick<StaticRow, "dims" | "bytesOverMinimum" | "operationsOverMinimum" | "bankConflicts" | "wideShare"> & {
  readonly moved: readonly LaunchTraffic[];
} {
  const made = generate(c.artifact, seeded(1), { ...(dims ? { dims } : { sizes: [1024, 512, 256, 64, 32] }), most: 400_000 });
  if (made === undefined) throw new Error(`${c.artifact.kernel}: no data at ${JSON.stringify(dims)}`);
  const into = newTraffic();
  const counter = new TrafficCounter(into);
  runThreads(c, prepare(c.artifact, made.args, { dims: made.dims, checkData: true }), counter.launch);
  counter.finish();
  const needed = (access: string): number => Math.max(0, ...into.touched.map((t) => t.get(access) ?? 0));
  const least = c.artifact.params.reduce((n, p) => n + needed(accessOf(p.name, false)) + needed(accessOf(p.name, true)), 0);
  const moved = c.kernels.map((k) => into.launches.get(k.name) ?? { moved: 0, operations: 0 });
  const start = made.args["start"] as { readonly data?: ArrayLike<number> } | undefined;
  const wanted = operations[c.artifact.kernel]?.(made.dims, start?.data ?? []);
  return {
    moved,
    dims: made.dims,
    bytesOverMinimum: rounded(moved.reduce((n, l) => n + l.moved, 0) / least),
    operationsOverMinimum: wanted === undefined ? null : rounded(moved.reduce((n, l) => n + l.operations, 0) / wanted),
    bankConflicts: into.conflicts,
    wideShare: rounded(into.asked === 0 ? 0 : into.wide / into.asked),
  };
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
