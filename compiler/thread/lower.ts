/** Tile IR -> thread IR: each tile becomes the scalars that a thread holds of it, reductions become folds and exchanges through shared memory. */
import { InternalError } from "../../dsl/diagnostics.ts";
import { gcd, times } from "../plan/size.ts";
import type { Target } from "../targets/target.ts";
import { type EarlyReads, earlyReads } from "../tile/ahead.ts";
import { type Launch, type Op, outsOf, type Ring, threadsOf, type Value } from "../tile/ir.ts";
import { holdReads, type Read, together } from "./ahead.ts";
import { lowerConvert } from "./convert.ts";
import { Coordinates } from "./coordinates.ts";
import { lowerDot } from "./dot.ts";
import { fragmentsAhead } from "./fragments-ahead.ts";
import { fragmentsFirst } from "./fragments-first.ts";
import { blockOf } from "./grid.ts";
import type { SharedArray, ThreadKernel } from "./ir.ts";
import { type Fetched, Memory, unitsOf } from "./memory.ts";
import { type NodeId, Nodes } from "./nodes.ts";
import { isPlace, withoutBlocks } from "./places.ts";
import { Reducer, type Registers } from "./reduce.ts";
import {
  arrayElem,
  elementOf,
  type HeldSlot,
  inFragmentsAlone,
  passedElements,
  placeOf,
  puts,
  ringOf,
  slotSize,
  slotStart,
  wideElements,
} from "./ring.ts";
import { settleWide } from "./settle.ts";
import { statementsOf } from "./statements.ts";
import { knownUniforms } from "./uniforms.ts";

export function lowerLaunch(launch: Launch, target: Target): ThreadKernel {
  const l = new ThreadLowering(launch, target);
  l.run();
  const written = statementsOf(
    l.nodes,
    target.reserved,
    [...launch.buffers, ...l.sharedArrays].map((x) => x.name),
  );
  const { body, vectors } = target.wide.alone ? settleWide(written.body) : { body: written.body, vectors: new Map<string, number>() };
  return {
    name: launch.name,
    threads: threadsOf(launch),
    grid: launch.grid,
    blocks: launch.grid.map((g) => g.blocks).reduce(times, 1),
    beside: l.waits ? Math.max(1, Math.floor(threadsAtOnce / threadsOf(launch))) : 1,
    buffers: launch.buffers
      .filter((b) => written.buffers.has(b.name))
      .map((b) => ({ ...b, ...unitsOf(b, target), vector: vectors.has(b.name), atomic: l.nodes.merged.has(b.name) })),
    shared: l.sharedArrays.map((a) => ({ ...a, vector: vectors.get(a.name) })),
    body,
  };
}

/** Registers carried by a loop that leave few for what it does not need. */
const crowded = 64;
/** Beyond these not even places in shared memory stay: each turn makes them again. */
const full = 128;
/** Reads of the next turn whose copies cost less than the instructions of a second one. */
const fewHeld = 8;
/** Registers that a loop may carry for its results where two turns in one pay (codes of 4 bits on an H200: 2 to 7 % at 64, and a loss of 2 % at 128). */
const mostTwice = 64;
/** Results of products in a thread that leave it waiting for memory, where other blocks are to go on (codes of 4 bits and 16 rows on an H200: 18 %). */
const fewResults = 32;
/** Threads of 128 registers that a multiprocessor has room for. */
const threadsAtOnce = 512;
/** Register instances of a value: bit b of the key is register bit b, others 0. */
type Instances = Map<number, NodeId>;

class ThreadLowering implements Registers {
  readonly nodes: Nodes;
  readonly launch: Launch;
  private readonly values: (Instances | undefined)[] = [];
  private readonly shared = new Map<string, SharedArray>();
  private readonly written: ReadonlySet<string>;
  /** Which ring a value is a slot of, and where that slot begins. */
  private readonly slots = new Map<Value, HeldSlot>();
  private readonly inFragments: ReadonlySet<Value>;
  private readonly memory: Memory;
  private readonly coordinates: Coordinates;
  private readonly masks = new Map<string, number>();
  private readonly valueMasks: (number | undefined)[] = [];
  private readonly reducer: Reducer;

