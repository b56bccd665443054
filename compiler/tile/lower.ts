/** Jobs -> launches: tensor expressions as tile operations, under the tiling that the schedule gave. */
import type { Directive } from "../../dsl/check/schedules.ts";
import { baseName, isTrue } from "../../dsl/tensor/expr.ts";
import type { Axis } from "../../dsl/tensor/ir.ts";
import { isEightBits } from "../../dsl/tensor/matrix.ts";
import { listOf } from "../lists.ts";
import type { Job, MapJob, Plan, PlannedStep, RowJob, StoreItem } from "../plan/jobs.ts";
import { countOf, positionsOf, sizeExpr } from "../plan/size.ts";
import { Refusal } from "../refusal.ts";
import { applyDirectives, axesOf, defaultDirectives, type JobDirectives, tilingOf } from "../schedule/default.ts";
import { joinRows } from "../schedule/join-rows.ts";
import { LaunchShape, type Tiling } from "../schedule/shape.ts";
import { sharePasses } from "../schedule/share.ts";
import type { Target } from "../targets/target.ts";
import { Builder } from "./builder.ts";
import { type Env, Lowering } from "./expression.ts";
import { blocksAlong, enter } from "./indices.ts";
import { type BufferUse, type GridAxis, type Launch, launchesOf, type Op, type Step, type TileProgram, type Value } from "./ir.ts";
import { prune } from "./prune.ts";
import { lowerRow } from "./rows.ts";
import { inRowsOf16Bytes } from "./wide.ts";

export interface LowerOptions {
  readonly directives: readonly Directive[];
  /** Told each job's directives, for printing. */
  readonly observe?: (d: JobDirectives) => void;
}

export function lowerPlan(plan: Plan, target: Target, options: LowerOptions): TileProgram {
  const names = new Set<string>();
  const tiling = (job: Job): Tiling =>
    tilingOf(applyDirectives(defaultDirectives(job, plan, target.profile), options.directives, job), job, target.limits.sharedBytes);
  const shared = sharePasses(plan.steps, plan, tiling);
  const rows = target.profile.wholeRows ? joinRows(shared, plan, options.directives) : undefined;
  const { steps: planned, held } = rows ?? { steps: shared, held: new Set<string>() };
  const steps = planned.map((s) => lowerStep(s, plan, target, options, names, new Map()));
  refuseUnmet(options.directives, steps, target);
  const temps = [...plan.stored.values()]
    .filter((s) => s.role === "temp" && !held.has(s.name))
    .map((s) => ({ name: s.name, elem: s.elem, count: countOf(s.axes) }));
  return { kernel: plan.program.kernel, temps, steps };
}
/** `folds`: names of the step counters of the repeats around. */
function lowerStep(
  s: PlannedStep,
  plan: Plan,
  target: Target,
  options: LowerOptions,
  names: Set<string>,
  folds: ReadonlyMap<string, Axis>,
): Step {
  if (s.kind === "repeat") {
    const inner = new Map(folds).set(s.fold.axis.name, s.fold.axis);
    return {
      kind: "repeat",
      count: sizeExpr(s.fold.axis.extent),
      name: s.fold.axis.name,
      steps: s.steps.map((x) => lowerStep(x, plan, target, options, names, inner)),
    };
  }
  let name = `${plan.program.kernel}_${s.job.name}`;
  for (let k = 2; names.has(name); k++) name = `${plan.program.kernel}_${s.job.name}_${k}`;
  names.add(name);
  return { kind: "launch", launch: lowerJob(s.job, name, plan, target, options, folds) };
}

