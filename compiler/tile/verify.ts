/**
 * What the tile level guarantees after lowering, and what the passes below rely on:
 * 1. every value is made before it is used, once, and used only where its loop is open;
 * 2. the axes of a value are the union of its operands' axes, a reduction's less the one it folds, and all are axes of the launch;
 * 3. positions are i32, guards bool; operands of a map have the types that its operation takes;
 * 4. a loop carries values of one type and set of axes; its bounds are i32;
 * 5. every buffer is declared, and written only where it says so; temporaries are written before they are read;
 * 6. a conversion keeps elements and extents, and there is a way from one layout to the other;
 * 7. the layout covers every tile, and a block has no more threads than the target allows.
 */
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import type { Target } from "../targets/target.ts";
import { planOf } from "./convert.ts";
import { type Launch, launchesOf, type Op, type Ring, type TileProgram, threadsOf, type Value } from "./ir.ts";

export function verifyTileProgram(p: TileProgram, target: Target): void {
  const written = new Set<string>();
  const temps = new Set(p.temps.map((t) => t.name));
  for (const l of launchesOf(p.steps)) {
    new LaunchCheck(l).run(target);
    for (const b of l.buffers)
      if (b.access !== "write" && temps.has(b.name))
        invariant(written.has(b.name) || b.access === "read_write", `${l.name}: temporary ${b.name} is read before it is written`);
    for (const b of l.buffers) if (b.access !== "read") written.add(b.name);
  }
}

type Of<K extends Op["kind"]> = Extract<Op, { kind: K }>;

/** One launch, operation by operation. Texts are made only for a failure: this runs after every lowering. */
class LaunchCheck {
  private readonly l: Launch;
  private readonly names: ReadonlySet<string>;
  private readonly buffers: ReadonlyMap<string, Launch["buffers"][number]>;
  private readonly rings: ReadonlyMap<string, Ring>;
  private readonly made = new Set<Value>();
  /** In the order in which they are made. */
  private readonly order: Value[] = [];
  /** Axes as bits, so that comparing sets costs nothing: of each axis, and of each tile. */
  private readonly bit: ReadonlyMap<string, number>;
  private readonly bits: readonly number[];

