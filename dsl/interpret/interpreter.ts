/**
 * The reference interpreter: the meaning of a program, in f64, with the derived error bound beside each value. It evaluates on demand, so
 * that a sample of the elements of a large output costs only what those elements need, and remembers every element it has computed.
 */
import { InternalError, invariant } from "../diagnostics.ts";
import { desugar } from "../tensor/desugar.ts";
import type { Axis, Define, Expr, Monoid, Program, Statement } from "../tensor/ir.ts";
import { formats, roundStochastic, roundTo, stepAt } from "../tensor/narrow.ts";
import { type Compute, type ElemType, storage } from "../tensor/types.ts";
import { type Accuracy, ideal } from "./accuracy.ts";
import { Memo } from "./memo.ts";
import { Published } from "./published.ts";
import { compileReduce } from "./reduce.ts";
import { compileOp } from "./scalar.ts";
import { namesOf, type Share, sharesOf } from "./shares.ts";
import { type Element, type Inputs, type Source, sizeOf, stridesOf, type Values } from "./source.ts";
import { type Evaluate, hole, state } from "./state.ts";
import { compileNewAxis, compileWrite, runFold } from "./statements.ts";
import { compileSweep } from "./sweep.ts";

/** Another look at the same run: after a machine's own decisions, or at the roundings of one definition alone. */
interface View {
  readonly published?: Published;
  readonly rounding?: { readonly of: string; readonly accuracy: Accuracy };
}
export class Interpreter {
  readonly program: Program;
  /** Of the definition that is being compiled. */
  accuracy: Accuracy;
  private readonly inputs: Inputs;
  private readonly view: View;
  private readonly sources = new Map<string, Source>();
  /** New values of inout parameters; `sources` keeps those at entry. */
  private readonly finals = new Map<string, Source>();
  private readonly slots = new Map<string, number>();
  private frameSize = 0;
  private readonly pinned = new Map<number, number>();
  /** The admissible results of open selections, by tensor: where an element is an index that an argmax, argmin or topk gave. */
  private readonly selections = new Map<string, (flat: number) => readonly number[] | undefined>();
  /** Told of every combine of a user's monoid: the values on which its laws matter. */
  onCombine: ((m: Monoid, x: Tuple, y: Tuple) => void) | undefined;

  /** @throws InternalError if an input is missing; shapes are the caller's to check */
  constructor(program: Program, inputs: Inputs, accuracy: Accuracy = ideal, view: View = {}) {
    this.view = view;
    this.program = desugar(program);
    this.inputs = inputs;
    this.accuracy = accuracy;
    for (const p of program.params) {
      if (p.axes === undefined) continue;
      const t = inputs.tensors[p.name];
      if (t === undefined) throw new InternalError(`no values for parameter ${p.name}`);
      this.sources.set(p.name, this.input(t, p.elem));
    }
    for (const s of this.program.statements) this.statement(s);
  }

  /** The element of an output, or the new value of an inout parameter. */
  element(name: string, index: readonly number[]): Element {
    const source = this.finals.get(name) ?? this.sources.get(name);
    invariant(source, `no tensor ${name}`);
    const flat = index.reduce((sum, i, k) => sum + i * source.strides[k]!, 0);
    return this.elementAt(name, flat);
  }
  elementAt(name: string, flat: number): Element {
    const source = this.view.published?.original(name) ?? this.finals.get(name) ?? this.sources.get(name);
    invariant(source, `no tensor ${name}`);
    state.undefined = false;
    state.open = false;
    state.error = 0;
    const value = source.at(flat);
    const element = { value, bound: state.error, defined: !state.undefined, open: state.open };
    state.undefined = false;
    state.open = false;
    return element;
  }
  /** All admissible results of an open element that is itself a selection; undefined where they are not known one by one. */
  choicesAt(name: string, flat: number): readonly number[] | undefined {
    return this.selections.get(name)?.(flat);
  }
  setSelection(name: string, choices: (flat: number) => readonly number[] | undefined): void {
    this.selections.set(name, choices);
    this.publish(name, (flat, value) => choices(flat)?.includes(value) ?? false);
  }
  private publish(name: string, admits: (flat: number, value: number) => boolean): void {
    const { published } = this.view;
    if (published) this.setSource(name, published.follow(name, this.source(name), admits));
  }
  /** The same run with the decisions that a machine published in place of its own, where they are admissible. */
  following(chosen: (tensor: string, flat: number) => number | undefined): Interpreter {
    return new Interpreter(this.program, this.inputs, this.accuracy, { published: new Published(chosen) });
  }
  sharesAt(name: string, flat: number): Share[] {
    return sharesOf(this, name, flat);
  }
  withOnlyRoundingOf(definition: string): Interpreter {
    return new Interpreter(this.program, this.inputs, ideal, { rounding: { of: definition, accuracy: this.accuracy } });
  }
  shapeOf(name: string): readonly number[] {
    const source = this.sources.get(name);
    invariant(source, `no tensor ${name}`);
    return source.shape;
  }

