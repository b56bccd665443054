/**
 * The default scheduler: from a job and a target to directives. What a schedule says wins; the rest is decided here, and can be printed.
 */

import type { Directive } from "../../dsl/check/schedules.ts";
import { baseName, freeIndices, some, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr } from "../../dsl/tensor/ir.ts";
import type { Job, MapJob, Plan } from "../plan/jobs.ts";
import { inSixteenBytes } from "../plan/wide.ts";
import type { Profile } from "../targets/target.ts";
import { acrossOf, acrossTile } from "./across.ts";
import { type MatrixProduct, matrixDefaults, matrixOf, matrixTiling } from "./matrix.ts";
import type { Staging } from "./operands.ts";
import { productLaunch, unrolls } from "./products.ts";
import { constant, multipleOf, powerUp, type Tiling } from "./shape.ts";
import { countsChunks } from "./split.ts";
import { type StreamTiling, streamTiling, streamTilingOf } from "./stream-tiles.ts";

type Sized = Extract<Directive, { size: number }>;
type Reduce = Extract<Expr, { kind: "reduce" }>;

/** Sizes by index, and the number of threads: the form in which a schedule speaks. */
export interface JobDirectives {
  readonly name: string;
  readonly tile: ReadonlyMap<string, number>;
  readonly unroll: ReadonlyMap<string, number>;
  readonly threads: number;
  /** The streamed reduction that goes by tiles, where they allow it. */
  readonly stream?: StreamTiling;
  /** The product that a matrix unit does, where its tile allows. */
  readonly matrix?: MatrixProduct;
  /** Steps of the product whose operands shared memory holds at once. */
  readonly slots?: number;
  /** The reduction whose operands may go through shared memory, and what its launch is like then. */
  readonly staging?: Staging & Pick<JobDirectives, "tile" | "unroll" | "threads">;
  /** It is so where no schedule speaks of its tile. */
  readonly stages?: boolean;
  /** Own indices of which one thread takes so many elements, in registers; others are shared out as evenly as goes. */
  readonly registers: ReadonlyMap<string, number>;
}

export function defaultDirectives(job: Job, plan: Plan, profile: Profile): JobDirectives {
  const axes = axesOf(job);
  const reduces = job.kind === "map" ? reductionsOf(job.stores.map((s) => s.expanded)) : [];
  const make = (
    tile: [string, number][],
    threads: number,
    unroll: [string, number][] = [],
    registers: [string, number][] = [],
  ): JobDirectives => ({ name: job.name, tile: new Map(tile), unroll: new Map(unroll), threads, registers: new Map(registers) });
  if (job.kind === "map" && job.row) return make(pack(axes, 64), 64);
  if (job.kind === "row" || reduces.length === 0 || combinesChunks(job)) {
    const across = job.kind === "map" && reduces.length === 0 && profile.staging.always ? acrossOf(job, plan) : undefined;
    if (across) return make(...acrossTile(across));
    const threads = axes.length === 1 && job.kind === "map" ? 256 : 64;
    const last = axes.at(-1);
    const neighbours = job.kind === "map" && last ? sideBySide(job, last, plan) : 1;
    return make(pack(axes, threads, neighbours), threads);
  }
  const stream = profile.matrix && job.kind === "map" ? streamTilingOf(job, plan) : undefined;
  if (stream) {
    const tile: [string, number][] = [
      [stream.rows, stream.rowsTile],
      ...(stream.columns ? [[stream.columns.index, stream.columns.extent] as [string, number]] : []),
      [stream.index, stream.tile],
    ];
    return { ...make(tile, stream.warps * 32), stream };
  }
  const product = profile.matrix && job.kind === "map" ? matrixOf(job, plan) : undefined;
  if (product) {
    const d = matrixDefaults(product, axes, plan, profile.eightBits);
    const tile: [string, number][] = [
      [product.rows, d.rows],
      [product.columns, d.columns],
      [baseName(product.over), d.depth],
    ];
    return { ...make(tile, d.warps * 32), matrix: product };
  }
  const columns = columnsOf(reduces, axes);
  if (columns.length > 0) {
    const own = columns.map((a): [string, number] => [a.name, powerUp(constant(a.extent)!)]);
    const inner = reduces.flatMap((r) => r.bodies.flatMap((b) => reductionsOf([b])));
    // Several rows to a thread share what is read along the streamed index.
    const others = axes.filter((a) => !columns.includes(a));
    const last = reuseAxes(reduces, others).at(-1) ?? others.at(-1);
    const rest = [...others.filter((a) => a !== last), ...(last ? [last] : [])];
    const rows = Math.max(1, Math.min(4, 64 / own.reduce((n, [, size]) => n * size, 1)));
    const tile = pack(rest, 32).map(([name, size]): [string, number] => [name, name === last?.name ? size * rows : size]);
    return make([...tile, ...own], 32, unrolls(inner, plan), [...own, ...(last ? [[last.name, rows] as [string, number]] : [])]);
  }
  const shared = reuseAxes(reduces, axes);
  if (shared.length >= 2) return { name: job.name, ...productLaunch(job, reduces, shared.slice(-2) as [Axis, Axis], plan, profile) };
  const long = reduces.map((r) => r.axes.at(-1)!).find((a) => (constant(a.extent) ?? Number.POSITIVE_INFINITY) > 64);
  if (axes.length === 0) return make(reduces.length && long ? [[baseName(long.name), 256]] : [], 256);
  if (long === undefined) return make(pack(axes, 64), 64);
  if (profile.rowsByThreads) return make(pack(axes, 64), 64, unrolls(reduces, plan));
  // A row of threads to each result: neighbours read neighbours. Eight results of a block fill a sector of memory.
  return make(
    [
      [axes.at(-1)!.name, 8],
      [baseName(long.name), profile.warp],
    ],
    8 * profile.warp,
    unrolls(reduces, plan),
  );
}
/** The axes over which a job's points are independent: blocks and threads take them. */
export function axesOf(job: Job): readonly Axis[] {
  if (job.kind === "map") return job.axes;
  const s = job.statement;
  if (s.kind === "define") {
    const swept = new Set(s.value.kind === "sweep" ? s.value.over.map((o) => o.name) : []);
    return s.axes.filter((a) => !swept.has(a.name));
  }
  // Accumulation is in order along the axes that choose the place; the others stand in the place as they are.
  if (s.kind === "write") return s.axes.filter((a) => s.subscripts.some((x) => x.kind === "index" && x.name === a.name));
  return s.outer;
}

