/** Statements that are more than one element at a time: topk, compact, group, writes and folds. */
import { invariant } from "../diagnostics.ts";
import type { Axis, Fold, NewAxis, Write } from "../tensor/ir.ts";
import { storage } from "../tensor/types.ts";
import type { Interpreter } from "./interpreter.ts";
import { Memo } from "./memo.ts";
import { type Source, sizeOf, stridesOf } from "./source.ts";
import { hole, state } from "./state.ts";
import { Walk } from "./walk.ts";

interface Found {
  readonly index: number;
  readonly value: number;
  readonly error: number;
}

export function compileNewAxis(machine: Interpreter, s: NewAxis): void {
  if (s.kind === "group") return compileGroup(machine, s);
  const outer = machine.extents(s.outer);
  const strides = stridesOf(outer);
  const slots = s.outer.map((a) => machine.slot(a.name));
  const slot = machine.slot(s.over[0]!.name);
  const walk = new Walk(machine, s.over, s.where);
  const body = s.body ? machine.compile(s.body) : undefined;
  const count = s.count ? machine.compile(s.count)(machine.frame()) : sizeOf(machine.extents(s.over));
  interface Row {
    readonly list: readonly Found[];
    /** An element itself hung on a decision. */
    readonly open: boolean;
    /** topk: the indices admissible at each rank. */
    readonly choices?: readonly (readonly number[])[];
  }
  const rows = new Map<number, Row>();
  /** The chosen elements of one row, best first (topk) or in order (compact). */
  const row = (at: number): Row => {
    const old = rows.get(at);
    if (old) return old;
    const before = state.open;
    state.open = false;
    const f = machine.frame();
    let rest = at;
    slots.forEach((sl, k) => {
      f[sl] = Math.floor(rest / strides[k]!);
      rest %= strides[k]!;
    });
    const all: Found[] = [];
    for (let on = walk.first(f); on; on = walk.next(f)) {
      const value = body ? body(f) : 1;
      if (state.undefined) {
        state.undefined = false;
        continue;
      }
      all.push({ index: f[slot]!, value, error: body ? state.error : 0 });
    }
    const result: Row = { ...(s.kind === "topk" ? best(all, count) : { list: all }), open: state.open };
    state.open = before;
    rows.set(at, result);
    return result;
  };
  s.results.forEach((r, k) => {
    if (r.name === undefined) return;
    const shape = machine.extents(r.axes);
    const single = s.kind === "compact" && k === 0;
    const width = single ? 1 : shape.at(-1)!;
    const source: Source = {
      shape,
      strides: stridesOf(shape),
      at: (flat) => {
        const { list, open, choices } = row(Math.floor(flat / width));
        state.open ||= open || (k === 1 && (choices?.[flat % width]?.length ?? 1) > 1);
        state.error = 0;
        if (single) return list.length;
        const found = list[flat % width];
        if (found === undefined) return hole();
        if (s.kind === "topk" && k === 0) state.error = found.error;
        return s.kind === "topk" && k === 0 ? found.value : found.index;
      },
    };
    machine.setSource(r.name, s.kind === "topk" && k === 0 ? rounded(machine, source, r) : source);
    if (s.kind === "topk" && k === 1)
      machine.setSelection(r.name, (flat) => {
        const { open, choices } = row(Math.floor(flat / width));
        return open ? undefined : choices?.[flat % width];
      });
  });
}
/** The stored values of a result whose output type is narrower than what was computed. */
function rounded(machine: Interpreter, source: Source, r: NewAxis["results"][number]): Source {
  if (storage[r.elem.name].bits >= 32) return source;
  const cell = new Float64Array(1);
  const round = machine.stored(() => source.at(cell[0]!), r.elem);
  return {
    ...source,
    at: (flat) => {
      cell[0] = flat;
      return round(cell);
    },
  };
}
/**
 * The k largest, ties to the lower index, NaN last. A value of rank r lies between the r-th largest lower end and the r-th largest upper
 * end; an index is admissible there if at most r others are surely larger, and at least r may be.
 */
function best(all: readonly Found[], k: number): { list: Found[]; choices?: number[][] } {
  const nan = (x: number) => Number.isNaN(x);
  const sorted = [...all].sort((a, b) =>
    nan(a.value) || nan(b.value)
      ? Number(nan(a.value)) - Number(nan(b.value)) || a.index - b.index
      : b.value - a.value || a.index - b.index,
  );
  const list = sorted.slice(0, k);
  if (all.every((x) => x.error === 0)) return { list };
  const ends = (sign: number): number[] => all.map((x) => x.value + sign * x.error).sort((a, b) => b - a);
  const [low, high] = [ends(-1), ends(1)];
  const choices = list.map((_, r) =>
    all
      .filter((x) => {
        const above = all.filter((y) => y !== x && y.value - y.error > x.value + x.error).length;
        const maybe = all.filter((y) => y !== x && y.value + y.error >= x.value - x.error).length;
        return above <= r && maybe >= r;
      })
      .map((x) => x.index),
  );
  return { list: list.map((x, r) => ({ ...x, error: Math.max(high[r]! - x.value, x.value - low[r]!) })), choices };
}