  // ---- tensors
  private input(t: Values, elem: ElemType): Source {
    const { values } = t;
    const get = typeof values === "function" ? values : (flat: number): number => values[flat]!;
    const float = storage[elem.name].class === "float";
    const flush =
      this.accuracy.flush > 0 && float
        ? elem.name === "f16"
          ? Math.max(this.accuracy.flushHalf, this.accuracy.flush)
          : this.accuracy.flush
        : 0;
    return {
      shape: t.shape,
      strides: stridesOf(t.shape),
      at: (flat) => {
        const v = get(flat);
        const m = Math.abs(v);
        state.error = m < flush && m > 0 ? m : 0;
        return v;
      },
    };
  }
  source(name: string): Source {
    const s = this.sources.get(name);
    invariant(s, `tensor ${name} is read before it is defined`);
    return s;
  }
  setSource(name: string, s: Source): void {
    this.sources.set(name, s);
  }
  setFinal(name: string, s: Source): void {
    this.finals.set(name, s);
  }
  final(name: string): Source | undefined {
    return this.finals.get(name);
  }

  // ---- frames: one slot for each index and var name of the whole program
  slot(name: string): number {
    let s = this.slots.get(name);
    if (s === undefined) {
      s = this.frameSize;
      // A second slot holds the error of a var.
      this.frameSize += 2;
      this.slots.set(name, s);
    }
    return s;
  }
  frame(): Float64Array {
    const f = new Float64Array(this.frameSize + 64);
    for (const [slot, value] of this.pinned) f[slot] = value;
    return f;
  }
  /** Gives an index a value in every frame made from now on: the step of a fold. */
  pin(slot: number, value: number): void {
    this.pinned.set(slot, value);
  }
  /** The extents of axes; they depend on dimensions alone. */
  extents(axes: readonly Axis[]): number[] {
    const frame = this.frame();
    return axes.map((a) => this.compile(a.extent)(frame));
  }

  // ---- statements
  statement(s: Statement): void {
    const before = this.accuracy;
    const { rounding } = this.view;
    if (rounding && namesOf(s).includes(rounding.of)) this.accuracy = rounding.accuracy;
    this.run(s);
    this.accuracy = before;
  }
  private run(s: Statement): void {
    if (s.kind === "define") this.define(s);
    else if (s.kind === "write") compileWrite(this, s);
    else if (s.kind === "fold") runFold(this, s);
    else compileNewAxis(this, s);
  }
  private define(d: Define): void {
    const shape = this.extents(d.axes);
    if (d.value.kind !== "reduce" || (d.value.op !== "argmax" && d.value.op !== "argmin")) {
      this.setSource(d.name, this.lazy(shape, d.axes, this.definition(d)));
      if (d.value.type === "bool") this.publish(d.name, (_, value) => value === 0 || value === 1);
      return;
    }
    const sets = new Map<number, readonly number[]>();
    const keep = (flat: number): void => {
      if (state.open && state.choices) sets.set(flat, state.choices);
    };
    this.setSource(d.name, this.lazy(shape, d.axes, this.definition(d), keep));
    this.setSelection(d.name, (flat) => sets.get(flat));
  }
  /** The value of a definition at the indices in the frame, rounded as it is stored; a hole outside its domain. */
  definition(d: { readonly axes: readonly Axis[]; readonly where?: Expr; readonly storage?: ElemType; readonly value: Expr }): Evaluate {
    const value = this.stored(this.compile(d.value), d.storage);
    const inside = this.inside(d.axes, d.where);
    return inside ? (f) => (inside(f) && !state.undefined ? value(f) : hole()) : value;
  }
  /** The ranges of axes and a condition, as one test; undefined where there is none. */
  inside(axes: readonly Axis[], where: Expr | undefined): Evaluate | undefined {
    const tests: Evaluate[] = [];
    for (const a of axes) {
      if (a.range === undefined) continue;
      const slot = this.slot(a.name);
      const from = this.compile(a.range.from);
      const to = this.compile(a.range.to);
      tests.push((f) => {
        const lo = from(f);
        if (state.undefined || f[slot]! < lo) return 0;
        return f[slot]! < to(f) ? 1 : 0;
      });
    }
    if (where) tests.push(this.compile(where));
    if (tests.length === 0) return undefined;
    return (f) => {
      for (const t of tests) if (!t(f) || state.undefined) return 0;
      return 1;
    };
  }
  /** A tensor that computes an element when it is first asked for. */
  lazy(shape: readonly number[], axes: readonly Axis[], evaluate: Evaluate, computed?: (flat: number) => void): Source {
    const strides = stridesOf(shape);
    const memo = new Memo(sizeOf(shape));
    const slots = axes.map((a) => this.slot(a.name));
    return {
      shape,
      strides,
      at: (flat) => {
        if (memo.has(flat)) return memo.get(flat);
        const openBefore = state.open;
        state.open = false;
        const frame = this.frame();
        let rest = flat;
        for (let k = 0; k < slots.length; k++) {
          const i = Math.floor(rest / strides[k]!);
          frame[slots[k]!] = i;
          rest -= i * strides[k]!;
        }
        const v = evaluate(frame);
        memo.set(flat, v);
        computed?.(flat);
        state.open ||= openBefore;
        return v;
      },
    };
  }

