/**
 * Where the tiles of a launch live: for each axis a layout of its own, over the same registers, lanes and warps. A tile over some axes has the
 * layouts of those axes side by side, so that axes which no tile has together may share lanes: rows and columns of different operands.
 */
import { invariant } from "../../dsl/diagnostics.ts";
import { listOf } from "../lists.ts";
import { Layout } from "./layout.ts";

const inputs = ["register", "lane", "warp"] as const;

export class TileLayout {
  private readonly own = new Map<string, Layout>();
  private readonly joined = new Map<string, Layout>();
  private readonly bits: { lane: number; warp: number };

  /** @param layout gives each of its outputs what it has there */
  constructor(layout: Layout) {
    this.bits = { lane: layout.bitsOf("lane"), warp: layout.bitsOf("warp") };
    this.add(layout);
  }
  /** More axes, whose registers may be others. */
  add(layout: Layout): void {
    for (const o of layout.outputs) this.own.set(o.name, layout.project([o.name]));
  }
  get threads(): number {
    return 2 ** (this.bits.lane + this.bits.warp);
  }
  extent(axis: string): number {
    return this.own.get(axis)?.extent(axis) ?? 1;
  }
  /** The layout of a tile over these axes. */
  over(axes: readonly string[]): Layout {
    const key = axes.length === 1 ? axes[0]! : axes.join();
    let made = this.joined.get(key);
    if (made === undefined) {
      made = this.join(axes.flatMap((a) => this.own.get(a) ?? []));
      this.joined.set(key, made);
    }
    return made;
  }
  private join(list: readonly Layout[]): Layout {
    const columns = new Map(inputs.map((i) => [i as string, [] as number[]]));
    const width = (i: (typeof inputs)[number]): number => (i === "register" ? Math.max(0, ...list.map((l) => l.bitsOf(i))) : this.bits[i]);
    for (const i of inputs) columns.set(i, new Array<number>(width(i)).fill(0));
    let at = 0;
    for (const l of list) {
      for (const i of inputs)
        l.columns.get(i)?.forEach((c, b) => {
          columns.get(i)![b] = columns.get(i)![b]! | (c << at);
        });
      at += l.size;
    }
    invariant(at <= 31, `a tile of ${at} bits`);
    return new Layout(
      columns,
      list.flatMap((l) => l.outputs),
    );
  }
  /** `register  j+1 j+2 i+1` a line an input: what the lowest, the next, .. bit moves by. */
  toString(): string {
    const line = (i: string): string[] => {
      const width = Math.max(0, ...[...this.own.values()].map((l) => l.bitsOf(i)));
      const bit = (b: number): string =>
        [...this.own].flatMap(([axis, l]) => ((l.columns.get(i)?.[b] ?? 0) === 0 ? [] : [`${axis}+${l.columns.get(i)![b]}`])).join("^") ||
        "0";
      return width === 0 ? [] : [`${i} ${listOf(width, (b) => bit(b)).join(" ")}`];
    };
    return inputs.flatMap(line).join(" | ");
  }
}
