/** Loop bounds from conditions: what `a <= j + b` says about j, by undoing additions from outside in. */
import { add, conjuncts, freeIndices, mapChildren, num, op as operation, sub } from "../../dsl/tensor/expr.ts";
import type { Expr } from "../../dsl/tensor/ir.ts";
import { gcd } from "./size.ts";

export interface Bounds {
  /** j >= each of these. */
  readonly lower: readonly Expr[];
  /** j < each of these. */
  readonly upper: readonly Expr[];
}

/** Bounds on `index` that every point satisfying `condition` meets; `inner` are indices that a bound may not mention. */
export function boundsOf(condition: Expr, index: string, inner: ReadonlySet<string>): Bounds {
  const lower: Expr[] = [];
  const upper: Expr[] = [];
  const free = (e: Expr): boolean => [...freeIndices(e)].every((n) => n !== index && !inner.has(n));
  for (const c of conjuncts(condition)) {
    if (c.kind !== "op" || !["lt", "le", "gt", "ge", "eq"].includes(c.op)) continue;
    const [a, b] = c.args as [Expr, Expr];
    if (a.type === "f32" || a.type === "f64" || a.type === "bool") continue;
    const found = solve(a, b, index) ?? flip(solve(b, a, index));
    if (found === undefined || !free(found.value)) continue;
    const moved = found.value !== a && found.value !== b;
    const value = moved ? within(found.value, -(2 ** 30), 2 ** 30) : found.value;
    const next = (): Expr => add(moved ? value : within(value, -(2 ** 31), 2 ** 31 - 2), num(1));
    const op = found.flipped
      ? ({ lt: "gt", le: "ge", gt: "lt", ge: "le", eq: "eq" } as const)[c.op as "lt"]
      : (c.op as "lt" | "le" | "gt" | "ge" | "eq");
    if (op === "lt") upper.push(value);
    if (op === "le" || op === "eq") upper.push(next());
    if (op === "gt") lower.push(next());
    if (op === "ge" || op === "eq") lower.push(value);
  }
  return { lower, upper };
}
/** An expression whose numbers from data, which may be any of 32 bits, are brought between two others: sums of them and of sizes stay in 32 bits then. */
function within(e: Expr, least: number, most: number): Expr {
  if (e.kind !== "op" || e.op !== "to_int") return mapChildren(e, (c) => within(c, least, most));
  const below = operation("min", [e, num(most)], "int");
  return least > -(2 ** 31) ? operation("max", [below, num(least)], "int") : below;
}
/** What conditions say of dimensions: `N % 8 == 0` makes N a multiple of 8. */
export function multiplesIn(conditions: readonly Expr[]): Map<string, number> {
  const out = new Map<string, number>();
  for (const c of conditions.flatMap(conjuncts)) {
    if (c.kind !== "op" || c.op !== "eq") continue;
    for (const [whole, rest] of [c.args, [...c.args].reverse()] as [Expr, Expr][]) {
      if (rest.kind !== "const" || Number(rest.value) !== 0 || whole.kind !== "op" || whole.op !== "mod") continue;
      const [dim, by] = whole.args as [Expr, Expr];
      if (dim.kind !== "dim" || by.kind !== "const" || Number(by.value) < 1) continue;
      const before = out.get(dim.name) ?? 1;
      out.set(dim.name, (before / gcd(before, Number(by.value))) * Number(by.value));
    }
  }
  return out;
}
/** Whether a number is at least 0 by itself or by a condition on it alone, as in `where scale >= 0`. */
export function notNegative(e: Expr, conditions: readonly Expr[]): boolean {
  const natural = (x: Expr | undefined): boolean => x?.kind === "const" && Number(x.value) >= 0;
  if (e.kind !== "scalar") return natural(e);
  const own = (x: Expr | undefined): boolean => x?.kind === "scalar" && x.name === e.name;
  return conditions.flatMap(conjuncts).some((c) => {
    if (c.kind !== "op") return false;
    const [a, b] = c.args;
    return ((c.op === "ge" || c.op === "gt") && own(a) && natural(b)) || ((c.op === "le" || c.op === "lt") && natural(a) && own(b));
  });
}
interface Solved {
  readonly value: Expr;
  /** The comparison turns round. */
  readonly flipped: boolean;
}
const flip = (s: Solved | undefined): Solved | undefined => (s ? { ...s, flipped: !s.flipped } : undefined);

/** index = value, if side = other; undefined where index does not stand alone up to added terms. */
function solve(side: Expr, other: Expr, index: string): Solved | undefined {
  if (side.kind === "index") return side.name === index ? { value: other, flipped: false } : undefined;
  if (side.kind !== "op" || side.type !== "int") return undefined;
  const [x, y] = side.args as [Expr, Expr];
  if (side.op === "add") return solve(x, sub(other, y), index) ?? solve(y, sub(other, x), index);
  if (side.op === "sub") return solve(x, add(other, y), index) ?? flip(solve(y, sub(x, other), index));
  return undefined;
}
