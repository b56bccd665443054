/** Runs a launch block by block on tiles as arrays: the meaning of the tile level, without threads. */
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import { decode, encode, formats, roundTo } from "../../dsl/tensor/narrow.ts";
import type { Storage } from "../../dsl/tensor/types.ts";
import { evaluateSize } from "../../runtime/abi.ts";
import { type ScalarFn, scalarFn } from "../scalar.ts";
import type { Combine, Elem, Launch, Op, Ring, Value } from "./ir.ts";

/** Element values by buffer, in element positions; narrow types hold what their bits mean. */
export type TileMemory = Map<string, Float64Array>;
/** What memory holds of a value. */
function narrowing(elem: Storage): (value: number) => number {
  const format = formats[elem];
  return format ? (value) => decode(format, encode(format, roundTo(format, value))) : (value) => value;
}
/** Told of each loop that ends: the name of its index, if it has one, and its number of iterations. */
export type OnLoop = (index: string | undefined, turns: number) => void;

/** @throws InternalError for a position outside its buffer */
export function interpretLaunch(launch: Launch, memory: TileMemory, values: Readonly<Record<string, number>>, onLoop?: OnLoop): void {
  const counts = launch.grid.map((g) => evaluateSize(g.blocks, values));
  const total = counts.reduce((a, b) => a * b, 1);
  const shared: Shared = { positions: new Map(), loops: new Map() };
  for (let block = 0; block < total; block++) {
    const at = new Map<string, number>();
    let rest = block;
    for (let k = counts.length - 1; k >= 0; k--) {
      at.set(launch.grid[k]!.axis, rest % counts[k]!);
      rest = Math.floor(rest / counts[k]!);
    }
    new Block(launch, memory, values, at, shared, onLoop).run(launch.body);
  }
}
/** What is the same for every block of a launch, found once. */
interface Shared {
  readonly positions: Map<string, Int32Array>;
  readonly loops: Map<Op, Loop>;
}

/** A tile, and where each element of what is computed has its operand in it. */
interface Operand {
  readonly data: Float64Array;
  readonly at: Int32Array;
}
type Loop = (out: Float64Array, ...operands: readonly Operand[]) => void;
/** By the number of operands. */
const loops = [1, 2, 3].map(() => new Map<ScalarFn, Loop>());
/** f for every element of a tile, as a function of its own text: V8 puts f in line where no other function is ever called. */
function loopOf(f: ScalarFn, arity: number): Loop {
  const known = loops[arity - 1]!;
  let loop = known.get(f);
  if (loop === undefined) {
    const names = ["a", "b", "c"].slice(0, arity);
    const args = ["a", "b", "c"].map((x) => (names.includes(x) ? `${x}.data[${x}.at[p]]` : "0"));
    loop = new Function("f", `return (out, ${names}) => { for (let p = 0; p < out.length; p++) out[p] = f(${args}); };`)(f) as Loop;
    known.set(f, loop);
  }
  return loop;
}
/** Combines that are an operation on numbers. */
const operationOf = { sum: "add", prod: "mul", max: "max", min: "min", all: "land", any: "lor" } as const;
/** The elements of a tile at `at`. */
function gather(tile: Float64Array, at: Int32Array): Float64Array {
  const out = new Float64Array(at.length);
  for (let p = 0; p < at.length; p++) out[p] = tile[at[p]!]!;
  return out;
}

class Block {
  private readonly launch: Launch;
  private readonly memory: TileMemory;
  private readonly values: Readonly<Record<string, number>>;
  private readonly place: ReadonlyMap<string, number>;
  private readonly tiles = new Map<Value, Float64Array>();
  private readonly rings = new Map<string, Float64Array>();
  private readonly extents: ReadonlyMap<string, number>;
  private readonly shared: Shared;
  private readonly onLoop: OnLoop | undefined;

