/** Weft and one peer on all operations, in turn, in one page or process. */
import { adapterName } from "../../runtime/webgpu/device.ts";
import { median } from "../median.ts";
import { ops } from "./ops.ts";
import { type Given, openSystem, type PeerName, type Running, watchSubmissions } from "./systems.ts";

export interface WebRow {
  readonly op: string;
  readonly peer: string;
  /** The adapter that both ran on, as it calls itself. */
  readonly device?: string;
  /** Median milliseconds from the first submission until the device is done. */
  readonly oursMs?: number;
  readonly peerMs?: number;
  /** The peer's time over ours. */
  readonly ratio?: number;
  readonly samples?: { readonly ours: readonly number[]; readonly peer: readonly number[] };
  /** Why there is no figure. */
  readonly error?: string;
}
const rounded = (x: number): number => Number(x.toFixed(2));
const message = (e: unknown): string => (e instanceof Error ? e.message : String(e)).split("\n")[0]!.slice(0, 200);

interface Contender {
  readonly it?: Running;
  readonly error?: string;
}
/** @param rounds samples of each, taken in turn after two that warm up */
export async function measure(given: Given, peer: PeerName, rounds: number): Promise<WebRow[]> {
  watchSubmissions();
  const started = await Promise.allSettled((["weft", peer] as const).map((name) => openSystem(name, given)));
  const rows: WebRow[] = [];
  const device = adapterName((await navigator.gpu.requestAdapter())!.info);
  for (const op of ops) {
    const ready = async (k: number): Promise<Contender> => {
      const s = started[k]!;
      if (s.status === "rejected") return { error: message(s.reason) };
      try {
        const it = await s.value.prepare(op);
        const got = await it.read();
        const wrong = given.expected[op.name]!.filter((e) => !(Math.abs(got[e.at]! - e.value) <= e.bound));
        return wrong.length === 0 ? { it } : { error: `${wrong.length} elements outside of their bounds` };
      } catch (e) {
        return { error: message(e) };
      }
    };
    const [ours, theirs] = [await ready(0), await ready(1)];
    if (!ours.it || !theirs.it) {
      rows.push({ op: op.name, peer, error: ours.error ? `weft: ${ours.error}` : theirs.error! });
      continue;
    }
    const samples = { ours: [] as number[], peer: [] as number[] };
    for (let round = -2; round < rounds; round++) {
      const [o, p] = [await ours.it.run(), await theirs.it.run()];
      if (round < 0) continue;
      samples.ours.push(rounded(o));
      samples.peer.push(rounded(p));
    }
    const [o, p] = [median(samples.ours), median(samples.peer)];
    rows.push({
      op: op.name,
      peer,
      device,
      oursMs: o,
      peerMs: p,
      ratio: rounded(p / o),
      samples,
    });
  }
  return rows;
}
(globalThis as { weftMeasure?: typeof measure }).weftMeasure = measure;