  constructor(launch: Launch, target: Pick<Target, "unitBits" | "halves" | "wide" | "lanes" | "packedDots">) {
    this.launch = launch;
    this.inFragments = inFragmentsAlone(launch);
    this.nodes = new Nodes(threadsOf(launch), knownUniforms(launch));
    this.memory = new Memory(this.nodes, launch.buffers, target);
    this.coordinates = new Coordinates(this.nodes, launch.layout);
    this.written = new Set(launch.buffers.filter((b) => b.access !== "read").map((b) => b.name));
    this.reducer = new Reducer(this, target);
  }
  get sharedArrays(): SharedArray[] {
    return [...this.shared.values()];
  }
  /** It multiplies, and has few results. */
  get waits(): boolean {
    return this.results > 0 && this.results <= fewResults;
  }
  /** Results of products that a thread has. */
  private results = 0;
  run(): void {
    for (const op of this.launch.body) {
      this.op(op);
      if (isPlace(op, this.launch)) this.made.push(op);
      // Places from before a loop that needs the registers are computed again after it.
      if (op.kind !== "loop" || this.carriedIn(op) < crowded) continue;
      this.nodes.placesAgain();
      for (const o of this.made) this.op(o);
    }
  }
  private readonly made: Op[] = [];
  /** Registers that a loop carries. */
  private carriedIn(op: Extract<Op, { kind: "loop" }>): number {
    return op.carried.reduce((sum, c) => sum + this.instances(this.launch.tiles[c.phi]!.axes).length, 0);
  }

  // ---- instances
  /** Register bits that move along one of the axes. */
  mask(axes: readonly string[]): number {
    const key = axes.length === 1 ? axes[0]! : axes.join();
    let mask = this.masks.get(key);
    if (mask === undefined) {
      const columns = this.launch.layout.over(axes).columns.get("register") ?? [];
      mask = columns.reduce((m, c, b) => (c === 0 ? m : m | (1 << b)), 0);
      this.masks.set(key, mask);
    }
    return mask;
  }
  instances(axes: readonly string[]): readonly number[] {
    return this.subsets(this.mask(axes));
  }
  private subsets(mask: number): readonly number[] {
    let all = this.subsetsByMask.get(mask);
    if (all === undefined) {
      all = subsetsOf(mask);
      this.subsetsByMask.set(mask, all);
    }
    return all;
  }
  private readonly subsetsByMask = new Map<number, readonly number[]>();
  /** Register bits that move along a value's own axes. */
  private maskOf(v: Value): number {
    let mask = this.valueMasks[v];
    if (mask === undefined) this.valueMasks[v] = mask = this.mask(this.launch.tiles[v]!.axes);
    return mask;
  }
  get(v: Value, register: number): NodeId {
    const own = this.values[v];
    if (own === undefined) throw new InternalError(`tile value ${v} is used before it is made`);
    const id = own.get(register & this.maskOf(v));
    if (id === undefined) throw new InternalError(`tile value ${v} lacks register instance ${register}`);
    return id;
  }
  private set(v: Value, make: (register: number) => NodeId): void {
    const made: Instances = new Map();
    for (const r of this.subsets(this.maskOf(v))) made.set(r, make(r));
    this.values[v] = made;
  }

