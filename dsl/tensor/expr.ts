/** Building, walking and rewriting tensor expressions: each traversal once. */
import type { Span } from "../diagnostics.ts";
import type { Axis, Expr, Op } from "./ir.ts";
import type { Compute } from "./types.ts";

export const nowhere: Span = { start: 0, end: 0 };
export const num = (value: number, type: Compute = "int", span: Span = nowhere): Expr => ({ kind: "const", value, type, span });
export const bool = (value: boolean): Expr => ({ kind: "const", value, type: "bool", span: nowhere });
export const op = (name: Op, args: readonly Expr[], type: Compute, span: Span = args[0]?.span ?? nowhere): Expr => ({
  kind: "op",
  op: name,
  args,
  type,
  span,
});
export const indexVar = (name: string, span: Span = nowhere): Expr => ({ kind: "index", name, type: "int", span });
export const isTrue = (e: Expr): boolean => e.kind === "const" && e.value === true;
export const isFalse = (e: Expr): boolean => e.kind === "const" && e.value === false;

export const not = (a: Expr): Expr => (isTrue(a) ? bool(false) : isFalse(a) ? bool(true) : op("lnot", [a], "bool"));
export function and(...parts: readonly (Expr | undefined)[]): Expr {
  const list = parts.filter((p): p is Expr => p !== undefined && !isTrue(p));
  if (list.some(isFalse)) return bool(false);
  return list.length === 0 ? bool(true) : list.reduce((a, b) => op("land", [a, b], "bool"));
}
/** The conditions of which a condition is the conjunction. */
export function conjuncts(e: Expr | undefined): Expr[] {
  const list: Expr[] = [];
  if (e !== undefined) collectConjuncts(e, list);
  return list;
}
function collectConjuncts(e: Expr, list: Expr[]): void {
  if (e.kind === "op" && e.op === "land") for (const a of e.args) collectConjuncts(a, list);
  else if (!isTrue(e)) list.push(e);
}
export function or(a: Expr, b: Expr): Expr {
  if (isTrue(a) || isTrue(b)) return bool(true);
  return isFalse(a) ? b : isFalse(b) ? a : op("lor", [a, b], "bool");
}
export const compare = (name: "lt" | "le" | "gt" | "ge" | "eq" | "ne", a: Expr, b: Expr): Expr => op(name, [a, b], "bool");
const constant = (e: Expr): number | undefined => (e.kind === "const" && typeof e.value === "number" ? e.value : undefined);
export function add(a: Expr, b: Expr): Expr {
  const [x, y] = [constant(a), constant(b)];
  if (x !== undefined && y !== undefined) return num(x + y);
  return x === 0 ? b : y === 0 ? a : op("add", [a, b], "int");
}
export function sub(a: Expr, b: Expr): Expr {
  const [x, y] = [constant(a), constant(b)];
  if (x !== undefined && y !== undefined) return num(x - y);
  return y === 0 ? a : op("sub", [a, b], "int");
}
export function mul(a: Expr, b: Expr): Expr {
  const [x, y] = [constant(a), constant(b)];
  if (x !== undefined && y !== undefined) return num(x * y);
  return x === 1 ? b : y === 1 ? a : x === 0 || y === 0 ? num(0) : op("mul", [a, b], "int");
}
export function ceilDiv(a: Expr, b: number): Expr {
  const x = constant(a);
  if (x !== undefined) return num(Math.ceil(x / b));
  return b === 1 ? a : op("div", [add(a, num(b - 1)), num(b)], "int");
}
export const product = (parts: readonly Expr[]): Expr => parts.reduce(mul, num(1));

const none: readonly Expr[] = [];
/** The expressions directly inside, in evaluation order; axes' bounds included. */
export function children(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case "const":
    case "dim":
    case "scalar":
    case "index":
    case "var":
      return none;
    case "read":
      return e.subscripts;
    case "op":
      return e.args;
    case "cast":
      return e.bits ? [e.arg, e.bits] : [e.arg];
    case "relax":
    case "bitcast":
    case "segment":
    case "defined":
      return [e.arg];
    case "if":
      return [e.cond, e.then, e.else];
    case "else":
      return [e.value, e.other];
    case "let":
      return [e.value, e.body];
    case "reduce":
      return [...axesParts(e.axes), ...(e.where ? [e.where] : []), ...e.bodies];
    case "sweep":
      return [...axesParts(e.over), ...(e.where ? [e.where] : []), ...e.bodies];
    default:
      return e satisfies never;
  }
}
export function axesParts(axes: readonly Axis[]): Expr[] {
  const parts: Expr[] = [];
  for (const a of axes) {
    parts.push(a.extent);
    if (a.range) parts.push(a.range.from, a.range.to);
  }
  return parts;
}
export const mapAxis = (a: Axis, f: (e: Expr) => Expr): Axis => ({
  ...a,
  extent: f(a.extent),
  ...(a.range ? { range: { from: f(a.range.from), to: f(a.range.to) } } : {}),
});

