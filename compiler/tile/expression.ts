/**
 * Tensor expressions -> tile operations, at the point that a launch or a loop has reached.
 *
 * A value is computed as if it were defined; whether it is, is a condition of its own (`domainOf`), which consumers ask for. Loads that only
 * a condition keeps in range carry that condition as their guard; subscripts that are in range by their axes alone need none, since indices
 * past an extent are clamped to the last real one.
 */

import { domainOf, type TensorDomain } from "../../dsl/check/domain.ts";
import { Prover } from "../../dsl/check/prove.ts";
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import { compare, freeIndices, indexVar, mapChildren, num, some } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { printAxis, printExpr } from "../../dsl/tensor/print.ts";
import { atSubscripts } from "../../dsl/tensor/program.ts";
import { type Compute, storage } from "../../dsl/tensor/types.ts";
import type { Plan, Stored } from "../plan/jobs.ts";
import type { LaunchShape } from "../schedule/shape.ts";
import type { Target } from "../targets/target.ts";
import { readAcrossTile } from "./across.ts";
import type { Builder } from "./builder.ts";
import type { Elem, MapOp, Value } from "./ir.ts";
import { natural } from "./natural.ts";
import { reduce } from "./reduce.ts";

export type Reduce = Extract<Expr, { kind: "reduce" }>;
export const elemOf = (type: Compute): Elem => (type === "int" ? "i32" : type);

/** What names mean at a place, and the condition under which it is reached. */
export interface Env {
  /** Indices (clamped into range) and vars. */
  readonly values: ReadonlyMap<string, Value>;
  /** Axes in scope, for proofs about subscripts. */
  readonly axes: readonly Axis[];
  /** Beyond the axes, what holds here; loads that need it carry it. */
  readonly guard: Value | undefined;
  /** The tile axes that each index varies over are in its value; reductions may be spread over threads only outside any loop. */
  readonly inLoop: boolean;
  /** The value is wanted even where it is undefined, as any number. */
  readonly anywhere?: boolean;
}
const bind = (env: Env, name: string, value: Value): Env => ({ ...env, values: new Map(env.values).set(name, value) });

/** A reduction by a monoid that has been made: its components come from one loop. */
export interface Fold {
  readonly e: Reduce;
  /** What its text names, as values. */
  readonly held: readonly Value[];
  readonly values: readonly Value[];
  readonly scope: unknown;
}

/** The lowest value that stands for "nothing yet" in a maximum. */
export const lowest = -3.4028234663852886e38;

export class Lowering {
  readonly builder: Builder;
  readonly plan: Plan;
  readonly shape: LaunchShape;
  readonly infinities: boolean;
  readonly powersOfTwo: boolean;
  readonly eightBits: boolean;
  private readonly zeroedMemory: boolean;
  /** Buffers written in this launch by statements that are walked in order. */
  readonly ordered = new Set<string>();
  readonly used = new Set<string>();
  /** Buffers that this launch writes, and the condition under which its indices are real. */
  written: ReadonlySet<string> = new Set();
  inside: Value | undefined;
  /** Indices that are columns of a matrix product, where its second factor holds them. */
  readonly others = new Map<string, Value>();
  /** Of what steps over a block's tile of an index: where the tile begins, at a multiple of its size. */
  readonly tiles = new Map<Value, { readonly start: Value; readonly size: number }>();
  /** Operands of products that lie in shared memory: product, factor and tensor give the tile of the step at hand. */
  readonly staged = new Map<string, () => Value>();
  /** Expressions whose value is known where the lowering stands. */
  readonly computed = new Map<Expr, Value>();
  readonly sharedBytes: number;
  /** Elements that are read in place of memory, one for each point of the launch. */
  readonly held = new Map<string, Value>();
  /** Searches already made, by table and position. */
  private readonly segments = new Map<string, { value: Value; scope: unknown }>();
  /** Reductions by a monoid already made: its components come from one loop. */
  readonly folds = new Map<string, Fold>();