  private op(op: Op): void {
    const n = this.nodes;
    const tile = (v: Value) => this.launch.tiles[v]!;
    switch (op.kind) {
      case "const":
        return this.set(op.out, () => n.constant(op.value, tile(op.out).elem));
      case "dim":
      case "scalar":
      case "step":
        return this.set(op.out, () => n.uniform(op.name, tile(op.out).elem));
      case "block":
        return this.set(op.out, () => blockOf(n, this.launch.grid, op.axis));
      case "coordinate":
        return this.set(op.out, (r) => this.coordinates.at(op.axis, r));
      case "map":
        return this.set(op.out, (r) =>
          n.op(
            op.op,
            op.args.map((a) => this.get(a, r)),
            tile(op.out).elem,
            tile(op.out).name,
          ),
        );
      case "load": {
        const loaded = this.fetch(op);
        return this.set(op.out, (r) => {
          const { unit, value } = loaded.get(r)!;
          return value(unit);
        });
      }
      case "store":
        return this.store(op);
      case "reduce": {
        const results = this.reducer.reduce(op);
        for (const [k, out] of op.outs.entries()) this.values[out] = results[k]!;
        return;
      }
      case "issue": {
        const ring = ringOf(this.launch, op.ring);
        this.array(ring.name, arrayElem(ring), ring.slots * slotSize(ring));
        const axes = [ring.copy.slow.name, ring.copy.piece.name];
        const first = this.copiers(ring);
        for (const r of this.instances(axes)) {
          const [slow, piece] = axes.map((a) => this.coordinates.at(a, r)) as [NodeId, NodeId];
          const to = n.op("add", [slotStart(n, ring, this.get(op.slot, 0)), placeOf(n, ring, slow, piece)], "i32");
          const valid = op.guard === undefined ? n.constant(true, "bool") : this.get(op.guard, r);
          const whole = { kind: "copy", array: ring.name, to, buffer: op.buffer, from: this.get(op.at, r), valid } as const;
          n.effect(first === undefined ? whole : { ...whole, guard: first });
        }
        return;
      }
      case "put":
        return this.put(op);
      case "commit":
        return n.effect({ kind: "commit" });
      case "land":
        n.effect({ kind: "land", leave: op.leave });
        return n.effect({ kind: "barrier" });
      case "meet":
        return n.effect({ kind: "barrier" });
      case "slot": {
        const ring = ringOf(this.launch, op.ring);
        const start = slotStart(n, ring, this.get(op.slot, 0));
        this.slots.set(op.out, { ring, start });
        if (this.inFragments.has(op.out)) return;
        const held = { ring, start };
        const registers = this.instances(tile(op.out).axes);
        const wide = ring.byPassage
          ? passedElements(n, held, this.launch, registers)
          : wideElements(n, held, registers, (axis, r) => this.coordinates.at(axis, r));
        return this.set(op.out, (r) => {
          const raw = wide?.get(r) ?? elementOf(n, held, (axis) => this.coordinates.at(axis, r));
          return ring.values ? raw : this.memory.decode(raw, ring.elem);
        });
      }
      case "dot": {
        const { layout } = this.launch;
        this.results += this.instances(this.launch.tiles[op.out]!.axes).length;
        const from = {
          layout,
          instances: (x: readonly string[]) => this.instances(x),
          get: (v: Value, r: number) => this.get(v, r),
          slot: (v: Value) => this.slots.get(v),
        };
        this.values[op.out] = lowerDot(n, op, tile(op.out).axes, from);
        return;
      }
      case "convert":
        this.values[op.out] = lowerConvert(this, this.memory, op, this.reducer.lanes);
        return;
      case "loop":
        return this.loop(op);
      case "comment":
        return n.effect({ kind: "comment", text: op.text, ...(op.line ? { line: op.line } : {}) });
      default:
        return op satisfies never;
    }
  }
  /** Elements to a slot, those that fill 16 bytes together. */
  private put(op: Extract<Op, { kind: "put" }>): void {
    const n = this.nodes;
    const ring = ringOf(this.launch, op.ring);
    this.array(ring.name, arrayElem(ring), ring.slots * slotSize(ring));
    const axes = [ring.copy.slow.name, ring.copy.piece.name];
    const first = this.copiers(ring);
    const guard = first === undefined ? {} : { guard: first };
    const start = slotStart(n, ring, this.get(op.slot, 0));
    const coordinate = (axis: string, r: number): NodeId => this.coordinates.at(axis, r);
    for (const { registers, place } of puts(n, this.launch, ring, this.instances(axes), coordinate)) {
      const values = registers.map((r) => this.get(op.value, r));
      n.effect({ kind: "shares", array: ring.name, at: n.op("add", [start, place], "i32"), values, ...guard });
    }
  }
  /** What a load reads, by register; `here` where it stays in this place, and `also` what must hold beside its guard. */
  private fetch(op: Extract<Op, { kind: "load" }>, here = false, also?: NodeId): Map<number, Fetched> {
    const n = this.nodes;
    const { axes, elem } = this.launch.tiles[op.out]!;
    const pinned = this.written.has(op.buffer);
    // A thread that only holds a copy must not look at what another is changing, and need not at what others put into a ring.
    const ring = this.launch.rings.find((r) => axes.includes(r.copy.slow.name) || axes.includes(r.copy.piece.name));
    const first = ring ? this.copiers(ring) : pinned ? this.firstOfCopies(axes) : undefined;
    const instances = this.instances(axes);
    const places = instances.map((r) => {
      const guards = [first, op.guard === undefined ? undefined : this.get(op.guard, r), also].filter(
        (g) => g !== undefined && n.at(g).value !== true,
      ) as NodeId[];
      return { at: this.get(op.at, r), guard: guards.length === 0 ? undefined : guards.reduce((a, b) => n.op("land", [a, b], "bool")) };
    });
    const fetched = this.memory.fetch(op.buffer, elem, places, pinned || here);
    return new Map(instances.map((r, k) => [r, fetched[k]!]));
  }
  /** True for one thread of those that hold the same elements of a tile over `axes`, the first or another; undefined where there are no copies. */
  firstOfCopies(axes: readonly string[], place = 0): NodeId | undefined {
    const n = this.nodes;
    const own = this.launch.layout.over(axes);
    const free = own.free("lane") | (own.free("warp") << own.bitsOf("lane"));
    if (free === 0) return undefined;
    const all = subsetsOf(free);
    return n.op("eq", [n.op("and", [n.special("thread"), n.int(free)], "i32"), n.int(all[place % all.length]!)], "bool");
  }
  /** True for the threads that copy a ring; of rings that not all threads are needed for, each has the next ones. */
  private copiers({ name, copy }: Ring): NodeId | undefined {
    return this.firstOfCopies(
      [copy.slow.name, copy.piece.name],
      this.launch.rings.findIndex((r) => r.name === name),
    );
  }
  private store(op: Extract<Op, { kind: "store" }>): void {
    const n = this.nodes;
    const axes = [...new Set([op.at, op.value, ...(op.guard === undefined ? [] : [op.guard])].flatMap((v) => this.launch.tiles[v]!.axes))];
    const first = this.firstOfCopies(axes);
    const places = this.instances(axes).map((r) => {
      const guard = op.guard === undefined ? undefined : this.get(op.guard, r);
      const test = first === undefined ? guard : guard === undefined ? first : n.op("land", [first, guard], "bool");
      return { at: this.get(op.at, r), value: this.get(op.value, r), test };
    });
    this.memory.store(op.buffer, places);
  }

