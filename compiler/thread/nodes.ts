/**
 * The values of one thread while it is being built: a graph of hash-consed nodes in nested scopes, with the integer identities that make
 * addresses of neighbouring elements share their parts. Floats are never rewritten.
 */
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import { listOf } from "../lists.ts";
import type { Elem, MapOp } from "../tile/ir.ts";
import type { Effect, Entry } from "./effects.ts";
import { multipleOf, offsetOf, simplified } from "./integers.ts";
import { OpTable } from "./op-table.ts";
import { anything, mayWrap, natural, type Range, rangeOf } from "./ranges.ts";

export type NodeId = number;
export interface Node {
  readonly kind: "const" | "uniform" | "thread" | "block" | "op" | "load" | "shared" | "variable";
  readonly elem: Elem;
  readonly args: readonly NodeId[];
  readonly op: MapOp | undefined;
  readonly value: number | boolean | undefined;
  /** Uniform, buffer, array or variable. */
  readonly name: string | undefined;
  readonly guarded: boolean | undefined;
  /** Stays where it was made: what it reads may change. */
  readonly pinned: boolean | undefined;
  readonly depth: number;
  readonly hint: string | undefined;
  /** An integer from memory or from the caller, or made from one: it may be anything, where sizes and places are small. */
  readonly data: boolean | undefined;
  /** An integer that may leave its 32 bits. */
  readonly wraps: boolean | undefined;
  /** A number that divides the value. */
  readonly multiple: number;
  /** Between which numbers an integer lies. */
  readonly range: Range;
  /** The variable that this stands for inside the loop that changes it. */
  readonly of: NodeId | undefined;
}
/** What holds of an integer for every call. */
export interface Known {
  readonly range?: Range;
  readonly multiple?: number;
}
interface Scope {
  readonly effects: Entry[];
  /** Nodes by what they are, and operations by their operands. */
  readonly known: Map<string, NodeId>;
  readonly operations: OpTable;
}

const comparisons: ReadonlySet<MapOp> = new Set(["lt", "le", "gt", "ge", "eq", "ne"]);

/** In place of an operand that an operation does not have. */
const absent = -1;
/** A constant of a size or a place is less. */
const largestSize = 2 ** 24;
/** Operations whose result may be any integer, whatever they are given. */
const scrambles: ReadonlySet<MapOp> = new Set(["exact_exp", "exact_inv", "exact_hash", "random", "bitcast", "not"]);
/** Below this, an integer added to 3 * 2^22 as a float is in its last bits. */
const smallIntegers = 2 ** 22;

/** Every node has the same fields in the same order: there are thousands, and engines read objects of one shape fastest. */
function nodeOf(n: Partial<Node> & Pick<Node, "kind" | "elem" | "args">, depth: number): Node {
  return {
    kind: n.kind,
    elem: n.elem,
    args: n.args,
    op: n.op,
    value: n.value,
    name: n.name,
    guarded: n.guarded,
    pinned: n.pinned,
    depth,
    hint: n.hint,
    data: n.data,
    wraps: n.wraps,
    multiple: n.multiple ?? 1,
    range: n.range ?? anything,
    of: n.of,
  };
}
/** Room for operations, so that tables of most launches and loops need not grow. */
const [ofLaunch, ofLoop] = [4096, 1024];
const newScope = (operations: number): Scope => ({ effects: [], known: new Map(), operations: new OpTable(operations) });
export class Nodes {
  readonly list: Node[] = [];
  private readonly scopes: Scope[] = [newScope(ofLaunch)];
  private readonly threads: number;
  private readonly uniforms: (name: string) => Known;

