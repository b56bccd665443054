/** The node graph of a thread as statements: what is used once, where it is made, becomes part of its consumer; the rest gets a name. */
import { invariant } from "../../dsl/diagnostics.ts";
import type { EffectOf, Entry } from "./effects.ts";
import { type Expr, type Stmt, turnOf } from "./ir.ts";
import type { Node, NodeId, Nodes } from "./nodes.ts";

/** Operations nested in one expression at most. */
const largestExpression = 10;

/** What a thread does, and the buffers that it reads or writes: a load whose value nobody needs is gone. */
export interface Written {
  readonly body: readonly Stmt[];
  readonly buffers: ReadonlySet<string>;
}

export function statementsOf(nodes: Nodes, reserved: ReadonlySet<string>, taken: readonly string[]): Written {
  const writer = new Writer(nodes, reserved, taken);
  return { body: writer.block(nodes.effects), buffers: writer.buffers };
}

class Writer {
  readonly buffers = new Set<string>();
  private readonly nodes: Nodes;
  private readonly used: Set<string>;
  /** The number that the next name of a stem is tried with. */
  private readonly counts = new Map<string, number>();
  // By node: there are thousands, all numbered.
  private readonly names: (string | undefined)[] = [];
  private readonly exprs: (Expr | undefined)[] = [];
  private readonly uses: Int32Array;
  /** The deepest loop that uses it. */
  private readonly depths: Int32Array;
  private readonly sizes: Int32Array;
  /** Variables that loops see by nodes of their own. */
  private readonly seenInside = new Set<NodeId>();

  constructor(nodes: Nodes, reserved: ReadonlySet<string>, taken: readonly string[]) {
    this.nodes = nodes;
    const count = nodes.list.length;
    [this.uses, this.depths, this.sizes] = [new Int32Array(count), new Int32Array(count), new Int32Array(count)];
    this.accumulators = new Uint8Array(count);
    this.used = new Set([...reserved, ...taken, "thread", "block"]);
    for (const n of nodes.list) {
      if (n.kind === "uniform") this.used.add(n.name!);
      if (n.of !== undefined) this.seenInside.add(n.of);
    }
    this.countBlock(nodes.effects, 0);
  }
  // ---- uses
  private count(id: NodeId, depth: number): void {
    this.depths[id] = Math.max(this.depths[id]!, depth);
    if (this.uses[id]!++ > 0) return;
    const n = this.nodes.at(id);
    for (const a of n.args) this.count(a, n.depth);
  }
  private countAll(ids: readonly NodeId[], depth: number): void {
    for (const id of ids) this.count(id, depth);
  }
  private countBlock(entries: readonly Entry[], depth: number): void {
    for (const e of entries) {
      if (typeof e === "number") continue;
      switch (e.kind) {
        case "store":
        case "share":
          this.count(e.at, depth);
          this.count(e.value, depth);
          break;
        case "stores":
        case "shares":
          this.count(e.at, depth);
          this.countAll(e.values, depth);
          break;
        case "merge":
          this.countAll([e.at, e.mask, e.bits], depth);
          break;
        case "copy":
          this.countAll([e.to, e.from, e.valid], depth);
          break;
        case "fragment":
          this.count(e.at, depth);
          break;
        case "shuffle":
          this.count(e.value, depth);
          break;
        case "scale":
          this.countAll(e.values, depth);
          this.countAll(e.by, depth);
          break;
        case "mma":
          for (const ids of [e.a, e.b, e.c]) this.countAll(ids, depth);
          break;
        case "declare":
          this.count(e.init, depth);
          break;
        case "loop":
          this.count(e.from, depth);
          this.count(e.to, depth + 1);
          this.countBlock(e.body, depth + 1);
          for (const a of e.assigns) this.count(a.value, depth + 1);
          break;
      }
      if ("guard" in e && e.guard !== undefined && (e.kind !== "loads" || e.outs.some((o) => this.isUsed(o)))) this.count(e.guard, depth);
    }
  }
  private isUsed(id: NodeId): boolean {
    return this.uses[id]! > 0;
  }
  private isLeaf(n: Node): boolean {
    return n.kind === "const" || n.kind === "uniform" || n.kind === "thread" || n.kind === "block" || n.kind === "variable";
  }
  private named(id: NodeId): boolean {
    const n = this.nodes.at(id);
    if (this.isLeaf(n)) return false;
    if (n.pinned) return true;
    return this.uses[id]! > 1 || this.depths[id]! > n.depth || this.sizeOf(id) > largestExpression;
  }
  private sizeOf(id: NodeId): number {
    const old = this.sizes[id]!;
    if (old > 0) return old;
    let size = 1;
    for (const a of this.nodes.at(id).args) if (!this.isLeaf(this.nodes.at(a)) && !this.named(a)) size += this.sizeOf(a);
    this.sizes[id] = size;
    return size;
  }

