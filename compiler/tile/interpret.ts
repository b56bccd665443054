/**
 * Runs a launch block by block on tiles as arrays: the meaning of the tile level, without threads. Operations become functions of a block
 * once a launch.
 */
import { InternalError } from "../../dsl/diagnostics.ts";
import { decode, encode, formats, roundTo } from "../../dsl/tensor/narrow.ts";
import type { Storage } from "../../dsl/tensor/types.ts";
import { evaluateSize } from "../../runtime/abi.ts";
import { listOf } from "../lists.ts";
import { owning, type ScalarFn, scalarFn, scalarText } from "../scalar.ts";
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
  const run = new Interpreter(launch, memory, values, onLoop).steps(launch.body);
  const counts = launch.grid.map((g) => evaluateSize(g.blocks, values));
  const total = counts.reduce((a, b) => a * b, 1);
  for (let block = 0; block < total; block++) {
    const place = new Map<string, number>();
    let rest = block;
    for (let k = counts.length - 1; k >= 0; k--) {
      place.set(launch.grid[k]!.axis, rest % counts[k]!);
      rest = Math.floor(rest / counts[k]!);
    }
    run({ place, tiles: new Array<Float64Array | undefined>(launch.tiles.length), rings: new Map() });
  }
}
/** What a block holds. An operation that runs again may write to the tile that it made before: nobody else keeps that. */
interface Block {
  /** Which tile of each axis of the grid it has. */
  readonly place: ReadonlyMap<string, number>;
  readonly tiles: (Float64Array | undefined)[];
  readonly rings: Map<string, Float64Array>;
}
type Step = (b: Block) => void;

/** Each operand is a tile, and where each element of what is computed has its operand in it. */
type Loop = (
  ...of: [out: Float64Array, a: Float64Array, atA: Int32Array, b: Float64Array, atB: Int32Array, c: Float64Array, atC: Int32Array]
) => void;
/** By the number of operands. */
const loops = [1, 2, 3].map(() => new Map<ScalarFn, Loop>());
/** f for every element of a tile. */
function loopOf(f: ScalarFn, arity: number): Loop {
  const known = loops[arity - 1]!;
  let loop = known.get(f);
  if (loop === undefined) {
    const args = ["a[atA[p]]", "b[atB[p]]", "c[atC[p]]"].map((x, k) => (k < arity ? x : "0"));
    loop = owning(`(out, a, atA, b, atB, c, atC) => { for (let p = 0; p < out.length; p++) out[p] = f(${args}); }`, f) as Loop;
    known.set(f, loop);
  }
  return loop;
}
type Product = (
  ...of: [acc: number, a: Float64Array, atA: number, stepA: number, b: Float64Array, atB: number, stepB: number, first: number, n: number]
) => number;
const products = new Map<Elem, Product>();
/** A sum of n products from the `first` one on, in order, as a function of its own. */
function productOf(elem: Elem): Product {
  let made = products.get(elem);
  if (made === undefined) {
    const product = scalarText("mul", elem, "a[atA + k * stepA]", "b[atB + k * stepB]")!;
    const step = `acc = ${scalarText("add", elem, "acc", product)};`;
    made = new Function(
      ...["acc", "a", "atA", "stepA", "b", "atB", "stepB", "first", "n"],
      `for (let k = first; k < first + n; k++) ${step} return acc;`,
    ) as Product;
    products.set(elem, made);
  }
  return made;
}
/** Combines that are an operation on numbers. */
const operationOf = { sum: "add", prod: "mul", max: "max", min: "min", all: "land", any: "lor" } as const;
/** The elements of a tile at `at`. */
function gather(tile: Float64Array, at: Int32Array): Float64Array {
  const out = new Float64Array(at.length);
  for (let p = 0; p < at.length; p++) out[p] = tile[at[p]!]!;
  return out;
}

class Interpreter {
  private readonly launch: Launch;
  private readonly memory: TileMemory;
  private readonly values: Readonly<Record<string, number>>;
  private readonly extents: ReadonlyMap<string, number>;
  private readonly known = new Map<string, Int32Array>();
  private readonly onLoop: OnLoop | undefined;

