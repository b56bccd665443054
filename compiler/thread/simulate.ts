/**
 * Runs a thread kernel on the CPU: every thread of every block, phase by phase between barriers. Reports what a device would hide: accesses
 * outside a buffer, two threads on one element without a barrier between them, reads of shared memory that nobody wrote, barriers that not
 * all threads reach.
 */
import { invariant } from "../../dsl/diagnostics.ts";
import { evaluateSize } from "../../runtime/abi.ts";
import { type ScalarFn, scalarFn, scalarText } from "../scalar.ts";
import { loadMatrices, multiplyNumbers, warp } from "./fragments.ts";
import { bytesOf, type Expr, placeShared, type Stmt, type ThreadKernel } from "./ir.ts";
import { lockstep } from "./lockstep.ts";
import { type Machine, type Scripted, scripted, scriptedValue, scriptedValues } from "./script.ts";
import { Shadow } from "./shadow.ts";
import { type Fault, matrixOperations, operationsOf, type Watch } from "./watch.ts";

export type Memory = Map<string, Float64Array | Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array>;
interface Thread extends Scripted {
  block: number;
  /** Its number in the launch, from 1, and that of the last thread of the block before. */
  owner: number;
  before: number;
  /** Copies that have not landed, in groups; the last one is still open. */
  flights: (() => void)[][];
}

/** @returns the faults found, at most a hundred; an empty list is a clean run */
export function simulate(kernel: ThreadKernel, memory: Memory, values: Readonly<Record<string, number>>, watch?: Watch): Fault[] {
  return new Simulator(kernel, memory, values, watch).run();
}

class Simulator {
  private readonly kernel: ThreadKernel;
  private readonly memory: Memory;
  private readonly values: Readonly<Record<string, number>>;
  private readonly faults: Fault[] = [];
  private readonly slots = new Map<string, number>();
  private readonly shadows = new Map<string, Shadow>();
  private readonly shared: ReadonlyMap<string, Float64Array>;
  private readonly sharedShadows: ReadonlyMap<string, Shadow>;
  private epoch = 1;

  private readonly watch: Watch | undefined;
  /** Where each shared array begins, and the bytes of its elements. */
  private readonly places: ReadonlyMap<string, readonly [number, number]>;
  private readonly machine: Machine<Thread> = {
    slot: (name) => this.slot(name),
    uniform: (name) => {
      const v = this.values[name];
      invariant(v !== undefined, `no value for ${name}`);
      return v;
    },
    operation: (e, args) =>
      (this.watch ? undefined : scalarText(e.op, e.elem, args[0]!, args[1]!)) ??
      this.counted(operationsOf(e), scalarFn(e.op, e.elem, e.args[0]!.elem, e.args.length)),
    read: (e) => this.readOne(e),
    write: (s) => this.writeOne(s),
    merge: (s) => this.merge(s),
    readWide: (s) => this.readWide(s),
    writeWide: (s) => this.writeWide(s),
    copy: (s) => this.copy(s),
    commit: (t) => {
      t.flights.push([]);
    },
    land: (t, leave) => this.land(t, leave),
    diverged: () => this.fault("divergent-barrier", "threads meet inside a condition"),
  };

