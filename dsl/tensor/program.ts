/** Walking and rewriting whole programs: each traversal of statements once. */
import { mapAxis, mapChildren, substitute, visit } from "./expr.ts";
import type { Axis, Define, Expr, MemoryLayout, Program, Statement } from "./ir.ts";

/** The tensors that a statement makes or writes. */
export const namesOf = (s: Statement): string[] =>
  s.kind === "define"
    ? [s.name]
    : s.kind === "fold"
      ? [...s.states.map((x) => x.name), ...s.body.flatMap(namesOf), ...s.emits.map((d) => d.name)]
      : s.kind === "write"
        ? [s.tensor]
        : s.results.flatMap((r) => (r.name ? [r.name] : []));
/** Every name of a program that a new definition must not take. */
export const namesIn = (p: Program): Set<string> =>
  new Set([...[...p.params, ...p.outputs, ...p.dims].map((x) => x.name), ...p.statements.flatMap(namesOf)]);
/** `base`, or with a number after it where that is taken; taken from now on. */
export function unused(base: string, taken: Set<string>): string {
  let name = base;
  for (let n = 2; taken.has(name); n++) name = `${base}${n}`;
  taken.add(name);
  return name;
}
/** Applies `f` to every expression of a statement; axes included. */
export function mapStatement(s: Statement, f: (e: Expr) => Expr): Statement {
  const axes = (list: readonly Axis[]) => list.map((a) => mapAxis(a, f));
  const where = (w: Expr | undefined) => (w ? { where: f(w) } : {});
  const define = (d: Define): Define => ({ ...d, axes: axes(d.axes), ...where(d.where), value: f(d.value) });
  switch (s.kind) {
    case "define":
      return define(s);
    case "write":
      return { ...s, axes: axes(s.axes), ...where(s.where), subscripts: s.subscripts.map(f), value: f(s.value) };
    case "fold":
      return {
        ...s,
        axis: mapAxis(s.axis, f),
        ...where(s.where),
        states: s.states.map((x) => ({ ...x, axes: axes(x.axes), init: f(x.init) })),
        body: s.body.map((b) => mapStatement(b, f)),
        nexts: s.nexts.map((n) => ({ ...n, axes: axes(n.axes), ...where(n.where), value: f(n.value) })),
        emits: s.emits.map(define),
      };
    default:
      return {
        ...s,
        results: s.results.map((r) => ({ ...r, axes: axes(r.axes) })),
        outer: axes(s.outer),
        over: axes(s.over),
        ...where(s.where),
        ...(s.count ? { count: f(s.count) } : {}),
        ...(s.body ? { body: f(s.body) } : {}),
      };
  }
}
export function mapProgram(p: Program, f: (e: Expr) => Expr): Program {
  const axes = (list: readonly Axis[]) => list.map((a) => mapAxis(a, f));
  const elem = <T extends { elem: Program["outputs"][number]["elem"] }>(x: T): T => ({
    ...x,
    elem: x.elem.bound ? { ...x.elem, bound: f(x.elem.bound) } : x.elem,
  });
  const layout = (l: MemoryLayout | undefined) => (l ? { layout: { ...l, place: f(l.place), places: f(l.places) } } : {});
  return {
    ...p,
    params: p.params.map((x) => ({
      ...elem(x),
      ...(x.axes ? { axes: axes(x.axes) } : {}),
      ...(x.where ? { where: f(x.where) } : {}),
      ...layout(x.layout),
    })),
    outputs: p.outputs.map((x) => ({ ...elem(x), axes: axes(x.axes), ...(x.where ? { where: f(x.where) } : {}), ...layout(x.layout) })),
    requires: p.requires.map(f),
    statements: p.statements.map((s) => mapStatement(s, f)),
  };
}
/** Every expression of a statement, for looking. */
export function visitStatement(s: Statement, f: (e: Expr) => void): void {
  mapStatement(s, (e) => {
    visit(e, f);
    return e;
  });
}
/** Static dimensions as their numbers. */
export function specialize(p: Program): Program {
  const values = new Map(p.dims.flatMap((d) => (d.value === undefined ? [] : [[d.name, d.value] as const])));
  const replace = (e: Expr): Expr => {
    if (e.kind === "dim") {
      const v = values.get(e.name);
      return v === undefined ? e : { kind: "const", value: v, type: "int", span: e.span };
    }
    return mapOnce(e, replace);
  };
  return mapProgram(p, replace);
}
/** Rewrites children and folds integer arithmetic on constants. */
function mapOnce(e: Expr, f: (e: Expr) => Expr): Expr {
  const x = mapChildren(e, f);
  if (x.kind !== "op" || x.type !== "int" || !x.args.every((a) => a.kind === "const")) return x;
  const [a, b] = x.args.map((y) => Number((y as { value: number }).value)) as [number, number];
  const folded =
    x.op === "add"
      ? a + b
      : x.op === "sub"
        ? a - b
        : x.op === "mul"
          ? a * b
          : x.op === "div" && b > 0
            ? Math.floor(a / b)
            : x.op === "mod" && b > 0
              ? a - b * Math.floor(a / b)
              : undefined;
  return folded === undefined ? x : { kind: "const", value: folded, type: "int", span: x.span };
}
export const atSubscripts = (e: Expr, axes: readonly Axis[], subscripts: readonly Expr[]): Expr =>
  substitute(e, new Map(axes.map((a, k) => [a.name, subscripts[k]!])));
