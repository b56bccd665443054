/** Tile IR -> thread IR: each tile becomes the scalars that a thread holds of it, reductions become folds and exchanges through shared memory. */
import { InternalError } from "../../dsl/diagnostics.ts";
import type { SizeExpr } from "../../runtime/abi.ts";
import { gcd, times } from "../plan/size.ts";
import type { Target } from "../targets/target.ts";
import { type Combine, type Elem, type Launch, type Op, threadsOf, type Value } from "../tile/ir.ts";
import { lowerDot } from "./dot.ts";
import { buffersIn, type SharedArray, type ThreadKernel } from "./ir.ts";
import { Memory, unitsOf } from "./memory.ts";
import { type Effect, type NodeId, Nodes } from "./nodes.ts";
import { packedSum } from "./packed-sum.ts";
import { arrayElem, elementOf, type HeldSlot, inFragmentsAlone, placeOf, ringOf, slotSize, slotStart } from "./ring.ts";
import { settleWide } from "./settle.ts";
import { statementsOf } from "./statements.ts";
import { knownUniforms } from "./uniforms.ts";

/** Partners that are read in one exchange; longer reductions take several. */
const exchangeBits = 4;

export function lowerLaunch(launch: Launch, target: Target): ThreadKernel {
  const l = new ThreadLowering(launch, target);
  l.run();
  const merged = new Set<string>();
  const look = (list: readonly Effect[]): void => {
    for (const e of list) {
      if (e.kind === "merge") merged.add(e.buffer);
      if (e.kind === "loop") look(e.body);
    }
  };
  look(l.nodes.effects);
  const statements = statementsOf(
    l.nodes,
    target.reserved,
    launch.buffers.map((b) => b.name),
  );
  const { body, vectors } = target.wide.alone ? settleWide(statements) : { body: statements, vectors: new Set<string>() };
  // A load whose value nobody needs is gone, and so is a buffer that only it read.
  const used = buffersIn(body);
  return {
    name: launch.name,
    threads: threadsOf(launch),
    grid: launch.grid,
    blocks: launch.grid.map((g) => g.blocks).reduce(times, 1),
    buffers: launch.buffers
      .filter((b) => used.has(b.name))
      .map((b) => ({ ...b, ...unitsOf(b, target.unitBits), vector: vectors.has(b.name), atomic: merged.has(b.name) })),
    shared: l.sharedArrays,
    body,
  };
}

/** Register instances of a value: bit b of the key is register bit b, others 0. */
type Instances = Map<number, NodeId>;

class ThreadLowering {
  readonly nodes: Nodes;
  private readonly launch: Launch;
  private readonly values = new Map<Value, Instances>();
  private readonly shared = new Map<string, SharedArray>();
  private readonly written: ReadonlySet<string>;
  /** Which ring a value is a slot of, and where that slot begins. */
  private readonly slots = new Map<Value, HeldSlot>();
  private readonly inFragments: ReadonlySet<Value>;
  private readonly memory: Memory;
  private readonly masks = new Map<string, number>();
  /** Of a tile value's own axes. */
  private readonly valueMasks: (number | undefined)[] = [];
  private readonly lanes: number;
  private readonly packedDots: boolean;
  private exchanges = 0;

  constructor(launch: Launch, { unitBits, lanes, packedDots }: Pick<Target, "unitBits" | "lanes" | "packedDots">) {
    this.launch = launch;
    this.inFragments = inFragmentsAlone(launch);
    this.lanes = lanes;
    this.packedDots = packedDots;
    this.nodes = new Nodes(threadsOf(launch), knownUniforms(launch));
    this.memory = new Memory(this.nodes, launch.buffers, unitBits);
    this.written = new Set(launch.buffers.filter((b) => b.access !== "read").map((b) => b.name));
  }
  get sharedArrays(): SharedArray[] {
    return [...this.shared.values()];
  }
  run(): void {
    for (const op of this.launch.body) this.op(op);
  }