  constructor(kernel: ThreadKernel, memory: Memory, values: Readonly<Record<string, number>>, watch: Watch | undefined) {
    this.watch = watch;
    const { offsets } = placeShared(kernel.shared);
    this.places = new Map(kernel.shared.map((a, k) => [a.name, [offsets[k]!, bytesOf(a.elem)]]));
    this.shared = new Map(kernel.shared.map((a) => [a.name, new Float64Array(a.count)]));
    this.sharedShadows = new Map(kernel.shared.map((a) => [a.name, new Shadow(a.count)]));
    this.kernel = kernel;
    this.memory = memory;
    this.values = values;
  }
  private fault(kind: Fault["kind"], text: string): void {
    if (this.faults.length < 100) this.faults.push({ kind, text: `${this.kernel.name}: ${text}` });
  }
  run(): Fault[] {
    const { kernel } = this;
    for (const b of kernel.buffers) {
      const size = this.memory.get(b.name)?.length;
      invariant(size !== undefined, `no memory for ${b.name}`);
      this.shadows.set(b.name, new Shadow(size));
    }
    const body = lockstep<Thread>(kernel.body, {
      alone: (list) => scripted(list, this.machine),
      together: (s) => this.together(s),
      value: (e) => this.value(e),
      assign: (name) => {
        const slot = this.slot(name);
        return (t, v) => {
          t.values[slot] = v;
        };
      },
      diverged: () => this.fault("divergent-barrier", "threads meet where not all of them come"),
    });
    const blocks = evaluateSize(kernel.blocks, this.values);
    // One block's threads are the next one's, with nothing of what they held.
    const threads = Array.from(
      { length: kernel.threads },
      (_, index): Thread => ({ index, block: 0, owner: 0, before: 0, values: new Float64Array(this.slots.size), flights: [] }),
    );
    for (let block = 0; block < blocks; block++) {
      for (const array of this.shared.values()) array.fill(0);
      for (const shadow of this.sharedShadows.values()) shadow.clear();
      for (const t of threads) {
        t.block = block;
        t.before = block * kernel.threads;
        t.owner = t.before + t.index + 1;
        t.values.fill(0);
        t.flights = [[]];
      }
      body(threads);
      this.epoch++;
    }
    return this.faults;
  }
  private value(e: Expr): (t: Thread) => number {
    return scriptedValue(e, this.machine);
  }
  private slot(name: string): number {
    let s = this.slots.get(name);
    if (s === undefined) {
      s = this.slots.size;
      this.slots.set(name, s);
    }
    return s;
  }
  /** Whether an access by the owner of `last` in `epoch` is ordered before one by t now. */
  private ordered(t: Thread, last: number, epoch: number): boolean {
    if (last === 0 || last === t.owner) return true;
    return last > t.before && last <= t.before + this.kernel.threads && epoch < this.epoch;
  }
  private read(what: string, shadow: Shadow, at: number, t: Thread): void {
    if (!this.ordered(t, shadow.writer[at]!, shadow.writeEpoch[at]!))
      this.fault("race", `${what}[${at}] is read by thread ${t.index} of block ${t.block} while another writes it`);
    if (this.ordered(t, shadow.reader[at]!, shadow.readEpoch[at]!)) {
      shadow.reader[at] = t.owner;
      shadow.readEpoch[at] = this.epoch;
    } else {
      shadow.other[at] = t.owner;
      shadow.otherEpoch[at] = this.epoch;
    }
  }
  private write(what: string, shadow: Shadow, at: number, t: Thread): void {
    if (!this.ordered(t, shadow.writer[at]!, shadow.writeEpoch[at]!) || shadow.merged[at] !== 0)
      this.fault("race", `${what}[${at}] is written by two threads`);
    if (!this.ordered(t, shadow.reader[at]!, shadow.readEpoch[at]!) || !this.ordered(t, shadow.other[at]!, shadow.otherEpoch[at]!))
      this.fault("race", `${what}[${at}] is written by thread ${t.index} of block ${t.block} while another reads it`);
    shadow.writer[at] = t.owner;
    shadow.writeEpoch[at] = this.epoch;
  }
  private seen(site: Expr | Stmt, buffer: string, at: number, units: number, t: Thread, write: boolean): void {
    const unit = this.memory.get(buffer)!.BYTES_PER_ELEMENT;
    this.watch?.memory(site, t.index, t.block, buffer, at * unit, units * unit, write);
  }
  private seenShared(site: Expr | Stmt, array: string, at: number, units: number, t: Thread): void {
    const [start, bytes] = this.places.get(array)!;
    this.watch?.shared(site, t.index, t.block, start + at * bytes, units * bytes);
  }
  private counted(count: number, f: ScalarFn): ScalarFn {
    const tell = this.watch?.operations;
    if (tell === undefined || count === 0) return f;
    return (a, b, c) => {
      tell(count);
      return f(a, b, c);
    };
  }
  private unwritten(array: string, at: number): void {
    this.fault("uninitialised", `${array}[${at}] is read before it is written`);
  }
  private inside(what: string, at: number, size: number, t: Thread): boolean {
    if (at >= 0 && at < size) return true;
    this.fault("out-of-bounds", `${what}[${at}] of ${size}, thread ${t.index} of block ${t.block}`);
    return false;
  }

