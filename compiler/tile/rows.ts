/** Jobs that walk a row in order: prefix sums and scans, topk, compact, group, accumulation. One thread to a row. */

import { domainOf, rangeCondition } from "../../dsl/check/domain.ts";
import { InternalError } from "../../dsl/diagnostics.ts";
import { and, baseName, indexVar, isTrue } from "../../dsl/tensor/expr.ts";
import type { Axis, Define, Expr, NewAxis, Write } from "../../dsl/tensor/ir.ts";
import type { RowJob } from "../plan/jobs.ts";
import { type Env, elemOf, type Lowering, lowest, pointOf } from "./expression.ts";
import { identityOf } from "./identity.ts";
import type { Value } from "./ir.ts";
import { combine } from "./reduce.ts";

export function lowerRow(job: RowJob, lowering: Lowering, env: Env, inside: Value | undefined): void {
  const s = job.statement;
  lowering.builder.comment(job.name, job.line);
  if (s.kind === "define") return sweep(s, lowering, env, inside);
  if (s.kind === "write") return accumulate(s, lowering, env, inside);
  if (s.kind === "topk") return topk(s, lowering, env, inside);
  if (s.kind === "compact") return compact(s, lowering, env, inside);
  if (s.kind === "group") return group(s, lowering, env);
  throw new InternalError(`no row lowering for ${(s as { kind: string }).kind}`);
}

/** A loop over all points of several axes, innermost last. */
function nest(
  l: Lowering,
  axes: readonly Axis[],
  env: Env,
  inits: readonly Value[],
  carried: readonly string[],
  body: (env: Env, values: readonly Value[]) => readonly Value[],
): readonly Value[] {
  const [first, ...rest] = axes;
  if (first === undefined) return body(env, inits);
  const extent = l.value(first.extent, env);
  return l.builder.loop(
    baseName(first.name),
    l.int(0),
    extent,
    1,
    inits,
    () => carried,
    (index, values) => {
      const inner: Env = {
        ...env,
        values: new Map(env.values).set(first.name, index),
        axes: [...env.axes, { name: first.name, extent: first.extent }],
        inLoop: true,
      };
      return nest(l, rest, inner, values, carried, body);
    },
  );
}
/** Whether a point takes part, and the environment under that condition. */
function membership(l: Lowering, condition: Expr, env: Env): { mask: Value | undefined; under: Env } {
  if (isTrue(condition)) return { mask: undefined, under: env };
  const mask = l.condition(condition, env);
  return { mask, under: l.under(env, mask) };
}
const rowAxes = (env: Env, l: Lowering): string[] => [...new Set([...env.values.values()].flatMap((v) => l.builder.axes(v)))];

function sweep(d: Define, l: Lowering, env: Env, inside: Value | undefined): void {
  const e = d.value;
  if (e.kind !== "sweep") throw new InternalError("a sweep job without a sweep");
  const b = l.builder;
  const axis = d.axes.find((a) => a.name === e.over[0]!.name) ?? e.over[0]!;
  const extent = l.value(axis.extent, env);
  const condition = and(rangeCondition(d.axes, l.plan.domains), d.where, e.where, ...e.bodies.map((x) => domainOf(x, l.plan.domains)));
  const by = e.op === "scan" ? { op: "monoid" as const, monoid: e.monoid!, type: e.type } : { op: "sum" as const, type: e.type };
  const init = identityOf(l, by, e.bodies[0]!.type);
  const from = l.int(0);
  b.loop(
    baseName(axis.name),
    from,
    extent,
    1,
    init,
    () => rowAxes(env, l),
    (step, acc) => {
      const index = e.reverse ? b.map("sub", [b.map("sub", [extent, l.int(1)], "i32"), step], "i32") : step;
      const at: Env = {
        ...env,
        values: new Map(env.values).set(axis.name, index),
        axes: [...env.axes, { name: axis.name, extent: axis.extent }],
        inLoop: true,
      };
      const { mask, under } = membership(l, condition, at);
      const element = e.bodies.map((x) => l.value(x, under));
      const next = combine(l, by, acc, element, under);
      const kept = mask === undefined ? next : next.map((v, k) => b.map("select", [mask, v, acc[k]!], b.elem(v)));
      b.store(d.name, l.address(d.name, pointOf(d.axes), at), kept[e.component]!, l.both(inside, mask));
      return kept;
    },
  );
}