  // ---- instances
  /** Register bits that move along one of the axes. */
  private mask(axes: readonly string[]): number {
    const key = axes.join();
    let mask = this.masks.get(key);
    if (mask === undefined) {
      const columns = this.launch.layout.over(axes).columns.get("register") ?? [];
      mask = columns.reduce((m, c, b) => (c === 0 ? m : m | (1 << b)), 0);
      this.masks.set(key, mask);
    }
    return mask;
  }
  private instances(axes: readonly string[]): number[] {
    return subsetsOf(this.mask(axes));
  }
  private get(v: Value, register: number): NodeId {
    const own = this.values.get(v);
    if (own === undefined) throw new InternalError(`tile value ${v} is used before it is made`);
    let mask = this.valueMasks[v];
    if (mask === undefined) this.valueMasks[v] = mask = this.mask(this.launch.tiles[v]!.axes);
    const id = own.get(register & mask);
    if (id === undefined) throw new InternalError(`tile value ${v} lacks register instance ${register}`);
    return id;
  }
  private set(v: Value, make: (register: number) => NodeId): void {
    this.values.set(v, new Map(this.instances(this.launch.tiles[v]!.axes).map((r) => [r, make(r)])));
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
        return this.set(op.out, () => this.blockOf(op.axis));
      case "coordinate":
        return this.set(op.out, (r) => this.coordinate(op.axis, r));
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
        const pinned = this.written.has(op.buffer);
        // A thread that only holds a copy must not look at what another is changing.
        const first = pinned ? this.firstOfCopies(tile(op.out).axes) : undefined;
        const guarded = (r: number): NodeId | undefined => {
          const own = op.guard === undefined ? undefined : this.get(op.guard, r);
          return first === undefined ? own : own === undefined ? first : n.op("land", [first, own], "bool");
        };
        const instances = this.instances(tile(op.out).axes);
        const places = instances.map((r) => ({ at: this.get(op.at, r), guard: guarded(r) }));
        const loaded = this.memory.loadAll(op.buffer, tile(op.out).elem, places, pinned);
        const by = new Map(instances.map((r, k) => [r, loaded[k]!]));
        return this.set(op.out, (r) => by.get(r)!);
      }
      case "store":
        return this.store(op);
      case "reduce":
        return this.reduce(op);
      case "issue": {
        const ring = ringOf(this.launch, op.ring);
        this.array(ring.name, arrayElem(ring), ring.slots * slotSize(ring));
        const axes = [ring.copy.slow.name, ring.copy.piece.name];
        const first = this.firstOfCopies(axes);
        for (const r of this.instances(axes)) {
          const [slow, piece] = axes.map((a) => this.coordinate(a, r)) as [NodeId, NodeId];
          const to = n.op("add", [slotStart(n, ring, this.get(op.slot, 0)), placeOf(n, ring, slow, piece)], "i32");
          const valid = op.guard === undefined ? n.constant(true, "bool") : this.get(op.guard, r);
          const whole = { kind: "copy", array: ring.name, to, buffer: op.buffer, from: this.get(op.at, r), valid } as const;
          n.effect(first === undefined ? whole : { ...whole, guard: first });
        }
        return;
      }
      case "commit":
        return n.effect({ kind: "commit" });
      case "land":
        n.effect({ kind: "land", leave: op.leave });
        return n.effect({ kind: "barrier" });
      case "slot": {
        const ring = ringOf(this.launch, op.ring);
        const start = slotStart(n, ring, this.get(op.slot, 0));
        this.slots.set(op.out, { ring, start });
        if (this.inFragments.has(op.out)) return;
        return this.set(op.out, (r) =>
          this.memory.decode(
            elementOf(n, { ring, start }, (axis) => this.coordinate(axis, r)),
            ring.elem,
          ),
        );
      }
      case "dot": {
        const { layout } = this.launch;
        const from = {
          layout,
          instances: (x: readonly string[]) => this.instances(x),
          get: (v: Value, r: number) => this.get(v, r),
          slot: (v: Value) => this.slots.get(v),
        };
        this.values.set(op.out, lowerDot(n, op, tile(op.out).axes, from));
        return;
      }
      case "loop":
        return this.loop(op);
      case "comment":
        return n.effect({ kind: "comment", text: op.text, ...(op.line ? { line: op.line } : {}) });
      default:
        return op satisfies never;
    }
  }
  /** The block's place along an axis: the linear index unfolded, last axis fastest. */
  private blockOf(axis: string): NodeId {
    const n = this.nodes;
    const { grid } = this.launch;
    const k = grid.findIndex((g) => g.axis === axis);
    let rest = n.special("block");
    for (let i = grid.length - 1; i > k; i--) rest = n.op("truncdiv", [rest, this.size(grid[i]!.blocks)], "i32");
    return k === 0 ? rest : n.op("truncmod", [rest, this.size(grid[k]!.blocks)], "i32", `${axis}_block`);
  }
  private size(e: SizeExpr): NodeId {
    const n = this.nodes;
    if (typeof e === "number") return n.int(e);
    if (typeof e === "string") return n.uniform(e, "i32");
    const [op, x, y] = e;
    const a = this.size(x);
    const b = this.size(y);
    if (op === "ceildiv") return n.op("truncdiv", [n.op("add", [a, n.op("sub", [b, n.int(1)], "i32")], "i32"), b], "i32");
    return n.op(({ "+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", min: "min", max: "max" } as const)[op], [a, b], "i32");
  }
  /** Thread bits that the layout gives to an axis, as runs of consecutive bits, plus what the register adds. */
  private coordinate(axis: string, register: number): NodeId {
    const n = this.nodes;
    const own = this.launch.layout.over([axis]);
    const columns = [...(own.columns.get("lane") ?? []), ...(own.columns.get("warp") ?? [])];
    let sum: NodeId | undefined;
    for (let b = 0; b < columns.length; ) {
      if (columns[b] === 0) {
        b++;
        continue;
      }
      let length = 1;
      while (b + length < columns.length && columns[b + length] === columns[b]! << length) length++;
      let part = n.special("thread");
      if (b > 0) part = n.op("shr", [part, n.int(b)], "i32");
      if (b + length < columns.length) part = n.op("and", [part, n.int((1 << length) - 1)], "i32");
      if (columns[b]! > 1) part = n.op("mul", [part, n.int(columns[b]!)], "i32");
      sum = sum === undefined ? part : n.op("add", [sum, part], "i32");
      b += length;
    }
    const held = (own.columns.get("register") ?? []).reduce((v, c, b) => ((register >> b) & 1 ? v ^ c : v), 0);
    return sum === undefined ? n.int(held) : n.op("add", [sum, n.int(held)], "i32", axis);
  }

  /** True for one thread of those that hold the same elements of a tile over `axes`; undefined where there are no copies. */
  private firstOfCopies(axes: readonly string[]): NodeId | undefined {
    const n = this.nodes;
    const own = this.launch.layout.over(axes);
    const free = own.free("lane") | (own.free("warp") << own.bitsOf("lane"));
    return free === 0 ? undefined : n.op("eq", [n.op("and", [n.special("thread"), n.int(free)], "i32"), n.int(0)], "bool");
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
    n.open();
    for (const { c, vars } of carried) this.values.set(c.phi, new Map(vars.map(([r, id]) => [r, n.inside(id)])));
    const [least] = n.at(from).range;
    const index = n.variable(this.launch.tiles[op.index]!.name ?? "t", "i32", gcd(n.at(from).multiple, op.step), [
      least,
      n.at(to).range[1],
    ]);
    n.bounded(index, from, to);
    this.values.set(op.index, new Map([[0, index]]));
    for (const o of op.body) this.op(o);
    const assigns = carried.flatMap(({ c, vars }) => vars.map(([r, id]) => ({ variable: id, value: this.get(c.next, r) })));
    const body = n.close();
    n.effect({ kind: "loop", index, from, to, step: op.step, assigns, body });
    // After the loop the variables hold the results; they do not change again.
    for (const { c, vars } of carried) this.values.set(c.out, new Map(vars));
  }

  // ---- reductions
  private reduce(op: Extract<Op, { kind: "reduce" }>): void {
    const all = this.launch.tiles[op.values[0]!]!.axes;
    const rest = all.filter((a) => a !== op.over);
    const axisMask = this.mask([op.over]);
    const own = this.instances([op.over]);
    const folded = new Map<number, NodeId[]>();
    for (const r of this.instances(rest)) {
      let parts = own.map((a) => op.values.map((v) => this.get(v, (r & ~axisMask) | a)));
      if (this.packedDots && op.by.kind === "sum")
        parts = packedSum(
          this.nodes,
          parts.map(([v]) => v!),
        ).map((v) => [v]);
      folded.set(
        r,
        parts.reduce((acc, part) => this.combine(op.by, acc, part)),
      );
    }
    const layout = this.launch.layout.over([op.over]);
    const columns = [...(layout.columns.get("lane") ?? []), ...(layout.columns.get("warp") ?? [])];
    const bits = columns.flatMap((c, b) => (c === 0 ? [] : [b]));
    const words = op.values.every((v) => this.launch.tiles[v]!.elem !== "f64");
    const whole = threadsOf(this.launch) % this.lanes === 0;
    const inWarp = op.by.kind !== "monoid" && words && whole ? bits.filter((b) => 1 << b < this.lanes) : [];
    for (const b of inWarp) this.shuffle(op.by, folded, b);
    const across = bits.filter((b) => !inWarp.includes(b));
    for (let at = 0; at < across.length; at += exchangeBits) this.exchange(op.by, folded, across.slice(at, at + exchangeBits));
    op.outs.forEach((out, k) => {
      this.values.set(out, new Map([...folded].map(([r, parts]) => [r, parts[k]!])));
    });
  }
  /** Lanes that differ in one bit combine what they have; each gets the same, whichever comes first. */
  private shuffle(by: Combine, folded: Map<number, NodeId[]>, bit: number): void {
    const n = this.nodes;
    for (const [r, parts] of folded) {
      const others = parts.map((value) => {
        const out = n.variable("other", n.at(value).elem);
        n.effect({ kind: "shuffle", out, value, mask: 1 << bit });
        return out;
      });
      folded.set(r, this.combine(by, parts, others));
    }
  }
  /** Every thread reads the partial results of the threads that differ from it in `bits`, in one order, and combines them. */
  private exchange(by: Combine, folded: Map<number, NodeId[]>, bits: readonly number[]): void {
    const n = this.nodes;
    const threads = threadsOf(this.launch);
    const thread = n.special("thread");
    const registers = [...folded.keys()];
    if (this.exchanges++ > 0) n.effect({ kind: "barrier" });
    registers.forEach((r, i) => {
      folded.get(r)!.forEach((v, k) => {
        n.effect({
          kind: "share",
          array: this.partials(k, n.at(v).elem, registers.length * threads),
          at: n.op("add", [thread, n.int(i * threads)], "i32"),
          value: v,
        });
      });
    });
    n.effect({ kind: "barrier" });
    const mask = bits.reduce((m, b) => m | (1 << b), 0);
    const base = n.op("and", [thread, n.int((threads - 1) & ~mask)], "i32");
    registers.forEach((r, i) => {
      const elems = folded.get(r)!.map((v) => n.at(v).elem);
      let acc: NodeId[] | undefined;
      for (let c = 0; c < 1 << bits.length; c++) {
        const offset = bits.reduce((o, b, k) => ((c >> k) & 1 ? o | (1 << b) : o), 0);
        const at = n.op("add", [base, n.int(i * threads + offset)], "i32");
        const part = elems.map((e, k) => n.shared(this.partials(k, e, registers.length * threads), e, at));
        acc = acc === undefined ? part : this.combine(by, acc, part);
      }
      folded.set(r, acc!);
    });
  }
  private partials(component: number, elem: Elem, count: number): string {
    return this.array(`partial${component}_${elem}`, elem, count);
  }
  private array(name: string, elem: SharedArray["elem"], count: number): string {
    const old = this.shared.get(name);
    if (old === undefined || old.count < count) this.shared.set(name, { name, elem, count });
    return name;
  }
  private combine(by: Combine, x: readonly NodeId[], y: readonly NodeId[]): NodeId[] {
    const n = this.nodes;
    const [a, b] = [x[0]!, y[0]!];
    const { elem } = n.at(a);
    switch (by.kind) {
      case "sum":
        return [n.op("add", [a, b], elem)];
      case "prod":
        return [n.op("mul", [a, b], elem)];
      case "max":
      case "min":
        return [n.op(by.kind, [a, b], elem)];
      case "all":
        return [n.op("land", [a, b], elem)];
      case "any":
        return [n.op("lor", [a, b], elem)];
      case "argmax": {
        const tie = n.op("land", [n.op("eq", [b, a], "bool"), n.op("lt", [y[1]!, x[1]!], "bool")], "bool");
        const take = n.op("lor", [n.op("gt", [b, a], "bool"), tie], "bool");
        return [n.op("select", [take, b, a], elem), n.op("select", [take, y[1]!, x[1]!], "i32")];
      }
      default:
        return this.replay(by, x, y);
    }
  }
  private replay(by: Extract<Combine, { kind: "monoid" }>, x: readonly NodeId[], y: readonly NodeId[]): NodeId[] {
    const n = this.nodes;
    const local = new Map<Value, NodeId>();
    by.x.forEach((v, k) => local.set(v, x[k]!));
    by.y.forEach((v, k) => local.set(v, y[k]!));
    const get = (v: Value): NodeId => local.get(v) ?? this.get(v, 0);
    for (const op of by.body) {
      if (op.kind === "const") local.set(op.out, n.constant(op.value, this.launch.tiles[op.out]!.elem));
      else if (op.kind === "map") local.set(op.out, n.op(op.op, op.args.map(get), this.launch.tiles[op.out]!.elem));
      else if (op.kind === "dim" || op.kind === "scalar") local.set(op.out, n.uniform(op.name, this.launch.tiles[op.out]!.elem));
      else throw new InternalError(`a monoid's combine with a ${op.kind}`);
    }
    return by.results.map(get);
  }
}

/** The numbers whose set bits are all among those of `mask`, in order. */
function subsetsOf(mask: number): number[] {
  const out = [0];
  for (let s = (0 - mask) & mask; s !== 0; s = (s - mask) & mask) out.push(s);
  return out;
}