  constructor(
    launch: Launch,
    memory: TileMemory,
    values: Readonly<Record<string, number>>,
    place: ReadonlyMap<string, number>,
    shared: Shared,
    onLoop: OnLoop | undefined,
  ) {
    this.shared = shared;
    this.onLoop = onLoop;
    this.launch = launch;
    this.memory = memory;
    this.values = values;
    this.place = place;
    this.extents = new Map(launch.axes.map((a) => [a.name, a.extent]));
  }
  private size(axes: readonly string[]): number {
    return axes.reduce((n, a) => n * this.extents.get(a)!, 1);
  }
  /** For each point of `axes`, the position in a tile over `of`, a subset of them. */
  private positions(axes: readonly string[], of: readonly string[]): Int32Array {
    const key = `${axes} of ${of}`;
    let out = this.shared.positions.get(key);
    if (out === undefined) {
      out = this.computePositions(axes, of);
      this.shared.positions.set(key, out);
    }
    return out;
  }
  private computePositions(axes: readonly string[], of: readonly string[]): Int32Array {
    const n = this.size(axes);
    const out = new Int32Array(n);
    const strides = new Map<string, number>();
    let s = 1;
    for (const a of [...of].reverse()) {
      strides.set(a, s);
      s *= this.extents.get(a)!;
    }
    for (let p = 0; p < n; p++) {
      let rest = p;
      let at = 0;
      for (let k = axes.length - 1; k >= 0; k--) {
        const e = this.extents.get(axes[k]!)!;
        at += (rest % e) * (strides.get(axes[k]!) ?? 0);
        rest = Math.floor(rest / e);
      }
      out[p] = at;
    }
    return out;
  }
  private axes(v: Value): readonly string[] {
    return this.launch.tiles[v]!.axes;
  }
  private get(v: Value): Float64Array {
    const t = this.tiles.get(v);
    invariant(t, `${this.launch.name}: tile ${v} has no value`);
    return t;
  }
  private map(o: Extract<Op, { kind: "map" }>): void {
    const axes = this.axes(o.out);
    const out = new Float64Array(this.size(axes));
    const inputs = o.args.map((v) => ({ data: this.get(v), at: this.positions(axes, this.axes(v)) }));
    let loop = this.shared.loops.get(o);
    if (loop === undefined) {
      loop = loopOf(scalarFn(o.op, this.elem(o.out), this.elem(o.args[0]!), o.args.length), o.args.length);
      this.shared.loops.set(o, loop);
    }
    loop(out, ...inputs);
    this.tiles.set(o.out, out);
  }
  private load(o: Extract<Op, { kind: "load" }>): void {
    const axes = this.axes(o.out);
    const out = new Float64Array(this.size(axes));
    const data = this.memory.get(o.buffer)!;
    const [at, guard] = [o.at, o.guard].map((v) => v !== undefined && { data: this.get(v), at: this.positions(axes, this.axes(v)) });
    for (let p = 0; p < out.length; p++) {
      if (guard && !guard.data[guard.at[p]!]) continue;
      const from = at ? at.data[at.at[p]!]! : 0;
      if (from < 0 || from >= data.length) throw new InternalError(`${this.launch.name}: ${o.buffer}[${from}] of ${data.length}`);
      out[p] = data[from]!;
    }
    this.tiles.set(o.out, out);
  }