/** For each rank, the best element after the one before it: larger first, ties to the lower index. */
function topk(s: NewAxis, l: Lowering, env: Env, inside: Value | undefined): void {
  const b = l.builder;
  const over = s.over[0]!;
  const body = s.body!;
  const type = elemOf(body.type);
  const axes = rowAxes(env, l);
  const count = l.value(s.count!, env);
  const condition = and(rangeCondition(s.over, l.plan.domains), s.where, domainOf(body, l.plan.domains));
  const float = type === "f32" || type === "f64";
  const least = l.infinities ? Number.NEGATIVE_INFINITY : lowest;
  const low = b.constant(type === "u32" ? 0 : type === "i32" ? -(2 ** 31) : least, type);
  const top = b.constant(type === "u32" ? 2 ** 32 - 1 : type === "i32" ? 2 ** 31 - 1 : -least, type);
  b.loop(
    "rank",
    l.int(0),
    count,
    1,
    [top, l.int(-1)],
    () => axes,
    (rank, [lastValue, lastIndex]) => {
      // A NaN ranks lowest, and is still what is given for its rank: the element is carried beside what ranks it.
      const none = [low, l.int(2 ** 31 - 1), ...(float ? [low] : [])];
      const [value, index, element] = nest(l, s.over, { ...env, inLoop: true }, none, axes, (at, [bestValue, bestIndex, bestElement]) => {
        const { mask, under } = membership(l, condition, at);
        const given = l.value(body, under);
        const v = float ? b.map("select", [b.map("eq", [given, given], "bool"), given, low], type) : given;
        const j = at.values.get(over.name)!;
        // After the last one taken: smaller, or equal with a higher index. The first rank takes any.
        const later = b.map(
          "lor",
          [
            b.map("lt", [v, lastValue!], "bool"),
            b.map("land", [b.map("eq", [v, lastValue!], "bool"), b.map("gt", [j, lastIndex!], "bool")], "bool"),
          ],
          "bool",
        );
        const open = l.both(mask, b.map("lor", [b.map("lt", [lastIndex!, l.int(0)], "bool"), later], "bool"))!;
        const better = b.map("lor", [b.map("gt", [v, bestValue!], "bool"), b.map("eq", [bestIndex!, l.int(2 ** 31 - 1)], "bool")], "bool");
        const take = b.map("land", [open, better], "bool");
        return [
          b.map("select", [take, v, bestValue!], type),
          b.map("select", [take, j, bestIndex!], "i32"),
          ...(bestElement === undefined ? [] : [b.map("select", [take, given, bestElement], type)]),
        ];
      });
      const found = b.map("lt", [index!, l.int(2 ** 31 - 1)], "bool");
      s.results.forEach((r, k) => {
        if (r.name === undefined) return;
        const at: Env = { ...env, values: new Map(env.values).set(r.axes.at(-1)!.name, rank), inLoop: true };
        b.store(r.name, l.address(r.name, pointOf(r.axes), at), k === 0 ? (element ?? value!) : index!, l.both(inside, found));
      });
      return [b.map("select", [found, value!, lastValue!], type), b.map("select", [found, index!, lastIndex!], "i32")];
    },
  );
}

/** Indices that satisfy the condition, in order, then how many. */
function compact(s: NewAxis, l: Lowering, env: Env, inside: Value | undefined): void {
  const b = l.builder;
  const over = s.over[0]!;
  const [first, second] = s.results;
  const condition = and(rangeCondition(s.over, l.plan.domains), s.where ? domainOf(s.where, l.plan.domains) : undefined, s.where);
  const [n] = nest(l, s.over, env, [l.int(0)], rowAxes(env, l), (at, [n]) => {
    const { mask } = membership(l, condition, at);
    if (second?.name) {
      const place: Env = { ...at, values: new Map(at.values).set(second.axes.at(-1)!.name, n!) };
      b.store(second.name, l.address(second.name, pointOf(second.axes), place), at.values.get(over.name)!, l.both(inside, mask));
    }
    const next = b.map("add", [n!, l.int(1)], "i32");
    return [mask === undefined ? next : b.map("select", [mask, next, n!], "i32")];
  });
  if (first?.name)
    b.store(
      first.name,
      l.address(first.name, pointOf(first.axes), env),
      elemOf("u32") === b.elem(n!) ? n! : b.map("to_u32", [n!], "u32"),
      inside,
    );
}

/** A stable counting sort by one thread: for each key, the tuples that have it, in order. */
function group(s: NewAxis, l: Lowering, env: Env): void {
  const b = l.builder;
  const [first, second] = s.results;
  const condition = and(rangeCondition(s.over, l.plan.domains), s.where, domainOf(s.body!, l.plan.domains));
  const groups = l.value(s.count!, env);
  const storeStart = (key: Value, at: Value): void => {
    if (first?.name === undefined) return;
    const place: Env = { ...env, values: new Map(env.values).set(first.axes[0]!.name, key), inLoop: true };
    b.store(first.name, l.address(first.name, pointOf(first.axes), place), at, undefined);
  };
  const [total] = b.loop(
    "key",
    l.int(0),
    groups,
    1,
    [l.int(0)],
    () => [],
    (key, [done]) => {
      storeStart(key, done!);
      return nest(l, s.over, { ...env, inLoop: true }, [done!], [], (at, [n]) => {
        const { mask, under } = membership(l, condition, at);
        const here = l.both(mask, b.map("eq", [l.value(s.body!, under), key], "bool"))!;
        if (second?.name) {
          const flat = s.over.reduce<Value>(
            (sum, a) => b.map("add", [b.map("mul", [sum, l.value(a.extent, env)], "i32"), at.values.get(a.name)!], "i32"),
            l.int(0),
          );
          const place: Env = { ...at, values: new Map(at.values).set(second.axes[0]!.name, n!) };
          b.store(second.name, l.address(second.name, [indexVar(second.axes[0]!.name)], place), flat, here);
        }
        return [b.map("select", [here, b.map("add", [n!, l.int(1)], "i32"), n!], "i32")];
      });
    },
  );
  storeStart(groups, total!);
}

/** tensor[subscripts] += value, in increasing order of the points: the order is fixed by walking it. */
function accumulate(w: Write, l: Lowering, env: Env, inside: Value | undefined): void {
  const b = l.builder;
  l.ordered.add(w.tensor);
  l.written = new Set([w.tensor]);
  const condition = and(rangeCondition(w.axes, l.plan.domains), w.where, domainOf(w.value, l.plan.domains));
  const walked = w.axes.filter((a) => !env.values.has(a.name));
  nest(l, walked, { ...env, inLoop: true }, [], [], (at) => {
    const { mask, under } = membership(l, condition, at);
    const address = l.address(w.tensor, w.subscripts, at);
    const value = l.value(w.value, under);
    const old = l.value(
      { kind: "read", tensor: w.tensor, subscripts: w.subscripts, type: w.value.type, span: w.span },
      mask === undefined ? at : under,
    );
    b.store(w.tensor, address, b.map("add", [old, value], b.elem(value)), l.both(inside, mask));
    return [];
  });
}
