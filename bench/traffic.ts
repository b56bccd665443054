/** What a kernel moves, counted on the thread level: bytes of global memory a block touches, and shared accesses that wait for a bank. */
import type { Expr, Stmt, ThreadKernel } from "../compiler/thread/ir.ts";
import type { Watch } from "../compiler/thread/watch.ts";

/** Global memory is fetched in pieces of so many bytes. */
const sector = 32;
const banks = 32;
const warp = 32;

export interface LaunchTraffic {
  /** Bytes that blocks fetch or write, in whole sectors, each once a block. */
  moved: number;
  /** Operations on numbers (compiler/thread/watch.ts). */
  operations: number;
}
export interface Traffic {
  /** By the name of the launch. */
  readonly launches: Map<string, LaunchTraffic>;
  /** Bytes of each buffer that blocks read, and that they write (`accessOf`), each once a block; a map for each launch. */
  readonly touched: Map<string, number>[];
  /** Bytes asked for by accesses of 16 bytes, and by all. */
  wide: number;
  asked: number;
  /** Cycles that shared accesses wait because lanes want different words of one bank. */
  conflicts: number;
}
export const accessOf = (buffer: string, write: boolean): string => `${buffer}${write ? " written" : ""}`;
export const newTraffic = (): Traffic => ({ launches: new Map(), touched: [], wide: 0, asked: 0, conflicts: 0 });

/** Watches one launch after another, adding to `into`. */
export class TrafficCounter {
  private readonly into: Traffic;
  private readonly finished: (() => void)[] = [];

  constructor(into: Traffic) {
    this.into = into;
  }
  readonly launch = (k: ThreadKernel): Watch => {
    this.finish();
    const own = this.into.launches.get(k.name) ?? { moved: 0, operations: 0 };
    this.into.launches.set(k.name, own);
    const touched = new Map<string, number>();
    this.into.touched.push(touched);
    const bytes = new Map<string, Set<number>>();
    const sectors = new Map<string, Set<number>>();
    const add = (map: Map<string, Set<number>>, key: string, v: number): void => {
      const set = map.get(key) ?? new Set<number>();
      map.set(key, set.add(v));
    };
    let at = -1;
    const block = (b: number): void => {
      if (b === at) return;
      for (const [name, set] of bytes) touched.set(name, (touched.get(name) ?? 0) + set.size * 2);
      for (const set of sectors.values()) own.moved += set.size * sector;
      bytes.clear();
      sectors.clear();
      this.settle();
      at = b;
    };
    this.finished.push(() => block(-2));
    return {
      memory: (_site, _thread, b, buffer, byte, n, write) => {
        block(b);
        this.into.asked += n;
        if (n === 16) this.into.wide += n;
        // In pieces of two bytes: none of the library's elements that are counted here are smaller.
        for (let k = 0; k < n; k += 2) add(bytes, accessOf(buffer, write), (byte + k) >> 1);
        for (let s = Math.floor(byte / sector); s <= Math.floor((byte + n - 1) / sector); s++) add(sectors, accessOf(buffer, write), s);
      },
      shared: (site, thread, b, byte, n) => {
        block(b);
        this.request(site, thread, byte, n);
      },
      operations: (count) => {
        own.operations += count;
      },
    };
  };
  finish(): void {
    for (const f of this.finished.splice(0)) f();
  }

  // ---- shared memory: the n-th execution of a place by the lanes of a warp is one request
  private readonly numbers = new Map<Expr | Stmt, Map<number, number>>();
  private readonly requests = new Map<string, { bytes: number; places: number[] }>();
  private readonly sites = new Map<Expr | Stmt, number>();
  private request(site: Expr | Stmt, thread: number, byte: number, bytes: number): void {
    const turns = this.numbers.get(site) ?? new Map<number, number>();
    this.numbers.set(site, turns);
    const turn = turns.get(thread) ?? 0;
    turns.set(thread, turn + 1);
    if (!this.sites.has(site)) this.sites.set(site, this.sites.size);
    const key = `${this.sites.get(site)} ${Math.floor(thread / warp)} ${turn}`;
    const r = this.requests.get(key) ?? { bytes, places: [] };
    r.places.push(byte);
    this.requests.set(key, r);
  }
  private settle(): void {
    for (const { bytes, places } of this.requests.values()) {
      // 16 bytes a lane go eight lanes at a time, 8 bytes sixteen, fewer all at once.
      const phase = Math.min(warp, 128 / bytes);
      for (let k = 0; k < places.length; k += phase) {
        const words = new Map<number, Set<number>>();
        for (const p of places.slice(k, k + phase))
          for (let w = p >> 2; w <= (p + bytes - 1) >> 2; w++) words.set(w % banks, (words.get(w % banks) ?? new Set<number>()).add(w));
        this.into.conflicts += Math.max(1, ...[...words.values()].map((s) => s.size)) - 1;
      }
    }
    this.requests.clear();
    this.numbers.clear();
  }
}