/** A stable counting sort of the tuples by key; tuples whose key is undefined are dropped. */
function compileGroup(machine: Interpreter, s: NewAxis): void {
  invariant(s.body && s.count, "group has a key and a count");
  const extents = machine.extents(s.over);
  const strides = stridesOf(extents);
  const slots = s.over.map((a) => machine.slot(a.name));
  const key = machine.compile(s.body);
  const walk = new Walk(machine, s.over, s.where);
  const groups = machine.compile(s.count)(machine.frame());
  let made: { start: Float64Array; order: Float64Array } | undefined;
  const make = (): { start: Float64Array; order: Float64Array } => {
    if (made) return made;
    const f = machine.frame();
    const buckets: number[][] = Array.from({ length: groups }, () => []);
    for (let on = walk.first(f); on; on = walk.next(f)) {
      const k = key(f);
      if (state.undefined) {
        state.undefined = false;
        continue;
      }
      buckets[k]!.push(slots.reduce((sum, sl, i) => sum + f[sl]! * strides[i]!, 0));
    }
    const start = new Float64Array(groups + 1);
    buckets.forEach((b, k) => {
      start[k + 1] = start[k]! + b.length;
    });
    made = { start, order: Float64Array.from(buckets.flat()) };
    return made;
  };
  s.results.forEach((r, k) => {
    if (r.name === undefined) return;
    const shape = machine.extents(r.axes);
    machine.setSource(r.name, {
      shape,
      strides: stridesOf(shape),
      at: (flat) => {
        const { start, order } = make();
        state.error = 0;
        const table = k === 0 ? start : order;
        return flat < table.length ? table[flat]! : hole();
      },
    });
  });
}

/** The new value of each element that the statement writes; others keep theirs. */
export function compileWrite(machine: Interpreter, w: Write): void {
  const param = machine.program.params.find((p) => p.name === w.tensor);
  const output = machine.program.outputs.find((o) => o.name === w.tensor);
  const elem = (param ?? output)!.elem;
  const shape = param ? machine.source(w.tensor).shape : machine.extents(output!.axes);
  const strides = stridesOf(shape);
  const old: Source["at"] = param ? machine.source(w.tensor).at : hole;
  const value = machine.compile(w.value);
  const direct =
    w.mode === "set" && w.subscripts.every((s) => s.kind === "index") && new Set(w.axes.map((a) => a.name)).size === w.subscripts.length;
  if (direct) {
    // subscripts are the axes in some order: the element says which point writes it
    const axes: Axis[] = w.subscripts.map((s) => w.axes.find((a) => s.kind === "index" && a.name === s.name)!);
    const inside = machine.inside(w.axes, w.where);
    const stored = machine.stored(value, elem);
    const slots = axes.map((a) => machine.slot(a.name));
    const evaluate = (f: Float64Array): number => {
      const keep = (): number => {
        state.undefined = false;
        return old(slots.reduce((sum, sl, k) => sum + f[sl]! * strides[k]!, 0));
      };
      if (inside && (!inside(f) || state.undefined)) return keep();
      const v = stored(f);
      return state.undefined ? keep() : v;
    };
    machine.setFinal(w.tensor, machine.lazy(shape, axes, evaluate));
    return;
  }
  let memo: Memo | undefined;
  const run = (): Memo => {
    if (memo) return memo;
    const before = { ...state };
    memo = new Memo(sizeOf(shape));
    const subscripts = w.subscripts.map((s) => machine.compile(s));
    const sums = new Map<number, { value: number; error: number }>();
    const walk = new Walk(machine, w.axes, w.where);
    const f = machine.frame();
    const inner = memo;
    const cell = new Float64Array(2);
    const narrow = machine.stored(() => {
      state.error = cell[1]!;
      return cell[0]!;
    }, elem);
    const u = w.value.type === "f32" ? machine.accuracy.unit : 0;
    for (let on = walk.first(f); on; on = walk.next(f)) {
      state.open = false;
      const flat = subscripts.reduce((sum, s, k) => sum + s(f) * strides[k]!, 0);
      const v = value(f);
      if (state.undefined) {
        state.undefined = false;
        continue;
      }
      cell[0] = v;
      cell[1] = state.error;
      if (w.mode === "set") {
        inner.set(flat, narrow(f));
        continue;
      }
      const e = state.error;
      let s = sums.get(flat);
      if (s === undefined) {
        const at = old(flat);
        s = { value: at, error: state.error };
        sums.set(flat, s);
      }
      s.value = w.value.type === "i32" ? (s.value + v) | 0 : w.value.type === "u32" ? (s.value + v) >>> 0 : s.value + v;
      s.error += e + u * (Math.abs(s.value) + s.error + e);
    }
    for (const [flat, s] of sums) {
      cell[0] = s.value;
      cell[1] = w.value.type === "f32" || w.value.type === "f64" ? s.error : 0;
      state.error = cell[1];
      state.open = false;
      inner.set(flat, narrow(f));
    }
    Object.assign(state, before);
    return memo;
  };
  const source: Source = {
    shape,
    strides,
    at: (flat) => {
      const m = run();
      return m.has(flat) ? m.get(flat) : old(flat);
    },
  };
  machine.setFinal(w.tensor, source);
  if (output) machine.setSource(w.tensor, source);
}