/** Whether threads of a launch that a directive is about hold so many neighbours along its index. */
function takesNeighbours(l: Launch, d: Extract<Directive, { size: number }>): boolean {
  const about = d.definition === undefined || l.buffers.some((b) => b.name === d.definition && b.access !== "read");
  if (d.size === 1) return about;
  if (!about || !l.axes.some((a) => a.name === d.index)) return false;
  const steps = l.layout.over([d.index]).columns.get("register") ?? [];
  return listOf(Math.log2(d.size), (b) => 1 << b).every((by) => steps.includes(by));
}
/** Matrix units and shared memory are asked for by name: a schedule that does not get them says more than it does. */
function refuseUnmet(directives: readonly Directive[], steps: readonly Step[], target: Target): void {
  const launches = launchesOf(steps);
  const written = (ls: readonly Launch[]): Set<string> =>
    new Set(ls.flatMap((l) => l.buffers.filter((b) => b.access !== "read").map((b) => b.name)));
  const products = written(launches.filter((l) => l.body.some((o) => multiplies(o, () => true))));
  const whole = ({ form, cut }: Dot): boolean => isEightBits(form) && !cut;
  const uncut = target.profile.eightBits ? written(launches.filter((l) => l.body.some((o) => multiplies(o, whole)))) : new Set<string>();
  const staged = new Set(launches.flatMap((l) => l.rings.map((r) => r.tensor)));
  for (const d of directives) {
    if (d.kind === "mma" && !products.has(d.name))
      throw new Refusal(
        "W606",
        d.span,
        `\`${d.name}\` is not computed by a matrix unit here`,
        "it takes a stored sum over one index of a product of two factors of one narrow type (f16 or bf16), of which one varies with a row of the result and the other with a column, in tiles of at least 16 rows, 8 columns and 16 of the index",
      );
    if (d.kind === "mma" && uncut.has(d.name))
      throw new Refusal(
        "W606",
        d.span,
        `the text does not let a unit of 8 bits cut the products of \`${d.name}\``,
        "write `relax<bf16>(…)` around the product, or leave out `with f8`: they are multiplied as halves then",
      );
    if (d.kind === "vectorize" && !launches.some((l) => takesNeighbours(l, d)))
      throw new Refusal(
        "W606",
        d.span,
        `no thread takes ${d.size} neighbours along \`${d.index}\` here`,
        "it takes an index of what a launch stores, other than the sides of a product on a matrix unit; the tile of that index must have room for them",
      );
    if (d.kind === "stage" && !staged.has(d.name))
      throw new Refusal(
        "W606",
        d.span,
        `\`${d.name}\` cannot be staged here`,
        "it takes an operand that a tile of the result reads again along one of its two sides, of a reduction over one index, with room for two slots; on a matrix unit one that is read as it lies, in rows whose length is a multiple of 16 bytes for every size: say so in `where`, as in `where K % 8 == 0`",
      );
  }
}
/** Rows of blocks of a product that go together: about the root of how many blocks a chip has at a time. */
const blocksInGroup = 16;
/** Tiles of fewer rows are for products of few rows, which have no square of blocks. */
const tallTile = 64;
type Dot = Extract<Op, { kind: "dot" }>;
const multiplies = (o: Op, which: (dot: Dot) => boolean): boolean =>
  o.kind === "dot" ? which(o) : o.kind === "loop" && o.body.some((x) => multiplies(x, which));
