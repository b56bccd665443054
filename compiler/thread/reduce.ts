/** Reductions as one thread does its part: what it holds folds into one, lanes of a warp exchange theirs, and the rest goes through shared memory. */
import { InternalError } from "../../dsl/diagnostics.ts";
import type { Target } from "../targets/target.ts";
import { type Combine, type Elem, type Launch, type Op, threadsOf, type Value } from "../tile/ir.ts";
import type { SharedArray } from "./ir.ts";
import type { NodeId, Nodes } from "./nodes.ts";
import { packedSum } from "./packed-sum.ts";

/** Partners that are read in one exchange; longer reductions take several. */
const exchangeBits = 4;

/** What a thread holds of the tiles of a launch: bit b of a register's number is register bit b of the layout. */
export interface Registers {
  readonly nodes: Nodes;
  readonly launch: Launch;
  /** Register bits that move along one of the axes. */
  mask(axes: readonly string[]): number;
  /** The registers in which a tile over these axes lies. */
  instances(axes: readonly string[]): readonly number[];
  get(v: Value, register: number): NodeId;
  /** Whether this thread is the first of those that hold the same elements; undefined where each holds its own. */
  firstOfCopies(axes: readonly string[]): NodeId | undefined;
  /** A shared array of at least so many elements. */
  array(name: string, elem: SharedArray["elem"], count: number): string;
}
type Reduce = Extract<Op, { kind: "reduce" }>;

export class Reducer {
  private readonly held: Registers;
  private readonly nodes: Nodes;
  private readonly launch: Launch;
  readonly lanes: number;
  private readonly packedDots: boolean;
  private exchanges = 0;

  constructor(held: Registers, { lanes, packedDots }: Pick<Target, "lanes" | "packedDots">) {
    this.held = held;
    this.nodes = held.nodes;
    this.launch = held.launch;
    this.lanes = lanes;
    this.packedDots = packedDots;
  }
  /** The results, one for each component, by register. */
  reduce(op: Reduce): Map<number, NodeId>[] {
    const rest = this.launch.tiles[op.outs[0]!]!.axes;
    const axisMask = this.held.mask([op.over]);
    const own = this.held.instances([op.over]);
    const folded = new Map<number, NodeId[]>();
    for (const r of this.held.instances(rest)) {
      let parts = own.map((a) => op.values.map((v) => this.held.get(v, (r & ~axisMask) | a)));
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
    return op.outs.map((_, k) => new Map([...folded].map(([r, parts]) => [r, parts[k]!])));
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
    return this.held.array(`partial${component}_${elem}`, elem, count);
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
    const get = (v: Value): NodeId => local.get(v) ?? this.held.get(v, 0);
    for (const op of by.body) {
      if (op.kind === "const") local.set(op.out, n.constant(op.value, this.launch.tiles[op.out]!.elem));
      else if (op.kind === "map") local.set(op.out, n.op(op.op, op.args.map(get), this.launch.tiles[op.out]!.elem));
      else if (op.kind === "dim" || op.kind === "scalar") local.set(op.out, n.uniform(op.name, this.launch.tiles[op.out]!.elem));
      else throw new InternalError(`a monoid's combine with a ${op.kind}`);
    }
    return by.results.map(get);
  }
}
