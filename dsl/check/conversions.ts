/** Conversions between types, said and unsaid, and literals, which take the type that is wanted of them. */
import type { Span } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { num, op } from "../tensor/expr.ts";
import type { Expr } from "../tensor/ir.ts";
import { printElem } from "../tensor/print.ts";
import { computeOf, isFloat, isInteger, storage } from "../tensor/types.ts";
import type { ExpressionChecker } from "./expressions.ts";
import type { Scope } from "./scope.ts";

export function conversion(
  checker: ExpressionChecker,
  t: ast.ScalarType,
  argument: ast.Expr,
  mode: ast.CastMode | undefined,
  scope: Scope,
  span: Span,
): Expr {
  if (t.name === "int") {
    const arg = checker.expr(argument, scope, "int");
    if (!isInteger(arg.type))
      checker.context.report("W202", span, `int(…) takes an integer, found ${arg.type}`, { help: "write `i32(…)`, which truncates" });
    return toInt(arg);
  }
  const to = checker.elem(t, scope);
  const info = storage[to.name];
  const type = computeOf(to);
  const arg = checker.expr(argument, scope, isFloatLiteral(argument) ? "f32" : type === "bool" ? undefined : type);
  let how: "nearest" | "toward_zero" | "stochastic" = "nearest";
  let bits: Expr | undefined;
  if (mode) {
    if (mode.name.text === "stochastic" && mode.bits) {
      how = "stochastic";
      bits = checker.expr(mode.bits, scope, "u32");
      if (bits.type !== "u32") checker.context.report("W201", mode.bits.span, `stochastic rounding takes u32 bits, found ${bits.type}`);
    } else if (mode.name.text === "toward_zero") how = "toward_zero";
    else
      checker.context.report("W202", mode.name.span, `there is no rounding mode \`${mode.name.text}\``, {
        help: "modes are `stochastic: bits` and `toward_zero`",
      });
  }
  if (type === "bool" || arg.type === "bool") {
    if (type === "bool" && arg.type === "bool") return arg;
    if (type === "bool") return op("ne", [arg, num(0, arg.type)], "bool", span);
    return { kind: "if", cond: arg, then: num(1, type), else: num(0, type), type, span };
  }
  if (info.class === "float") {
    const wide = arg.type === type ? arg : op(type === "f64" ? "to_f64" : "to_f32", [arg], type, span);
    return info.bits < 32 ? { kind: "cast", to, mode: how, ...(bits ? { bits } : {}), arg: wide, type, span } : wide;
  }
  if (to.name === "i32" || to.name === "u32") return arg.type === type ? arg : op(type === "i32" ? "to_i32" : "to_u32", [arg], type, span);
  if (isFloat(arg.type)) {
    checker.context.report("W203", span, `${printElem(to)}(…) of a float: the range is not proven`, {
      help: `write \`${printElem(to)}(clamp(i32(round(…)), lo, hi))\``,
    });
    return num(0, type, span);
  }
  return { kind: "cast", to, mode: how, arg, type, span };
}
export const toInt = (e: Expr): Expr =>
  e.type === "int" ? e : e.kind === "const" ? { ...e, type: "int" } : op("to_int", [e], "int", e.span);
export const widen = (e: Expr): Expr =>
  e.type === "f64" ? e : e.kind === "const" ? { ...e, type: "f64" } : op("to_f64", [e], "f64", e.span);
export function isLiteral(e: ast.Expr): boolean {
  if (e.kind === "number") return true;
  if (e.kind === "unary") return e.op === "-" && isLiteral(e.arg);
  return e.kind === "binary" && ["+", "-", "*", "/"].includes(e.op) && isLiteral(e.lhs) && isLiteral(e.rhs);
}
export function isFloatLiteral(e: ast.Expr): boolean {
  if (e.kind === "number") return e.float;
  return (e.kind === "unary" && isFloatLiteral(e.arg)) || (e.kind === "binary" && (isFloatLiteral(e.lhs) || isFloatLiteral(e.rhs)));
}
