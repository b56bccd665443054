/**
 * Roles of indices in a warp, for m16n8k16 and, of bytes, m16n8k32 (PTX ISA, "Matrix Fragments"): lanes 0 and 1 step along what lies in pairs
 * (columns of a result, an index summed over; of bytes that is pairs of pairs), lanes 2 to 4 along rows (of a result, and the columns where a
 * second factor is held). An index that plays both parts, in one product or in two, has an axis for each: that of the rows is called `other`.
 */
import { Layout } from "../layout/layout.ts";
import { TileLayout } from "../layout/tile-layout.ts";
import { listOf } from "../lists.ts";
import type { MatrixAxes } from "../tile/ir.ts";
import type { Tiling } from "./shape.ts";

interface RoleAxis {
  readonly name: string;
  readonly extent: number;
  readonly role: "pairs" | "rows" | "warps";
  /** Which warp bits step along it. */
  readonly warps: readonly number[];
  /** Points that a lane holds beside each other, in place of one: columns (MatrixAxes), or pairs of bytes of a word. */
  readonly beside?: number;
}
/** A product: the indices whose points its rows and columns are, and the axes of its tiles. */
export interface Product {
  readonly rows: string;
  readonly columns: string;
  readonly axes: MatrixAxes;
}
const log2 = (n: number): number => Math.round(Math.log2(n));
export const otherAxis = (index: string): string => `${index}.other`;
export const streamAxis = (index: string): string => `${index}.tile`;
const shareAxis = (index: string): string => `${index}.share`;
const overAxis = (index: string): string => `${index}.unroll`;
const range = (from: number, count: number): number[] => listOf(count, (k) => from + k);

/** The axes of a launch that multiplies matrices, `tile` giving what a block takes of its own indices; undefined for any other launch. */
export function fragmentAxes(
  tiling: Tiling,
  tile: (index: string) => number,
): { readonly axes: RoleAxis[]; readonly warps: number; readonly products: Product[] } | undefined {
  if (tiling.matrix) {
    const { rows, columns, over, depth, inWord, warps, shares, beside } = tiling.matrix;
    const [along, across] = warps.map(log2) as [number, number];
    const extent = tile(columns);
    const sharing = range(along + across, log2(shares));
    const share = shares > 1 ? { share: shareAxis(over) } : {};
    return {
      axes: [
        { name: rows, extent: tile(rows), role: "rows", warps: range(0, along) },
        { name: columns, extent, role: "pairs", warps: range(along, across), beside },
        { name: otherAxis(columns), extent, role: "rows", warps: range(along, across), beside },
        { name: overAxis(over), extent: depth, role: "pairs", warps: sharing, beside: inWord / 2 },
        ...(shares > 1 ? [{ name: shareAxis(over), extent: shares, role: "warps", warps: sharing } as const] : []),
      ],
      warps: along + across + sharing.length,
      products: [{ rows, columns, axes: { rows, columns, over: overAxis(over), other: otherAxis(columns), ...share, inWord, beside } }],
    };
  }
  if (tiling.stream === undefined) return undefined;
  const { index, rows, inner, columns, warps } = tiling.stream;
  const streamed = streamAxis(index);
  const axes: RoleAxis[] = [
    { name: rows, extent: tile(rows), role: "rows", warps: range(0, log2(warps)) },
    { name: streamed, extent: tiling.stream.tile, role: "pairs", warps: [] },
    { name: otherAxis(index), extent: tiling.stream.tile, role: "rows", warps: [] },
    ...inner.map((i): RoleAxis => ({ name: overAxis(i.index), extent: i.extent, role: "pairs", warps: [] })),
  ];
  const products: Product[] = inner.map((i) => ({
    rows,
    columns: index,
    axes: { rows, columns: streamed, over: overAxis(i.index), other: otherAxis(index), inWord: 2, beside: 1 },
  }));
  if (columns) {
    axes.push({ name: columns.index, extent: columns.extent, role: "pairs", warps: [] });
    axes.push({ name: otherAxis(columns.index), extent: columns.extent, role: "rows", warps: [] });
    products.push({
      rows,
      columns: columns.index,
      axes: { rows, columns: columns.index, over: streamed, other: otherAxis(columns.index), inWord: 2, beside: 1 },
    });
  }
  return { axes, warps: log2(warps), products };
}
/** Each axis has registers of its own; lanes and warps are shared. */
export function fragmentLayout(axes: readonly RoleAxis[], warpBits: number): TileLayout {
  let first = 0;
  let made: TileLayout | undefined;
  for (const a of axes) {
    const bits = log2(a.extent);
    const own = bits - a.warps.length;
    const inRegisters = a.role === "pairs" ? [0, ...range(3, Math.max(0, own - 3))] : range(3, Math.max(0, own - 3));
    // Bits 0 to 2 are those of an instruction's columns; with points beside each other, they move up.
    const up = log2(a.beside ?? 1);
    const step = (b: number): number => 1 << (b < 3 ? b + up : b < 3 + up ? b - 3 : b);
    const register = [...new Array<number>(first).fill(0), ...inRegisters.map(step)];
    const lane =
      a.role === "warps" ? [0, 0, 0, 0, 0] : a.role === "pairs" ? [step(1), step(2), 0, 0, 0] : [0, 0, step(0), step(1), step(2)];
    const warp = range(0, warpBits).map((w) => (a.warps.includes(w) ? 1 << (own + a.warps.indexOf(w)) : 0));
    const layout = new Layout(
      new Map([
        ["register", register],
        ["lane", lane],
        ["warp", warp],
      ]),
      [{ name: a.name, bits }],
    );
    if (made === undefined) made = new TileLayout(layout);
    else made.add(layout);
    first += inRegisters.length;
  }
  return made!;
}