function lowerJob(job: Job, name: string, plan: Plan, target: Target, options: LowerOptions, folds: ReadonlyMap<string, Axis>): Launch {
  const directives = applyDirectives(defaultDirectives(job, plan, target.profile), options.directives, job);
  options.observe?.(directives);
  const shape = new LaunchShape(tilingOf(directives, job, target.limits.sharedBytes), target.profile.warp, plan.multiples);
  const builder = new Builder(shape.axes.map((a) => a.name));
  const lowering = new Lowering(builder, plan, shape, target);
  const axes = axesOf(job);
  const rows = shape.stream?.laterFirst ? axes.find((a) => a.name === shape.stream!.rows) : undefined;
  if (rows) builder.reverse(rows.name, blocksAlong(rows, lowering, shape));
  const [product] = shape.stream || options.directives.some((d) => d.kind === "grid") ? [] : shape.products;
  const sides = product && [product.rows, product.columns].map((name) => axes.find((a) => a.name === name)!);
  if (sides && shape.tile(sides[0]!.name) >= tallTile) {
    const [tall, wide] = sides.map((a) => blocksAlong(a, lowering, shape)) as [Value, Value];
    builder.group(sides[0]!.name, sides[1]!.name, [tall, wide], blocksInGroup);
  }
  const { env, inside } = enter(axes, lowering, shape, folds);
  lowering.inside = inside;
  lowering.written = new Set(job.kind === "map" ? [...job.stores, ...(job.row?.kept ?? [])].map((s) => s.buffer) : []);
  if (job.kind === "map") lowerMap(job, lowering, env, inside);
  else lowerRow(job as RowJob, lowering, env, inside);
  const body = prune(builder.body);
  return {
    name,
    grid: gridOf(axes, shape, options.directives),
    axes: shape.axes,
    layout: shape.layout,
    rings: shape.rings,
    multiples: plan.multiples,
    buffers: buffersOf(body, plan),
    tiles: builder.tiles,
    body,
  };
}
/** Blocks along each axis; `grid` directives say which come first. */
function gridOf(axes: readonly Axis[], shape: LaunchShape, directives: readonly Directive[]): GridAxis[] {
  const wanted = directives.find((d) => d.kind === "grid");
  const rank = (a: Axis): number => {
    const k = wanted?.kind === "grid" ? wanted.indices.indexOf(a.name) : -1;
    return k < 0 ? axes.length + axes.indexOf(a) : k;
  };
  return [...axes]
    .sort((a, b) => rank(a) - rank(b))
    .map((a) => {
      const tile = shape.tile(a.name);
      const extent = sizeExpr(a.extent);
      return {
        axis: a.name,
        blocks: tile === 1 ? extent : typeof extent === "number" ? Math.ceil(extent / tile) : ["ceildiv", extent, tile],
      };
    });
}
function lowerMap(job: MapJob, lowering: Lowering, env: Env, inside: Value | undefined): void {
  if (job.row) return lowerWholeRows(job, job.row, lowering, env, inside);
  storeAll(job, lowering, env, inside);
}
function storeAll(job: MapJob, lowering: Lowering, env: Env, inside: Value | undefined): void {
  const b = lowering.builder;
  // Every value is computed before anything is stored: reads of a tensor that is updated in place mean its old elements.
  const made = job.stores.map((s) => {
    const { value, where, at } = computed(s, lowering, env);
    const moved = inRowsOf16Bytes(lowering, s, value, at);
    const address = lowering.address(s.buffer, s.subscripts, moved?.env ?? at);
    return moved ? { s, address, value: moved.value, guard: moved.inside } : { s, address, value, guard: lowering.both(inside, where) };
  });
  for (const m of made) {
    b.comment(m.s.buffer, m.s.line);
    b.store(m.s.buffer, m.address, m.value, m.guard);
  }
}
function computed(s: StoreItem, lowering: Lowering, env: Env): { value: Value; where: Value | undefined; at: Env } {
  const where = isTrue(s.where) ? undefined : lowering.condition(s.where, env);
  const at = where === undefined ? env : lowering.under(env, where);
  return { value: lowering.value(s.value, at), where, at };
}
/** What the row's results need of it first, then the row. */
function lowerWholeRows(job: MapJob, row: NonNullable<MapJob["row"]>, lowering: Lowering, env: Env, inside: Value | undefined): void {
  const { axis, held, kept } = row;
  for (const s of held) {
    const { value, where, at } = computed(s, lowering, env);
    if (kept.includes(s))
      lowering.builder.store(s.buffer, lowering.address(s.buffer, s.subscripts, at), value, lowering.both(inside, where));
    lowering.held.set(s.buffer, value);
  }
  const extent = lowering.value(axis.extent, env);
  lowering.builder.loop(
    baseName(axis.name),
    lowering.int(0),
    extent,
    1,
    [],
    () => [],
    (index) => {
      const values = new Map(env.values).set(axis.name, index);
      storeAll(job, lowering, { ...env, values, axes: [...env.axes, axis], inLoop: true }, inside);
      return [];
    },
  );
}

/** Buffers that the operations touch, in the order of the signature. */
function buffersOf(body: readonly Op[], plan: Plan): BufferUse[] {
  const read = new Set<string>();
  const written = new Set<string>();
  const walk = (ops: readonly Op[]): void => {
    for (const o of ops) {
      if (o.kind === "load" || o.kind === "issue") read.add(o.buffer);
      if (o.kind === "store") written.add(o.buffer);
      if (o.kind === "loop") walk(o.body);
    }
  };
  walk(body);
  return [...plan.stored.values()]
    .filter((s) => read.has(s.name) || written.has(s.name))
    .map((s) => ({
      name: s.name,
      elem: s.elem,
      access: written.has(s.name) ? (read.has(s.name) ? "read_write" : "write") : "read",
      count: positionsOf(s),
    }));
}