/** The same node over rewritten operands; the same object where nothing changed. */
export function mapChildren(e: Expr, f: (e: Expr) => Expr): Expr {
  const before = children(e);
  if (before.length === 0) return e;
  let same = true;
  const after = before.map((x) => {
    const y = f(x);
    same &&= y === x;
    return y;
  });
  if (same) return e;
  let at = 0;
  const take = (): Expr => after[at++]!;
  switch (e.kind) {
    case "read":
      return { ...e, subscripts: after };
    case "op":
      return { ...e, args: after };
    case "cast":
      return e.bits ? { ...e, arg: take(), bits: take() } : { ...e, arg: take() };
    case "relax":
    case "bitcast":
    case "segment":
    case "defined":
      return { ...e, arg: take() };
    case "if":
      return { ...e, cond: take(), then: take(), else: take() };
    case "else":
      return { ...e, value: take(), other: take() };
    case "let":
      return { ...e, value: take(), body: take() };
    case "reduce": {
      const axes = e.axes.map((a) => mapAxis(a, take));
      return { ...e, axes, ...(e.where ? { where: take() } : {}), bodies: e.bodies.map(take) };
    }
    case "sweep": {
      const over = e.over.map((a) => mapAxis(a, take));
      return { ...e, over, ...(e.where ? { where: take() } : {}), bodies: e.bodies.map(take) };
    }
    default:
      return e;
  }
}
export function visit(e: Expr, f: (e: Expr) => void): void {
  f(e);
  for (const c of children(e)) visit(c, f);
}
export function some(e: Expr, test: (e: Expr) => boolean): boolean {
  if (test(e)) return true;
  for (const c of children(e)) if (some(c, test)) return true;
  return false;
}

let fresh = 0;
/** The user's part of a name. */
export function baseName(name: string): string {
  const end = name.indexOf("$");
  return end < 0 ? name : name.slice(0, end);
}
/** A name that no program has: the part before `$` is the user's. */
export const freshName = (base: string): string => `${baseName(base)}$${++fresh}`;
/** How many fresh names there are so far. */
export const freshNames = (): number => fresh;
/** Fresh names go on after `count`: the same for the same input, and none that a program of so many has already. */
export const continueFreshNames = (count: number): void => {
  fresh = count;
};

/** Replaces indices and vars by expressions; what a reduction or `let` binds inside is renamed, so that nothing is captured. */
export function substitute(e: Expr, by: ReadonlyMap<string, Expr>): Expr {
  return by.size === 0 ? e : renamed(e, by);
}
/** The same, where all that is bound within has a name of its own, so that it may stand where the old names are bound. */
export function renamed(e: Expr, by: ReadonlyMap<string, Expr> = new Map()): Expr {
  if (e.kind === "index" || e.kind === "var") return by.get(e.name) ?? e;
  if (e.kind === "reduce") {
    const inner = new Map(by);
    const axes = e.axes.map((a) => {
      const extent = renamed(a.extent, inner);
      const range = a.range ? { from: renamed(a.range.from, inner), to: renamed(a.range.to, inner) } : undefined;
      const name = freshName(a.name);
      inner.set(a.name, indexVar(name));
      return { name, extent, ...(range ? { range } : {}) };
    });
    return { ...e, axes, ...(e.where ? { where: renamed(e.where, inner) } : {}), bodies: e.bodies.map((b) => renamed(b, inner)) };
  }
  if (e.kind === "let") {
    const name = freshName(e.name);
    return {
      ...e,
      name,
      value: renamed(e.value, by),
      body: renamed(e.body, new Map(by).set(e.name, { kind: "var", name, type: e.value.type, span: e.span })),
    };
  }
  if (e.kind === "sweep" && e.over.some((a) => by.has(a.name))) return substituteSweep(e, by);
  return mapChildren(e, (c) => renamed(c, by));
}

/** A sweep stands *at* its indices: moving it keeps the swept axis bound inside and reads the result at the new place. */
function substituteSweep(e: Extract<Expr, { kind: "sweep" }>, by: ReadonlyMap<string, Expr>): Expr {
  const renamed = e.over.every((a) => {
    const to = by.get(a.name);
    return to === undefined || to.kind === "index";
  });
  if (!renamed) throw new Error(`a sweep over ${e.over.map((a) => a.name).join(", ")} has to be a definition before it is read elsewhere`);
  const name = (n: string): string => {
    const to = by.get(n);
    return to?.kind === "index" ? to.name : n;
  };
  const moved = mapChildren(e, (c) => substitute(c, by)) as typeof e;
  return { ...moved, over: moved.over.map((a) => ({ ...a, name: name(a.name) })) };
}

/** Indices that occur free in `e`. */
export function freeIndices(e: Expr, bound: ReadonlySet<string> = new Set(), out: Set<string> = new Set()): Set<string> {
  if (e.kind === "index" && !bound.has(e.name)) out.add(e.name);
  if (e.kind === "sweep") for (const a of e.over) if (!bound.has(a.name)) out.add(a.name);
  const inner = e.kind === "reduce" ? new Set([...bound, ...e.axes.map((a) => a.name)]) : bound;
  for (const c of children(e)) freeIndices(c, inner, out);
  return out;
}
