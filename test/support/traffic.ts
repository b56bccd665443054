/** What a run on the thread level asks of memory. */
import { expect } from "vitest";
import { newTraffic, TrafficCounter } from "../../bench/traffic.ts";
import type { Compiled } from "../../compiler/index.ts";
import type { Watch } from "../../compiler/thread/watch.ts";
import { prepare } from "../../runtime/call.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runThreads } from "../../verify/levels.ts";

/** Cycles that shared accesses of a run wait for a bank. */
export function conflicts(c: Compiled, dims: Record<string, number>): number {
  const into = newTraffic();
  const counter = new TrafficCounter(into);
  const drawn = generate(c.artifact, seeded(1), { dims, most: 100_000 })!;
  const { faults } = runThreads(c, prepare(c.artifact, drawn.args, { dims: drawn.dims }), counter.launch);
  expect(faults).toEqual([]);
  counter.finish();
  return into.conflicts;
}
/** Bytes that are read of each tensor, by how many of them at once, and the threads that read them. */
export function reads(c: Compiled, dims: Record<string, number>): Map<string, { bytes: Record<number, number>; threads: Set<number> }> {
  const out: ReturnType<typeof reads> = new Map();
  const drawn = generate(c.artifact, seeded(1), { dims, most: 100_000 })!;
  const memory: Watch["memory"] = (_site, thread, _block, buffer, _byte, n, write) => {
    if (write) return;
    const { bytes, threads } = out.get(buffer) ?? { bytes: {}, threads: new Set() };
    out.set(buffer, { bytes: { ...bytes, [n]: (bytes[n] ?? 0) + n }, threads: threads.add(thread) });
  };
  runThreads(c, prepare(c.artifact, drawn.args, { dims: drawn.dims }), () => ({ memory, shared: () => {}, operations: () => {} }));
  return out;
}
