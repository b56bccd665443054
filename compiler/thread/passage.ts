/** A passage through shared memory (layout/convert.ts) as one thread sees it: which of its registers go together, and to which places. */
import type { Layout } from "../layout/layout.ts";
import { listOf } from "../lists.ts";
import type { NodeId, Nodes } from "./nodes.ts";

/** Registers whose places follow one another, `together` at a time, by their places. */
export function neighbours(l: Layout, registers: readonly number[], together: number): number[][] {
  const at = new Map(registers.map((register) => [l.at({ register })["place"]!, register]));
  const firsts = [...at.keys()].filter((place) => place % together === 0);
  return firsts.map((first) => listOf(together, (k) => at.get(first + k)!));
}
/** The place of what a thread has in a register. */
export function placesOf(n: Nodes, l: Layout): (register: number) => NodeId {
  const thread = threadPart(n, l);
  return (register) => n.op("xor", [thread, n.int(l.at({ register })["place"]!)], "i32");
}
/** What the bits of a thread's number add to a place, each by an exclusive or. */
function threadPart(n: Nodes, l: Layout): NodeId {
  const columns = [...(l.columns.get("lane") ?? []), ...(l.columns.get("warp") ?? [])];
  const thread = n.special("thread");
  let sum = n.int(0);
  for (let b = 0; b < columns.length; ) {
    const column = columns[b]!;
    let length = 1;
    // Neighbouring bits that go to neighbouring bits go together.
    if ((column & (column - 1)) === 0) while (columns[b + length] !== undefined && columns[b + length] === column << length) length++;
    if (column !== 0) {
      const bits = n.op("and", [n.op("shr", [thread, n.int(b)], "i32"), n.int((1 << length) - 1)], "i32");
      sum = n.op("xor", [sum, n.op("mul", [bits, n.int(column)], "i32")], "i32");
    }
    b += column === 0 ? 1 : length;
  }
  return sum;
}
