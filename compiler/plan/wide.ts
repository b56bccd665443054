/** Accesses of 16 bytes. */
import { type Storage, storage } from "../../dsl/tensor/types.ts";

/** Elements in 16 bytes; undefined for those that go otherwise: parts of words, and what is wider than one. */
export function inSixteenBytes(elem: Storage): 4 | 8 | undefined {
  const { bits } = storage[elem];
  return bits === 16 ? 8 : bits === 32 ? 4 : undefined;
}
