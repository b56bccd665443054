/**
 * Writes to inout parameters. All reads of a kernel mean the values at entry, so writes come last; those that touch what others read are
 * fused into one launch where each point reads only what it writes itself, or go through memory of their own.
 */
import { compare, indexVar, num } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr, Write } from "../../dsl/tensor/ir.ts";
import { printExpr } from "../../dsl/tensor/print.ts";
import { atSubscripts } from "../../dsl/tensor/program.ts";
import { computeOf, type ElemType, type Storage, storage } from "../../dsl/tensor/types.ts";
import type { Job, Stored, StoreItem } from "./jobs.ts";
import { type Definitions, type Touch, touchesOf } from "./touches.ts";

/** What the planner lends. */
export interface InPlaceContext extends Definitions {
  readonly stored: ReadonlyMap<string, Stored>;
  /** Memory for a temporary: its name. */
  readonly temporary: (base: string, elem: ElemType, axes: readonly Axis[]) => string;
  readonly expand: (e: Expr) => Expr;
  readonly storeOf: (w: Write, buffer: string) => StoreItem;
  readonly lineOf: (offset: number) => number;
}
/** Jobs that compute, then jobs that store: every one of the first may run before any of the second. */
export function inPlaceJobs(writes: readonly Write[], context: InPlaceContext): { first: Job[]; last: Job[] } {
  const first: Job[] = [];
  const last: Job[] = [];
  const written = new Map(writes.map((w) => [w.tensor, w]));
  const names = new Set(written.keys());
  const touches = new Map(writes.map((w) => [w, touchesOfWrite(w, names, context)]));
  for (const group of groupsOf(writes, touches)) {
    const local = group.every(
      (w) => w.mode === "set" && sameAxes(w.axes, group[0]!.axes) && touches.get(w)!.every((t) => isOwnPlace(t, w, written.get(t.tensor)!)),
    );
    if (local) {
      last.push(fused(group, context));
      continue;
    }
    for (const w of group) {
      const jobs =
        w.mode === "add" ? accumulated(w, touches.get(w)!.length > 0 || group.length > 1, context) : throughMemory(w, names, context);
      first.push(...jobs.first);
      last.push(...jobs.last);
    }
  }
  return { first, last };
}

function touchesOfWrite(w: Write, written: ReadonlySet<string>, context: InPlaceContext): Touch[] {
  const store = context.storeOf(w, w.tensor);
  return [store.value, store.where, ...w.subscripts].flatMap((e) => touchesOf(e, written, context));
}
/** Writes that read each other's tensors, in the order of the text. */
function groupsOf(writes: readonly Write[], touches: ReadonlyMap<Write, readonly Touch[]>): Write[][] {
  const groups = writes.map((w) => [w]);
  const find = (tensor: string): Write[] => groups.find((g) => g.some((w) => w.tensor === tensor))!;
  for (const w of writes)
    for (const t of touches.get(w)!) {
      const [a, b] = [find(w.tensor), find(t.tensor)];
      if (a === b) continue;
      groups.splice(groups.indexOf(b), 1);
      a.push(...b);
    }
  return groups.map((g) => g.sort((a, b) => writes.indexOf(a) - writes.indexOf(b)));
}
/** Whether `w` reads, at each point, the very element that `other` writes at that point. */
function isOwnPlace(t: Touch, w: Write, other: Write): boolean {
  return t.subscripts?.every((s, k) => printExpr(renamed(s, w.axes, other.axes)) === printExpr(other.subscripts[k]!)) ?? false;
}
function renamed(e: Expr, from: readonly Axis[], to: readonly Axis[]): Expr {
  if (from.length !== to.length) return e;
  return atSubscripts(
    e,
    from,
    to.map((a) => indexVar(a.name)),
  );
}
export const sameAxes = (a: readonly Axis[], b: readonly Axis[]): boolean =>
  a.length === b.length &&
  a.every((x, k) => printExpr(x.extent) === printExpr(b[k]!.extent) && x.range === undefined && b[k]!.range === undefined);

