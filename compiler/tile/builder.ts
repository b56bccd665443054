/** Builds the body of a launch: equal operations are one, and each stands in the outermost loop in which its operands exist. */
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import type { MatrixForm } from "../../dsl/tensor/matrix.ts";
import type { Storage } from "../../dsl/tensor/types.ts";
import type { Combine, Elem, MapOp, MatrixAxes, Op, Ring, Tile, Value } from "./ir.ts";

interface Scope {
  readonly ops: Op[];
  readonly known: Map<string, Value>;
  readonly depth: number;
}

export class Builder {
  readonly tiles: Tile[] = [];
  private readonly scopes: Scope[] = [{ ops: [], known: new Map(), depth: 0 }];
  private readonly depths: number[] = [];
  private readonly order: Map<string, number>;
  private readonly constants = new Map<Value, number | boolean>();
  private readonly maps = new Map<Value, Pick<Extract<Op, { kind: "map" }>, "op" | "args">>();
  private readonly products = new Set<Value>();
  private readonly moved = new Map<string, Value>();

  /** @param axes names of the launch's tile axes, in order */
  constructor(axes: readonly string[]) {
    this.order = new Map(axes.map((a, k) => [a, k]));
  }
  addAxis(name: string): void {
    this.order.set(name, this.order.size);
  }
  get body(): readonly Op[] {
    invariant(this.scopes.length === 1, "a loop is still open");
    return this.scopes[0]!.ops;
  }
  elem(v: Value): Elem {
    return this.tiles[v]!.elem;
  }
  axes(v: Value): readonly string[] {
    return this.tiles[v]!.axes;
  }
  constantOf(v: Value): number | boolean | undefined {
    return this.constants.get(v);
  }
  /** The axes of some values together: mostly those that one of them has. */
  private axesOf(values: readonly Value[]): readonly string[] {
    let all: readonly string[] = [];
    for (const v of values) {
      const own = this.axes(v);
      if (own.length > all.length && all.every((a) => own.includes(a))) all = own;
      else if (!own.every((a) => all.includes(a))) all = this.inOrder([...all, ...own]);
    }
    return all;
  }
  /** Axes in the order of the launch's, each once: mostly those that were given. */
  private inOrder(axes: readonly string[]): readonly string[] {
    let last = -1;
    let ordered = true;
    for (const a of axes) {
      const place = this.order.get(a);
      if (place === undefined) throw new InternalError(`no tile axis ${a}`);
      ordered &&= place > last;
      last = place;
    }
    return ordered ? axes : [...new Set(axes)].sort((a, b) => this.order.get(a)! - this.order.get(b)!);
  }
  private value(elem: Elem, axes: readonly string[], depth: number, name?: string): Value {
    this.tiles.push({ elem, axes: this.inOrder(axes), ...(name ? { name } : {}) });
    this.depths.push(depth);
    return this.tiles.length - 1;
  }
  /** Emits a pure operation once, as far out as its operands allow; its axes are theirs where it has none of its own. */
  private pure(
    key: string,
    elem: Elem,
    axes: readonly string[] | undefined,
    args: readonly Value[],
    make: (out: Value) => Op,
    name?: string,
  ): Value {
    let depth = 0;
    for (const a of args) depth = Math.max(depth, this.depths[a]!);
    invariant(depth < this.scopes.length, "an operand from a loop that is closed");
    const scope = this.scopes[depth]!;
    const old = scope.known.get(key);
    if (old !== undefined) return old;
    const out = this.value(elem, axes ?? this.axesOf(args), depth, name);
    scope.ops.push(make(out));
    scope.known.set(key, out);
    return out;
  }

