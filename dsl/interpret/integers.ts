/** Integers and bools: what each operation means, as JavaScript, and expressions of indices, dimensions and constants as one function. */
import type { Expr, Op } from "../tensor/ir.ts";
import { type Compute, isFloat } from "../tensor/types.ts";
import { type Evaluate, state } from "./state.ts";

type OpExpr = Extract<Expr, { kind: "op" }>;
type Text = (a: string, b: string, c: string) => string;

/** Floor division; by 0 it gives 0. */
const floorDiv = (a: number, b: number): number => (b === 0 ? 0 : Math.floor(a / b));
const rest = (a: number, b: number): number => a - b * floorDiv(a, b);
const compared =
  (sign: string): Text =>
  (a, b) =>
    `(${a} ${sign} ${b} ? 1 : 0)`;
/** Results that are in the range of their type as they are. */
const inRange: Partial<Record<Op, Text>> = {
  lt: compared("<"),
  le: compared("<="),
  gt: compared(">"),
  ge: compared(">="),
  eq: compared("==="),
  ne: compared("!=="),
  lnot: (a) => `(${a} ? 0 : 1)`,
  sign: (a) => `Math.sign(${a})`,
  clamp: (a, b, c) => `Math.min(Math.max(${a}, ${b}), ${c})`,
};
/** Those that may leave it, or have a text for each type. */
const wrapped: Partial<Record<Op, (a: string, b: string, type: Compute) => string>> = {
  mul: (a, b, type) => (type === "int" ? `${a} * ${b}` : `Math.imul(${a}, ${b})`),
  shr: (a, b, type) => `${a} ${type === "u32" ? ">>>" : ">>"} (${b} & 31)`,
  add: (a, b) => `${a} + ${b}`,
  sub: (a, b) => `${a} - ${b}`,
  div: (a, b) => `floorDiv(${a}, ${b})`,
  mod: (a, b) => `rest(${a}, ${b})`,
  min: (a, b) => `Math.min(${a}, ${b})`,
  max: (a, b) => `Math.max(${a}, ${b})`,
  and: (a, b) => `${a} & ${b}`,
  or: (a, b) => `${a} | ${b}`,
  xor: (a, b) => `${a} ^ ${b}`,
  shl: (a, b) => `${a} << (${b} & 31)`,
  neg: (a) => `-${a}`,
  not: (a) => `~${a}`,
  abs: (a) => `Math.abs(${a})`,
  to_i32: (a) => a,
  to_u32: (a) => a,
  to_int: (a) => a,
};
/** The operation on operands that are names, numbers or in brackets; undefined where it is none of integers and bools alone. */
function textOf(op: Op, type: Compute, a: string, b: string, c: string): string | undefined {
  const plain = inRange[op]?.(a, b, c);
  if (plain !== undefined) return plain;
  const text = wrapped[op]?.(a, b, type);
  if (text === undefined) return undefined;
  // An `int` stays what it is, but for `not`, which has the bits of an i32.
  if (type === "bool" || (type === "int" && op !== "not")) return `(${text})`;
  return type === "u32" ? `((${text}) >>> 0)` : `((${text}) | 0)`;
}

type Factory = (c: readonly number[], e: readonly Evaluate[], s: typeof state, ...own: readonly unknown[]) => (f: Float64Array) => number;
/** Functions are made once for each text, so that all interpreters run the same machine code. */
const factories = new Map<string, Factory>();
function factoryOf(text: string): Factory {
  let made = factories.get(text);
  if (made === undefined) {
    if (factories.size > 5000) factories.clear();
    made = new Function("c", "e", "s", "floorDiv", "rest", "outside", text) as Factory;
    factories.set(text, made);
  }
  return made;
}
function build(text: string, c: readonly number[], e: readonly Evaluate[], outside?: (k: number, i: number) => never): Evaluate {
  return factoryOf(text)(c, e, state, floorDiv, rest, outside);
}

/** An operation on values of any kind; undefined where an operand or the result is a float, or it is none of these operations. */
export function compileInteger(e: OpExpr, args: readonly Evaluate[]): Evaluate | undefined {
  if (isFloat(e.type) || e.args.some((a) => isFloat(a.type))) return undefined;
  const text = textOf(e.op, e.type, "v0", "v1", "v2");
  if (text === undefined) return undefined;
  const names = args.map((_, k) => `const e${k} = e[${k}];`).join(" ");
  const steps = args.map((_, k) => `const v${k} = e${k}(f); if (s.undefined) return 0;`).join("\n");
  return build(`${names} return (f) => {\n${steps}\nreturn ${text};\n};`, [], args);
}

/** What stands in an expression of indices, dimensions and constants. */
export interface Leaves {
  readonly slot: (index: string) => number;
  readonly dim: (name: string) => number;
}
/** The expression as JavaScript over the frame `f` and constants `c`; undefined where anything else is in it. */
function plainText(e: Expr, leaves: Leaves, c: number[]): string | undefined {
  if (isFloat(e.type)) return undefined;
  switch (e.kind) {
    case "const":
      return `c[${c.push(Number(e.value)) - 1}]`;
    case "dim":
      return `c[${c.push(leaves.dim(e.name)) - 1}]`;
    case "index":
      return `f[${leaves.slot(e.name)}]`;
    case "if": {
      const [x, y, z] = [e.cond, e.then, e.else].map((p) => plainText(p, leaves, c));
      return x && y && z && `(${x} ? ${y} : ${z})`;
    }
    case "op": {
      const args: string[] = [];
      for (const a of e.args) {
        const t = plainText(a, leaves, c);
        if (t === undefined) return undefined;
        args.push(t);
      }
      if (e.op === "land") return `(${args[0]} ? ${args[1]} : 0)`;
      if (e.op === "lor") return `(${args[0]} ? 1 : ${args[1]})`;
      return textOf(e.op, e.type, args[0]!, args[1]!, args[2]!);
    }
    default:
      return undefined;
  }
}
/** An expression of indices, dimensions and constants: it is exact, defined and decided everywhere. */
export function compilePlain(e: Expr, leaves: Leaves): Evaluate | undefined {
  const c: number[] = [];
  const text = plainText(e, leaves, c);
  return text === undefined ? undefined : build(`return (f) => { s.error = 0; return ${text}; };`, c, []);
}
/** The row-major position of an element with such subscripts. `outside` is told of a subscript that is not within the shape. */
export function compilePosition(
  subscripts: readonly Expr[],
  shape: readonly number[],
  strides: readonly number[],
  leaves: Leaves,
  outside: (k: number, i: number) => never,
): Evaluate | undefined {
  const c: number[] = [];
  const texts: string[] = [];
  for (const x of subscripts) {
    const t = plainText(x, leaves, c);
    if (t === undefined) return undefined;
    texts.push(t);
  }
  const constant = (n: number): string => `c[${c.push(n) - 1}]`;
  const steps = texts.map((t, k) => `const i${k} = ${t}; if (!(i${k} >= 0 && i${k} < ${constant(shape[k]!)})) outside(${k}, i${k});`);
  const flat = texts.map((_, k) => `i${k} * ${constant(strides[k]!)}`).join(" + ");
  return build(`return (f) => {\n${steps.join("\n")}\nreturn ${flat || "0"};\n};`, c, [], outside);
}
