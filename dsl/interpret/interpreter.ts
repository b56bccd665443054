/**
 * The reference interpreter: the meaning of a program, in f64, with the derived error bound beside each value. It evaluates on demand, so
 * that a sample of the elements of a large output costs only what those elements need, and remembers every element it has computed.
 */
import { InternalError, invariant } from "../diagnostics.ts";
import { desugar } from "../tensor/desugar.ts";
import type { Axis, Define, Expr, Monoid, Program, Statement } from "../tensor/ir.ts";
import { formats, roundTo } from "../tensor/narrow.ts";
import { type ElemType, storage } from "../tensor/types.ts";
import { type Accuracy, ideal } from "./accuracy.ts";
import { compileExpression } from "./expressions.ts";
import type { Leaves } from "./integers.ts";
import { Memo } from "./memo.ts";
import { Published } from "./published.ts";
import { namesOf, type Share, sharesOf } from "./shares.ts";
import { type Element, type Inputs, type Source, sizeOf, stridesOf, type Values } from "./source.ts";
import { type Evaluate, hole, state } from "./state.ts";
import { compileNewAxis, compileWrite, runFold } from "./statements.ts";

/** Another look at the same run: after a machine's own decisions, or at the roundings of one definition alone. */
interface View {
  readonly published?: Published;
  readonly rounding?: { readonly of: string; readonly accuracy: Accuracy };
}
export class Interpreter {
  readonly program: Program;
  /** Of the definition that is being compiled. */
  accuracy: Accuracy;
  readonly inputs: Inputs;
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
    const get = readOnce(t);
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

  readonly leaves: Leaves = {
    slot: (name) => this.slot(name),
    dim: (name) => {
      const v = this.program.dims.find((d) => d.name === name)?.value ?? this.inputs.dims[name];
      invariant(v !== undefined, `no value for dimension ${name}`);
      return v;
    },
  };
  // ---- frames: one slot for each index and var name of the whole program
  slot(name: string): number {
    let s = this.slots.get(name);
    if (s === undefined) {
      s = this.newSlot();
      this.slots.set(name, s);
    }
    return s;
  }
  /** A slot without a name, and one after it: the error of a var, the end of a loop. */
  newSlot(): number {
    this.frameSize += 2;
    return this.frameSize - 2;
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

  compile(e: Expr): Evaluate {
    return compileExpression(this, e);
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
/** The elements of a tensor; one that has to be asked for is asked for once. */
function readOnce({ shape, values }: Values): (flat: number) => number {
  if (typeof values !== "function") return (flat) => values[flat]!;
  const size = sizeOf(shape);
  if (size > 2 ** 22) return values;
  const read = new Float64Array(size).fill(Number.NaN);
  return (flat) => {
    const v = read[flat]!;
    if (!Number.isNaN(v)) return v;
    read[flat] = values(flat);
    return read[flat]!;
  };
}
/** A value of a monoid, component by component, with error bounds. */
export interface Tuple {
  readonly values: number[];
  readonly errors: number[];
}
