/**
 * From where to where a block walks a streamed index. A bound that only grows or only shrinks with a row takes its extremes over the block at
 * the first and the last row that the conditions on rows alone admit: the lowest is where some row begins, the highest where all have begun.
 */
import { and, freeIndices } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { boundsOf } from "../plan/bounds.ts";
import { varies } from "../plan/monotone.ts";
import type { Env, Lowering } from "./expression.ts";
import type { Value } from "./ir.ts";

export interface BlockBounds {
  /** Any row of the block may have elements in [from, to). */
  readonly from: Value;
  readonly to: Value;
  /** In [from, to) of these every row of the block that has any element has every one. Absent where none may be told so. */
  readonly full?: { readonly from: Value; readonly to: Value };
}

/** Which elements of `axis` count for a row by itself: those in [from, to). */
export interface RowBounds {
  readonly from: Value;
  readonly to: Value;
}
/** Conditions that rule a whole row in or out; and those on elements, or that read what is there for some elements alone. */
export function byRow(
  l: Lowering,
  axis: Axis,
  conditions: readonly Expr[],
  env: Env,
): { readonly rows: Expr; readonly elements: readonly Expr[] } {
  const ofRow = (c: Expr): boolean => !freeIndices(c).has(axis.name) && l.readsAnywhere(l.expand(c), env.axes);
  return { rows: and(...conditions.filter(ofRow)), elements: conditions.filter((c) => !ofRow(c)) };
}
/** @param conditions on the elements of `axis`; undefined where some are more than bounds, or bounds that not every row can read */
export function rowBounds(l: Lowering, axis: Axis, conditions: readonly Expr[], env: Env): RowBounds | undefined {
  const b = l.builder;
  const bounds = conditions.map((c) => boundsOf(c, axis.name, new Set()));
  if (bounds.some((x) => x.lower.length + x.upper.length === 0)) return undefined;
  const [lower, upper] = [bounds.flatMap((x) => x.lower), bounds.flatMap((x) => x.upper)];
  if (![...lower, ...upper].every((x) => l.readsAnywhere(l.expand(x), env.axes))) return undefined;
  const at: Env = { ...env, anywhere: true };
  const from = lower.reduce((v, x) => b.map("max", [v, l.value(x, at)], "i32"), l.int(0));
  const to = upper.reduce((v, x) => b.map("min", [v, l.value(x, at)], "i32"), l.value(axis.extent, env));
  return { from, to };
}

/** @param conditions which elements of `axis` count for a row of the launch's index `rows` */
export function blockBounds(l: Lowering, axis: Axis, rows: string, conditions: readonly Expr[], env: Env): BlockBounds {
  const b = l.builder;
  const least = (list: readonly Value[]): Value => list.reduce((x, y) => b.map("min", [x, y], "i32"));
  const most = (list: readonly Value[]): Value => list.reduce((x, y) => b.map("max", [x, y], "i32"));
  const extent = l.value(env.axes.find((a) => a.name === rows)!.extent, env);
  const begin = b.map("mul", [b.block(rows), l.int(l.shape.tile(rows))], "i32");
  const end = least([b.map("add", [begin, l.int(l.shape.tile(rows))], "i32"), extent]);
  // Rows that no condition on them alone rules out.
  const own = boundsOf(and(...conditions), rows, new Set([axis.name]));
  const scalar = (list: readonly Expr[]): Value[] =>
    list
      .filter((x) => varies(x, rows, l.plan) === "constant" && l.readsAnywhere(l.expand(x), env.axes))
      .flatMap((x) => {
        const v = l.value(x, { ...env, anywhere: true });
        return b.axes(v).length === 0 ? [v] : [];
      });
  const first = most([begin, ...scalar(own.lower)]);
  const next = least([end, ...scalar(own.upper)]);
  const last = b.map("sub", [next, l.int(1)], "i32");
  const within = (v: Value): Value => least([most([v, begin]), b.map("sub", [end, l.int(1)], "i32")]);
  /** A bound at both ends of the rows; undefined where what lies between is not known. */
  const ends = (x: Expr): readonly [Value, Value] | undefined => {
    if (varies(x, rows, l.plan) === undefined || !l.readsAnywhere(l.expand(x), env.axes)) return undefined;
    const [p, q] = [first, last].map((i) => l.value(x, { ...env, anywhere: true, values: new Map(env.values).set(rows, within(i)) }));
    return b.axes(p!).length + b.axes(q!).length > 0 ? undefined : [p!, q!];
  };
  const lower: (readonly [Value, Value])[] = [];
  const upper: (readonly [Value, Value])[] = [];
  let open = false;
  for (const c of byRow(l, axis, conditions, env).elements) {
    const found = boundsOf(c, axis.name, new Set());
    const [low, high] = [found.lower.map(ends), found.upper.map(ends)];
    const known = (list: readonly (readonly [Value, Value] | undefined)[]): (readonly [Value, Value])[] =>
      list.flatMap((x) => (x ? [x] : []));
    lower.push(...known(low));
    upper.push(...known(high));
    // A condition is no more than its bounds, where it has any and all of them are known.
    if (low.length + high.length === 0 || [...low, ...high].includes(undefined)) open = true;
  }
  const size = l.value(axis.extent, env);
  const flat = (list: readonly (readonly [Value, Value])[], pick: "min" | "max"): Value[] =>
    list.map(([p, q]) => (p === q ? p : b.map(pick, [p, q], "i32")));
  const from = most([l.int(0), ...flat(lower, "min")]);
  const to = least([size, ...flat(upper, "max")]);
  const none = first === begin && next === end ? undefined : b.map("ge", [first, next], "bool");
  const stop = none === undefined ? to : b.map("select", [none, l.int(0), to], "i32");
  if (open) return { from, to: stop };
  const allBegun = most([l.int(0), ...flat(lower, "max")]);
  const noneEnded = least([size, ...flat(upper, "min"), ...(stop === to ? [] : [stop])]);
  return { from, to: stop, full: { from: allBegun, to: noneEnded } };
}
