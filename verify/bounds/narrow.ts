/** Rules for roundings to narrow formats, and for their bits. */

import { scalarFn } from "../../compiler/scalar.ts";
import type { Expr } from "../../compiler/thread/ir.ts";
import { type Evaluate, state } from "../../dsl/interpret/state.ts";
import { type FloatFormat, roundStochastic, roundTo } from "../../dsl/tensor/narrow.ts";
import type { Reading } from "./plan.ts";

type Operation = Extract<Expr, { kind: "op" }>["op"];

/** Between an f32 and a narrow format. The error of bits is that of what they decode to. */
export function narrowRule(how: string, format: FloatFormat, op: Operation, [a, r]: readonly Evaluate[], reading: Reading): Evaluate {
  const g = scalarFn(op, "f32", "f32", 2);
  if (how === "decode")
    return (f) => {
      const bits = a!(f);
      return g(bits, 0, 0);
    };
  const round = (x: number, bits: number): number =>
    how === "stochastic" ? roundStochastic(format, x, bits) : roundTo(format, x, how === "chop" ? "toward_zero" : "nearest");
  const half = 2 ** -(format.mantissaBits + 1);
  return (f) => {
    const x = a!(f);
    const e = state.error;
    const bits = r ? r(f) : 0;
    const y = round(x, bits);
    state.error =
      reading === "spread"
        ? Math.hypot(e, y === x ? 0 : half * Math.abs(y))
        : e === 0
          ? 0
          : Number.isFinite(e) && Number.isFinite(x)
            ? Math.max(round(x + e, bits) - y, y - round(x - e, bits))
            : Number.POSITIVE_INFINITY;
    return how === "encode" ? g(x, 0, 0) : y;
  };
}