  constructor(
    builder: Builder,
    plan: Plan,
    shape: LaunchShape,
    target: Pick<Target, "infinities" | "powersOfTwo" | "zeroedMemory" | "limits" | "profile">,
  ) {
    this.sharedBytes = target.limits.sharedBytes;
    this.builder = builder;
    this.plan = plan;
    this.shape = shape;
    this.infinities = target.infinities;
    this.powersOfTwo = target.powersOfTwo;
    this.eightBits = target.profile.eightBits;
    this.zeroedMemory = target.zeroedMemory;
  }
  get domains(): ReadonlyMap<string, TensorDomain> {
    return this.plan.domains;
  }
  int(v: number): Value {
    return this.builder.constant(v, "i32");
  }

  /** The value of `e`, as if it were defined. */
  value(e: Expr, env: Env): Value {
    const b = this.builder;
    const known = this.computed.size > 0 ? this.computed.get(e) : undefined;
    if (known !== undefined) return known;
    switch (e.kind) {
      case "const":
        return b.constant(e.type === "f32" && typeof e.value === "number" ? Math.fround(e.value) : e.value, elemOf(e.type));
      case "dim":
        return b.leaf("dim", e.name, "i32");
      case "scalar":
        return b.leaf("scalar", e.name, elemOf(e.type));
      case "index":
      case "var": {
        const v = env.values.get(e.name);
        invariant(v !== undefined, `${e.name} has no value here`);
        return v;
      }
      case "read":
        return this.read(e, env);
      case "op":
        return this.op(e, env);
      case "cast":
        return this.cast(e, env);
      case "relax":
        return this.value(e.arg, env);
      case "bitcast":
        return b.map("bitcast", [this.value(e.arg, env)], elemOf(e.type));
      case "if": {
        const c = this.value(e.cond, env);
        return b.map(
          "select",
          [c, this.value(e.then, this.under(env, c)), this.value(e.else, this.under(env, this.not(c)))],
          elemOf(e.type),
        );
      }
      case "else": {
        const d = this.condition(domainOf(e.value, this.domains), env);
        return b.map(
          "select",
          [d, this.value(e.value, this.under(env, d)), this.value(e.other, this.under(env, this.not(d)))],
          elemOf(e.type),
        );
      }
      case "let":
        return this.value(e.body, bind(env, e.name, this.value(e.value, env)));
      case "defined":
        return this.condition(domainOf(e.arg, this.domains), env);
      case "segment":
        return this.segment(e, env);
      case "reduce":
        return reduce(this, e, env)[e.op === "argmax" || e.op === "argmin" ? 1 : e.component]!;
      case "sweep":
        throw new InternalError(`a ${e.op} has to be a definition of its own`);
      default:
        return e satisfies never;
    }
  }
  condition(e: Expr, env: Env): Value {
    return this.value(e, env);
  }
  not(c: Value): Value {
    return this.builder.map("lnot", [c], "bool");
  }
  both(a: Value | undefined, b: Value | undefined): Value | undefined {
    return a === undefined ? b : b === undefined ? a : this.builder.map("land", [a, b], "bool");
  }
  under(env: Env, c: Value): Env {
    if (this.builder.constantOf(c) === true) return env;
    const guard = this.both(env.guard, c);
    return guard === undefined ? env : { ...env, guard };
  }