  constant(value: number | boolean, elem: Elem): Value {
    const text = Object.is(value, -0) ? "-0" : String(value);
    const v = this.pure(`const ${elem} ${text}`, elem, [], [], (out) => ({ kind: "const", out, value }));
    this.constants.set(v, value);
    return v;
  }
  leaf(kind: "dim" | "scalar" | "step", name: string, elem: Elem): Value {
    return this.pure(`${kind} ${name}`, elem, [], [], (out) => ({ kind, out, name }), name);
  }
  /** From now on blocks take the tiles of an axis from its end, of which `blocks` is the number. */
  reverse(axis: string, blocks: Value): void {
    const last = this.map("sub", [blocks, this.constant(1, "i32")], "i32");
    this.moved.set(axis, this.map("sub", [last, this.block(axis)], "i32"));
  }
  /**
   * From now on blocks that follow each other take tiles of `size` rows, column by column, before they go on along the columns: those that
   * run at a time then lie in a square, and share what they read of both.
   */
  group(rows: string, columns: string, blocks: readonly [rows: Value, columns: Value], size: number): void {
    const int = (op: MapOp, ...args: readonly Value[]): Value => this.map(op, args, "i32");
    const number = int("add", int("mul", this.block(rows), blocks[1]), this.block(columns));
    const [tall, one] = [this.constant(size, "i32"), this.constant(1, "i32")];
    const group = int("truncdiv", number, int("mul", tall, blocks[1]));
    const first = int("mul", group, tall);
    const height = int("max", int("min", int("sub", blocks[0], first), tall), one);
    const within = int("sub", number, int("mul", first, blocks[1]));
    const column = int("truncdiv", within, height);
    // They are natural numbers, which subtractions hide.
    const zero = this.constant(0, "i32");
    this.moved.set(rows, int("max", int("add", first, int("sub", within, int("mul", column, height))), zero));
    this.moved.set(columns, int("max", column, zero));
  }
  /** Which tile of an axis the block has. */
  block(axis: string): Value {
    const known = this.moved.get(axis);
    return known ?? this.pure(`block ${axis}`, "i32", [], [], (out) => ({ kind: "block", out, axis }), `${axis}_block`);
  }
  coordinate(axis: string): Value {
    return this.pure(`coordinate ${axis}`, "i32", [axis], [], (out) => ({ kind: "coordinate", out, axis }));
  }
  map(op: MapOp, args: readonly Value[], elem: Elem, name?: string): Value {
    const folded = this.fold(op, args, elem);
    if (folded !== undefined) return folded;
    const out = this.pure(`${op} ${elem} ${args.join()}`, elem, undefined, args, (v) => ({ kind: "map", out: v, op, args }), name);
    this.maps.set(out, { op, args });
    return out;
  }
  /** The operation that a value is, if it is one of elements. */
  mapOf(v: Value): Pick<Extract<Op, { kind: "map" }>, "op" | "args"> | undefined {
    return this.maps.get(v);
  }
  /** Whether a value is a matrix product. */
  isProduct(v: Value): boolean {
    return this.products.has(v);
  }
  /** Integer and bool identities: nothing here changes a float. */
  private fold(op: MapOp, args: readonly Value[], elem: Elem): Value | undefined {
    const [a, b, c] = args as [Value, Value, Value];
    const [x, y] = [this.constants.get(a), b === undefined ? undefined : this.constants.get(b)];
    if (elem === "i32" && typeof x === "number" && typeof y === "number") {
      const f: Partial<Record<MapOp, number>> = { add: x + y, sub: x - y, mul: x * y, min: Math.min(x, y), max: Math.max(x, y) };
      if (f[op] !== undefined && Math.abs(f[op]) < 2 ** 31) return this.constant(f[op], elem);
      if (y > 0 && x >= 0 && op === "truncdiv") return this.constant(Math.floor(x / y), elem);
      if (y > 0 && x >= 0 && op === "truncmod") return this.constant(x % y, elem);
    }
    if (elem === "i32" || elem === "u32") {
      if ((op === "add" || op === "sub") && y === 0) return a;
      if (op === "add" && x === 0) return b;
      if (op === "mul" && y === 1) return a;
      if (op === "mul" && x === 1) return b;
      if (op === "mul" && (x === 0 || y === 0)) return this.constant(0, elem);
      if ((op === "div" || op === "truncdiv") && y === 1) return a;
      if ((op === "min" || op === "max") && a === b) return a;
    }
    if (op === "land")
      return x === true ? b : y === true ? a : x === false || y === false ? this.constant(false, "bool") : a === b ? a : undefined;
    if (op === "lor") return x === false ? b : y === false ? a : x === true || y === true ? this.constant(true, "bool") : undefined;
    if (op === "lnot" && typeof x === "boolean") return this.constant(!x, "bool");
    if (op === "select") return x === true ? b : x === false ? c : b === c ? b : undefined;
    return undefined;
  }
  dot(a: Value, b: Value, acc: Value, form: MatrixForm | "exact", cut: boolean, axes: MatrixAxes): Value {
    const key = `dot ${form} ${cut} ${axes.over} ${a} ${b} ${acc}`;
    const make = (out: Value): Op => ({ kind: "dot", out, a, b, acc, form, cut, axes });
    const out = this.pure(
      key,
      this.elem(acc),
      [axes.rows, axes.columns, ...(axes.share ? [axes.share] : []), ...this.axes(acc)],
      [a, b, acc],
      make,
      "dot",
    );
    this.products.add(out);
    return out;
  }
  /** `ordered`: the buffer is written in this launch, so the load stays where it is. */
  load(buffer: string, elem: Elem, at: Value, guard: Value | undefined, ordered = false): Value {
    const args = guard === undefined ? [at] : [at, guard];
    const make = (out: Value): Op => ({ kind: "load", out, buffer, at, ...(guard === undefined ? {} : { guard }) });
    if (!ordered) return this.pure(`load ${buffer} ${args.join()}`, elem, undefined, args, make, buffer);
    const out = this.value(elem, this.axesOf(args), this.scopes.length - 1, buffer);
    this.scopes.at(-1)!.ops.push(make(out));
    return out;
  }
  issue(ring: string, slot: Value, buffer: string, at: Value, guard: Value | undefined): void {
    this.scopes.at(-1)!.ops.push({ kind: "issue", ring, slot, buffer, at, ...(guard === undefined ? {} : { guard }) });
  }
  put(ring: string, slot: Value, value: Value): void {
    this.scopes.at(-1)!.ops.push({ kind: "put", ring, slot, value });
  }
  commit(): void {
    this.scopes.at(-1)!.ops.push({ kind: "commit" });
  }
  land(leave: number): void {
    this.scopes.at(-1)!.ops.push({ kind: "land", leave });
  }
  meet(): void {
    this.scopes.at(-1)!.ops.push({ kind: "meet" });
  }
  /** What a slot holds now. */
  slot(ring: Ring, slot: Value, elem: Elem): Value {
    const out = this.value(elem, [ring.slow.name, ring.fast.name], this.scopes.length - 1, ring.name);
    this.scopes.at(-1)!.ops.push({ kind: "slot", out, ring: ring.name, slot });
    return out;
  }
  /** The same tile over other axes. */
  convert(value: Value, to: readonly (readonly [from: string, to: string])[], held: Storage): Value {
    const names = new Map(to);
    const axes = this.axes(value).map((a) => names.get(a) ?? a);
    const make = (out: Value): Op => ({ kind: "convert", out, value, to, held });
    return this.pure(`convert ${held} ${value} ${to.join(" ")}`, this.elem(value), axes, [value], make);
  }
  store(buffer: string, at: Value, value: Value, guard: Value | undefined): void {
    this.scopes.at(-1)!.ops.push({ kind: "store", buffer, at, value, ...(guard === undefined ? {} : { guard }) });
  }
  comment(text: string, line?: number): void {
    this.scopes.at(-1)!.ops.push({ kind: "comment", text, ...(line ? { line } : {}) });
  }
  reduce(values: readonly Value[], over: string, by: Combine): Value[] {
    const depth = this.scopes.length - 1;
    // Which of the components is taken hangs on all of them: the index of a maximum varies with what is compared.
    const axes = values.flatMap((v) => this.axes(v)).filter((a) => a !== over);
    const outs = values.map((v) => this.value(this.elem(v), axes, depth));
    this.scopes.at(-1)!.ops.push({ kind: "reduce", outs, values, over, by });
    return outs;
  }
  /**
   * A loop that carries values over `axes`; `body` gets the index and the carried values and returns the next ones.
   * @returns the values after the last iteration
   */
  loop(
    name: string,
    from: Value,
    to: Value,
    step: number,
    inits: readonly Value[],
    axesOf: (k: number) => readonly string[],
    body: (index: Value, carried: readonly Value[]) => readonly Value[],
  ): Value[] {
    const outer = this.scopes.length - 1;
    const scope: Scope = { ops: [], known: new Map(), depth: outer + 1 };
    this.scopes.push(scope);
    const index = this.value("i32", [], outer + 1, name);
    const phis = inits.map((v, k) => this.value(this.elem(v), axesOf(k), outer + 1));
    const nexts = body(index, phis);
    invariant(nexts.length === inits.length, "a loop carries what it was given");
    nexts.forEach((n, k) => {
      for (const a of this.axes(n)) invariant(axesOf(k).includes(a), `a carried value varies over ${a}, which the loop does not carry`);
      invariant(this.elem(n) === this.elem(inits[k]!), "a carried value keeps its type");
    });
    this.scopes.pop();
    const outs = inits.map((v, k) => this.value(this.elem(v), axesOf(k), outer));
    this.scopes.at(-1)!.ops.push({
      kind: "loop",
      index,
      from,
      to,
      step,
      carried: inits.map((init, k) => ({ init, phi: phis[k]!, next: nexts[k]!, out: outs[k]! })),
      body: scope.ops,
    });
    return outs;
  }
  /** Runs `make` where the outermost loop that holds all `args` is: what it emits stands before the loops inside that one. */
  hoisted<T>(args: readonly Value[], make: () => T): T {
    const depth = args.reduce((d, a) => Math.max(d, this.depths[a]!), 0);
    const inner = this.scopes.splice(depth + 1);
    try {
      return make();
    } finally {
      this.scopes.push(...inner);
    }
  }
  /** Whether a value made earlier can be used here. */
  isOpen(v: Value, madeIn: unknown): boolean {
    return this.scopes[this.depths[v]!] === madeIn;
  }
  /** How many loops there are around a value. */
  depthOf(v: Value): number {
    return this.depths[v]!;
  }
  /** Whether `a` changes with a loop or an axis with which `b` does not. */
  variesMore(a: Value, b: Value): boolean {
    return this.depths[a]! > this.depths[b]! || this.axes(a).some((x) => !this.axes(b).includes(x));
  }
  /** The scope that holds a value, to ask `isOpen` later. */
  scopeOf(v: Value): unknown {
    return this.scopes[this.depths[v]!];
  }
  /** Operations on two tuples of fresh parameters, kept apart from the body: a user's combine. */
  separate<T>(
    elems: readonly Elem[],
    make: (x: readonly Value[], y: readonly Value[]) => T,
  ): { x: Value[]; y: Value[]; body: Op[]; result: T } {
    const depth = this.scopes.length;
    const scope: Scope = { ops: [], known: new Map(), depth };
    this.scopes.push(scope);
    const x = elems.map((e) => this.value(e, [], depth));
    const y = elems.map((e) => this.value(e, [], depth));
    const result = make(x, y);
    this.scopes.pop();
    return { x, y, body: scope.ops, result };
  }
}