/** Threads for the last axis, and for those before it where the last is known to be short; `side` elements of the last to a thread. */
function pack(axes: readonly Axis[], threads: number, side = 1): [string, number][] {
  const out: [string, number][] = [];
  let left = threads * side;
  for (const a of [...axes].reverse()) {
    if (left <= 1) break;
    const size = Math.min(left, powerUp(constant(a.extent) ?? left));
    if (size > 1) out.push([a.name, size]);
    left /= size;
  }
  return out;
}
/** How many neighbours along its last axis a thread takes where each is computed for itself: those of 16 bytes, if they lie there in everything it touches. */
function sideBySide(job: MapJob, axis: Axis, plan: Plan): number {
  let side = 4;
  let apart = false;
  const touch = (tensor: string, subscripts: readonly Expr[]): void => {
    const t = plan.stored.get(tensor);
    if (t === undefined) return;
    const last = subscripts.at(-1);
    const moves = subscripts.filter((s) => freeIndices(s).has(axis.name));
    if (moves.length === 0) return;
    if (t.layout || moves.length > 1 || moves[0] !== last || last?.kind !== "index") apart = true;
    const count = inSixteenBytes(t.elem);
    if (count === undefined) apart = true;
    else side = Math.max(side, count);
  };
  for (const s of job.stores) {
    touch(s.buffer, s.subscripts);
    for (const e of [s.expanded, s.where])
      visit(e, (x) => {
        if (x.kind === "read") touch(x.tensor, x.subscripts);
      });
  }
  return !apart && multipleOf(axis.extent, plan.multiples) % side === 0 ? side : 1;
}
/** Reductions that stand outside any other. */
function reductionsOf(list: readonly Expr[]): Reduce[] {
  const out: Reduce[] = [];
  const walk = (e: Expr): void => {
    if (e.kind === "reduce") out.push(e);
    else visitChildren(e, walk);
  };
  list.forEach(walk);
  return out;
}
function visitChildren(e: Expr, f: (e: Expr) => void): void {
  let first = true;
  visit(e, (x) => {
    if (first) first = false;
    else if (x.kind === "reduce") f(x);
  });
}
/** Launch axes along which a reduction reads some operand again and again: the sides of a matrix product. */
function reuseAxes(reduces: readonly Reduce[], axes: readonly Axis[]): Axis[] {
  return axes.filter((a) =>
    reduces.some((r) => {
      const all = freeIndices(r);
      if (!all.has(a.name)) return false;
      let again = false;
      for (const body of r.bodies)
        visit(body, (x) => {
          if (x.kind !== "read" || x.subscripts.length === 0) return;
          const own = new Set(x.subscripts.flatMap((s) => [...freeIndices(s)]));
          if (!own.has(a.name) && r.axes.some((ax) => own.has(ax.name))) again = true;
        });
      return again;
    }),
  );
}
/**
 * Launch axes along which the costly part of a streamed reduction stays the same: the columns of an output whose weights take a reduction of
 * their own. One thread takes them all, so that the weight is computed once; at most 128 registers.
 */
