/** Accesses of 16 bytes. */
import { type Storage, storage } from "../../dsl/tensor/types.ts";

/** Elements in 16 bytes, of those that begin at a byte; undefined for parts of bytes. */
export function inPiece(elem: Storage): number | undefined {
  const { bits } = storage[elem];
  return bits < 8 ? undefined : 128 / bits;
}
/** Elements in 16 bytes; undefined for those that go otherwise: parts of words, and what is wider than one. */
export function inSixteenBytes(elem: Storage): 4 | 8 | undefined {
  const count = inPiece(elem);
  return count === 4 || count === 8 ? count : undefined;
}
