/** Sums of products of bytes that lie in two words: four at a time, where a target has an instruction for it. */
import type { NodeId, Nodes } from "./nodes.ts";

/** A byte of a word, from a bit on. */
interface Byte {
  readonly word: NodeId;
  readonly at: number;
  readonly signed: boolean;
}
/** The same sum in fewer terms: what multiplies all four bytes of two words is one. */
export function packedSum(n: Nodes, terms: readonly NodeId[]): NodeId[] {
  const groups = new Map<
    string,
    { readonly words: readonly [NodeId, NodeId]; readonly signed: boolean; readonly terms: Map<number, NodeId> }
  >();
  for (const term of terms) {
    const t = n.at(term);
    const [x, y] = t.kind === "op" && t.op === "mul" && t.elem === "i32" ? t.args.map((a) => byteOf(n, a)) : [];
    if (x === undefined || y === undefined || x.at !== y.at || x.signed !== y.signed) continue;
    const words = [Math.min(x.word, y.word), Math.max(x.word, y.word)] as const;
    const key = `${words.join()} ${x.signed}`;
    const group = groups.get(key) ?? { words, signed: x.signed, terms: new Map() };
    // A product that occurs twice stays as it is the second time.
    if (!group.terms.has(x.at)) group.terms.set(x.at, term);
    groups.set(key, group);
  }
  const rest = [...terms];
  const made: NodeId[] = [];
  for (const g of groups.values()) {
    if (g.terms.size < 4) continue;
    for (const term of g.terms.values()) rest.splice(rest.indexOf(term), 1);
    made.push(n.op(g.signed ? "dot4_i8" : "dot4_u8", g.words, "i32"));
  }
  return [...made, ...rest];
}
function byteOf(n: Nodes, integer: NodeId): Byte | undefined {
  const v = n.at(integer);
  if (v.op === "to_i32") return fieldOf(n, v.args[0]!, false);
  // Shifted up as an unsigned word, and down as a signed one.
  const up = v.op === "shr" && v.elem === "i32" && isNumber(n, v.args[1], 24) ? n.at(v.args[0]!) : undefined;
  const moved = up?.op === "bitcast" ? n.at(up.args[0]!) : undefined;
  return moved?.op === "shl" && isNumber(n, moved.args[1], 24) ? fieldOf(n, moved.args[0]!, true) : undefined;
}
/** The 8 bits that are left of a word under a mask. */
function fieldOf(n: Nodes, masked: NodeId, signed: boolean): Byte | undefined {
  const v = n.at(masked);
  if (v.elem !== "u32" || v.op !== "and" || !isNumber(n, v.args[1], 255)) return undefined;
  const shifted = n.at(v.args[0]!);
  if (shifted.op !== "shr") return { word: v.args[0]!, at: 0, signed };
  const { kind, value } = n.at(shifted.args[1]!);
  return kind === "const" ? { word: shifted.args[0]!, at: value as number, signed } : undefined;
}
const isNumber = (n: Nodes, id: NodeId | undefined, value: number): boolean =>
  id !== undefined && n.at(id).kind === "const" && n.at(id).value === value;