  run(ops: readonly Op[]): void {
    for (const o of ops) this.op(o);
  }
  private op(o: Op): void {
    switch (o.kind) {
      case "comment":
        return;
      case "const":
        this.tiles.set(o.out, Float64Array.of(Number(o.value)));
        return;
      case "dim":
      case "scalar":
      case "step":
        this.tiles.set(o.out, Float64Array.of(this.values[o.name]!));
        return;
      case "block":
        this.tiles.set(o.out, Float64Array.of(this.place.get(o.axis)!));
        return;
      case "coordinate":
        this.tiles.set(
          o.out,
          Float64Array.from({ length: this.extents.get(o.axis)! }, (_, k) => k),
        );
        return;
      case "map":
        return this.map(o);
      case "load":
        return this.load(o);
      case "store":
        return this.store(o);
      case "reduce":
        return this.reduce(o);
      case "commit":
      case "land":
      case "meet":
        return;
      case "issue":
        return this.issue(o);
      case "put": {
        const [r, held] = this.ring(o.ring);
        const first = this.get(o.slot)[0]! * r.slow.extent * r.fast.extent;
        const value = this.get(o.value);
        this.positions([r.copy.slow.name, r.copy.piece.name], this.axes(o.value)).forEach((p, k) => {
          held[first + k] = value[p]!;
        });
        return;
      }
      case "slot": {
        const [r, held] = this.ring(o.ring);
        const size = r.slow.extent * r.fast.extent;
        const tile = held.subarray(this.get(o.slot)[0]! * size, (this.get(o.slot)[0]! + 1) * size);
        this.tiles.set(o.out, gather(tile, this.positions(this.axes(o.out), [r.slow.name, r.fast.name])));
        return;
      }
      case "dot":
        return this.dot(o);
      case "convert": {
        const names = new Map(o.to);
        const at = this.positions(
          this.axes(o.out),
          this.axes(o.value).map((a) => names.get(a) ?? a),
        );
        this.tiles.set(o.out, gather(this.get(o.value), at).map(narrowing(o.held)));
        return;
      }
      case "loop":
        return this.loop(o);
      default:
        return o satisfies never;
    }
  }
  private store(o: Extract<Op, { kind: "store" }>): void {
    const args = [o.at, o.value, ...(o.guard === undefined ? [] : [o.guard])];
    const axes = this.launch.axes.map((a) => a.name).filter((a) => args.some((v) => this.axes(v).includes(a)));
    const data = this.memory.get(o.buffer)!;
    const narrow = narrowing(this.launch.buffers.find((b) => b.name === o.buffer)!.elem);
    const inputs = args.map((a) => ({ data: this.get(a), at: this.positions(axes, this.axes(a)) }));
    for (let p = 0; p < this.size(axes); p++) {
      const [at, value, guard = 1] = inputs.map((i) => i.data[i.at[p]!]!) as [number, number, number?];
      if (!guard) continue;
      invariant(at >= 0 && at < data.length, `${this.launch.name}: ${o.buffer}[${at}] of ${data.length}`);
      data[at] = narrow(value);
    }
  }
  private reduce(o: Extract<Op, { kind: "reduce" }>): void {
    const rest = this.axes(o.outs[0]!);
    const order = [...rest, o.over];
    const inputs = o.values.map((v) => ({ data: this.get(v), at: this.positions(order, this.axes(v)) }));
    const outs = o.outs.map(() => new Float64Array(this.size(rest)));
    const n = this.extents.get(o.over)!;
    const { by } = o;
    if (by.kind === "argmax" || by.kind === "monoid")
      for (let p = 0; p < outs[0]!.length; p++) {
        const terms = Array.from({ length: n }, (_, k) => inputs.map((i) => i.data[i.at[p * n + k]!]!));
        const total = terms.reduce((x, y) => this.combine(by, x, y));
        for (const [k, out] of outs.entries()) out[p] = total[k]!;
      }
    else {
      const elem = this.elem(o.values[0]!);
      const plus = scalarFn(operationOf[by.kind], elem, elem, 2);
      const { data, at } = inputs[0]!;
      for (let p = 0; p < outs[0]!.length; p++) {
        let total = data[at[p * n]!]!;
        for (let k = 1; k < n; k++) total = plus(total, data[at[p * n + k]!]!, 0);
        outs[0]![p] = total;
      }
    }
    for (const [k, v] of o.outs.entries()) this.tiles.set(v, outs[k]!);
  }
  private dot(o: Extract<Op, { kind: "dot" }>): void {
    const { columns, over, other, share } = o.axes;
    const axes = this.axes(o.out);
    const n = this.extents.get(over)!;
    const piece = share ? n / this.extents.get(share)! : n;
    const shares = share ? this.positions(axes, [share]) : undefined;
    const [left, right] = [this.get(o.a), this.get(o.b)];
    const acc = this.get(o.acc);
    const inColumns = this.axes(o.b).map((a) => (a === other ? columns : a));
    const [fromA, fromB] = [this.positions([...axes, over], this.axes(o.a)), this.positions([...axes, over], inColumns)];
    const fromAcc = this.positions(axes, this.axes(o.acc));
    const [times, plus] = [scalarFn("mul", this.elem(o.out), this.elem(o.out), 2), scalarFn("add", this.elem(o.out), this.elem(o.out), 2)];
    const out = new Float64Array(this.size(axes));
    for (let p = 0; p < out.length; p++) {
      let sum = acc[fromAcc[p]!]!;
      const first = shares ? shares[p]! * piece : 0;
      for (let k = first; k < first + piece; k++) sum = plus(sum, times(left[fromA[p * n + k]!]!, right[fromB[p * n + k]!]!, 0), 0);
      out[p] = sum;
    }
    this.tiles.set(o.out, out);
  }
  private ring(name: string): [Ring, Float64Array] {
    const r = this.launch.rings.find((x) => x.name === name)!;
    let held = this.rings.get(name);
    if (held === undefined) {
      held = new Float64Array(r.slots * r.slow.extent * r.fast.extent).fill(Number.NaN);
      this.rings.set(name, held);
    }
    return [r, held];
  }
  private issue(o: Extract<Op, { kind: "issue" }>): void {
    const [r, held] = this.ring(o.ring);
    const data = this.memory.get(o.buffer)!;
    const axes = [r.copy.slow.name, r.copy.piece.name];
    const [at, guard] = [o.at, o.guard].map((v) => v !== undefined && { data: this.get(v), at: this.positions(axes, this.axes(v)) });
    const first = this.get(o.slot)[0]! * r.slow.extent * r.fast.extent;
    for (let p = 0; p < this.size(axes); p++) {
      const from = at ? at.data[at.at[p]!]! : 0;
      const holds = guard ? guard.data[guard.at[p]!]! : 1;
      invariant(!holds || (from >= 0 && from + r.width <= data.length), `${this.launch.name}: ${o.buffer}[${from}] of ${data.length}`);
      // Pieces of a row, and rows, follow one another.
      for (let k = 0; k < r.width; k++) held[first + p * r.width + k] = holds ? data[from + k]! : 0;
    }
  }
  private elem(v: Value): Elem {
    return this.launch.tiles[v]!.elem;
  }
  private combine(by: Extract<Combine, { kind: "argmax" | "monoid" }>, x: number[], y: number[]): number[] {
    if (by.kind === "argmax") return y[0]! > x[0]! || (y[0] === x[0] && y[1]! < x[1]!) ? y : x;
    by.x.forEach((v, k) => this.tiles.set(v, Float64Array.of(x[k]!)));
    by.y.forEach((v, k) => this.tiles.set(v, Float64Array.of(y[k]!)));
    this.run(by.body);
    return by.results.map((v) => this.get(v)[0]!);
  }
  private loop(o: Extract<Op, { kind: "loop" }>): void {
    const from = Math.min(...this.get(o.from));
    const to = Math.max(...this.get(o.to));
    const spread = (v: Value, axes: readonly string[]): Float64Array => gather(this.get(v), this.positions(axes, this.axes(v)));
    for (const c of o.carried) this.tiles.set(c.phi, spread(c.init, this.axes(c.phi)));
    for (let i = from; i < to; i += o.step) {
      this.tiles.set(o.index, Float64Array.of(i));
      this.run(o.body);
      const next = o.carried.map((c) => spread(c.next, this.axes(c.phi)));
      o.carried.forEach((c, k) => {
        this.tiles.set(c.phi, next[k]!);
      });
    }
    for (const c of o.carried) this.tiles.set(c.out, this.get(c.phi));
    this.onLoop?.(this.launch.tiles[o.index]!.name, Math.max(0, Math.ceil((to - from) / o.step)));
  }
}