  // ---- reads
  private read(e: Extract<Expr, { kind: "read" }>, env: Env): Value {
    const held = this.held.get(e.tensor);
    if (held !== undefined) return held;
    const t = this.plan.stored.get(e.tensor);
    const formula = this.plan.inlined.get(e.tensor);
    // Conditions still name definitions that are computed where they are read.
    if (t === undefined && formula) return this.value(atSubscripts(formula.value, formula.axes, e.subscripts), env);
    invariant(t, `${e.tensor} is read but neither stored nor inlined`);
    this.used.add(e.tensor);
    const across = e.type === "bool" ? undefined : readAcrossTile(this, e, env);
    if (across !== undefined) return across;
    const at = this.address(e.tensor, e.subscripts, env);
    // Only a condition, or a place where anything may be, leaves a doubt.
    const doubt = env.guard !== undefined || env.anywhere === true;
    const inside = e.subscripts.map((s, k) => !doubt || this.inRange(s, t.axes[k]!.extent, env.axes));
    const safe = inside.every((x) => x);
    const elem = elemOf(storage[t.elem].compute);
    // What this launch writes is read by the threads that write it, not by those beyond the tail.
    const own = this.written.has(e.tensor) || this.ordered.has(e.tensor);
    const tail = this.written.has(e.tensor) ? this.inside : undefined;
    const holes = this.hasHoles(t);
    const guard = safe && !holes ? undefined : env.guard;
    // A guard that varies more than the place would keep the load in a loop: the place is brought into range instead.
    const varies = guard !== undefined && this.builder.variesMore(guard, at);
    const fitted = !safe && !holes && !own && (env.anywhere || varies) && this.hasElement(t.axes, inside);
    const loaded = fitted
      ? this.builder.load(e.tensor, elem, this.address(e.tensor, e.subscripts, env, inside), undefined)
      : this.builder.load(e.tensor, elem, at, this.both(guard, tail), this.ordered.has(e.tensor));
    // A temporary holds truth values as words.
    return e.type === "bool" && elem !== "bool" ? this.builder.map("ne", [loaded, this.builder.constant(0, elem)], "bool") : loaded;
  }
  /** Whether a tensor has elements for all sizes, given the axes that subscripts are known to be inside of. */
  private hasElement(axes: readonly Axis[], inside: readonly boolean[]): boolean {
    return axes.every((a, k) => inside[k] || this.proves(compare("ge", a.extent, num(1))));
  }
  /**
   * The flat position of an element: row-major, or where a declared layout puts it.
   * @param inside the subscripts that are in range as they are; others are brought there, where it is given
   */
  address(tensor: string, subscripts: readonly Expr[], env: Env, inside?: readonly boolean[]): Value {
    const t = this.plan.stored.get(tensor)!;
    const b = this.builder;
    const at = subscripts.map((s, k) => {
      const v = this.value(s, env);
      if (inside === undefined || inside[k]) return v;
      const last = b.map("sub", [this.value(t.axes[k]!.extent, env), this.int(1)], "i32");
      return b.map("min", [b.map("max", [v, this.int(0)], "i32"), last], "i32");
    });
    if (t.layout) {
      const inner: Env = { ...env, values: new Map(t.layout.indices.map((n, k) => [n, at[k]!])) };
      return this.value(t.layout.place, inner);
    }
    const terms: Value[] = [];
    let stride: Value = this.int(1);
    for (let k = at.length - 1; k >= 0; k--) {
      terms.push(this.times(at[k]!, stride));
      if (k > 0) stride = this.times(this.value(t.axes[k]!.extent, env), stride);
    }
    return this.sum(terms);
  }
  /** The largest multiple of `width` that is not above a natural number. */
  alignedDown(v: Value, width: number): Value {
    const b = this.builder;
    if (b.constantOf(v) === 0) return v;
    return this.times(b.map("truncdiv", [b.map("max", [v, this.int(0)], "i32"), this.int(width)], "i32"), this.int(width));
  }
  /** The least multiple of `width` that is not below a natural number. */
  alignedUp(v: Value, width: number): Value {
    const b = this.builder;
    return b.constantOf(v) === 0 ? v : this.alignedDown(b.map("add", [v, this.int(width - 1)], "i32"), width);
  }
  /** Definitions that have no memory, in place of their reads. */
  expand(e: Expr): Expr {
    const formula = e.kind === "read" && !this.plan.stored.has(e.tensor) ? this.plan.inlined.get(e.tensor) : undefined;
    if (e.kind === "read" && formula) return this.expand(atSubscripts(formula.value, formula.axes, e.subscripts));
    return mapChildren(e, (c) => this.expand(c));
  }
  /** Whether a condition on dimensions, and on indices where `given` holds, holds for all that the program admits. */
  proves(goal: Expr, axes: readonly Axis[] = [], given: readonly Expr[] = []): boolean {
    const key = `${[goal, ...given].map(printExpr).join(" where ")}${axes.map((a) => ` ${printAxis(a)}`).join("")}`;
    let known = this.plan.proofs.get(key);
    if (known === undefined) {
      const { dims, requires } = this.plan.program;
      const { tables, formulas } = this.plan;
      known = new Prover({ dims, tables, formulas, axes, conditions: [...requires, ...given] }).proves(goal);
      this.plan.proofs.set(key, known);
    }
    return known;
  }
  /** Whether every read in it stays inside its tensor for all values of the axes, conditions aside but for those `given`. */
  readsInRange(e: Expr, axes: readonly Axis[], given: readonly Expr[] = []): boolean {
    const told = (s: Expr, extent: Expr): boolean =>
      given.length > 0 && this.proves(compare("ge", s, num(0)), axes, given) && this.proves(compare("lt", s, extent), axes, given);
    const inside = (s: Expr, extent: Expr): boolean => this.inRange(s, extent, axes) || told(s, extent);
    return !some(e, (x) => x.kind === "read" && !x.subscripts.every((s, k) => inside(s, this.plan.stored.get(x.tensor)!.axes[k]!.extent)));
  }
  /** Whether it can be computed `anywhere`: what it reads is in range, or can be brought there. */
  readsAnywhere(e: Expr, axes: readonly Axis[]): boolean {
    return !some(e, (x) => {
      if (x.kind !== "read") return false;
      const t = this.plan.stored.get(x.tensor);
      if (t === undefined || this.written.has(x.tensor) || this.ordered.has(x.tensor)) return true;
      const inside = x.subscripts.map((s, k) => this.inRange(s, t.axes[k]!.extent, axes));
      return this.hasHoles(t) || !this.hasElement(t.axes, inside);
    });
  }
  /** A temporary may hold nothing outside its domain: where that is not 0, it is not read. */
  private hasHoles(t: Stored): boolean {
    return !this.zeroedMemory && t.role === "temp" && !t.everywhere && this.plan.domains.get(t.name)?.domain !== undefined;
  }
  times(a: Value, b: Value): Value {
    return this.builder.map("mul", [a, b], "i32");
  }
  /** Terms that vary least are added first, so that partial sums move out of loops. */
  private sum(terms: readonly Value[]): Value {
    const b = this.builder;
    if (terms.length === 0) return this.int(0);
    const sorted = [...terms].sort((x, y) => b.depthOf(x) - b.depthOf(y) || b.axes(x).length - b.axes(y).length);
    return sorted.reduce((x, y) => b.map("add", [x, y], "i32"));
  }
  /** Whether a subscript lies within the extent for every value of the axes alone, conditions aside. */
  private inRange(s: Expr, extent: Expr, axes: readonly Axis[]): boolean {
    if (s.kind === "index") {
      const own = axes.find((a) => a.name === s.name);
      if (own && printExpr(own.extent) === printExpr(extent)) return true;
    }
    // What is known of a segment holds only where there is one, which is what a condition says.
    const searched = some(s, (x) => x.kind === "segment" || (x.kind === "read" && this.plan.formulas.has(x.tensor)));
    if (searched) return false;
    const key = `${printExpr(s)} < ${printExpr(extent)} | ${[...freeIndices(s)].map((n) => printExpr(axes.find((a) => a.name === n)?.extent ?? num(0))).join()}`;
    let known = this.plan.proofs.get(key);
    if (known === undefined) {
      const own = freeIndices(s);
      const prover = new Prover({
        dims: this.plan.program.dims,
        tables: this.plan.tables,
        formulas: this.plan.formulas,
        axes: axes.filter((a) => own.has(a.name)).map(({ name, extent: x }) => ({ name, extent: x })),
        conditions: this.plan.program.requires,
      });
      known = prover.proves(compare("ge", s, num(0))) && prover.proves(compare("lt", s, extent));
      this.plan.proofs.set(key, known);
    }
    return known;
  }
  /** The largest r with table[r] <= t, by bisection; 0 where the table holds no segment. */
  private segment(e: Extract<Expr, { kind: "segment" }>, env: Env): Value {
    const b = this.builder;
    const t = this.plan.stored.get(e.table)!;
    this.used.add(e.table);
    const arg = this.value(e.arg, env);
    const count = this.value({ kind: "op", op: "sub", args: [t.axes[0]!.extent, num(2)], type: "int", span: e.span }, env);
    const key = `${e.table} ${arg}`;
    const old = this.segments.get(key);
    if (old && b.isOpen(old.value, old.scope)) return old.value;
    const value = b.hoisted([arg], () => this.bisect(e.table, arg, count));
    this.segments.set(key, { value, scope: b.scopeOf(value) });
    return value;
  }
  private bisect(table: string, arg: Value, last: Value): Value {
    const b = this.builder;
    const top = b.map("max", [last, this.int(0)], "i32");
    // Each halving keeps lo <= r <= hi and leaves at most half of the top + 1 candidates, rounded up.
    const halvings = b.map("bit_length", [top], "i32");
    const [lo] = b.loop(
      "halving",
      this.int(0),
      halvings,
      1,
      [this.int(0), top],
      () => b.axes(arg),
      (_i, [low, high]) => {
        const middle = b.map("truncdiv", [b.map("add", [b.map("add", [low!, high!], "i32"), this.int(1)], "i32"), this.int(2)], "i32");
        const start = b.load(table, "i32", middle, undefined, this.ordered.has(table));
        const go = b.map("le", [start, arg], "bool");
        const open = b.map("lt", [low!, high!], "bool");
        const up = b.map("land", [open, go], "bool");
        const down = b.map("land", [open, this.not(go)], "bool");
        return [
          b.map("select", [up, middle, low!], "i32"),
          b.map("select", [down, b.map("sub", [middle, this.int(1)], "i32"), high!], "i32"),
        ];
      },
    );
    return lo!;
  }