/** Runs all steps, each state kept as one dense tensor. */
export function runFold(machine: Interpreter, s: Fold): void {
  const steps = machine.extents([s.axis])[0]!;
  const slot = machine.slot(s.axis.name);
  for (const x of s.states)
    machine.setSource(
      x.name,
      dense(machine, x.axes, machine.definition({ axes: x.axes, value: x.init, ...(x.storage ? { storage: x.storage } : {}) })),
    );
  const emitted = s.emits.map((d) => ({ d, shape: machine.extents(d.axes), memo: new Memo(sizeOf(machine.extents(d.axes))) }));
  for (let step = 0; step < steps; step++) {
    machine.pin(slot, step);
    const frame = machine.frame();
    const live = s.where ? machine.inside([], s.where)!(frame) : 1;
    if (!live) continue;
    for (const b of s.body) machine.statement(b);
    for (const { d, shape, memo } of emitted) {
      const value = machine.definition({
        axes: d.axes.filter((a) => a.name !== s.axis.name),
        value: d.value,
        ...(d.where ? { where: d.where } : {}),
        ...(d.storage ? { storage: d.storage } : {}),
      });
      const own = d.axes.filter((a) => a.name !== s.axis.name);
      forEachPoint(machine, own, (f) => {
        f[slot] = step;
        state.open = false;
        const flat = d.axes.reduce((sum, a, k) => sum + f[machine.slot(a.name)]! * stridesOf(shape)[k]!, 0);
        memo.set(flat, value(f));
        state.undefined = false;
      });
    }
    const next = s.nexts.map((n) => {
      const of = s.states.find((x) => x.name === n.state)!;
      const old = machine.source(n.state);
      const value = machine.definition({
        axes: n.axes,
        value: n.value,
        ...(n.where ? { where: n.where } : {}),
        ...(of.storage ? { storage: of.storage } : {}),
      });
      const slots = n.axes.map((a) => machine.slot(a.name));
      const strides = old.strides;
      return [
        n.state,
        dense(machine, n.axes, (f) => {
          f[slot] = step;
          const v = value(f);
          if (!state.undefined) return v;
          state.undefined = false;
          return old.at(slots.reduce((sum, sl, k) => sum + f[sl]! * strides[k]!, 0));
        }),
      ] as const;
    });
    for (const [name, source] of next) machine.setSource(name, source);
  }
  for (const { d, shape, memo } of emitted)
    machine.setSource(d.name, { shape, strides: stridesOf(shape), at: (flat) => (memo.has(flat) ? memo.get(flat) : hole()) });
}
function forEachPoint(machine: Interpreter, axes: readonly Axis[], body: (f: Float64Array) => void): void {
  const extents = machine.extents(axes);
  const slots = axes.map((a) => machine.slot(a.name));
  const strides = stridesOf(extents);
  const n = sizeOf(extents);
  for (let flat = 0; flat < n; flat++) {
    const f = machine.frame();
    let rest = flat;
    slots.forEach((sl, k) => {
      f[sl] = Math.floor(rest / strides[k]!);
      rest %= strides[k]!;
    });
    body(f);
  }
}
function dense(machine: Interpreter, axes: readonly Axis[], evaluate: (f: Float64Array) => number): Source {
  const shape = machine.extents(axes);
  const memo = new Memo(sizeOf(shape));
  let flat = 0;
  forEachPoint(machine, axes, (f) => {
    state.open = false;
    state.undefined = false;
    memo.set(flat++, evaluate(f));
    state.undefined = false;
  });
  return { shape, strides: stridesOf(shape), at: (at) => memo.get(at) };
}
