/** Signs of integer expressions: division of naturals needs no rounding down. */
import type { Expr } from "../../dsl/tensor/ir.ts";

/** Whether an integer is never negative, by its form. */
export function natural(e: Expr): boolean {
  switch (e.kind) {
    case "const":
      return Number(e.value) >= 0;
    case "dim":
    case "index":
    case "segment":
      return true;
    case "read":
    case "scalar":
      return e.type === "u32" || e.type === "int";
    case "op":
      if (["add", "mul", "div", "mod", "min"].includes(e.op)) return e.args.every(natural);
      if (e.op === "max") return e.args.some(natural);
      if (e.op === "clamp") return natural(e.args[1]!);
      return (e.op === "to_int" || e.op === "to_i32") && natural(e.args[0]!);
    case "let":
      return natural(e.body);
    default:
      return e.type === "u32" || (e.kind === "reduce" && (e.op === "argmax" || e.op === "argmin"));
  }
}