/** One launch: each thread computes all of its new values before it stores any. */
function fused(group: readonly Write[], context: InPlaceContext): Job {
  const { axes, tensor } = group[0]!;
  const stores = group.map((w) => storeAt(context.storeOf(w, w.tensor), w.axes, axes));
  return { kind: "map", name: tensor, axes, stores };
}
/** The same store over axes of other names. */
export function storeAt(s: StoreItem, from: readonly Axis[], to: readonly Axis[]): StoreItem {
  const at = (e: Expr): Expr => renamed(e, from, to);
  return { ...s, value: at(s.value), expanded: at(s.expanded), where: at(s.where), subscripts: s.subscripts.map(at) };
}

const plain = (value: Expr): { value: Expr; expanded: Expr } => ({ value, expanded: value });
const whole = (axes: readonly Axis[]): Expr[] => axes.map((a) => indexVar(a.name));
const always: Expr = { kind: "const", value: true, type: "bool", span: { start: 0, end: 0 } };

/** New values, and where need be places and conditions, are kept first and stored afterwards. */
function throughMemory(w: Write, written: ReadonlySet<string>, context: InPlaceContext): { first: Job[]; last: Job[] } {
  const { axes, span } = w;
  const line = context.lineOf(span.start);
  const fragile = (e: Expr): boolean => touchesOf(e, written, context).length > 0;
  const store = context.storeOf(w, w.tensor);
  const kept: StoreItem[] = [];
  /** A value of this point in memory: how to read it back. */
  const keep = (what: string, value: Expr, expanded: Expr, where: Expr): Expr => {
    const elem: ElemType = { name: value.type === "int" ? "i32" : value.type === "bool" ? "u32" : value.type };
    const buffer = context.temporary(`${w.tensor}_${what}`, elem, axes);
    kept.push({ buffer, subscripts: whole(axes), value, expanded, where, line });
    return { kind: "read", tensor: buffer, subscripts: whole(axes), type: value.type, span };
  };
  const value = keep("new", store.value, store.expanded, store.where);
  let { where } = store;
  if (fragile(where)) {
    const flag: Expr = { kind: "if", cond: where, then: num(1, "u32"), else: num(0, "u32"), type: "u32", span };
    where = compare("ne", keep("where", flag, context.expand(flag), always), num(0, "u32"));
  }
  const subscripts = w.subscripts.map((s, k) => (fragile(s) ? keep(`at${k}`, s, context.expand(s), store.where) : s));
  return {
    first: [{ kind: "map", name: kept[0]!.buffer, axes, stores: kept }],
    last: [{ kind: "map", name: w.tensor, axes, stores: [{ ...store, subscripts, where, ...plain(value) }] }],
  };
}

const isNarrowStorage = (name: Storage): boolean => storage[name].bits < 32;
/** `+=`, walked in its one order: where others read the tensor, or its elements are narrow, in a wide copy that is stored afterwards. */
function accumulated(w: Write, entangled: boolean, context: InPlaceContext): { first: Job[]; last: Job[] } {
  const target = context.stored.get(w.tensor)!;
  const line = context.lineOf(w.span.start);
  const row = (tensor: string): Job => ({ kind: "row", name: w.tensor, statement: { ...w, tensor }, line });
  if (!isNarrowStorage(target.elem) && !entangled) return { first: [], last: [row(w.tensor)] };
  const type = computeOf({ name: target.elem });
  const read = (tensor: string): Expr => ({ kind: "read", tensor, subscripts: whole(target.axes), type, span: w.span });
  const copy = context.temporary(`${w.tensor}_new`, { name: type === "int" ? "i32" : type === "bool" ? "u32" : type }, target.axes);
  const move = (from: string, to: string): Job => ({
    kind: "map",
    name: to,
    axes: target.axes,
    stores: [{ buffer: to, subscripts: whole(target.axes), ...plain(read(from)), where: always, line }],
  });
  return { first: [move(w.tensor, copy), row(copy)], last: [move(copy, w.tensor)] };
}