  // ---- names
  private readonly stems = new Map<string, string>();
  private stemOf(hint: string): string {
    let stem = this.stems.get(hint);
    if (stem === undefined) {
      stem =
        hint
          .replace(/[^A-Za-z0-9_]/g, "_")
          .replace(/^(\d)/, "_$1")
          .replace(/__+/g, "_")
          .replace(/^_+(?=[A-Za-z])/, "") || "t";
      this.stems.set(hint, stem);
    }
    return stem;
  }
  private fresh(hint: string): string {
    const base = this.stemOf(hint);
    let name = base;
    let k = this.counts.get(base) ?? 1;
    for (; this.used.has(name) || name === "_"; k++) name = `${base}_${k}`;
    this.counts.set(base, k);
    this.used.add(name);
    return name;
  }
  private nameOf(id: NodeId): string {
    const n = this.nodes.at(id);
    if (n.of !== undefined) return this.nameOf(n.of);
    let name = this.names[id];
    if (name === undefined) {
      name = this.fresh(n.hint ?? (n.kind === "shared" ? "other" : n.elem === "bool" ? "is" : n.elem === "i32" ? "at" : "x"));
      this.names[id] = name;
    }
    return name;
  }

  // ---- expressions
  private expr(id: NodeId): Expr {
    const n = this.nodes.at(id);
    let e = this.exprs[id];
    if (e === undefined) {
      const byName = n.kind === "variable" || (!this.isLeaf(n) && this.named(id));
      e = byName ? { kind: "name", name: this.nameOf(id), elem: n.elem } : this.whole(id);
      this.exprs[id] = e;
    }
    return e;
  }
  /** The node itself, its operands by name or nested. */
  private whole(id: NodeId): Expr {
    const n = this.nodes.at(id);
    switch (n.kind) {
      case "const":
        return { kind: "const", value: n.value!, elem: n.elem };
      case "uniform":
        return { kind: "uniform", name: n.name!, elem: n.elem };
      case "thread":
      case "block":
        return { kind: n.kind, elem: "i32" };
      case "op":
        return { kind: "op", op: n.op!, args: n.args.map((a) => this.expr(a)), elem: n.elem, wraps: n.wraps };
      case "load":
        this.buffers.add(n.name!);
        return {
          kind: "load",
          buffer: n.name!,
          at: this.expr(n.args[0]!),
          guard: n.guarded ? this.expr(n.args[1]!) : undefined,
          elem: n.elem,
        };
      case "shared":
        return { kind: "shared", array: n.name!, at: this.expr(n.args[0]!), elem: n.elem };
      default:
        return { kind: "name", name: this.nameOf(id), elem: n.elem };
    }
  }