  constructor(l: Launch) {
    this.l = l;
    this.names = new Set(l.axes.map((a) => a.name));
    this.buffers = new Map(l.buffers.map((b) => [b.name, b]));
    this.rings = new Map(l.rings.map((r) => [r.name, r]));
    this.bit = new Map(l.axes.map((a, k) => [a.name, 1 << k]));
    this.bits = l.tiles.map((t) => this.spanned(t.axes));
  }
  run(target: Target): void {
    const { l } = this;
    if (threadsOf(l) > target.limits.threads) this.fail(`${threadsOf(l)} threads a block, the target allows ${target.limits.threads}`);
    this.layout();
    this.body(l.body);
  }
  private fail(text: string): never {
    throw new InternalError(`${this.l.name}: ${text}`);
  }
  private layout(): void {
    const { axes, layout, tiles } = this.l;
    // Most tiles share what says their axes.
    const covered = new Map([...new Set(tiles.map((t) => t.axes))].map((over) => [over.join(), over]));
    for (const [key, over] of covered) {
      const own = layout.over(over);
      for (const a of over)
        if (layout.extent(a) !== (axes.find((x) => x.name === a)?.extent ?? 1)) this.fail(`no layout holds a tile over ${key}`);
      if (own.rank !== own.size) this.fail(`the layout does not cover a tile over ${key}`);
    }
    for (const a of axes) {
      const held = layout.extent(a.name);
      if (held !== a.extent) this.fail(`axis ${a.name}: the layout has ${held}, the tile ${a.extent}`);
    }
  }
  private body(ops: readonly Op[]): void {
    for (const o of ops) this.op(o);
  }
  private op(o: Op): void {
    switch (o.kind) {
      case "comment":
      case "commit":
      case "land":
      case "meet":
        return;
      case "coordinate":
        return this.coordinate(o);
      case "map":
        return this.map(o);
      case "load":
        return this.load(o);
      case "store":
        return this.store(o);
      case "reduce":
        return this.reduce(o);
      case "issue":
        return this.issue(o);
      case "put":
        return this.put(o);
      case "slot":
        this.use(o.slot);
        this.ring(o.ring);
        return this.make(o.out);
      case "dot":
        return this.dot(o);
      case "convert":
        return this.convert(o);
      case "loop":
        return this.loop(o);
      default:
        return this.make(o.out);
    }
  }
  private coordinate(o: Of<"coordinate">): void {
    this.axis(o.axis);
    const axes = this.axesOf(o.out);
    if (axes.length !== 1 || axes[0] !== o.axis) this.fail(`a coordinate along ${o.axis} varies over the axes ${axes.join()}`);
    this.make(o.out);
  }
  private map(o: Of<"map">): void {
    this.useAll(o.args);
    this.make(o.out);
    this.spans(o.out, o.args);
    const [a, b, c] = o.args.map((v) => this.elem(v));
    const out = this.elem(o.out);
    if (compares.has(o.op) && (a !== b || out !== "bool")) this.fail(`${o.op} of ${a} and ${b}`);
    if (keepsType.has(o.op) && (a !== b || a !== out)) this.fail(`${o.op} of ${a} and ${b} gives ${out}`);
    if (o.op === "select" && (a !== "bool" || b !== c || b !== out)) this.fail(`select of ${b} and ${c}`);
  }
  private load(o: Of<"load">): void {
    const args = o.guard === undefined ? [o.at] : [o.at, o.guard];
    this.useAll(args);
    this.make(o.out);
    this.spans(o.out, args);
    if (!this.buffers.has(o.buffer)) this.fail(`no buffer ${o.buffer}`);
    this.place(o);
  }
  private store(o: Of<"store">): void {
    this.use(o.at);
    this.use(o.value);
    if (o.guard !== undefined) this.use(o.guard);
    const b = this.buffers.get(o.buffer);
    if (b === undefined || b.access === "read") this.fail(`store to ${o.buffer}, which the launch does not write`);
    this.place(o);
  }
  private reduce(o: Of<"reduce">): void {
    this.useAll(o.values);
    this.axis(o.over);
    const all = this.spannedBy(o.values) & ~(this.bit.get(o.over) ?? 0);
    o.outs.forEach((v, k) => {
      this.make(v);
      if (this.bits[v] !== all) this.fail(`a reduction over ${o.over} to axes ${this.axesOf(v).join()}`);
      if (this.elem(v) !== this.elem(o.values[k]!))
        this.fail(`a reduction over ${o.over} of ${this.elem(o.values[k]!)} to ${this.elem(v)}`);
    });
  }
  private issue(o: Of<"issue">): void {
    const places = o.guard === undefined ? [o.at] : [o.at, o.guard];
    this.use(o.slot);
    this.useAll(places);
    if (!this.buffers.has(o.buffer)) this.fail(`no buffer ${o.buffer}`);
    this.fills(o.ring, places);
    this.uniform(o.slot);
  }
  private put(o: Of<"put">): void {
    this.use(o.slot);
    this.use(o.value);
    if (this.ring(o.ring).values !== true) this.fail(`no ring of values ${o.ring}`);
    this.fills(o.ring, [o.value]);
    this.uniform(o.slot);
  }
  private dot(o: Of<"dot">): void {
    this.useAll([o.a, o.b, o.acc]);
    this.make(o.out);
    const { rows, columns, over, other, share } = o.axes;
    for (const a of [rows, columns, over, other]) this.axis(a);
    const [a, b, acc, out] = [o.a, o.b, o.acc, o.out].map((v) => this.axesOf(v)) as [Axes, Axes, Axes, Axes];
    if (share !== undefined) {
      this.axis(share);
      if (!out.includes(share)) this.fail(`a product in shares, without ${share}`);
    }
    if (!a.every((x) => x === rows || x === over)) this.fail(`a factor over ${a.join()}`);
    if (!b.every((x) => x === other || x === over)) this.fail(`a factor over ${b.join()}`);
    if (!out.includes(rows) || !out.includes(columns)) this.fail("a product without its rows or columns");
    if (!acc.every((x) => out.includes(x))) this.fail("an accumulator over other axes than its product");
    if (this.l.layout.extent(columns) !== this.l.layout.extent(other)) this.fail(`${columns} and ${other} differ`);
  }
  private convert(o: Of<"convert">): void {
    this.use(o.value);
    this.make(o.out);
    const { layout } = this.l;
    const names = new Map(o.to);
    for (const [a, b] of o.to) if (names.size !== o.to.length || layout.extent(a) !== layout.extent(b)) this.fail(`${a} becomes ${b}`);
    const wanted = this.axesOf(o.value).map((a) => names.get(a) ?? a);
    if (this.elem(o.out) !== this.elem(o.value)) this.fail(`a conversion of ${this.elem(o.value)} to ${this.elem(o.out)}`);
    if (this.bits[o.out] !== this.spanned(wanted))
      this.fail(`a conversion to axes ${this.axesOf(o.out).join()} of a tile over ${wanted.join()}`);
    planOf(this.l, o);
  }
  private loop(o: Of<"loop">): void {
    this.useAll([o.from, o.to]);
    for (const c of o.carried) this.use(c.init);
    if (this.elem(o.from) !== "i32" || this.elem(o.to) !== "i32" || o.step < 1) this.fail("loop bounds");
    const before = this.order.length;
    this.make(o.index);
    for (const c of o.carried) this.make(c.phi);
    this.body(o.body);
    for (const c of o.carried) {
      this.use(c.next);
      const elem = this.elem(c.phi);
      if (this.elem(c.next) !== elem || this.elem(c.init) !== elem) this.fail("a carried value changes its type");
      for (const v of [c.init, c.next])
        for (const a of this.axesOf(v))
          if (!this.axesOf(c.phi).includes(a)) this.fail(`a carried value varies over ${a}, which its loop does not carry`);
    }
    for (const v of this.order.splice(before)) this.made.delete(v);
    for (const c of o.carried) this.make(c.out);
  }
  private use(v: Value): void {
    if (!this.made.has(v)) this.fail(`value ${v} is used before it is made or outside its loop`);
  }
  private useAll(list: readonly Value[]): void {
    for (const v of list) this.use(v);
  }
  private make(v: Value): void {
    if (this.made.has(v)) this.fail(`value ${v} is made twice`);
    for (const a of this.axesOf(v)) if (!this.names.has(a)) this.fail(`value ${v} varies over ${a}, which is no axis of the launch`);
    this.made.add(v);
    this.order.push(v);
  }
  private axis(a: string): void {
    if (!this.names.has(a)) this.fail(`no axis ${a}`);
  }
  private ring(name: string): Ring {
    return this.rings.get(name) ?? this.fail(`no ring ${name}`);
  }
  /** What fills a ring varies over rows and pieces of its copy. */
  private fills(ring: string, list: readonly Value[]): void {
    const { slow, piece } = this.ring(ring).copy;
    for (const v of list)
      for (const a of this.axesOf(v))
        if (a !== slow.name && a !== piece.name) this.fail(`${ring} is filled by a tile over ${this.axesOf(v).join()}`);
  }
  private uniform(slot: Value): void {
    if (this.axesOf(slot).length !== 0) this.fail("a slot that varies over the tile");
  }
  private place(o: Of<"load"> | Of<"store">): void {
    if (this.elem(o.at) !== "i32" || (o.guard !== undefined && this.elem(o.guard) !== "bool"))
      this.fail(`${o.kind} ${o.buffer}: position ${this.elem(o.at)}`);
  }
  private spans(v: Value, list: readonly Value[]): void {
    if (this.bits[v] !== this.spannedBy(list)) this.fail(`value ${v}: axes ${this.axesOf(v).join()} are not those of its operands`);
  }
  private spanned(axes: Axes): number {
    return axes.reduce((m, a) => m | (this.bit.get(a) ?? 0), 0);
  }
  private spannedBy(list: readonly Value[]): number {
    return list.reduce((m, v) => m | this.bits[v]!, 0);
  }
  private axesOf(v: Value): Axes {
    return this.l.tiles[v]!.axes;
  }
  private elem(v: Value) {
    return this.l.tiles[v]!.elem;
  }
}
type Axes = readonly string[];
const compares: ReadonlySet<string> = new Set(["lt", "le", "gt", "ge", "eq", "ne"]);
const keepsType: ReadonlySet<string> = new Set(["add", "sub", "mul", "min", "max", "truncdiv", "truncmod"]);