function columnsOf(reduces: readonly Reduce[], axes: readonly Axis[]): Axis[] {
  const costly = reduces.flatMap((r) => (r.monoid ? r.bodies.filter((b) => some(b, (x) => x.kind === "reduce")) : []));
  if (costly.length === 0) return [];
  const rows = new Set(costly.flatMap((b) => [...freeIndices(b)]));
  const columns = axes.filter((a) => !rows.has(a.name) && constant(a.extent) !== undefined);
  return columns.reduce((n, a) => n * powerUp(constant(a.extent)!), 1) <= 128 ? columns : [];
}
const combinesChunks = (job: MapJob): boolean => {
  const reduces = reductionsOf(job.stores.map((s) => s.expanded));
  return reduces.length > 0 && reduces.every((r) => r.axes.every((a) => countsChunks(a.name)));
};
/** The directives of a schedule that concern a job, over its defaults. */
export function applyDirectives(defaults: JobDirectives, directives: readonly Directive[], job: Job): JobDirectives {
  const names = new Set(job.kind === "map" ? job.stores.map((s) => s.buffer) : [job.name]);
  // What combines chunks is a launch of another kind than what made them: only directives that name it are about it.
  const combines = job.kind === "map" && combinesChunks(job);
  const own = directives.filter((d) => ("definition" in d && d.definition !== undefined ? names.has(d.definition) : !combines));
  const known = new Set([
    ...axesOf(job).map((a) => a.name),
    ...(job.kind === "map" ? reductionsOf(job.stores.map((s) => s.expanded)).flatMap((r) => r.axes.map((a) => baseName(a.name))) : []),
  ]);
  const tiles = own.filter((d): d is Sized => d.kind === "tile" && known.has(d.index));
  const unrolled = own.filter((d): d is Sized => d.kind === "unroll" && known.has(d.index));
  const stages = own.filter((d): d is Extract<Directive, { kind: "stage" }> => d.kind === "stage");
  if (stages.length > 0 && defaults.matrix) defaults = { ...defaults, slots: stages[0]!.buffers };
  const warps = own.find((d): d is Extract<Directive, { kind: "warps" }> => d.kind === "warps");
  const vectors = own.filter((d): d is Sized => d.kind === "vectorize" && axesOf(job).some((a) => a.name === d.index));
  const silent = tiles.length === 0 && unrolled.length === 0 && warps === undefined && vectors.length === 0;
  if (defaults.staging) defaults = stagedAs(defaults, stages, silent);
  if (silent) return defaults;
  const tile = new Map(tiles.length > 0 ? [] : defaults.tile);
  for (const t of tiles) tile.set(t.index, t.size);
  // A step of a product is as deep as by default where nothing is said of it.
  const over = defaults.matrix && baseName(defaults.matrix.over);
  if (over && !tile.has(over)) tile.set(over, defaults.tile.get(over)!);
  if (defaults.stream) for (const [index, size] of defaults.tile) if (!tile.has(index)) tile.set(index, size);
  const unroll = new Map(defaults.unroll);
  for (const u of unrolled) unroll.set(u.index, u.size);
  // Indices that a tile does not mention, or leaves as they were, stay as they are where one thread takes several of them.
  const same = (index: string): boolean => !tile.has(index) || tile.get(index) === defaults.tile.get(index);
  const registers = new Map([...defaults.registers].filter(([index]) => tiles.length === 0 || same(index)));
  for (const index of registers.keys()) tile.set(index, defaults.tile.get(index)!);
  const threads = warps ? warps.count * 32 : defaults.threads;
  for (const v of vectors) {
    registers.set(v.index, v.size);
    // A tile that the schedule leaves open has neighbours for all threads.
    const open = !tiles.some((t) => t.index === v.index);
    const volume = axesOf(job).reduce((n, a) => n * (tile.get(a.name) ?? 1), 1);
    const wanted =
      open && !defaults.stream && !defaults.matrix ? Math.max(v.size, ((tile.get(v.index) ?? 1) * threads * v.size) / volume) : v.size;
    tile.set(v.index, Math.max(tile.get(v.index) ?? 1, wanted));
  }
  return { ...defaults, tile, unroll, registers, threads };
}

