/** Which part of a chip bounds each loop of a launch (Williams, Waterman and Patterson 2009, for one multiprocessor). */
import { evaluateSize } from "../../runtime/abi.ts";
import type { ThreadKernel } from "../thread/ir.ts";
import type { Chip } from "./chips.ts";
import { bytesOfUnit, countBlock, type Region } from "./count.ts";

export const parts = ["matrix unit", "issue", "special functions", "shared memory", "L2"] as const;
export type Part = (typeof parts)[number];
export interface BoundLoop {
  readonly path: readonly string[];
  readonly turns: number;
  /** Clocks of a multiprocessor for one turn of a block, by the part that takes them. */
  readonly clocks: Readonly<Record<Part, number>>;
  readonly bound: Part;
}
export interface Roofline {
  readonly launch: string;
  readonly blocks: number;
  readonly threads: number;
  readonly loops: readonly BoundLoop[];
  /** Seconds at least: all blocks over all multiprocessors, each loop at its bound; and all that is touched, once, over memory. */
  readonly computeSeconds: number;
  readonly memorySeconds: number;
}
export function rooflineOf(kernel: ThreadKernel, values: Readonly<Record<string, number>>, chip: Chip): Roofline {
  const loops = countBlock(kernel, values).map((r) => bounded(r, chip));
  const blocks = evaluateSize(kernel.blocks, values);
  const clocks = loops.reduce((n, l) => n + l.turns * l.clocks[l.bound], 0);
  const bytes = kernel.buffers.reduce((n, b) => n + evaluateSize(b.units, values) * bytesOfUnit[b.unit], 0);
  return {
    ...{ launch: kernel.name, blocks, threads: kernel.threads, loops },
    computeSeconds: (Math.ceil(blocks / chip.multiprocessors) * clocks) / chip.clockHz,
    memorySeconds: bytes / chip.memoryBytesPerSecond,
  };
}

function bounded(r: Region, chip: Chip): BoundLoop {
  const clocks: Record<Part, number> = {
    "matrix unit": r.matrixFlops / chip.matrixFlops,
    issue: r.instructions / chip.issued,
    "special functions": r.special / chip.special,
    "shared memory": r.sharedBytes / chip.sharedBytes,
    L2: r.globalBytes / chip.l2Bytes,
  };
  const bound = parts.reduce((a, b) => (clocks[b] > clocks[a] ? b : a));
  return { path: r.path, turns: r.turns, clocks, bound };
}