  private loop(op: Extract<Op, { kind: "loop" }>): void {
    const n = this.nodes;
    const hull = (v: Value, pick: "min" | "max"): NodeId =>
      this.instances(this.launch.tiles[v]!.axes)
        .map((r) => this.get(v, r))
        .reduce((a, b) => n.op(pick, [a, b], "i32"));
    const from = hull(op.from, "min");
    const to = hull(op.to, "max");
    const carried = op.carried.map((c) => {
      const axes = this.launch.tiles[c.phi]!.axes;
      const vars = this.instances(axes).map((r) => {
        const init = this.get(c.init, r);
        const id = n.variable("acc", this.launch.tiles[c.phi]!.elem);
        n.effect({ kind: "declare", variable: id, init });
        return [r, id] as const;
      });
      return { c, vars };
    });
    const results = carried.reduce((sum, { vars }) => sum + vars.length, 0);
    const early = earlyReads(op, this.launch);
    const within = (at: NodeId): NodeId => n.op("lt", [at, to], "bool");
    const first = early && this.turn(early, op.index, from, within(from));
    n.open();
    const anew = results > full ? withoutBlocks(this.made) : [];
    const around = anew.flatMap(outsOf).map((v) => [v, this.values[v]!] as const);
    const restore = anew.length > 0 ? n.placesAgain(["thread"]) : undefined;
    for (const o of anew) this.op(o);
    for (const { c, vars } of carried) this.values[c.phi] = new Map(vars.map(([r, id]) => [r, n.inside(id)]));
    const [least] = n.at(from).range;
    const index = n.variable(this.launch.tiles[op.index]!.name ?? "t", "i32", gcd(n.at(from).multiple, op.step), [
      least,
      n.at(to).range[1],
    ]);
    n.bounded(index, from, to);
    const next = early && this.turn(early, op.index, this.nextOf(op, index, from, to), undefined, true);
    this.values[op.index] = new Map([[0, index]]);
    const now = early && this.turn(early, op.index, index);
    const held = early && holdReads(n, results, first!, now!, next!);
    for (const o of op.body) {
      const known = o.kind === "load" ? held?.values.get(o.out) : undefined;
      if (known) this.values[(o as { out: Value }).out] = new Map(known);
      else this.op(o);
    }
    const assigns = carried.flatMap(({ c, vars }) => vars.map(([r, id]) => ({ variable: id, value: this.get(c.next, r) })));
    if (held) assigns.push(...held.assigns);
    else assigns.push(...fragmentsAhead(n, index, from, op.step));
    const body = fragmentsFirst(n, n.close());
    restore?.();
    for (const [v, outside] of around) this.values[v] = outside;
    const twice =
      early !== undefined &&
      op.body.some((o) => o.kind === "dot") &&
      results <= mostTwice &&
      (held ? held.assigns.length >= fewHeld : together(n, now!));
    n.effect({ kind: "loop", index, from, to, step: op.step, twice, assigns, body });
    // After the loop the variables hold the results; they do not change again.
    for (const { c, vars } of carried) this.values[c.out] = new Map(vars);
  }

