/**
 * Runs a thread kernel on the CPU: every thread of every block, phase by phase between barriers. Reports what a device would hide: accesses
 * outside a buffer, two threads on one element without a barrier between them, reads of shared memory that nobody wrote, barriers that not
 * all threads reach.
 */
import { invariant } from "../../dsl/diagnostics.ts";
import { evaluateSize } from "../../runtime/abi.ts";
import { type ScalarFn, scalarFn } from "../scalar.ts";
import { loadMatrices, multiply, operandReader, warp } from "./fragments.ts";
import { bytesOf, type Expr, placeShared, type Stmt, type ThreadKernel, unfolded } from "./ir.ts";
import { lockstep } from "./lockstep.ts";
import { Shadow } from "./shadow.ts";
import { type Fault, matrixOperations, operationsOf, type Watch } from "./watch.ts";

export type Memory = Map<string, Float64Array | Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array>;
interface Thread {
  readonly index: number;
  readonly block: number;
  readonly values: Float64Array;
  /** Copies that have not landed, in groups; the last one is still open. */
  readonly flights: (() => void)[][];
}
type Eval = (t: Thread) => number;
type Run = (t: Thread) => void;

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
  private readonly shared = new Map<string, Float64Array>();
  private sharedShadows = new Map<string, Shadow>();
  private epoch = 1;

  private readonly watch: Watch | undefined;
  /** Where each shared array begins, and the bytes of its elements. */
  private readonly places: ReadonlyMap<string, readonly [number, number]>;

  constructor(kernel: ThreadKernel, memory: Memory, values: Readonly<Record<string, number>>, watch: Watch | undefined) {
    this.watch = watch;
    const { offsets } = placeShared(kernel.shared);
    this.places = new Map(kernel.shared.map((a, k) => [a.name, [offsets[k]!, bytesOf(a.elem)]]));
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
      alone: (s) => this.statement(s),
      together: (s) => this.together(s),
      value: (e) => this.expr(e),
      assign: (name) => {
        const slot = this.slot(name);
        return (t, v) => {
          t.values[slot] = v;
        };
      },
      diverged: () => this.fault("divergent-barrier", "threads meet where not all of them come"),
    });
    const blocks = evaluateSize(kernel.blocks, this.values);
    for (let block = 0; block < blocks; block++) {
      for (const a of kernel.shared) this.shared.set(a.name, new Float64Array(a.count));
      this.sharedShadows = new Map(kernel.shared.map((a) => [a.name, new Shadow(a.count)]));
      const threads = Array.from(
        { length: kernel.threads },
        (_, index): Thread => ({ index, block, values: new Float64Array(this.slots.size), flights: [[]] }),
      );
      body(threads);
      this.epoch++;
    }
    return this.faults;
  }
  private slot(name: string): number {
    let s = this.slots.get(name);
    if (s === undefined) {
      s = this.slots.size;
      this.slots.set(name, s);
    }
    return s;
  }
  private owner(t: Thread): number {
    return t.block * this.kernel.threads + t.index + 1;
  }
  /** Whether an access by the owner of `last` in `epoch` is ordered before one by t now. */
  private ordered(t: Thread, last: number, epoch: number): boolean {
    if (last === 0 || last === this.owner(t)) return true;
    return Math.floor((last - 1) / this.kernel.threads) === t.block && epoch < this.epoch;
  }
  private read(what: string, shadow: Shadow, at: number, t: Thread): void {
    if (!this.ordered(t, shadow.writer[at]!, shadow.writeEpoch[at]!))
      this.fault("race", `${what}[${at}] is read by thread ${t.index} of block ${t.block} while another writes it`);
    if (this.ordered(t, shadow.reader[at]!, shadow.readEpoch[at]!)) {
      shadow.reader[at] = this.owner(t);
      shadow.readEpoch[at] = this.epoch;
    } else {
      shadow.other[at] = this.owner(t);
      shadow.otherEpoch[at] = this.epoch;
    }
  }
  private write(what: string, shadow: Shadow, at: number, t: Thread): void {
    if (!this.ordered(t, shadow.writer[at]!, shadow.writeEpoch[at]!) || shadow.merged[at] !== 0)
      this.fault("race", `${what}[${at}] is written by two threads`);
    if (!this.ordered(t, shadow.reader[at]!, shadow.readEpoch[at]!) || !this.ordered(t, shadow.other[at]!, shadow.otherEpoch[at]!))
      this.fault("race", `${what}[${at}] is written by thread ${t.index} of block ${t.block} while another reads it`);
    shadow.writer[at] = this.owner(t);
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
      const value = this.expr(s.value);
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
    const [a, b, c] = [s.a, s.b, s.c].map((list) => list.map((e) => this.expr(e)));
    const outs = s.outs.map((name) => this.slot(name));
    const held = operandReader(s.form);
    const dot = (acc: number, row: readonly number[], column: readonly number[]): number =>
      s.form === "exact" || s.form === "s8"
        ? row.reduce((sum, x, k) => (sum + Math.imul(x, column[k]!)) | 0, acc)
        : Math.fround(row.reduce((sum, x, k) => sum + x * column[k]!, acc));
    return (threads) => {
      for (let first = 0; first < threads.length; first += warp) {
        const lanes = threads.slice(first, first + warp);
        this.watch?.operations?.(matrixOperations(s.form));
        const words = lanes.map((t) => ({ a: a!.map((f) => f(t)), b: b!.map((f) => f(t)), c: c!.map((f) => f(t)) }));
        multiply(
          s.form,
          (lane, e) => held(words[lane]!.a, e),
          (lane, e) => held(words[lane]!.b, e),
          (lane, e) => words[lane]!.c[e]!,
          dot,
          (lane, e, v) => {
            lanes[lane]!.values[outs[e]!] = v;
          },
        );
      }
    };
  }
  /** What is copied is read at once and written when it lands. */
  private copy(s: Extract<Stmt, { kind: "copy" }>): Run {
    const [to, from, valid] = [s.to, s.from, s.valid].map((e) => this.expr(e)) as [Eval, Eval, Eval];
    const data = this.memory.get(s.buffer)!;
    const width = 16 / data.BYTES_PER_ELEMENT;
    return (t) => {
      const [at, source, holds] = [to(t), from(t), valid(t)];
      const array = this.shared.get(s.array)!;
      const shadow = this.sharedShadows.get(s.array)!;
      if (at % width !== 0 || (holds && source % width !== 0)) this.fault("out-of-bounds", `${s.array}[${at}]: a copy that is not aligned`);
      if (!this.inside(s.array, at, array.length - width + 1, t)) return;
      if (holds && !this.inside(s.buffer, source, data.length - width + 1, t)) return;
      if (this.watch && holds) this.seen(s, s.buffer, source, width, t, false);
      if (this.watch) this.seenShared(s, s.array, at, width, t);
      for (let k = 0; k < width; k++) {
        if (holds) this.read(s.buffer, this.shadows.get(s.buffer)!, source + k, t);
        const value = holds ? data[source + k]! : 0;
        t.flights.at(-1)!.push(() => {
          this.write(s.array, shadow, at + k, t);
          array[at + k] = value;
        });
      }
    };
  }
  private wide(s: Extract<Stmt, { kind: "loads" | "stores" | "shares" | "takes" }>): Run {
    const shared = s.kind === "shares" || s.kind === "takes";
    const writes = s.kind === "stores" || s.kind === "shares";
    const name = shared ? s.array : s.buffer;
    const at = this.expr(s.at);
    const outs = writes ? [] : s.outs.map((o) => (o === undefined ? undefined : this.slot(o)));
    const values = writes ? s.values.map((v) => this.expr(v)) : [];
    const count = outs.length + values.length;
    const guard = s.kind === "loads" && s.guard ? this.expr(s.guard) : undefined;
    return (t) => {
      if (guard && !guard(t)) {
        for (const out of outs) if (out !== undefined) t.values[out] = 0;
        return;
      }
      const first = at(t);
      const made = values.map((v) => v(t));
      const data = shared ? this.shared.get(name)! : this.memory.get(name)!;
      const shadow = (shared ? this.sharedShadows : this.shadows).get(name)!;
      if (first % count !== 0) this.fault("out-of-bounds", `${name}[${first}]: 16 bytes that are not aligned`);
      if (!this.inside(name, first, data.length - count + 1, t)) return;
      if (this.watch && shared) this.seenShared(s, name, first, count, t);
      else if (this.watch) this.seen(s, name, first, count, t, writes);
      for (let k = 0; k < count; k++)
        if (writes) {
          this.write(name, shadow, first + k, t);
          data[first + k] = made[k]!;
        } else {
          if (shared && shadow.writer[first + k] === 0) this.unwritten(name, first + k);
          this.read(name, shadow, first + k, t);
          const out = outs[k];
          if (out !== undefined) t.values[out] = data[first + k]!;
        }
    };
  }
  private fragment(s: Extract<Stmt, { kind: "fragment" }>): (threads: readonly Thread[]) => void {
    const at = this.expr(s.at);
    const outs = s.outs.map((name) => this.slot(name));
    return (threads) => {
      const array = this.shared.get(s.array)!;
      const shadow = this.sharedShadows.get(s.array)!;
      const element = (i: number, t: Thread): number => {
        if (!this.inside(s.array, i, array.length, t)) return 0;
        if (shadow.writer[i] === 0) this.unwritten(s.array, i);
        this.read(s.array, shadow, i, t);
        return array[i]!;
      };
      for (let first = 0; first < threads.length; first += warp) {
        const lanes = threads.slice(first, first + warp);
        const rowsAt = lanes.map((t) => at(t));
        const inEntry = this.kernel.shared.find((a) => a.name === s.array)!.elem === "u8" ? 2 : 1;
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
  private all(list: readonly Stmt[]): Run {
    const runs = list.map((s) => this.statement(s));
    return (t) => {
      for (const run of runs) run(t);
    };
  }
  private statement(s: Stmt): Run {
    switch (s.kind) {
      case "let":
      case "var":
      case "assign": {
        const value = this.expr(s.value);
        const slot = this.slot(s.name);
        return (t) => {
          t.values[slot] = value(t);
        };
      }
      case "for": {
        const from = this.expr(s.from);
        const to = this.expr(s.to);
        const slot = this.slot(s.name);
        const body = this.all(s.body);
        return (t) => {
          for (let i = from(t); i < to(t); i += s.step) {
            t.values[slot] = i;
            body(t);
          }
        };
      }
      case "if": {
        const test = this.expr(s.test);
        const body = this.all(s.then);
        return (t) => {
          if (test(t)) body(t);
        };
      }
      case "store": {
        const at = this.expr(s.at);
        const value = this.expr(s.value);
        const data = this.memory.get(s.buffer)!;
        return (t) => {
          const i = at(t);
          const v = value(t);
          if (!this.inside(s.buffer, i, data.length, t)) return;
          this.write(s.buffer, this.shadows.get(s.buffer)!, i, t);
          if (this.watch) this.seen(s, s.buffer, i, 1, t, true);
          data[i] = v;
        };
      }
      case "loads":
      case "stores":
      case "shares":
      case "takes":
        return this.wide(s);
      case "scale":
        return this.all(unfolded(s));
      case "merge": {
        const at = this.expr(s.at);
        const mask = this.expr(s.mask);
        const bits = this.expr(s.bits);
        const data = this.memory.get(s.buffer)!;
        return (t) => {
          const i = at(t);
          if (!this.inside(s.buffer, i, data.length, t)) return;
          const shadow = this.shadows.get(s.buffer)!;
          const m = mask(t) >>> 0;
          if ((shadow.merged[i]! & m) !== 0 || shadow.writer[i] !== 0)
            this.fault("race", `${s.buffer}[${i}]: two threads write the same bits`);
          shadow.merged[i] = shadow.merged[i]! | m;
          if (this.watch) this.seen(s, s.buffer, i, 1, t, true);
          data[i] = ((data[i]! & ~m) | (bits(t) & m)) >>> 0;
        };
      }
      case "share": {
        const at = this.expr(s.at);
        const value = this.expr(s.value);
        return (t) => {
          const i = at(t);
          const data = this.shared.get(s.array)!;
          const v = value(t);
          if (!this.inside(s.array, i, data.length, t)) return;
          this.write(s.array, this.sharedShadows.get(s.array)!, i, t);
          if (this.watch) this.seenShared(s, s.array, i, 1, t);
          data[i] = v;
        };
      }
      case "copy":
        return this.copy(s);
      case "commit":
        return (t) => {
          t.flights.push([]);
        };
      case "land":
        return (t) => {
          // Of the closed groups the newest stay in flight; the open one always does.
          while (t.flights.length - 1 > s.leave) for (const land of t.flights.shift()!) land();
        };
      case "barrier":
      case "mma":
      case "fragment":
      case "shuffle":
        return () => this.fault("divergent-barrier", "threads meet inside a condition");
      case "comment":
        return () => undefined;
      default:
        return s satisfies never;
    }
  }
  private expr(e: Expr): Eval {
    switch (e.kind) {
      case "const": {
        const v = Number(e.value);
        return () => v;
      }
      case "name": {
        const slot = this.slot(e.name);
        return (t) => t.values[slot]!;
      }
      case "uniform": {
        const v = this.values[e.name];
        invariant(v !== undefined, `no value for ${e.name}`);
        return () => v;
      }
      case "thread":
        return (t) => t.index;
      case "block":
        return (t) => t.block;
      case "op": {
        const f = this.counted(operationsOf(e), scalarFn(e.op, e.elem, e.args[0]!.elem, e.args.length));
        const [a, b, c] = e.args.map((x) => this.expr(x));
        // Both sides of a choice are evaluated, as WGSL does: a load that may lie outside carries its own guard.
        if (a && b && c) return (t) => f(a(t), b(t), c(t));
        if (a && b) return (t) => f(a(t), b(t), 0);
        return (t) => f(a!(t), 0, 0);
      }
      case "load": {
        const at = this.expr(e.at);
        const guard = e.guard ? this.expr(e.guard) : undefined;
        const data = this.memory.get(e.buffer)!;
        const shadow = this.shadows.get(e.buffer)!;
        return (t) => {
          if (guard && !guard(t)) return 0;
          const i = at(t);
          if (!this.inside(e.buffer, i, data.length, t)) return 0;
          this.read(e.buffer, shadow, i, t);
          if (this.watch) this.seen(e, e.buffer, i, 1, t, false);
          return data[i]!;
        };
      }
      case "shared": {
        const at = this.expr(e.at);
        return (t) => {
          const i = at(t);
          const data = this.shared.get(e.array)!;
          if (!this.inside(e.array, i, data.length, t)) return 0;
          const shadow = this.sharedShadows.get(e.array)!;
          if (this.watch) this.seenShared(e, e.array, i, 1, t);
          if (shadow.writer[i] === 0) this.unwritten(e.array, i);
          this.read(e.array, shadow, i, t);
          return data[i]!;
        };
      }
      default:
        return e satisfies never;
    }
  }
}