/** The launch with its operands staged, or without: as the schedule says, or as is usual where it says nothing of the tile either. */
function stagedAs(d: JobDirectives, stages: readonly Extract<Directive, { kind: "stage" }>[], silent: boolean): JobDirectives {
  const { staging, stages: usual, ...direct } = d;
  const wanted = stages.length > 0 || (usual === true && silent);
  if (!wanted) return direct;
  const said = stages.length > 0 ? { slots: stages[0]!.buffers, tensors: new Set(stages.map((s) => s.name)) } : {};
  const { tile, unroll, threads } = staging!;
  return { ...direct, staging: { ...staging!, ...said }, tile, unroll, threads };
}
/** Directives to numbers: threads go to the launch's own axes first, last axis first, then to reduced ones; what is left is registers. */
export function tilingOf(d: JobDirectives, job: Job, sharedBytes: number): Tiling {
  const axes = axesOf(job);
  const tiled = axes.filter((a) => (d.tile.get(a.name) ?? 1) > 1);
  const stream =
    d.stream &&
    streamTiling(
      d.stream,
      tiled.map((a) => a.name),
      (index) => d.tile.get(index) ?? 1,
      d.threads,
    );
  if (stream)
    return {
      axes: axes.map((a) => ({ index: a.name, threads: 1, registers: d.tile.get(a.name) ?? 1 })),
      spread: [],
      unroll: [],
      threads: 32 * stream.warps,
      stream,
    };
  const alone = d.matrix && tiled.every((a) => a.name === d.matrix!.rows || a.name === d.matrix!.columns);
  const matrix =
    d.matrix && alone ? matrixTiling(d.matrix, (index) => d.tile.get(index) ?? 1, d.threads, d.slots ?? 3, sharedBytes) : undefined;
  if (matrix)
    return {
      axes: axes.map((a) => ({ index: a.name, threads: 1, registers: d.tile.get(a.name) ?? 1 })),
      spread: [],
      unroll: [{ index: matrix.over, registers: matrix.depth }],
      threads: 32 * matrix.warps[0] * matrix.warps[1] * matrix.shares,
      matrix,
    };
  const depth = d.staging && d.unroll.get(d.staging.over);
  const staging = d.staging && depth ? { ...d.staging, depth } : undefined;
  let threads = d.threads;
  const share = new Map<string, number>();
  const reduced = [...d.tile].filter(([index]) => !axes.some((a) => a.name === index));
  // A reduced index takes its threads only where the launch's own tile leaves some.
  const own = tiled.reduce((n, a) => n * d.tile.get(a.name)!, 1);
  const spread = reduced.flatMap(([index, size]) => {
    const free = Math.max(1, threads / own);
    const n = Math.min(size, free);
    threads /= n;
    return n > 1 ? [{ index, threads: n }] : [];
  });
  const volume = (a: Axis): number => d.tile.get(a.name)!;
  // Square shares: every axis in turn gets a factor of two while threads and elements are left, the last axis first.
  for (const a of tiled) share.set(a.name, 1);
  const total = own / threads;
  const most = (a: Axis): number => {
    const held = d.registers.get(a.name);
    if (held !== undefined) return Math.max(1, volume(a) / held);
    if (d.registers.size > 0 || tiled.length < 2 || total <= 1) return volume(a);
    return Math.max(1, volume(a) / registersFor(total, tiled, a, d));
  };
  for (let given = true; given && threads > 1; ) {
    given = false;
    for (const a of [...tiled].reverse()) {
      if (threads <= 1 || share.get(a.name)! >= most(a)) continue;
      share.set(a.name, share.get(a.name)! * 2);
      threads /= 2;
      given = true;
    }
  }
  return {
    axes: axes.map((a) => {
      const size = d.tile.get(a.name) ?? 1;
      const t = share.get(a.name) ?? 1;
      return { index: a.name, threads: t, registers: Math.max(1, size / t) };
    }),
    spread,
    unroll: [...d.unroll].map(([index, registers]) => ({ index, registers })),
    threads: d.threads,
    ...(staging ? { staging } : {}),
  };
}
/** Registers along one axis, so that the product over all is `total` and the shares are near each other. */
function registersFor(total: number, tiled: readonly Axis[], axis: Axis, d: JobDirectives): number {
  const regs = new Map(tiled.map((a) => [a.name, 1]));
  let left = total;
  while (left > 1) {
    const next = [...tiled]
      .reverse()
      .filter((a) => regs.get(a.name)! < d.tile.get(a.name)!)
      .sort((x, y) => regs.get(x.name)! - regs.get(y.name)!)[0];
    if (next === undefined) break;
    regs.set(next.name, regs.get(next.name)! * 2);
    left /= 2;
  }
  return regs.get(axis.name)!;
}

export function printDirectives(d: JobDirectives): string[] {
  const lines: string[] = [];
  const list = (sizes: ReadonlyMap<string, number>): string => [...sizes].map(([index, n]) => `${d.name}.${index}: ${n}`).join(", ");
  if (d.tile.size > 0) lines.push(`tile ${list(d.tile)}`);
  if (d.registers.size > 0) lines.push(`vectorize ${list(d.registers)}`);
  if (d.unroll.size > 0) lines.push(`unroll ${list(d.unroll)}`);
  if (d.staging) lines.push(`stage ${[...(d.staging.tensors ?? d.staging.operands)].join(", ")} in shared, buffers: ${d.staging.slots}`);
  return lines;
}