  // ---- statements
  block(entries: readonly Entry[]): Stmt[] {
    const out: Stmt[] = [];
    for (const e of entries) {
      if (typeof e === "number") {
        if (this.isUsed(e) && this.named(e)) out.push({ kind: "let", name: this.nameOf(e), value: this.whole(e) });
        continue;
      }
      if (e.kind !== "loads" && "buffer" in e) this.buffers.add(e.buffer);
      switch (e.kind) {
        case "store": {
          const store: Stmt = { kind: "store", buffer: e.buffer, at: this.expr(e.at), value: this.expr(e.value) };
          this.guarded(out, e.guard, store);
          break;
        }
        case "loads": {
          const used = e.outs.map((o) => (this.isUsed(o) ? this.nameOf(o) : undefined));
          if (used.some((o) => o !== undefined)) {
            this.buffers.add(e.buffer);
            out.push({
              ...{ kind: "loads", name: this.fresh("wide"), outs: used, buffer: e.buffer, at: this.expr(e.at), elem: e.elem },
              ...(e.guard === undefined ? {} : { guard: this.expr(e.guard) }),
            });
          }
          break;
        }
        case "stores": {
          const stores: Stmt = { kind: "stores", buffer: e.buffer, at: this.expr(e.at), values: e.values.map((v) => this.expr(v)) };
          this.guarded(out, e.guard, stores);
          break;
        }
        case "merge": {
          const merge: Stmt = { kind: "merge", buffer: e.buffer, at: this.expr(e.at), mask: this.expr(e.mask), bits: this.expr(e.bits) };
          this.guarded(out, e.guard, merge);
          break;
        }
        case "copy":
          this.guarded(out, e.guard, {
            ...{ kind: "copy", array: e.array, buffer: e.buffer },
            ...{ to: this.expr(e.to), from: this.expr(e.from), valid: this.expr(e.valid) },
          });
          break;
        case "shuffle":
          out.push({ ...e, out: this.nameOf(e.out), value: this.expr(e.value) });
          break;
        case "scale": {
          const [values, by] = [e.values, e.by].map((list) => list.map((id) => this.expr(id)));
          out.push({ kind: "scale", outs: e.outs.map((o) => this.nameOf(o)), values: values!, by: by! });
          break;
        }
        case "fragment":
          out.push({ ...e, outs: e.outs.map((o) => this.nameOf(o)), at: this.expr(e.at) });
          break;
        case "mma": {
          const [a, b, c] = [e.a, e.b, e.c].map((list) => list.map((id) => this.expr(id)));
          const outs = e.outs.map((o, k) => this.accumulator(o, e.c[k]!));
          out.push({ kind: "mma", form: e.form, outs, elem: c![0]!.elem, a: a!, b: b!, c: c! });
          break;
        }
        case "share":
          this.guarded(out, e.guard, { kind: "share", array: e.array, at: this.expr(e.at), value: this.expr(e.value) });
          break;
        case "shares":
          this.guarded(out, e.guard, {
            ...{ kind: "shares", array: e.array, at: this.expr(e.at) },
            values: e.values.map((v) => this.expr(v)),
          });
          break;
        case "takes": {
          const used = e.outs.map((o) => (this.isUsed(o) ? this.nameOf(o) : undefined));
          if (used.some((o) => o !== undefined))
            out.push({ kind: "takes", name: this.fresh("wide"), outs: used, array: e.array, at: this.expr(e.at), elem: e.elem });
          break;
        }
        case "barrier":
        case "commit":
        case "land":
        case "comment":
          out.push(e);
          break;
        case "declare":
          out.push({ kind: "var", name: this.nameOf(e.variable), value: this.expr(e.init) });
          break;
        case "loop":
          out.push(this.loop(e));
          break;
        default:
          e satisfies never;
      }
    }
    return out;
  }
  /** Results of matrix instructions. */
  private readonly accumulators: Uint8Array;
  /** The name of such a result: that of what it is added to, where this is another of them and nothing else reads it. */
  private accumulator(out: NodeId, before: NodeId): string {
    const own = this.uses[before] === 1 && this.depths[before] === this.nodes.at(before).depth && !this.seenInside.has(before);
    if (own && this.accumulators[before]) this.names[out] = this.nameOf(before);
    this.accumulators[out] = 1;
    return this.nameOf(out);
  }
  /** A statement under a condition; neighbours under the same one share an `if`. */
  private guarded(out: Stmt[], guard: NodeId | undefined, s: Stmt): void {
    if (guard === undefined) {
      out.push(s);
      return;
    }
    const last = out.at(-1);
    if (last?.kind === "if" && this.lastGuard?.guard === guard && this.lastGuard.at === last) {
      const joined: Stmt = { ...last, then: [...last.then, s] };
      out[out.length - 1] = joined;
      this.lastGuard = { guard, at: joined };
      return;
    }
    const made: Stmt = { kind: "if", test: this.expr(guard), then: [s] };
    out.push(made);
    this.lastGuard = { guard, at: made };
  }
  private lastGuard: { readonly guard: NodeId; readonly at: Stmt } | undefined;
  private loop(e: EffectOf<"loop">): Stmt {
    let name = this.nameOf(e.index);
    while (this.used.has(turnOf(name))) {
      name = this.fresh(name);
      this.names[e.index] = name;
    }
    this.used.add(turnOf(name));
    const body = this.block(e.body);
    const targets = e.assigns.map((a) => this.nameOf(a.variable));
    const values = e.assigns.map((a) => this.expr(a.value));
    // All carried values change at once: one that reads a variable assigned before it is computed first.
    const temporaries: Stmt[] = [];
    const assigns: Stmt[] = [];
    const earlier = new Set<string>();
    values.forEach((value, k) => {
      const target = targets[k]!;
      if (k > 0) earlier.add(targets[k - 1]!);
      if (value.kind === "name" && value.name === target) return;
      if (mentions(value, earlier)) {
        const held = this.fresh(`next_${target}`);
        temporaries.push({ kind: "let", name: held, value });
        assigns.push({ kind: "assign", name: target, value: { kind: "name", name: held, elem: value.elem } });
      } else assigns.push({ kind: "assign", name: target, value });
    });
    invariant(!targets.includes(name), "a loop's index is not carried");
    return {
      ...{ kind: "for", name, from: this.expr(e.from), to: this.expr(e.to), step: e.step },
      ...(e.twice ? { twice: true } : {}),
      body: [...body, ...temporaries, ...assigns],
    };
  }
}
function mentions(e: Expr, names: ReadonlySet<string>): boolean {
  if (e.kind === "name") return names.has(e.name);
  if (e.kind === "op") return e.args.some((a) => mentions(a, names));
  if (e.kind === "load") return mentions(e.at, names) || (e.guard !== undefined && mentions(e.guard, names));
  return e.kind === "shared" && mentions(e.at, names);
}