  constructor(launch: Launch, memory: TileMemory, values: Readonly<Record<string, number>>, onLoop: OnLoop | undefined) {
    this.onLoop = onLoop;
    this.launch = launch;
    this.memory = memory;
    this.values = values;
    this.extents = new Map(launch.axes.map((a) => [a.name, a.extent]));
  }
  private size(axes: readonly string[]): number {
    return axes.reduce((n, a) => n * this.extents.get(a)!, 1);
  }
  /** For each point of `axes`, the position in a tile over `of`, a subset of them. */
  private positions(axes: readonly string[], of: readonly string[]): Int32Array {
    const key = `${axes} of ${of}`;
    let out = this.known.get(key);
    if (out === undefined) {
      out = this.computePositions(axes, of);
      this.known.set(key, out);
    }
    return out;
  }
  private computePositions(axes: readonly string[], of: readonly string[]): Int32Array {
    let out = Int32Array.of(0);
    for (const axis of axes) {
      const [extent, step] = [this.extents.get(axis)!, this.stride(axis, of)];
      const finer = new Int32Array(out.length * extent);
      for (let p = 0; p < out.length; p++) for (let k = 0; k < extent; k++) finer[p * extent + k] = out[p]! + k * step;
      out = finer;
    }
    return out;
  }
  /** How far apart neighbours along an axis lie in a tile over `of`; 0 where they are the same element. */
  private stride(axis: string, of: readonly string[]): number {
    const at = of.indexOf(axis);
    return at < 0 ? 0 : this.size(of.slice(at + 1));
  }
  private axes(v: Value): readonly string[] {
    return this.launch.tiles[v]!.axes;
  }
  private elem(v: Value): Elem {
    return this.launch.tiles[v]!.elem;
  }
  private get(b: Block, v: Value): Float64Array {
    const t = b.tiles[v];
    if (t === undefined) throw new InternalError(`${this.launch.name}: tile ${v} has no value`);
    return t;
  }
  /** Of an operand that may be left out: where its elements are, by points of `axes`. */
  private placesOf(v: Value | undefined, axes: readonly string[]): Int32Array | undefined {
    return v === undefined ? undefined : this.positions(axes, this.axes(v));
  }