  private together(s: Stmt): (threads: readonly Thread[]) => void {
    if (s.kind === "mma") return this.multiply(s);
    if (s.kind === "fragment") return this.fragment(s);
    if (s.kind === "shuffle") {
      const value = this.value(s.value);
      const out = this.slot(s.out);
      return (threads) => {
        const given = threads.map((t) => value(t));
        threads.forEach((t, k) => {
          t.values[out] = given[k ^ s.mask]!;
        });
      };
    }
    return () => void this.epoch++;
  }
  /** A matrix instruction, warp by warp: products and sums as a unit with no rounding inside would give them. */
  private multiply(s: Extract<Stmt, { kind: "mma" }>): (threads: readonly Thread[]) => void {
    const operands = scriptedValues([...s.a, ...s.b, ...s.c], this.machine);
    const outs = s.outs.map((name) => this.slot(name));
    return (threads) => {
      for (let first = 0; first < threads.length; first += warp) {
        const lanes = threads.slice(first, first + warp);
        this.watch?.operations?.(matrixOperations(s.form));
        multiplyNumbers(s.form, lanes.map(operands), (lane, e, v) => {
          lanes[lane]!.values[outs[e]!] = v;
        });
      }
    };
  }
  /** What is copied is read at once and written when it lands. */
  private copy(s: Extract<Stmt, { kind: "copy" }>): (t: Thread, to: number, from: number, valid: number) => void {
    const data = this.memory.get(s.buffer)!;
    const from = this.shadows.get(s.buffer)!;
    const width = 16 / data.BYTES_PER_ELEMENT;
    const array = this.shared.get(s.array)!;
    const shadow = this.sharedShadows.get(s.array)!;
    return (t, at, source, holds) => {
      if (at % width !== 0 || (holds && source % width !== 0)) this.fault("out-of-bounds", `${s.array}[${at}]: a copy that is not aligned`);
      if (!this.inside(s.array, at, array.length - width + 1, t)) return;
      if (holds && !this.inside(s.buffer, source, data.length - width + 1, t)) return;
      if (this.watch && holds) this.seen(s, s.buffer, source, width, t, false);
      if (this.watch) this.seenShared(s, s.array, at, width, t);
      if (holds) for (let k = 0; k < width; k++) this.read(s.buffer, from, source + k, t);
      const values = holds ? data.slice(source, source + width) : new Float64Array(width);
      t.flights.at(-1)!.push(() => {
        for (let k = 0; k < width; k++) this.write(s.array, shadow, at + k, t);
        array.set(values, at);
      });
    };
  }
  private land(t: Thread, leave: number): void {
    // Of the closed groups the newest stay in flight; the open one always does.
    while (t.flights.length - 1 > leave) for (const land of t.flights.shift()!) land();
  }
  private aligned(name: string, first: number, count: number): void {
    if (first % count !== 0) this.fault("out-of-bounds", `${name}[${first}]: 16 bytes that are not aligned`);
  }
  private readWide(s: Extract<Stmt, { kind: "loads" | "takes" }>): (t: Thread, at: number) => void {
    const shared = s.kind === "takes";
    const name = shared ? s.array : s.buffer;
    const outs = s.outs.map((o) => (o === undefined ? undefined : this.slot(o)));
    const data = shared ? this.shared.get(name)! : this.memory.get(name)!;
    const shadow = (shared ? this.sharedShadows : this.shadows).get(name)!;
    return (t, first) => {
      this.aligned(name, first, outs.length);
      if (!this.inside(name, first, data.length - outs.length + 1, t)) return;
      if (this.watch && shared) this.seenShared(s, name, first, outs.length, t);
      else if (this.watch) this.seen(s, name, first, outs.length, t, false);
      for (let k = 0; k < outs.length; k++) {
        if (shared && shadow.writer[first + k] === 0) this.unwritten(name, first + k);
        this.read(name, shadow, first + k, t);
        const out = outs[k];
        if (out !== undefined) t.values[out] = data[first + k]!;
      }
    };
  }
  private writeWide(s: Extract<Stmt, { kind: "stores" | "shares" }>): (t: Thread, at: number, values: readonly number[]) => void {
    const shared = s.kind === "shares";
    const name = shared ? s.array : s.buffer;
    const count = s.values.length;
    const data = shared ? this.shared.get(name)! : this.memory.get(name)!;
    const shadow = (shared ? this.sharedShadows : this.shadows).get(name)!;
    return (t, first, values) => {
      this.aligned(name, first, count);
      if (!this.inside(name, first, data.length - count + 1, t)) return;
      if (this.watch && shared) this.seenShared(s, name, first, count, t);
      else if (this.watch) this.seen(s, name, first, count, t, true);
      for (let k = 0; k < count; k++) {
        this.write(name, shadow, first + k, t);
        data[first + k] = values[k]!;
      }
    };
  }
  private writeOne(s: Extract<Stmt, { kind: "store" | "share" }>): (t: Thread, at: number, value: number) => void {
    if (s.kind === "share") {
      const data = this.shared.get(s.array)!;
      const shadow = this.sharedShadows.get(s.array)!;
      return (t, i, v) => {
        if (!this.inside(s.array, i, data.length, t)) return;
        this.write(s.array, shadow, i, t);
        if (this.watch) this.seenShared(s, s.array, i, 1, t);
        data[i] = v;
      };
    }
    const data = this.memory.get(s.buffer)!;
    const shadow = this.shadows.get(s.buffer)!;
    return (t, i, v) => {
      if (!this.inside(s.buffer, i, data.length, t)) return;
      this.write(s.buffer, shadow, i, t);
      if (this.watch) this.seen(s, s.buffer, i, 1, t, true);
      data[i] = v;
    };
  }
  private merge(s: Extract<Stmt, { kind: "merge" }>): (t: Thread, at: number, mask: number, bits: number) => void {
    const data = this.memory.get(s.buffer)!;
    const shadow = this.shadows.get(s.buffer)!;
    return (t, i, mask, bits) => {
      if (!this.inside(s.buffer, i, data.length, t)) return;
      const m = mask >>> 0;
      if ((shadow.merged[i]! & m) !== 0 || shadow.writer[i] !== 0) this.fault("race", `${s.buffer}[${i}]: two threads write the same bits`);
      shadow.merged[i] = shadow.merged[i]! | m;
      if (this.watch) this.seen(s, s.buffer, i, 1, t, true);
      data[i] = ((data[i]! & ~m) | (bits & m)) >>> 0;
    };
  }
  private readOne(e: Extract<Expr, { kind: "load" | "shared" }>): (t: Thread, at: number) => number {
    if (e.kind === "shared") {
      const data = this.shared.get(e.array)!;
      const shadow = this.sharedShadows.get(e.array)!;
      return (t, i) => {
        if (!this.inside(e.array, i, data.length, t)) return 0;
        if (this.watch) this.seenShared(e, e.array, i, 1, t);
        if (shadow.writer[i] === 0) this.unwritten(e.array, i);
        this.read(e.array, shadow, i, t);
        return data[i]!;
      };
    }
    const data = this.memory.get(e.buffer)!;
    const shadow = this.shadows.get(e.buffer)!;
    // What a launch only reads was there before it: no read of it can race.
    const written = this.kernel.buffers.some((b) => b.name === e.buffer && b.access !== "read");
    return (t, i) => {
      if (!this.inside(e.buffer, i, data.length, t)) return 0;
      if (written) this.read(e.buffer, shadow, i, t);
      if (this.watch) this.seen(e, e.buffer, i, 1, t, false);
      return data[i]!;
    };
  }
  private fragment(s: Extract<Stmt, { kind: "fragment" }>): (threads: readonly Thread[]) => void {
    const at = this.value(s.at);
    const outs = s.outs.map((name) => this.slot(name));
    const array = this.shared.get(s.array)!;
    const shadow = this.sharedShadows.get(s.array)!;
    const element = (i: number, t: Thread): number => {
      if (!this.inside(s.array, i, array.length, t)) return 0;
      if (shadow.writer[i] === 0) this.unwritten(s.array, i);
      this.read(s.array, shadow, i, t);
      return array[i]!;
    };
    const inEntry = this.kernel.shared.find((a) => a.name === s.array)!.elem === "u8" ? 2 : 1;
    return (threads) => {
      for (let first = 0; first < threads.length; first += warp) {
        const lanes = threads.slice(first, first + warp);
        const rowsAt = lanes.map((t) => at(t));
        if (this.watch) lanes.forEach((t, k) => k < 8 * outs.length && this.seenShared(s, s.array, rowsAt[k]!, 8 * inEntry, t));
        loadMatrices(
          s.outs.length,
          s.transposed,
          (m, row, column) => {
            const at = rowsAt[8 * m + row]! + column * inEntry;
            const low = element(at, lanes[8 * m + row]!);
            return inEntry === 1 ? low : low | (element(at + 1, lanes[8 * m + row]!) << 8);
          },
          (lane, m, low, high) => {
            lanes[lane]!.values[outs[m]!] = (low | (high << 16)) >>> 0;
          },
        );
      }
    };
  }
}
