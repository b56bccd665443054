/** Simplification of a thread's integers: constants go outermost, and what multiples and ranges tell of quotients, remainders and bits is used. */
import { gcd } from "../plan/size.ts";
import type { MapOp } from "../tile/ir.ts";
import type { Node, NodeId, Nodes } from "./nodes.ts";

/** What an operation on integers is, in other words; undefined where there are none. */
export function simplified(n: Nodes, op: MapOp, args: readonly NodeId[]): NodeId | undefined {
  const [a, b] = args as [NodeId, NodeId];
  const x = constantOf(n, a);
  const y = b === undefined ? undefined : constantOf(n, b);
  if (x !== undefined && y !== undefined) {
    const v = {
      add: (x + y) | 0,
      sub: (x - y) | 0,
      mul: Math.imul(x, y),
      min: Math.min(x, y),
      max: Math.max(x, y),
      truncdiv: y > 0 ? Math.trunc(x / y) : Number.NaN,
      truncmod: y > 0 ? x % y : Number.NaN,
      shl: x << y,
      and: x & y,
      xor: x ^ y,
      shr: x >> y,
    }[op as "add"];
    if (v !== undefined && !Number.isNaN(v)) return n.int(v);
  }
  // A constant stands on the right.
  if ((op === "add" || op === "mul" || op === "xor") && x !== undefined && y === undefined) return n.op(op, [b, a], "i32");
  switch (op) {
    case "add":
      return sum(n, a, b, y);
    case "sub":
      if (y === 0) return a;
      if (a === b) return n.int(0);
      return y !== undefined ? n.op("add", [a, n.int(-y | 0)], "i32") : undefined;
    case "mul":
      return y === undefined ? undefined : multiple(n, a, y);
    case "truncdiv":
    case "truncmod": {
      if (y === undefined || y <= 0) return undefined;
      if (y === 1) return op === "truncdiv" ? a : n.int(0);
      const known = quotient(n, op, a, y);
      if (known !== undefined || (y & (y - 1)) !== 0 || n.at(a).range[0] < 0) return known;
      // Of a natural number, its bits.
      return op === "truncdiv" ? n.op("shr", [a, n.int(Math.log2(y))], "i32") : n.op("and", [a, n.int(y - 1)], "i32");
    }
    case "shr":
      if (y === 0) return a;
      return y !== undefined && y > 0 && y < 31 && n.at(a).range[0] >= 0 ? quotient(n, "truncdiv", a, 2 ** y) : undefined;
    case "and": {
      if (y === undefined || y < 0 || (y & (y + 1)) !== 0 || n.at(a).range[0] < 0) return undefined;
      return n.at(a).range[1] <= y ? a : y < 2 ** 30 ? quotient(n, "truncmod", a, y + 1) : undefined;
    }
    case "xor":
      return exclusive(n, a, b, y);
    case "min":
    case "max": {
      if (a === b) return a;
      const [least, most] = n.at(a).range;
      if (y !== undefined) return (op === "max" ? least >= y : most <= y) ? a : undefined;
      return ofChoices(n, op, a, b);
    }
    default:
      return undefined;
  }
}
/** The greater or lesser of two choices between the same two numbers: which it is hangs on either condition, or on both. */
function ofChoices(n: Nodes, op: "min" | "max", a: NodeId, b: NodeId): NodeId | undefined {
  const [p, q] = [n.at(a), n.at(b)];
  if (p.op !== "select" || q.op !== "select" || p.args[1] !== q.args[1] || p.args[2] !== q.args[2]) return undefined;
  const [yes, no] = [constantOf(n, p.args[1]!), constantOf(n, p.args[2]!)];
  if (yes === undefined || no === undefined) return undefined;
  const either = op === "max" ? yes >= no : yes <= no;
  return n.op("select", [n.op(either ? "lor" : "land", [p.args[0]!, q.args[0]!], "bool"), p.args[1]!, p.args[2]!], "i32");
}
/** A number that divides what an operation on integers gives. */
export function multipleOf(n: Nodes, op: MapOp, args: readonly NodeId[]): number {
  const a = n.at(args[0]!).multiple;
  const b = args.length > 1 ? n.at(args[1]!).multiple : 1;
  if (op === "mul") return Math.min(2 ** 30, a * b);
  if (op === "add" || op === "sub" || op === "min" || op === "max") return gcd(a, b);
  if (op === "select") return gcd(b, n.at(args[2]!).multiple);
  if (op === "xor") return gcd(gcd(a, b), 2 ** 30);
  // A bit that one of them lacks.
  if (op === "and") return Math.max(a & -a, b & -b);
  if (op === "truncmod") return gcd(a, b);
  if (op === "shr" || op === "truncdiv") {
    const by = constantOf(n, args[1]!);
    const divisor = typeof by !== "number" || by < 0 || by > 30 ? 0 : op === "shr" ? 2 ** by : by;
    return divisor > 0 && a % divisor === 0 ? a / divisor : 1;
  }
  return 1;
}
/** x as base + by. */
export function offsetOf(n: Nodes, id: NodeId): { base: NodeId; by: number } {
  return under(n, "add", id);
}
function constantOf(n: Nodes, id: NodeId): number | undefined {
  const { kind, value } = n.at(id);
  return kind === "const" ? (value as number) : undefined;
}
/** What an operation adds to, or flips bits of, by a constant. */
function under(n: Nodes, op: "add" | "xor", id: NodeId): { base: NodeId; by: number } {
  const node = n.at(id);
  const by = node.op === op && node.elem === "i32" ? constantOf(n, node.args[1]!) : undefined;
  return by === undefined ? { base: id, by: 0 } : { base: node.args[0]!, by };
}
/** The least power of two above all numbers that something may be; undefined where it may be negative. */
const above = (n: Nodes, id: NodeId): number | undefined => {
  const [from, to] = n.at(id).range;
  return from < 0 ? undefined : 2 ** (32 - Math.clz32(to));
};
function sum(n: Nodes, a: NodeId, b: NodeId, y: number | undefined): NodeId | undefined {
  if (y === 0) return a;
  const left = offsetOf(n, a);
  const right = offsetOf(n, b);
  if (y !== undefined) return left.by === 0 ? undefined : n.op("add", [left.base, n.int((left.by + y) | 0)], "i32");
  if (left.by !== 0 || right.by !== 0)
    return n.op("add", [n.op("add", [left.base, right.base], "i32"), n.int((left.by + right.by) | 0)], "i32");
  return flippedLast(n, a, b) ?? flippedLast(n, b, a);
}
/** high + (u ^ c) = (high + u) ^ c, where high has no bit that u or c has. */
function flippedLast(n: Nodes, high: NodeId, low: NodeId): NodeId | undefined {
  const { base, by } = under(n, "xor", low);
  if (by <= 0) return undefined;
  const limit = above(n, base);
  if (limit === undefined || n.at(high).multiple % Math.max(limit, 2 ** (32 - Math.clz32(by))) !== 0) return undefined;
  return n.op("xor", [n.op("add", [high, base], "i32"), n.int(by)], "i32");
}
function multiple(n: Nodes, a: NodeId, y: number): NodeId | undefined {
  if (y === 1) return a;
  if (y === 0) return n.int(0);
  const times = (x: NodeId): NodeId => n.op("mul", [x, n.int(y)], "i32");
  const left = offsetOf(n, a);
  if (left.by !== 0) return n.op("add", [times(left.base), n.int(Math.imul(left.by, y))], "i32");
  const { base, by } = under(n, "xor", a);
  const fits = y > 0 && (y & (y - 1)) === 0 && by > 0 && by * y < 2 ** 31 && (above(n, base) ?? 2 ** 31) * y <= 2 ** 31;
  return fits ? n.op("xor", [times(base), n.int(by * y)], "i32") : undefined;
}
/** Bits that a constant flips are flipped last. */
function exclusive(n: Nodes, a: NodeId, b: NodeId, y: number | undefined): NodeId | undefined {
  if (y === 0) return a;
  if (a === b) return n.int(0);
  const [left, right] = [a, b].map((id) => {
    const flipped = under(n, "xor", id);
    if (flipped.by !== 0) return flipped;
    // base + c = base ^ c, where c has no bit that base has.
    const added = offsetOf(n, id);
    const limit = above(n, added.base);
    return limit !== undefined && added.by > 0 && added.by % limit === 0 ? added : { base: id, by: 0 };
  }) as [{ base: NodeId; by: number }, { base: NodeId; by: number }];
  if (y !== undefined) return left.by === 0 ? undefined : n.op("xor", [left.base, n.int(left.by ^ y)], "i32");
  if (left.by === 0 && right.by === 0) return undefined;
  return n.op("xor", [n.op("xor", [left.base, right.base], "i32"), n.int(left.by ^ right.by)], "i32");
}
/** A quotient or remainder by a constant. */
function quotient(n: Nodes, op: "truncdiv" | "truncmod", a: NodeId, y: number): NodeId | undefined {
  const [from, to] = n.at(a).range;
  const times = Math.floor(from / y);
  if (from >= 0 && times === Math.floor(to / y)) {
    if (op === "truncdiv") return n.int(times);
    if (times === 0) return a;
  }
  const { base, by } = offsetOf(n, a);
  const whole = n.at(base).multiple % y === 0;
  // base is a multiple of y: only the constant part decides the remainder.
  if (whole && by >= 0 && by < y && (by > 0 || base === a)) {
    if (op === "truncmod") return n.int(by);
    if (by > 0) return n.op("truncdiv", [base, n.int(y)], "i32");
    const node = n.at(base);
    const factor = node.op === "mul" ? constantOf(n, node.args[1]!) : undefined;
    if (factor !== undefined && factor % y === 0) return n.op("mul", [node.args[0]!, n.int(factor / y)], "i32");
  }
  // What follows is about sums, and powers of two.
  if (n.at(a).op !== "add" || (y & (y - 1)) !== 0) return undefined;
  const terms = termsOf(n, a);
  return parted(n, op, a, terms, y) ?? withoutWhole(n, op, a, terms, y);
}
/** A remainder by a power of two, of a sum of natural numbers without those that leave nothing over; a quotient of one without the constant's. */
function withoutWhole(n: Nodes, op: "truncdiv" | "truncmod", a: NodeId, terms: readonly NodeId[], y: number): NodeId | undefined {
  if (terms.some((t) => n.at(t).range[0] < 0)) return undefined;
  if (op === "truncmod") {
    const left = terms.filter((t) => n.at(t).multiple % y !== 0);
    return left.length === terms.length ? undefined : n.op("truncmod", [sumOf(n, a, left), n.int(y)], "i32");
  }
  const { base, by } = offsetOf(n, a);
  if (by < y) return undefined;
  return n.op("add", [n.op("truncdiv", [n.op("add", [base, n.int(by % y)], "i32"), n.int(y)], "i32"), n.int(Math.floor(by / y))], "i32");
}
/**
 * A quotient or remainder by y, a power of two, of high + low, where high is a natural multiple of g, g divides y, and low lies within one
 * piece of g: (high + m g + r) / y = (high + m g) / y, and r is left over.
 */
