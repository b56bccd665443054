/** The table that an entry for many calls takes (abi.ts, `ManyAbi`). */
import { evaluateSize, type LaunchAbi } from "./abi.ts";
import type { PreparedCall } from "./call.ts";

export interface ManyTable {
  /** A C struct for each call: pointers, then uniforms. */
  readonly calls: Uint8Array;
  /** The number of each call's first block. */
  readonly firsts: Int32Array;
  readonly blocks: number;
  /** Calls that have blocks: the table is of them. */
  readonly count: number;
}
const sizes = { f64: 8, f32: 4, i32: 4, u32: 4 } as const;
const alignedUp = (at: number, to: number): number => Math.ceil(at / to) * to;

/** The one launch of a kernel that has an entry for many calls. */
export function launchOf({ artifact }: PreparedCall): LaunchAbi | undefined {
  const [step] = artifact.steps;
  return artifact.many && artifact.steps.length === 1 && step?.kind === "launch" ? step.launch : undefined;
}
/** @param address of a buffer of the k-th call */
export function manyTable(launch: LaunchAbi, calls: readonly PreparedCall[], address: (k: number, buffer: string) => bigint): ManyTable {
  const { uniforms } = calls[0]!.artifact;
  // Calls of nothing have no blocks, and no place in the table.
  const counts = calls.map((c) => Math.max(0, evaluateSize(launch.grid, c.values)));
  const own = calls.flatMap((_, k) => (counts[k]! > 0 ? [k] : []));
  let size = 8 * launch.buffers.length;
  const offsets = uniforms.map((u) => {
    const at = alignedUp(size, sizes[u.type]);
    size = at + sizes[u.type];
    return at;
  });
  size = alignedUp(Math.max(size, 1), launch.buffers.length > 0 || uniforms.some((u) => u.type === "f64") ? 8 : 4);
  const table = new Uint8Array(size * own.length);
  const view = new DataView(table.buffer);
  own.forEach((k, row) => {
    launch.buffers.forEach((b, j) => {
      view.setBigUint64(row * size + 8 * j, address(k, b.name), true);
    });
    uniforms.forEach((u, j) => {
      const at = row * size + offsets[j]!;
      const v = calls[k]!.values[u.name]!;
      if (u.type === "f64") view.setFloat64(at, v, true);
      else if (u.type === "f32") view.setFloat32(at, v, true);
      else if (u.type === "u32") view.setUint32(at, v, true);
      else view.setInt32(at, v, true);
    });
  });
  let blocks = 0;
  const firsts = Int32Array.from(own, (k) => {
    const first = blocks;
    blocks += counts[k]!;
    return first;
  });
  return { calls: table, firsts, blocks, count: own.length };
}
