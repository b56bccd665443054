/**
 * In which order a block walks the tiles of a streamed index. Tiles that every row has whole ask nothing of their elements, and come first. Those
 * that some row has in part lie on both sides of them, and are one loop all the same: from where the whole ones end to the end of the walk, and
 * round to its start.
 */
import type { BlockBounds } from "./block-bounds.ts";
import type { Lowering } from "./expression.ts";
import type { Value } from "./ir.ts";

/** A loop over turns, of one tile each. */
export interface Part {
  readonly from: Value;
  readonly to: Value;
  /** Every row has every element of its tiles. */
  readonly whole: boolean;
  /** Where the tile of one of its turns begins. */
  readonly at: (turn: Value) => Value;
}
export interface Turns {
  readonly first: Value;
  /** Each goes on with the turn at which the one before it ended. */
  readonly parts: readonly Part[];
  /** Where the tile of any turn begins. */
  readonly tileOf: (turn: Value) => Value;
}

/** @param bounded whether more than the extent of the index bounds it, if tiles do not divide that */
export function turnsOf(l: Lowering, bounds: BlockBounds, tile: number, bounded: boolean): Turns {
  const b = l.builder;
  const pick = (op: "min" | "max" | "add" | "sub", x: Value, y: Value): Value => b.map(op, [x, y], "i32");
  const { full, to } = bounds;
  const start = l.alignedDown(bounds.from, tile);
  const itself = (turn: Value): Value => turn;
  const inPart = (from: Value, to: Value, at: Part["at"]): Part => ({ from, to, whole: false, at });
  if (full === undefined || !bounded) return { first: start, parts: [{ ...inPart(start, to, itself), whole: !bounded }], tileOf: itself };
  const [begun, ended] = [l.alignedUp(full.from, tile), l.alignedDown(full.to, tile)];
  const whole = (from: Value): Part => ({ from, to: ended, whole: true, at: itself });
  if (begun === start) {
    const left = b.constantOf(start) === 0 ? ended : pick("max", start, ended);
    return { first: start, parts: [whole(start), inPart(left, to, itself)], tileOf: itself };
  }
  const end = l.alignedUp(to, tile);
  const length = pick("sub", end, start);
  const tileOf = (turn: Value): Value => b.map("select", [b.map("lt", [turn, end], "bool"), turn, pick("sub", turn, length)], "i32");
  const first = pick("min", begun, end);
  return { first, parts: [whole(first), inPart(pick("max", first, ended), pick("add", first, length), tileOf)], tileOf };
}
