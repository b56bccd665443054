/** Coordinates of the elements that a thread holds, as the layout of its launch has them. */
import type { TileLayout } from "../layout/tile-layout.ts";
import type { NodeId, Nodes } from "./nodes.ts";

/** Thread bits beside each other that move along an axis, each twice as far as the one before. */
interface Run {
  readonly from: number;
  /** Of the bits of the run; undefined where all higher ones belong to it. */
  readonly mask: number | undefined;
  /** How far the lowest moves. */
  readonly by: number;
}
/** What moves along an axis: thread bits, and register bits by as much as is listed. */
interface Moves {
  readonly runs: readonly Run[];
  readonly registers: readonly number[];
}

export class Coordinates {
  private readonly nodes: Nodes;
  private readonly layout: TileLayout;
  private readonly moves = new Map<string, Moves>();

  constructor(nodes: Nodes, layout: TileLayout) {
    this.nodes = nodes;
    this.layout = layout;
  }
  /** What the place of the thread gives along an axis, and what the register adds. */
  at(axis: string, register: number): NodeId {
    const n = this.nodes;
    const { runs, registers } = this.along(axis);
    let sum: NodeId | undefined;
    for (const { from, mask, by } of runs) {
      let part = n.special("thread");
      if (from > 0) part = n.op("shr", [part, n.int(from)], "i32");
      if (mask !== undefined) part = n.op("and", [part, n.int(mask)], "i32");
      if (by > 1) part = n.op("mul", [part, n.int(by)], "i32");
      sum = sum === undefined ? part : n.op("add", [sum, part], "i32");
    }
    let held = 0;
    for (let b = 0; b < registers.length; b++) if ((register >> b) & 1) held ^= registers[b]!;
    return sum === undefined ? n.int(held) : n.op("add", [sum, n.int(held)], "i32", axis);
  }
  private along(axis: string): Moves {
    let moves = this.moves.get(axis);
    if (moves === undefined) {
      moves = movesAlong(this.layout, axis);
      this.moves.set(axis, moves);
    }
    return moves;
  }
}
function movesAlong(layout: TileLayout, axis: string): Moves {
  const own = layout.over([axis]);
  const columns = [...(own.columns.get("lane") ?? []), ...(own.columns.get("warp") ?? [])];
  const runs: Run[] = [];
  for (let from = 0, length = 1; from < columns.length; from += length, length = 1) {
    const by = columns[from]!;
    if (by === 0) continue;
    while (from + length < columns.length && columns[from + length] === by << length) length++;
    runs.push({ from, by, mask: from + length < columns.length ? (1 << length) - 1 : undefined });
  }
  return { runs, registers: own.columns.get("register") ?? [] };
}