  // ---- operators and conversions
  private op(e: Extract<Expr, { kind: "op" }>, env: Env): Value {
    const b = this.builder;
    const type = elemOf(e.type);
    if (e.op === "land" || e.op === "lor") {
      const x = this.value(e.args[0]!, env);
      const y = this.value(e.args[1]!, this.under(env, e.op === "land" ? x : this.not(x)));
      return b.map(e.op, [x, y], "bool");
    }
    const args = e.args.map((a) => this.value(a, env));
    if (e.op === "to_int" && e.args[0]!.type === "u32") return this.builder.map("to_i32", args, "i32");
    if (e.op === "to_int" || (e.op.startsWith("to_") && elemOf(e.args[0]!.type) === type)) return args[0]!;
    const tile = e.op === "div" ? this.tiles.get(args[0]!) : undefined;
    const by = tile && b.constantOf(args[1]!);
    // The same for all of the tile.
    if (tile && typeof by === "number" && by > 0 && by % tile.size === 0) return b.map("truncdiv", [tile.start, args[1]!], "i32");
    if (
      (e.op === "div" || e.op === "mod") &&
      (type === "i32" || type === "u32") &&
      (type === "u32" || (natural(e.args[0]!) && natural(e.args[1]!)))
    )
      return b.map(e.op === "div" ? "truncdiv" : "truncmod", args, type);
    if (e.op === "add" && type === "i32" && e.type === "int") return this.sum(args);
    return b.map(e.op, args, type);
  }
  private cast(e: Extract<Expr, { kind: "cast" }>, env: Env): Value {
    const arg = this.value(e.arg, env);
    if (storage[e.to.name].class !== "float" || storage[e.to.name].bits >= 32) return arg;
    if (e.mode === "stochastic") return this.builder.map(`stochastic_${e.to.name}` as MapOp, [arg, this.value(e.bits!, env)], "f32");
    return this.builder.map(`${e.mode === "nearest" ? "round" : "chop"}_${e.to.name}` as MapOp, [arg], "f32");
  }
}

export const pointOf = (axes: readonly Axis[]): Expr[] => axes.map((a) => indexVar(a.name));