  steps(ops: readonly Op[]): Step {
    const list = ops.flatMap((o) => this.step(o) ?? []);
    return (b) => {
      for (const step of list) step(b);
    };
  }
  /** What an operation does; undefined where that is nothing. */
  private step(o: Op): Step | undefined {
    switch (o.kind) {
      case "comment":
      case "commit":
      case "land":
      case "meet":
        return undefined;
      case "const":
        return this.same(o.out, [Number(o.value)]);
      case "dim":
      case "scalar":
      case "step":
        return this.same(o.out, [this.values[o.name]!]);
      case "block":
        return (b) => {
          b.tiles[o.out] = Float64Array.of(b.place.get(o.axis)!);
        };
      case "coordinate":
        return this.same(
          o.out,
          listOf(this.extents.get(o.axis)!, (k) => k),
        );
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
      case "slot": {
        const r = this.ring(o.ring);
        const size = r.slow.extent * r.fast.extent;
        const at = this.positions(this.axes(o.out), [r.slow.name, r.fast.name]);
        return (b) => {
          const first = this.get(b, o.slot)[0]! * size;
          b.tiles[o.out] = gather(this.held(b, r).subarray(first, first + size), at);
        };
      }
      case "dot":
        return this.dot(o);
      case "convert": {
        const names = new Map(o.to);
        const renamed = this.axes(o.value).map((a) => names.get(a) ?? a);
        const at = this.positions(this.axes(o.out), renamed);
        return (b) => {
          b.tiles[o.out] = gather(this.get(b, o.value), at).map(narrowing(o.held));
        };
      }
      case "loop":
        return this.loop(o);
      default:
        return o satisfies never;
    }
  }
  /** A tile that is the same in every block. */
  private same(out: Value, elements: readonly number[]): Step {
    const tile = Float64Array.from(elements);
    return (b) => {
      b.tiles[out] = tile;
    };
  }
  private map(o: Extract<Op, { kind: "map" }>): Step {
    const axes = this.axes(o.out);
    const loop = loopOf(scalarFn(o.op, this.elem(o.out), this.elem(o.args[0]!), o.args.length), o.args.length);
    // Operands that it does not have are not looked at.
    const [x, y, z] = [0, 1, 2].map((k) => o.args[k] ?? o.args[0]!) as [Value, Value, Value];
    const [atX, atY, atZ] = [x, y, z].map((v) => this.positions(axes, this.axes(v))) as [Int32Array, Int32Array, Int32Array];
    const out = new Float64Array(this.size(axes));
    return (b) => {
      loop(out, this.get(b, x), atX, this.get(b, y), atY, this.get(b, z), atZ);
      b.tiles[o.out] = out;
    };
  }
  private load(o: Extract<Op, { kind: "load" }>): Step {
    const axes = this.axes(o.out);
    const size = this.size(axes);
    const data = this.memory.get(o.buffer)!;
    const [placeAt, guardAt] = [this.placesOf(o.at, axes)!, this.placesOf(o.guard, axes)];
    const out = new Float64Array(size);
    return (b) => {
      const place = this.get(b, o.at);
      const guard = o.guard === undefined ? undefined : this.get(b, o.guard);
      for (let p = 0; p < size; p++) {
        out[p] = 0;
        if (guard && guard[guardAt![p]!] === 0) continue;
        const from = place[placeAt[p]!]!;
        if (!(from >= 0 && from < data.length)) throw new InternalError(`${this.launch.name}: ${o.buffer}[${from}] of ${data.length}`);
        out[p] = data[from]!;
      }
      b.tiles[o.out] = out;
    };
  }
  private store(o: Extract<Op, { kind: "store" }>): Step {
    const args = [o.at, o.value, ...(o.guard === undefined ? [] : [o.guard])];
    const axes = this.launch.axes.map((a) => a.name).filter((a) => args.some((v) => this.axes(v).includes(a)));
    const size = this.size(axes);
    const data = this.memory.get(o.buffer)!;
    const narrow = narrowing(this.launch.buffers.find((b) => b.name === o.buffer)!.elem);
    const [placeAt, valueAt, guardAt] = [this.placesOf(o.at, axes)!, this.placesOf(o.value, axes)!, this.placesOf(o.guard, axes)];
    return (b) => {
      const [place, value] = [this.get(b, o.at), this.get(b, o.value)];
      const guard = o.guard === undefined ? undefined : this.get(b, o.guard);
      for (let p = 0; p < size; p++) {
        if (guard && guard[guardAt![p]!] === 0) continue;
        const to = place[placeAt[p]!]!;
        if (!(to >= 0 && to < data.length)) throw new InternalError(`${this.launch.name}: ${o.buffer}[${to}] of ${data.length}`);
        data[to] = narrow(value[valueAt[p]!]!);
      }
    };
  }
  private reduce(o: Extract<Op, { kind: "reduce" }>): Step {
    const rest = this.axes(o.outs[0]!);
    const size = this.size(rest);
    const places = o.values.map((v) => this.positions([...rest, o.over], this.axes(v)));
    const n = this.extents.get(o.over)!;
    const { by } = o;
    if (by.kind === "argmax" || by.kind === "monoid") {
      const combine = this.combining(by);
      return (b) => {
        const values = o.values.map((v) => this.get(b, v));
        const outs = o.outs.map(() => new Float64Array(size));
        for (let p = 0; p < size; p++) {
          const terms = listOf(n, (k) => values.map((data, i) => data[places[i]![p * n + k]!]!));
          const total = terms.reduce((x, y) => combine(b, x, y));
          for (const [k, out] of outs.entries()) out[p] = total[k]!;
        }
        for (const [k, v] of o.outs.entries()) b.tiles[v] = outs[k]!;
      };
    }
    const elem = this.elem(o.values[0]!);
    const plus = scalarFn(operationOf[by.kind], elem, elem, 2);
    const at = places[0]!;
    return (b) => {
      const data = this.get(b, o.values[0]!);
      const out = new Float64Array(size);
      for (let p = 0; p < size; p++) {
        let total = data[at[p * n]!]!;
        for (let k = 1; k < n; k++) total = plus(total, data[at[p * n + k]!]!, 0);
        out[p] = total;
      }
      b.tiles[o.outs[0]!] = out;
    };
  }
  private combining(by: Extract<Combine, { kind: "argmax" | "monoid" }>): (b: Block, x: number[], y: number[]) => number[] {
    if (by.kind === "argmax") return (_, x, y) => (y[0]! > x[0]! || (y[0] === x[0] && y[1]! < x[1]!) ? y : x);
    const body = this.steps(by.body);
    return (b, x, y) => {
      for (const [k, v] of by.x.entries()) b.tiles[v] = Float64Array.of(x[k]!);
      for (const [k, v] of by.y.entries()) b.tiles[v] = Float64Array.of(y[k]!);
      body(b);
      return by.results.map((v) => this.get(b, v)[0]!);
    };
  }
  private dot(o: Extract<Op, { kind: "dot" }>): Step {
    const { columns, over, other, share } = o.axes;
    const axes = this.axes(o.out);
    const size = this.size(axes);
    const n = this.extents.get(over)!;
    const piece = share ? n / this.extents.get(share)! : n;
    const shares = share ? this.positions(axes, [share]) : undefined;
    const inColumns = this.axes(o.b).map((a) => (a === other ? columns : a));
    const [fromA, fromB, fromAcc] = [this.axes(o.a), inColumns, this.axes(o.acc)].map((of) => this.positions(axes, of)) as [
      Int32Array,
      Int32Array,
      Int32Array,
    ];
    const [stepA, stepB] = [this.stride(over, this.axes(o.a)), this.stride(over, inColumns)];
    const product = productOf(this.elem(o.out));
    return (b) => {
      const [left, right, acc] = [this.get(b, o.a), this.get(b, o.b), this.get(b, o.acc)];
      const out = new Float64Array(size);
      for (let p = 0; p < size; p++)
        out[p] = product(acc[fromAcc[p]!]!, left, fromA[p]!, stepA, right, fromB[p]!, stepB, shares ? shares[p]! * piece : 0, piece);
      b.tiles[o.out] = out;
    };
  }
  private ring(name: string): Ring {
    return this.launch.rings.find((x) => x.name === name)!;
  }
  private held(b: Block, r: Ring): Float64Array {
    let held = b.rings.get(r.name);
    if (held === undefined) {
      held = new Float64Array(r.slots * r.slow.extent * r.fast.extent).fill(Number.NaN);
      b.rings.set(r.name, held);
    }
    return held;
  }
  private put(o: Extract<Op, { kind: "put" }>): Step {
    const r = this.ring(o.ring);
    const at = this.positions([r.copy.slow.name, r.copy.piece.name], this.axes(o.value));
    return (b) => {
      const first = this.get(b, o.slot)[0]! * r.slow.extent * r.fast.extent;
      this.held(b, r).set(gather(this.get(b, o.value), at), first);
    };
  }
  private issue(o: Extract<Op, { kind: "issue" }>): Step {
    const r = this.ring(o.ring);
    const data = this.memory.get(o.buffer)!;
    const axes = [r.copy.slow.name, r.copy.piece.name];
    const size = this.size(axes);
    const [placeAt, guardAt] = [this.placesOf(o.at, axes)!, this.placesOf(o.guard, axes)];
    return (b) => {
      const held = this.held(b, r);
      const place = this.get(b, o.at);
      const guard = o.guard === undefined ? undefined : this.get(b, o.guard);
      const first = this.get(b, o.slot)[0]! * r.slow.extent * r.fast.extent;
      for (let p = 0; p < size; p++) {
        const from = place[placeAt[p]!]!;
        const holds = guard ? guard[guardAt![p]!] !== 0 : true;
        if (holds && !(from >= 0 && from + r.width <= data.length))
          throw new InternalError(`${this.launch.name}: ${o.buffer}[${from}] of ${data.length}`);
        // Pieces of a row, and rows, follow one another.
        for (let k = 0; k < r.width; k++) held[first + p * r.width + k] = holds ? data[from + k]! : 0;
      }
    };
  }
  private loop(o: Extract<Op, { kind: "loop" }>): Step {
    const body = this.steps(o.body);
    const carried = o.carried.map((c) => {
      const axes = this.axes(c.phi);
      return { ...c, initAt: this.positions(axes, this.axes(c.init)), nextAt: this.positions(axes, this.axes(c.next)) };
    });
    const { name } = this.launch.tiles[o.index]!;
    return (b) => {
      const from = Math.min(...this.get(b, o.from));
      const to = Math.max(...this.get(b, o.to));
      for (const c of carried) b.tiles[c.phi] = gather(this.get(b, c.init), c.initAt);
      for (let i = from; i < to; i += o.step) {
        b.tiles[o.index] = Float64Array.of(i);
        body(b);
        const next = carried.map((c) => gather(this.get(b, c.next), c.nextAt));
        for (const [k, c] of carried.entries()) b.tiles[c.phi] = next[k];
      }
      for (const c of carried) b.tiles[c.out] = this.get(b, c.phi);
      this.onLoop?.(name, Math.max(0, Math.ceil((to - from) / o.step)));
    };
  }
}