  /** The turn of a loop after one, or the same where there is none: what it reads lies in memory. */
  private nextOf({ step }: Extract<Op, { kind: "loop" }>, index: NodeId, from: NodeId, to: NodeId): NodeId {
    const n = this.nodes;
    const after = n.op("add", [index, n.int(step)], "i32");
    const next = n.op("select", [n.op("lt", [after, to], "bool"), after, index], "i32");
    n.bounded(next, from, to);
    return next;
  }
  /** What a turn of a loop reads that may be read early; `here` where it stays in this place, and `also` is a condition of all of it. */
  private turn({ loads, places }: EarlyReads, index: Value, at: NodeId, also?: NodeId, here = false): Read[] {
    this.values[index] = new Map([[0, at]]);
    for (const o of places) this.op(o);
    return loads.flatMap((o) =>
      [...this.fetch(o, here, also)].map(([register, { unit, value }]) => ({ unit, value, load: o.out, register })),
    );
  }
  array(name: string, elem: SharedArray["elem"], count: number): string {
    const old = this.shared.get(name);
    if (old === undefined || old.count < count) this.shared.set(name, { name, elem, count });
    return name;
  }
}

/** The numbers whose set bits are all among those of `mask`, in order. */
function subsetsOf(mask: number): number[] {
  const out = [0];
  for (let s = (0 - mask) & mask; s !== 0; s = (s - mask) & mask) out.push(s);
  return out;
}
