/** Narrow elements in a word, as the operands of a matrix unit hold them: together where an instruction makes both, or where they lie so. */
import { inWord, isEightBits, type MatrixForm } from "../../dsl/tensor/matrix.ts";
import type { MapOp } from "../tile/ir.ts";
import { offsetOf } from "./integers.ts";
import type { NodeId, Nodes } from "./nodes.ts";

/** The word that holds these values, two or four, the first in its low bits. */
export function wordOf(n: Nodes, values: readonly NodeId[], form: MatrixForm): NodeId {
  if (inWord[form] === 2) return pairOf(n, values[0]!, values[1]!, form);
  const bits = (v: NodeId): NodeId => (form === "s8" ? byteOf(n, v) : bitsOf(n, v, form));
  return values.map((v, k) => n.op("shl", [bits(v), n.constant(8 * k, "u32")], "u32")).reduce((a, b) => n.op("or", [a, b], "u32"));
}
/** The words of operands of a matrix instruction, of all that are held in these: halves in place of floats of 8 bits, the first two of a word and the others. */
export const unitWords = (n: Nodes, words: readonly NodeId[], form: MatrixForm): readonly (readonly NodeId[])[] =>
  isEightBits(form) ? [0, 16].map((at) => words.map((w) => n.op(`widen_${form}`, [w, n.constant(at, "u32")], "u32"))) : [words];
/** The bits of an integer in a byte. */
function byteOf(n: Nodes, value: NodeId): NodeId {
  const v = n.at(value);
  if (v.op === "select") return n.op("select", [v.args[0]!, byteOf(n, v.args[1]!), byteOf(n, v.args[2]!)], "u32");
  const signed = v.op === "shr" ? n.at(v.args[0]!) : undefined;
  const moved = signed?.op === "bitcast" ? n.at(signed.args[0]!) : undefined;
  // A byte that was read and given its sign.
  const byte =
    moved?.op === "shl" && [v, moved].every((x) => n.at(x.args[1]!).value === 24) ? moved.args[0]! : n.op("bitcast", [value], "u32");
  return n.op("and", [byte, n.constant(255, "u32")], "u32");
}
function pairOf(n: Nodes, low: NodeId, high: NodeId, form: MatrixForm): NodeId {
  const [x, y] = [n.at(low), n.at(high)];
  if (x.op === "select" && y.op === "select" && x.args[0] === y.args[0])
    return n.op("select", [x.args[0]!, pairOf(n, x.args[1]!, y.args[1]!, form), pairOf(n, x.args[2]!, y.args[2]!, form)], "u32");
  const fields = form === "f16" ? scaledFields(n, low, high) : undefined;
  return fields ?? joined(n, bitsOf(n, low, form), bitsOf(n, high, form));
}
const joined = (n: Nodes, low: NodeId, high: NodeId): NodeId => n.op("or", [low, n.op("shl", [high, n.constant(16, "u32")], "u32")], "u32");

/** The bits of a value as a narrow float; those that were read from memory are taken as they lie there. */
function bitsOf(n: Nodes, value: NodeId, form: MatrixForm): NodeId {
  const v = n.at(value);
  if (v.op === `decode_${form}`) return v.args[0]!;
  if (v.op === "select") return n.op("select", [v.args[0]!, bitsOf(n, v.args[1]!, form), bitsOf(n, v.args[2]!, form)], "u32");
  if (v.kind === "const" && v.value === 0) return n.constant(0, "u32");
  return n.op(`encode_${form}` as MapOp, [value], "u32");
}
interface Bit {
  readonly base: NodeId | undefined;
  readonly by: number;
}
/** A field of 4 bits of a word, from a bit on, less an integer. */
interface Field {
  readonly word: NodeId;
  readonly shift: NodeId;
  readonly zero: NodeId;
}
/** What is taken off a field before it is scaled stays exact below this. */
const mostZero = 63;
/**
 * a - z and b - z, or (a - z) s and (b - z) t, for neighbouring fields a, b of a byte and halves s, t: the differences are exact as halves, so a product of halves
 * rounds as one of f32 does that is rounded to a half.
 */
function scaledFields(n: Nodes, low: NodeId, high: NodeId): NodeId | undefined {
  const [p, q] = [scaledField(n, low), scaledField(n, high)];
  if (p === undefined || q === undefined || p.word !== q.word || p.zero !== q.zero) return undefined;
  const { range } = n.at(p.zero);
  if (range[0] < 0 || range[1] > mostZero) return undefined;
  const [from, to] = [placeOf(n, p.shift), placeOf(n, q.shift)];
  if (from.base !== to.base) return undefined;
  const op = togetherAt(n, from, to.by - from.by);
  if (op === undefined) return undefined;
  const both = n.op(op, [p.word, p.shift, p.zero], "u32");
  if (p.scale === undefined && q.scale === undefined) return both;
  return p.scale !== undefined && q.scale !== undefined ? n.op("multiply_f16x2", [both, joined(n, p.scale, q.scale)], "u32") : undefined;
}
/** The instruction that makes halves of two fields, so many bits apart. */
function togetherAt(n: Nodes, from: Bit, apart: number): "nibbles_f16" | "fields_f16" | undefined {
  const multiple = (of: number): boolean => from.by % of === 0 && (from.base === undefined || n.at(from.base).multiple % of === 0);
  if (apart === 4 && multiple(8)) return "nibbles_f16";
  return apart === 16 && multiple(4) ? "fields_f16" : undefined;
}
/** A bit's place, as a value and what is added to it. */
function placeOf(n: Nodes, shift: NodeId): Bit {
  const node = n.at(shift);
  if (node.kind === "const") return { base: undefined, by: node.value as number };
  return node.op === "to_u32" ? offsetOf(n, node.args[0]!) : { base: shift, by: 0 };
}
function scaledField(n: Nodes, value: NodeId): (Field & { readonly scale: NodeId | undefined }) | undefined {
  const product = n.at(value);
  if (product.op === "small_to_f32") {
    const field = fieldOf(n, product.args[0]!);
    return field && { ...field, scale: undefined };
  }
  if (product.op !== "mul") return undefined;
  for (const [whole, scale] of [product.args, [...product.args].reverse()] as [NodeId, NodeId][]) {
    const [w, s] = [n.at(whole), n.at(scale)];
    const field = w.op === "small_to_f32" && s.op === "decode_f16" ? fieldOf(n, w.args[0]!) : undefined;
    if (field) return { ...field, scale: s.args[0]! };
  }
  return undefined;
}
function fieldOf(n: Nodes, integer: NodeId): Field | undefined {
  const v = n.at(integer);
  if (v.op === "sub") {
    const field = fieldOf(n, v.args[0]!);
    return field && isZero(n, field.zero) ? { ...field, zero: v.args[1]! } : undefined;
  }
  const less = v.op === "add" ? n.at(v.args[1]!).value : undefined;
  if (typeof less === "number" && less < 0) {
    const field = fieldOf(n, v.args[0]!);
    return field && isZero(n, field.zero) ? { ...field, zero: n.int(-less) } : undefined;
  }
  const masked = v.op === "to_i32" ? n.at(v.args[0]!) : undefined;
  if (masked?.op !== "and" || n.at(masked.args[1]!).value !== 15) return undefined;
  const shifted = n.at(masked.args[0]!);
  const zero = n.int(0);
  if (shifted.op !== "shr") return { word: masked.args[0]!, shift: n.constant(0, "u32"), zero };
  return { word: shifted.args[0]!, shift: shifted.args[1]!, zero };
}
const isZero = (n: Nodes, id: NodeId): boolean => n.at(id).kind === "const" && n.at(id).value === 0;
