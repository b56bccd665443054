/**
 * A streamed reduction by tiles: which tiles a block walks, what it brings to shared memory ahead of them, and which elements count. How the
 * elements of one join the state is in stream-fields.ts.
 */
import { member, rangeCondition } from "../../dsl/check/domain.ts";
import { and, baseName, compare, conjuncts, indexVar, isTrue, num, some, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import { otherAxis, streamAxis } from "../schedule/fragments.ts";
import { productOf } from "../schedule/matrix.ts";
import { blockBounds, byRow, type RowBounds, rowBounds } from "./block-bounds.ts";
import type { Env, Lowering, Reduce } from "./expression.ts";
import { carriedBy, identityOf } from "./identity.ts";
import { rawPoint } from "./indices.ts";
import type { MatrixAxes, Value } from "./ir.ts";
import { valuesIn } from "./reduce.ts";
import { type Stage, type StagedIndex, stageKey, stageOf } from "./stage.ts";
import { centred, columnProduct, type Elements, plain } from "./stream-fields.ts";
import { type Part, turnsOf } from "./turns.ts";

/** Whether the launch's tile is made for this reduction, and nothing it reads needs a guard. */
export function streamsByTiles(l: Lowering, e: Reduce, env: Env): boolean {
  const tiling = l.shape.stream;
  if (tiling === undefined || e.monoid?.held === undefined || e.axes.length !== 1 || env.inLoop) return false;
  if (baseName(e.axes[0]!.name) !== tiling.index) return false;
  const axes = [...env.axes, ...e.axes];
  return env.guard === undefined || [...e.bodies, ...conditionsOf(l, e)].every((x) => l.readsInRange(l.expand(x), axes));
}
const conditionsOf = (l: Lowering, e: Reduce): Expr[] => conjuncts(and(rangeCondition(e.axes, l.domains), member(e, l.domains)));

export function lowerStream(l: Lowering, e: Reduce, outer: Env): Value[] {
  const b = l.builder;
  const { index, tile, rows } = l.shape.stream!;
  const axis = e.axes[0]!;
  const held = e.monoid!.held!;
  const streamed = streamAxis(index);
  // The whole tile walks together: what an element does not want it computes and drops.
  const env: Env = { ...outer, guard: undefined };
  const init = identityOf(l, e, e.bodies[0]!.type);
  const conditions = conditionsOf(l, e);
  const { rows: onRows, elements: onElements } = byRow(l, axis, conditions, env);
  const holds = isTrue(onRows) ? undefined : l.condition(onRows, { ...env, anywhere: true });
  const extent = l.value(axis.extent, env);
  const bounds = blockBounds(l, axis, rows, conditions, env);
  const stages = stagesOf(l, e, env);
  const after = (turn: Value): Value => b.map("add", [turn, l.int(tile)], "i32");
  const divided = l.shape.divides(axis.extent, tile);
  const { first, parts, tileOf } = turnsOf(l, bounds, tile, !divided || onElements.length > 0);
  if (stages.length > 0) {
    for (const s of stages) s.stage.issue(first, tileOf(first));
    b.commit();
  }
  // Whether there is an element at all, bounds alone may tell: then the loops do not ask.
  const any = held.findIndex((h, k) => h.kind === "plain" && h.op === "any" && isTrue(e.bodies[k]!));
  const told = any >= 0 ? rowBounds(l, axis, onElements, env) : undefined;
  const moving = [...held.keys()].filter((k) => !(told && k === any));
  const filled = (moved: readonly Value[]): Value[] => moving.reduce((all, k, n) => all.with(k, moved[n]!), [...init]);
  const carried = carriedBy(l, e, env, valuesIn(e, env), undefined);
  // Products last: what a sum asks of the weights, it asks before they are held as operands.
  const last = (k: number): boolean => held[k]!.kind === "centred" && columnProduct(l, e.bodies[k]!, undefined, streamed) !== undefined;
  const order = [...moving].sort((a, b) => Number(last(a)) - Number(last(b)));
  const walk = (state: readonly Value[], { from, to, whole, at: tileAt }: Part): Value[] => {
    const counts = and(...(whole ? [] : onElements));
    // What reads nothing may be asked of indices past their extents as well: the answers for rows that are none are dropped with them.
    const reads = some(counts, (x) => x.kind === "read" || x.kind === "segment");
    const inside = whole || divided;
    const within = inside || (!reads && endsInside(l, axis, and(...conditions), env.axes));
    const ends = whole ? undefined : endsFor(l, axis, onElements, within, env);
    const step = (turn: Value, moved: readonly Value[]): Value[] => {
      const acc = filled(moved);
      const at = tileAt(turn);
      if (stages.length > 0) {
        // Land, then issue: one barrier a step says both that this slot is full and that the next is free.
        b.land(0);
        const next = after(turn);
        for (const s of stages.filter((x) => x.moves)) s.stage.issue(next, tileOf(next));
        b.commit();
      }
      for (const s of stages)
        l.staged.set(
          s.key,
          once(() => s.stage.read(turn)),
        );
      const along = (by: string): Value => b.map("add", [at, b.coordinate(by)], "i32");
      const real = (v: Value): Value => (inside ? v : b.map("min", [v, b.map("sub", [extent, l.int(1)], "i32")], "i32"));
      const raw = along(streamed);
      l.others.set(axis.name, real(along(otherAxis(index))));
      const here: Env = { ...env, values: new Map(env.values).set(axis.name, real(raw)), axes: [...env.axes, axis], inLoop: true };
      // What elements are asked may not be there to read for rows that are ruled out.
      const asks: Env = reads
        ? { ...here, guard: holds }
        : { ...here, values: new Map(env.values).set(axis.name, raw).set(rows, rawPoint(l, rows)) };
      const each = (): Value | undefined => {
        const exists = within ? undefined : b.map("lt", [raw, extent], "bool");
        return isTrue(counts) ? exists : l.both(exists, l.condition(counts, asks));
      };
      const mask = ends === undefined ? each() : between(l, raw, ends);
      const kept = (v: Value, otherwise: Value): Value => (mask === undefined ? v : b.map("select", [mask, v, otherwise], b.elem(v)));
      const elements: Elements = { e, at: here, over: streamed, kept, identity: init };
      const next = [...acc];
      for (const k of order) {
        const h = held[k]!;
        next[k] = h.kind === "plain" ? plain(l, k, h, elements, acc[k]!) : centred(l, k, h, elements, acc, next);
      }
      return moving.map((k) => next[k]!);
    };
    const before = moving.map((k) => state[k]!);
    return filled(b.loop(index, from, to, tile, before, (n) => carried(moving[n]!), step));
  };
  let out = parts.reduce<readonly Value[]>(walk, init);
  for (const s of stages) l.staged.delete(s.key);
  if (stages.length > 0) b.land(0);
  if (told) out = out.with(any, b.map("lt", [told.from, told.to], "bool"));
  // What a row that is ruled out has computed is dropped here, once.
  return out.map((v, k) => (holds === undefined ? v : b.map("select", [holds, v, init[k]!], b.elem(v))));
}
/** The ends of each row, where it takes fewer comparisons to lie between them than to meet the conditions. */
function endsFor(l: Lowering, axis: Axis, conditions: readonly Expr[], within: boolean, env: Env): RowBounds | undefined {
  const count = conditions.length + (within ? 0 : 1);
  const ends = count < 2 ? undefined : rowBounds(l, axis, conditions, env);
  return ends !== undefined && count > (l.builder.constantOf(ends.from) === 0 ? 1 : 2) ? ends : undefined;
}
function between(l: Lowering, index: Value, { from, to }: RowBounds): Value {
  const b = l.builder;
  const begun = b.constantOf(from) === 0 ? undefined : b.map("ge", [index, from], "bool");
  return l.both(begun, b.map("lt", [index, to], "bool"))!;
}
/** Whether what is asked of a point says that it lies below the extent, as where the last row has all points and others have fewer. */
function endsInside(l: Lowering, axis: Axis, asked: Expr, axes: readonly Axis[]): boolean {
  const point = indexVar(axis.name);
  return l.proves(compare("lt", point, axis.extent), axes, [compare("ge", point, num(0)), asked]);
}
/** What a slot holds is one value within a step: a score that several fields of the state need is then one product. */
function once(make: () => Value): () => Value {
  let made: Value | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
/** The operands of the launch's products that go through shared memory; those that move with the streamed index two steps at a time. */
function stagesOf(l: Lowering, e: Reduce, env: Env): { readonly key: string; readonly stage: Stage; readonly moves: boolean }[] {
  const b = l.builder;
  const { index, tile, rows } = l.shape.stream!;
  const axis = e.axes[0]!;
  const out: { key: string; stage: Stage; moves: boolean }[] = [];
  const ownAxis = (name: string): Axis => env.axes.find((a) => a.name === name)!;
  const block = (name: string): Value => b.map("mul", [b.block(name), l.int(l.shape.tile(name))], "i32");
  const moving = (tileAxis: string): StagedIndex => ({ axis, tileAxis, extent: tile, first: undefined });
  const add = (axes: MatrixAxes, factor: 0 | 1, read: Expr, indices: [StagedIndex, StagedIndex]): void => {
    const key = stageKey(axes, factor, read);
    if (out.some((o) => o.key === key)) return;
    const moves = indices.some((i) => i.first === undefined);
    const stage = stageOf(l, read, indices, env, moves ? 2 : 1);
    if (stage) out.push({ key, stage, moves });
  };
  const scores = e.bodies.map((x) => l.expand(x));
  for (const product of l.shape.products)
    for (const body of scores) {
      if (product.columns !== index) {
        const used = columnProduct(l, body, undefined, streamAxis(index));
        const d = used && ownAxis(used.columns);
        if (d)
          add(used.axes, 1, body, [
            moving(used.axes.over),
            { axis: d, tileAxis: used.axes.other, extent: l.shape.tile(d.name), first: block(d.name) },
          ]);
        continue;
      }
      visit(body, (x) => {
        if (x.kind !== "reduce" || `${baseName(x.axes.at(-1)!.name)}.unroll` !== product.axes.over) return;
        const p = productOf(x, [rows, axis.name], l.plan, undefined, 2);
        if (p === undefined || p.rows !== rows) return;
        const whole: StagedIndex = {
          axis: x.axes.at(-1)!,
          tileAxis: product.axes.over,
          extent: l.shape.layout.extent(product.axes.over),
          first: l.int(0),
        };
        const own: StagedIndex = { axis: ownAxis(rows), tileAxis: product.axes.rows, extent: l.shape.tile(rows), first: block(rows) };
        add(product.axes, 1, p.factors[1], [moving(product.axes.other), whole]);
        add(product.axes, 0, p.factors[0], [own, whole]);
      });
    }
  return out;
}