function parted(n: Nodes, op: "truncdiv" | "truncmod", a: NodeId, terms: readonly NodeId[], y: number): NodeId | undefined {
  const at = (id: NodeId): Node => n.at(id);
  const pieces = [...new Set(terms.map((t) => gcd(at(t).multiple, y)))].filter((g) => g > 1).sort((p, q) => q - p);
  for (const g of pieces) {
    const high = terms.filter((t) => at(t).multiple % g === 0 && at(t).kind !== "const");
    const low = terms.filter((t) => !high.includes(t));
    const [from, to] = low.reduce<readonly [number, number]>((s, t) => [s[0] + at(t).range[0], s[1] + at(t).range[1]], [0, 0]);
    const m = Math.floor(from / g);
    // What lies in the first piece is itself the rest.
    if ((high.length === 0 && m === 0) || high.some((t) => at(t).range[0] < 0) || m < 0 || m !== Math.floor(to / g)) continue;
    const left = (): NodeId => n.op("add", [sumOf(n, a, low), n.int(-m * g)], "i32");
    if (g === y) {
      // high leaves nothing over.
      if (op === "truncmod") return left();
      if (low.length === 0) continue;
      if (high.length === 0) return n.int(m);
      return n.op("add", [n.op("truncdiv", [sumOf(n, a, high), n.int(y)], "i32"), n.int(m)], "i32");
    }
    if (low.every((t) => at(t).kind === "const") && from === m * g) continue;
    const rest = n.op(op, [n.op("add", [sumOf(n, a, high), n.int(m * g)], "i32"), n.int(y)], "i32");
    return op === "truncdiv" ? rest : n.op("add", [rest, left()], "i32");
  }
  return undefined;
}
/** Some terms of a sum; all but its constant are the sum that others have. */
function sumOf(n: Nodes, whole: NodeId, terms: readonly NodeId[]): NodeId {
  const { base } = offsetOf(n, whole);
  const own = termsOf(n, base);
  if (own.length === terms.length && own.every((t) => terms.includes(t))) return base;
  return terms.reduce((x, t) => n.op("add", [x, t], "i32"), n.int(0));
}
function termsOf(n: Nodes, id: NodeId, into: NodeId[] = []): NodeId[] {
  const node = n.at(id);
  if (node.op === "add" && node.elem === "i32") for (const a of node.args) termsOf(n, a, into);
  else into.push(id);
  return into;
}
