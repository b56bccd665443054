/** The tile that a block computes: its axes, and how registers and threads share them. */
import { baseName } from "../../dsl/tensor/expr.ts";
import type { Expr } from "../../dsl/tensor/ir.ts";
import { Layout } from "../layout/layout.ts";
import { TileLayout } from "../layout/tile-layout.ts";
import { gcd } from "../plan/size.ts";
import type { Ring, TileAxis } from "../tile/ir.ts";
import { fragmentAxes, fragmentLayout, type Product } from "./fragments.ts";
import type { Staging } from "./operands.ts";
import { stepsOf } from "./order.ts";
import type { StreamTiling } from "./stream-tiles.ts";

export const powerUp = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));
export const constant = (e: Expr): number | undefined => (e.kind === "const" ? Number(e.value) : undefined);

export interface AxisShape {
  readonly index: string;
  readonly threads: number;
  readonly registers: number;
}
/** A launch's tiling, as numbers: what the directives for its definition come to. */
export interface Tiling {
  /** Indices of the launch that are tiled; others take one element a block. */
  readonly axes: readonly AxisShape[];
  /** Reduced indices whose elements are shared out over threads. */
  readonly spread: readonly { readonly index: string; readonly threads: number }[];
  /** Reduced indices of which one iteration takes several elements. */
  readonly unroll: readonly { readonly index: string; readonly registers: number }[];
  /** Threads a block; at least what the axes take. */
  readonly threads: number;
  /** The sum of products that a matrix unit does, and how the warps share its tile. */
  readonly matrix?: MatrixTiling;
  /** The streamed reduction that is done by tiles. */
  readonly stream?: StreamTiling;
  /** The reduction whose operands go through shared memory. */
  readonly staging?: Staging;
}
/** Rows and columns of the result, the index summed over and how much of it a step takes; warps along rows and columns. */
export interface MatrixTiling {
  readonly rows: string;
  readonly columns: string;
  readonly over: string;
  readonly depth: number;
  /** As in MatrixAxes. */
  readonly inWord: 2 | 4;
  readonly warps: readonly [number, number];
  /** Shares of a step that warps take, beside those along rows and columns. */
  readonly shares: number;
  /** Steps whose operands shared memory holds at once; 0 where they are read from global memory. */
  readonly slots: number;
  /** As in MatrixAxes. */
  readonly beside: number;
}

export type Multiples = ReadonlyMap<string, number>;
const log2 = (n: number): number => Math.round(Math.log2(n));

export class LaunchShape {
  readonly axes: TileAxis[];
  readonly rings: Ring[] = [];
  /** Products that a matrix unit does in this launch. */
  readonly products: readonly Product[] = [];
  readonly layout: TileLayout;
  private readonly tiling: Tiling;

  readonly multiples: Multiples;