  /** @param uniforms what is known of a dimension, scalar or step */
  constructor(threads: number, uniforms: (name: string) => Known) {
    this.threads = threads;
    this.uniforms = uniforms;
  }
  get effects(): readonly Entry[] {
    invariant(this.scopes.length === 1, "a loop is still open");
    return this.scopes[0]!.effects;
  }
  get depth(): number {
    return this.scopes.length - 1;
  }
  at(id: NodeId): Node {
    return this.list[id]!;
  }
  effect(e: Effect): void {
    this.scopes.at(-1)!.effects.push(e);
    if (e.kind === "merge") this.mergedBuffers.add(e.buffer);
  }
  /** Buffers into whose words fields are merged. */
  get merged(): ReadonlySet<string> {
    return this.mergedBuffers;
  }
  private readonly mergedBuffers = new Set<string>();
  /** An effect before the loop that is open. */
  before(e: Effect): void {
    this.scopes.at(-2)!.effects.push(e);
  }
  /** What the loop that is open has so far, to be put in another order. */
  get body(): Entry[] {
    return this.scopes.at(-1)!.effects;
  }
  private depthOf(args: readonly NodeId[]): number {
    let depth = 0;
    for (const a of args) depth = Math.max(depth, this.list[a]!.depth);
    return depth;
  }
  /**
   * The node that is known by this key, or a new one. A load stays in its loop: what is known there may make its condition true, or its place the
   * same for all turns, but it is the turns that make it safe.
   */
  private node(n: Partial<Node> & Pick<Node, "kind" | "elem" | "args">, key?: string): NodeId {
    const stays = n.pinned === true || n.kind === "load";
    const depth = stays ? this.depth : this.depthOf(n.args);
    const old = key === undefined ? undefined : this.scopes[depth]!.known.get(key);
    return old ?? this.add(nodeOf(n, depth), key);
  }
  private add(made: Node, key?: string): NodeId {
    const id = this.list.length;
    this.list.push(made);
    const scope = this.scopes[made.depth]!;
    scope.effects.push(id);
    if (key !== undefined) scope.known.set(key, id);
    return id;
  }
  private isData(op: MapOp, args: readonly NodeId[]): boolean {
    for (const a of args) {
      const { data, elem } = this.list[a]!;
      if (data || elem === "f32" || elem === "f64") return true;
    }
    return scrambles.has(op);
  }
  constant(value: number | boolean, elem: Elem): NodeId {
    const multiple = elem === "i32" && typeof value === "number" ? Math.abs(value) || 2 ** 30 : 1;
    const range = elem === "i32" && typeof value === "number" ? ([value, value] as const) : anything;
    const data = typeof value === "number" && Math.abs(value) >= largestSize;
    return this.node({ kind: "const", elem, args: [], value, multiple, range, data }, `c ${elem} ${Object.is(value, -0) ? "-0" : value}`);
  }
  int(v: number): NodeId {
    const old = this.integers.get(v);
    if (old !== undefined) return old;
    const made = this.constant(v, "i32");
    this.integers.set(v, made);
    return made;
  }
  private readonly integers = new Map<number, NodeId>();
  uniform(name: string, elem: Elem): NodeId {
    const known = elem === "i32" ? this.uniforms(name) : {};
    const data = known.range === undefined;
    return this.node({ kind: "uniform", elem, args: [], name, hint: name, data, ...known }, `u ${name}`);
  }
  special(kind: "thread" | "block"): NodeId {
    const known = this.places.get(kind);
    if (known !== undefined) return known;
    const range: Range = kind === "thread" ? [0, this.threads - 1] : natural;
    return this.node({ kind, elem: "i32", args: [], hint: kind, range }, kind);
  }
  private readonly places = new Map<"thread" | "block", NodeId>();
  /** From here on, what follows from these places is made anew; what undoes it, where a loop that it was for is closed. */
  placesAgain(kinds: readonly ("thread" | "block")[] = ["thread", "block"]): () => void {
    const outside = new Map(this.places);
    for (const kind of kinds) {
      const before = this.special(kind);
      const { range } = this.list[before]!;
      this.places.set(kind, this.node({ kind: "op", op: "again", elem: "i32", args: [before], hint: kind, range, pinned: true }));
    }
    return () => {
      this.places.clear();
      for (const [kind, id] of outside) this.places.set(kind, id);
    };
  }
  variable(name: string, elem: Elem, multiple = 1, range = anything): NodeId {
    const id = this.list.length;
    // A loop's index has ends, what it carries has none.
    const data = range === anything;
    this.list.push(nodeOf({ kind: "variable", elem, args: [], name, multiple, range, data, hint: name }, this.depth));
    return id;
  }
  /** A variable that the loop that is open changes, declared before it. */
  carried(name: string, elem: Elem, init: NodeId): NodeId {
    const id = this.list.length;
    this.list.push(nodeOf({ kind: "variable", elem, args: [], name, data: true, hint: name }, this.depth - 1));
    this.before({ kind: "declare", variable: id, init });
    return id;
  }
  /** A variable as the loop that is open sees it: what reads it there stays inside. */
  inside(variable: NodeId): NodeId {
    const id = this.list.length;
    this.list.push({ ...this.list[variable]!, depth: this.depth, of: variable });
    return id;
  }
  /** @param range of indices and offsets, which count elements */
  load(buffer: string, elem: Elem, at: NodeId, guard: NodeId | undefined, pinned: boolean, hint: string, range?: Range): NodeId {
    const args = guard === undefined ? [at] : [at, guard];
    return this.node(
      {
        kind: "load",
        elem,
        args,
        name: buffer,
        guarded: guard !== undefined,
        pinned,
        hint,
        data: range === undefined,
        ...(range ? { range } : {}),
      },
      pinned ? undefined : `l ${buffer} ${args.join()}`,
    );
  }
  /** Units of a buffer from `at` on, in one access. */
  loads(buffer: string, elem: Elem, at: NodeId, count: number, guard: NodeId | undefined, pinned: boolean, hint: string): NodeId[] {
    const args = guard === undefined ? [at] : [at, guard];
    const { depth } = this;
    const scope = this.scopes[depth]!;
    const key = `w ${buffer} ${args.join()}`;
    let first = pinned ? undefined : scope.known.get(key);
    if (first === undefined) {
      first = this.list.length;
      if (!pinned) scope.known.set(key, first);
      // Each asks for the place: where none is used, neither is that.
      for (let k = 0; k < count; k++) this.list.push(nodeOf({ kind: "variable", elem, args, name: hint, data: true, hint }, depth));
      const outs = listOf(count, (k) => first! + k);
      scope.effects.push({ kind: "loads", outs, buffer, at, elem, ...(guard === undefined ? {} : { guard }) });
    }
    return listOf(count, (k) => first! + k);
  }
  shared(array: string, elem: Elem, at: NodeId): NodeId {
    return this.node({ kind: "shared", elem, args: [at], name: array, pinned: true, data: true });
  }
  /** Elements of a shared array from `at` on, in one access, here. */
  takes(array: string, elem: Elem, at: NodeId, count: number): NodeId[] {
    const outs = listOf(count, () => {
      this.list.push(nodeOf({ kind: "variable", elem, args: [at], name: array, data: true, hint: array }, this.depth));
      return this.list.length - 1;
    });
    this.effect({ kind: "takes", outs, array, at, elem });
    return outs;
  }
  open(): void {
    this.scopes.push(newScope(ofLoop));
  }
  close(): Entry[] {
    return this.scopes.pop()!.effects;
  }

