/** Which tensors and expressions may be undefined somewhere, conditions aside. */
import { some } from "../../dsl/tensor/expr.ts";
import type { Define, Expr, Program } from "../../dsl/tensor/ir.ts";

export type Definitions = ReadonlyMap<string, Define>;
export const definitionsOf = (program: Program): Definitions =>
  new Map(program.statements.flatMap((s) => (s.kind === "define" ? [[s.name, s] as const] : [])));

/** Whether a tensor may have elements that are undefined. */
export function isPartial(name: string, program: Program, definitions: Definitions): boolean {
  const p = program.params.find((x) => x.name === name);
  if (p) return p.where !== undefined || (p.axes ?? []).some((a) => a.range);
  const d = definitions.get(name);
  if (d === undefined) return true;
  return d.where !== undefined || d.axes.some((a) => a.range) || mayBeUndefined(d.value, program, definitions);
}
export const mayBeUndefined = (e: Expr, program: Program, definitions: Definitions): boolean =>
  some(
    e,
    (x) =>
      x.kind === "segment" ||
      (x.kind === "reduce" && ["max", "min", "argmax", "argmin"].includes(x.op)) ||
      (x.kind === "read" && isPartial(x.tensor, program, definitions)),
  );