  /**
   * @param warp threads that run in step; lane bits come first
   * @param multiples numbers that divide dimensions
   */
  constructor(tiling: Tiling, warp: number, multiples: Multiples) {
    this.multiples = multiples;
    this.tiling = tiling;
    const held = fragmentAxes(tiling, (index) => this.tile(index));
    if (held) {
      this.layout = fragmentLayout(held.axes, held.warps);
      this.axes = held.axes.map(({ name, extent }) => ({ name, extent }));
      this.products = held.products;
      return;
    }
    const parts: [input: string, name: string, bits: number][] = [];
    let threadBits = 0;
    const warpBits = log2(warp);
    // The last axis has the lowest lane bits, and within an axis registers lie below threads.
    const put = (name: string, threads: number): void => {
      for (let b = 0; b < log2(threads); b++) parts.push([threadBits++ < warpBits ? "lane" : "warp", name, 1]);
    };
    for (const s of tiling.spread) put(`${s.index}.threads`, s.threads);
    for (const a of [...tiling.axes].reverse()) {
      // Of neighbours that a thread reads together there are 16 bytes; neighbouring threads have the next.
      const most = tiling.staging === undefined ? 0 : a.index === tiling.staging.columns ? tiling.staging.beside : 4;
      const side = most === 0 ? a.registers : Math.min(most, a.registers);
      parts.push(["register", a.index, log2(side)]);
      put(a.index, a.threads);
      parts.push(["register", a.index, log2(a.registers / side)]);
    }
    const idle = log2(tiling.threads) - threadBits;
    const unrolled = tiling.unroll.filter((s) => s.registers > 1).map((s) => unrolledLayout(s, tiling.staging));
    let layout = [...unrolled, Layout.blocked(parts.filter((p) => p[2] > 0))].reduce((a, b) => a.product(b));
    if (idle > 0) {
      const lanes = Math.min(idle, Math.max(0, warpBits - threadBits));
      if (lanes > 0) layout = layout.product(Layout.zeros("lane", lanes));
      if (idle > lanes) layout = layout.product(Layout.zeros("warp", idle - lanes));
    }
    this.layout = new TileLayout(layout);
    this.axes = [
      ...tiling.axes.filter((a) => a.threads * a.registers > 1).map((a) => ({ name: a.index, extent: a.threads * a.registers })),
      ...tiling.spread.map((s) => ({ name: `${s.index}.threads`, extent: s.threads })),
      ...tiling.unroll.map((s) => ({ name: `${s.index}.unroll`, extent: s.registers })),
    ];
  }
  addRing(ring: Ring, layout: Layout): void {
    this.rings.push(ring);
    this.layout.add(layout);
    this.axes.push(ring.copy.slow, ring.copy.piece);
  }
  addAxis(axis: TileAxis, layout: Layout): void {
    this.layout.add(layout);
    this.axes.push(axis);
  }
  /** Bytes of shared memory that the rings take. */
  get ringBytes(): number {
    return this.rings.reduce((n, r) => n + (r.slots * r.slow.extent * r.fast.extent * 16) / r.width, 0);
  }
  get threads(): number {
    return this.layout.threads;
  }
  /** Of a matrix product: the sums that a warp has, and how many warps share out a step. */
  get matrix(): { readonly rowsOfWarp: number; readonly columnsOfWarp: number; readonly shares: number } | undefined {
    const m = this.tiling.matrix;
    return m && { rowsOfWarp: this.tile(m.rows) / m.warps[0], columnsOfWarp: this.tile(m.columns) / m.warps[1], shares: m.shares };
  }
  /** Steps of the matrix product that shared memory holds at once. */
  get slots(): number {
    return this.tiling.matrix?.slots ?? 0;
  }
  /** Elements of an index that a block takes. */
  tile(index: string): number {
    const a = this.tiling.axes.find((x) => x.index === index);
    return a ? a.threads * a.registers : 1;
  }
  /** Neighbours along an index that one thread takes, the first of which is a multiple of their number. */
  sideBySide(index: string): number {
    if (this.products.length === 0 && this.tiling.staging === undefined)
      return this.tiling.axes.find((x) => x.index === index)?.registers ?? 1;
    const steps = this.layout.over([index]).columns.get("register") ?? [];
    let side = 1;
    while (steps.includes(side)) side *= 2;
    return side;
  }
  spread(index: string): { axis: string; extent: number } | undefined {
    const s = this.tiling.spread.find((x) => x.index === baseName(index));
    return s && s.threads > 1 ? { axis: `${s.index}.threads`, extent: s.threads } : undefined;
  }
  unroll(index: string): { axis: string; extent: number } | undefined {
    const s = this.tiling.unroll.find((x) => x.index === baseName(index));
    return s && s.registers > 1 ? { axis: `${s.index}.unroll`, extent: s.registers } : undefined;
  }
  /** The reduction whose operands go through shared memory. */
  get staging(): Staging | undefined {
    return this.tiling.staging;
  }
  /** How the launch walks a streamed index, tile by tile. */
  get stream(): StreamTiling | undefined {
    return this.tiling.stream;
  }
  divides(extent: Expr, width: number): boolean {
    return multipleOf(extent, this.multiples) % width === 0;
  }
}
/** The elements of a step in registers. */
function unrolledLayout({ index, registers }: Tiling["unroll"][number], staging: Staging | undefined): Layout {
  const steps = stepsOf(registers, staging?.over === index ? staging.order : []);
  return new Layout(new Map([["register", steps]]), [{ name: `${index}.unroll`, bits: steps.length }]);
}

/** The largest power of two that divides a number, up to `most`. */
export function powerIn(n: number, most: number): number {
  let p = 1;
  while (2 * p <= most && n % (2 * p) === 0) p *= 2;
  return p;
}
/** A number that divides the value of an extent, for all dimensions that are admitted. */
export function multipleOf(e: Expr, multiples: Multiples): number {
  if (e.kind === "const") return Math.abs(Number(e.value)) || 2 ** 30;
  if (e.kind === "dim") return multiples.get(e.name) ?? 1;
  if (e.kind !== "op") return 1;
  const [a, b] = e.args.map((x) => multipleOf(x, multiples)) as [number, number];
  if (e.op === "mul") return Math.min(2 ** 30, a * b);
  if (e.op === "add" || e.op === "sub" || e.op === "min" || e.op === "max") return gcd(a, b);
  return 1;
}