  private value(id: NodeId): number | boolean | undefined {
    const n = this.list[id]!;
    return n.kind === "const" ? n.value : undefined;
  }
  /** What operations on integers are in other words. */
  private readonly simple = new OpTable(ofLoop);
  /** A sum of data that is made where it stands, rather than where it is first needed. */
  sumHere(a: NodeId, b: NodeId): NodeId {
    const { elem, hint } = this.at(a);
    const modulo = elem === "i32" ? { wraps: true } : {};
    return this.node({ kind: "op", op: "add", elem, args: [a, b], hint, pinned: true, data: true, ...modulo });
  }
  op(op: MapOp, args: readonly NodeId[], elem: Elem, hint?: string): NodeId {
    if (args.length > 3) throw new InternalError(`an operation on ${args.length} values`);
    const code = codeOf(op, elem);
    const a = args[0]!;
    const b = args.length > 1 ? args[1]! : absent;
    const c = args.length > 2 ? args[2]! : absent;
    const depth = this.depthOf(args);
    const { operations } = this.scopes[depth]!;
    const old = operations.get(code, a, b, c);
    if (old !== undefined) return old;
    if (elem === "i32") {
      let simple = this.simple.get(code, a, b, c);
      if (simple === undefined) {
        simple = simplified(this, op, args);
        if (simple !== undefined) this.simple.set(code, a, b, c, simple);
      }
      if (simple !== undefined) return simple;
    } else {
      const folded = elem === "u32" ? this.word(op, args) : elem === "bool" ? this.truth(op, args) : undefined;
      if (folded !== undefined) return folded;
    }
    if (op === "select") {
      const condition = this.value(a);
      if (condition !== undefined) return condition ? b : c;
      if (b === c) return b;
    }
    if (op === "to_f32" && this.list[a]!.elem === "i32") {
      const [from, to] = this.list[a]!.range;
      if (from >= -smallIntegers && to < smallIntegers) return this.op("small_to_f32", args, elem, hint);
    }
    const integer = elem === "i32" || elem === "u32";
    const data = integer && this.isData(op, args) ? true : undefined;
    let multiple = 1;
    let range = anything;
    let wraps = false;
    if (elem === "i32") {
      multiple = multipleOf(this, op, args);
      const field = op === "to_i32" ? this.mostOf(a) : undefined;
      if (field !== undefined) range = [0, field];
      else if (this.areIntegers(op, args)) {
        range = rangeOf(op, this.rangeAt(a), this.rangeAt(b), this.rangeAt(c));
        wraps = data === true && mayWrap(op, this.rangeAt(a), this.rangeAt(b));
      }
    }
    // Most nodes are made here: all fields, in the order of `nodeOf`.
    const made = this.add({
      kind: "op",
      elem,
      args,
      op,
      value: undefined,
      name: undefined,
      guarded: undefined,
      pinned: undefined,
      depth,
      hint,
      data,
      wraps: wraps ? true : undefined,
      multiple,
      range,
      of: undefined,
    });
    operations.set(code, a, b, c, made);
    return made;
  }
  private rangeAt(id: NodeId): Range {
    return id === absent ? anything : this.list[id]!.range;
  }
  private areIntegers(op: MapOp, args: readonly NodeId[]): boolean {
    for (let k = op === "select" ? 1 : 0; k < args.length; k++) if (this.list[args[k]!]!.elem !== "i32") return false;
    return true;
  }
  /** An operation on words of which enough is known. */
  private word(op: MapOp, args: readonly NodeId[]): NodeId | undefined {
    const x = this.value(args[0]!);
    const y = args.length > 1 ? this.value(args[1]!) : undefined;
    if (op === "to_u32" && typeof x === "number" && x >= 0) return this.constant(x, "u32");
    if ((op === "shl" || op === "shr" || op === "or") && y === 0) return args[0]!;
    if (typeof x !== "number" || typeof y !== "number") return undefined;
    const v = { shl: x << y, shr: x >>> y, and: x & y, or: x | y }[op as "shl"];
    return v === undefined ? undefined : this.constant(v >>> 0, "u32");
  }
  /** A condition of which enough is known. */
  private truth(op: MapOp, args: readonly NodeId[]): NodeId | undefined {
    if (op === "land" || op === "lor") {
      const stop = op === "lor";
      for (const [k, a] of args.entries()) {
        if (this.value(a) === stop) return a;
        if (this.value(a) === !stop) return args[1 - k]!;
      }
      if (args[0] === args[1]) return args[0]!;
    }
    if (!comparisons.has(op) || this.list[args[0]!]!.elem !== "i32") return undefined;
    const [x, y] = [this.value(args[0]!), this.value(args[1]!)];
    if (typeof x === "number" && typeof y === "number")
      return this.constant({ lt: x < y, le: x <= y, gt: x > y, ge: x >= y, eq: x === y, ne: x !== y }[op as "lt"], "bool");
    return this.holds(op, args) ? this.constant(true, "bool") : undefined;
  }
  /** The largest value of some bits of a word. */
  private mostOf(id: NodeId): number | undefined {
    const n = this.list[id]!;
    if (n.elem !== "u32" || n.op !== "and") return undefined;
    const mask = this.value(n.args[1]!);
    return typeof mask === "number" && mask < 2 ** 31 ? mask : undefined;
  }
  /** A loop's index, which runs from one node to below another. */
  bounded(index: NodeId, from: NodeId, to: NodeId): void {
    this.ranges.set(index, { from, to });
  }
  private readonly ranges = new Map<NodeId, { readonly from: NodeId; readonly to: NodeId }>();
  /** A comparison of a loop's index with what bounds it, which the loop itself keeps. */
  private holds(op: MapOp, args: readonly NodeId[]): boolean {
    const range = this.ranges.get(args[0]!);
    if (range === undefined || args.length !== 2 || !(op === "lt" || op === "le" || op === "ge" || op === "gt")) return false;
    const { base, by } = offsetOf(this, args[1]!);
    const upper = op === "lt" || op === "le";
    return this.operandsOf(upper ? "min" : "max", upper ? range.to : range.from).some((bound) => {
      const own = offsetOf(this, bound);
      if (own.base !== base) return false;
      // index < bound, so index <= bound - 1; index >= bound.
      return upper ? own.by - by <= (op === "le" ? 1 : 0) : by - own.by <= (op === "gt" ? -1 : 0);
    });
  }
  /** A value, and what it is the minimum or maximum of. */
  private operandsOf(op: "min" | "max", id: NodeId): NodeId[] {
    const n = this.list[id]!;
    return [id, ...(n.kind === "op" && n.op === op ? n.args.flatMap((a) => this.operandsOf(op, a)) : [])];
  }
}
const numbers = new Map<MapOp, number>();
/** A number for each operation on each type. */
function codeOf(op: MapOp, elem: Elem): number {
  let number = numbers.get(op);
  if (number === undefined) {
    number = numbers.size;
    numbers.set(op, number);
  }
  const ofType = elem === "i32" ? 0 : elem === "f32" ? 1 : elem === "u32" ? 2 : elem === "bool" ? 3 : 4;
  return 5 * number + ofType;
}
