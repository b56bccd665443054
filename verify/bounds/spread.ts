/** Rules of the `spread` reading, where they are smaller than the worst case's. */
import { type Evaluate, state } from "../../dsl/interpret/state.ts";

/** Errors as independent: their squares add. Other operations keep their own rule, which is no smaller. */
export function spreadRule(op: string, u: number, [a, b]: readonly Evaluate[]): Evaluate | undefined {
  const settle = (z: number, ea: number, eb: number): number => {
    state.error = Math.hypot(ea, eb, Math.fround(z) === z && ea === 0 && eb === 0 ? 0 : u * Math.abs(z));
    return z;
  };
  const rule =
    (combine: (x: number, ex: number, y: number, ey: number) => number): Evaluate =>
    (f) => {
      const x = a!(f);
      const ex = state.error;
      const y = b!(f);
      return combine(x, ex, y, state.error);
    };
  if (op === "add" || op === "sub") return rule((x, ex, y, ey) => settle(op === "add" ? x + y : x - y, ex, ey));
  if (op === "mul") return rule((x, ex, y, ey) => settle(x * y, Math.abs(y) * ex, Math.abs(x) * ey));
  if (op === "div") return rule((x, ex, y, ey) => settle(x / y, ex / Math.abs(y), Math.abs(x / y / y) * ey));
  return undefined;
}
