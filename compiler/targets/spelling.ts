/** What CUDA C++ and WGSL spell alike: infix operators and their precedence, and brackets where an operand binds more loosely. */
import { InternalError } from "../../dsl/diagnostics.ts";
import type { Elem, MapOp } from "../tile/ir.ts";
import type { Text } from "./target.ts";

/** Binds tighter than any operator: names, calls, subscripts. */
export const tight = 20;
export const atom = (text: string): Text => ({ text, level: tight });

const infix: ReadonlyMap<MapOp, readonly [symbol: string, level: number]> = new Map([
  ["lor", ["||", 1]],
  ["land", ["&&", 2]],
  ["or", ["|", 3]],
  ["xor", ["^", 4]],
  ["and", ["&", 5]],
  ["eq", ["==", 6]],
  ["ne", ["!=", 6]],
  ["lt", ["<", 7]],
  ["le", ["<=", 7]],
  ["gt", [">", 7]],
  ["ge", [">=", 7]],
  ["shl", ["<<", 8]],
  ["shr", [">>", 8]],
  ["add", ["+", 9]],
  ["sub", ["-", 9]],
  ["mul", ["*", 10]],
  ["truncdiv", ["/", 10]],
  ["truncmod", ["%", 10]],
]);
const same = new Set<MapOp>(["add", "mul", "land", "lor"]);

/** Operands that mix kinds are bracketed even where C would not ask for it: WGSL does, and so do readers. */
export function infixText(op: MapOp, args: readonly Text[]): Text | undefined {
  const i = infix.get(op);
  if (i === undefined || args.length < 2) return undefined;
  const [symbol, level] = i;
  return { text: `${operandOf(op, level, args[0]!, false)} ${symbol} ${operandOf(op, level, args[1]!, true)}`, level };
}
const arithmetic = (level: number): boolean => level === 9 || level === 10;
function operandOf(op: MapOp, level: number, t: Text, right: boolean): string {
  const binds =
    t.level === tight ||
    (arithmetic(level) && arithmetic(t.level)
      ? right
        ? t.level > level
        : t.level >= level
      : t.level === level && !right && same.has(op)) ||
    (level <= 7 && level >= 6 && t.level >= 9) ||
    (level <= 2 && t.level >= 6 && t.level <= 7);
  return binds ? t.text : `(${t.text})`;
}
export const prefixText = (symbol: string, a: Text): Text => ({
  text: `${symbol}${a.level === tight ? a.text : `(${a.text})`}`,
  level: 15,
});
/** Comparisons are bracketed: WGSL reads `f(a < b, c > d)` as a template. */
export const call = (name: string, args: readonly Text[]): Text =>
  atom(`${name}(${args.map((a) => (a.level <= 7 && /[<>]/.test(a.text) ? `(${a.text})` : a.text)).join(", ")})`);
/** Operations that both languages spell alike; undefined for the others. */
export function commonText(op: MapOp, elem: Elem, args: readonly Text[]): Text | undefined {
  if (infix.has(op)) return infixText(op, args);
  const float = elem === "f32" || elem === "f64";
  if (op === "div" && float) return infixText("truncdiv", args);
  if (op === "mod" && float) return call("weft_fmod", args);
  if ((op === "div" || op === "mod") && elem === "i32") return call(op === "div" ? "weft_floordiv" : "weft_floormod", args);
  if (op === "div" || op === "mod") return infixText(op === "div" ? "truncdiv" : "truncmod", args);
  if (op === "neg") return prefixText("-", args[0]!);
  if (op === "lnot") return prefixText("!", args[0]!);
  if (op === "not") return prefixText("~", args[0]!);
  if (op === "exact_hash") return call("weft_exact_hash", args.length === 3 ? args : [...args, atom("0")]);
  if (op === "exact_exp" || op === "exact_inv") return call(`weft_${op}`, args);
  if (/^(round|chop|stochastic|encode|decode|nibbles|fields|multiply|widen)_/.test(op)) return call(`weft_${op}`, args);
  return undefined;
}
export function unsupported(op: MapOp, elem: string, target: string): never {
  throw new InternalError(`${target} has no spelling for ${op} on ${elem}`);
}