  // ---- narrowing
  /** Rounds to a storage type and states the set of admissible codes: all between those of x - e and x + e. */
  stored(value: Evaluate, elem: ElemType | undefined, mode: "nearest" | "toward_zero" = "nearest"): Evaluate {
    if (elem === undefined) return value;
    const format = formats[elem.name];
    if (format === undefined) return value;
    return (f) => {
      const x = value(f);
      if (state.undefined) return 0;
      const e = state.error;
      const r = roundTo(format, x, mode);
      if (e > 0)
        state.error =
          Number.isFinite(e) && Number.isFinite(x)
            ? Math.max(roundTo(format, x + e, mode) - r, r - roundTo(format, x - e, mode))
            : Number.POSITIVE_INFINITY;
      return r;
    };
  }

  // ---- expressions
  compile(e: Expr): Evaluate {
    switch (e.kind) {
      case "const": {
        const v = Number(e.value);
        const value = e.type === "f32" ? Math.fround(v) : v;
        return () => {
          state.error = 0;
          return value;
        };
      }
      case "dim": {
        const v = this.program.dims.find((d) => d.name === e.name)?.value ?? this.inputs.dims[e.name];
        invariant(v !== undefined, `no value for dimension ${e.name}`);
        return () => {
          state.error = 0;
          return v;
        };
      }
      case "scalar": {
        const v = this.inputs.scalars[e.name];
        invariant(v !== undefined, `no value for scalar ${e.name}`);
        return () => {
          state.error = 0;
          return v;
        };
      }
      case "index": {
        const slot = this.slot(e.name);
        return (f) => {
          state.error = 0;
          return f[slot]!;
        };
      }
      case "var": {
        const slot = this.slot(e.name);
        return (f) => {
          state.error = f[slot + 1]!;
          return f[slot]!;
        };
      }
      case "read":
        return this.read(e);
      case "op":
        return compileOp(
          e,
          e.args.map((a) => this.compile(a)),
          this.accuracy,
          (x) => this.flatten(x, 1),
        );
      case "cast":
        return this.cast(e);
      case "relax": {
        const arg = this.compile(e.arg);
        const format = formats[e.to.name];
        if (format === undefined || e.type !== "f32" || this.accuracy.unit === 0) return arg;
        const half = 2 ** -(format.mantissaBits + 1);
        const least = 2 ** (-format.bias - format.mantissaBits) + (e.to.name === "f16" ? this.accuracy.flushHalf : 0);
        return (f) => {
          const x = arg(f);
          const m = Math.abs(x) + state.error;
          state.error = m > format.max ? Number.POSITIVE_INFINITY : state.error + half * m + least;
          return x;
        };
      }
      case "bitcast": {
        const arg = this.compile(e.arg);
        const from = e.arg.type;
        return (f) => {
          const x = arg(f);
          if (state.error > 0) state.open = true;
          state.error = 0;
          return reinterpret(x, from, e.type);
        };
      }
      case "if":
        return this.choice(e);
      case "else": {
        const value = this.compile(e.value);
        const other = this.compile(e.other);
        return (f) => {
          const x = value(f);
          if (!state.undefined) return x;
          state.undefined = false;
          return other(f);
        };
      }
      case "let": {
        const value = this.compile(e.value);
        const slot = this.slot(e.name);
        const body = this.compile(e.body);
        return (f) => {
          const x = value(f);
          if (state.undefined) return 0;
          f[slot] = x;
          f[slot + 1] = state.error;
          return body(f);
        };
      }
      case "reduce":
        return compileReduce(this, e);
      case "sweep":
        return compileSweep(this, e);
      case "segment": {
        const table = this.source(e.table);
        const arg = this.compile(e.arg);
        const last = table.shape[0]! - 1;
        return (f) => {
          const t = arg(f);
          if (state.undefined) return 0;
          // The largest r with table[r] <= t.
          let lo = 0;
          let hi = last;
          while (lo < hi) {
            const mid = (lo + hi + 1) >> 1;
            if (table.at(mid) <= t) lo = mid;
            else hi = mid - 1;
          }
          if (last < 0 || lo >= last || table.at(lo) > t) return hole();
          state.error = 0;
          return lo;
        };
      }
      case "defined": {
        const arg = this.compile(e.arg);
        return (f) => {
          arg(f);
          const is = state.undefined ? 0 : 1;
          state.undefined = false;
          state.error = 0;
          return is;
        };
      }
      default:
        return e satisfies never;
    }
  }
  private read(e: Extract<Expr, { kind: "read" }>): Evaluate {
    const source = this.source(e.tensor);
    const subscripts = e.subscripts.map((s) => this.compile(s));
    const { strides, shape } = source;
    return (f) => {
      let flat = 0;
      for (let k = 0; k < subscripts.length; k++) {
        const i = subscripts[k]!(f);
        if (state.undefined) return 0;
        if (i < 0 || i >= shape[k]!) throw new InternalError(`${e.tensor}: subscript ${k} is ${i}, extent ${shape[k]}`);
        flat += i * strides[k]!;
      }
      return source.at(flat);
    };
  }
  /** Terms of a chain of + and -, brackets included. */
  private flatten(e: Expr, sign: number): { signs: number[]; terms: Evaluate[] } {
    if (e.kind === "op" && (e.op === "add" || e.op === "sub")) {
      const a = this.flatten(e.args[0]!, sign);
      const b = this.flatten(e.args[1]!, e.op === "add" ? sign : -sign);
      return { signs: [...a.signs, ...b.signs], terms: [...a.terms, ...b.terms] };
    }
    return { signs: [sign], terms: [this.compile(e)] };
  }
  private cast(e: Extract<Expr, { kind: "cast" }>): Evaluate {
    const arg = this.compile(e.arg);
    if (e.mode !== "stochastic") return this.stored(arg, e.to, e.mode);
    const format = formats[e.to.name];
    invariant(format && e.bits, "stochastic rounding of a narrow float");
    const bits = this.compile(e.bits);
    return (f) => {
      const x = arg(f);
      if (state.undefined) return 0;
      const error = state.error;
      const r = bits(f);
      const y = roundStochastic(format, x, r);
      const low = roundStochastic(format, x - error, r);
      const high = roundStochastic(format, x + error, r);
      state.error =
        error > 0 ? Math.max(Math.abs(high - y), Math.abs(y - low), error >= stepAt(format, x) ? error + stepAt(format, x) : 0) : 0;
      return y;
    };
  }
  /** An open condition gives the hull of both branches; nothing is lost where they agree. */
  private choice(e: Extract<Expr, { kind: "if" }>): Evaluate {
    const cond = this.compile(e.cond);
    const then = this.compile(e.then);
    const other = this.compile(e.else);
    const float = e.type === "f32" || e.type === "f64";
    return (f) => {
      const before = state.open;
      state.open = false;
      const c = cond(f);
      const doubtful = state.open;
      state.open = before || (doubtful && !float);
      if (state.undefined) return 0;
      const x = c ? then(f) : other(f);
      if (!doubtful || !float || state.undefined) return x;
      const ex = state.error;
      const y = c ? other(f) : then(f);
      if (state.undefined) {
        state.undefined = false;
        state.open = true;
        state.error = ex;
        return x;
      }
      state.error = Math.max(ex, Math.abs(x - y) + state.error);
      return x;
    };
  }
  identity(m: Monoid): Tuple {
    const frame = this.frame();
    return { values: m.identity.map((e) => this.compile(e)(frame)), errors: m.identity.map(() => 0) };
  }
  /** combine(x, y) of a user's monoid, errors carried by the rules of its operations. */
  combine(m: Monoid): (x: Tuple, y: Tuple) => Tuple {
    const slots = (["x", "y"] as const).map((side) => m.fields.map((field) => this.slot(`${side}.${field.name}`)));
    const parts = m.combine.map((c) => this.compile(c));
    const frame = this.frame();
    return (x, y) => {
      this.onCombine?.(m, x, y);
      [x, y].forEach((t, side) => {
        t.values.forEach((v, k) => {
          frame[slots[side]![k]!] = v;
          frame[slots[side]![k]! + 1] = t.errors[k]!;
        });
      });
      const values: number[] = [];
      const errors: number[] = [];
      for (const p of parts) {
        values.push(p(frame));
        errors.push(state.error);
      }
      return { values, errors };
    };
  }
}
/** A value of a monoid, component by component, with error bounds. */
export interface Tuple {
  readonly values: number[];
  readonly errors: number[];
}

const bits = new DataView(new ArrayBuffer(4));
function reinterpret(x: number, from: Compute, to: Compute): number {
  if (from === "f32") bits.setFloat32(0, x);
  else if (from === "u32") bits.setUint32(0, x);
  else bits.setInt32(0, x);
  return to === "f32" ? bits.getFloat32(0) : to === "u32" ? bits.getUint32(0) : bits.getInt32(0);
}
