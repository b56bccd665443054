/** What a reduction starts from. */

import type { Compute } from "../../dsl/tensor/types.ts";
import { elemOf, type Lowering, lowest, type Reduce } from "./expression.ts";
import type { Value } from "./ir.ts";

export function identityOf(
  l: Lowering,
  e: { readonly op: Reduce["op"]; readonly monoid?: Reduce["monoid"]; readonly type: Compute },
  bodyType: Compute,
): Value[] {
  const b = l.builder;
  const type = elemOf(bodyType);
  const float = type === "f32" || type === "f64";
  const low = type === "u32" ? 0 : type === "i32" ? -(2 ** 31) : l.infinities ? Number.NEGATIVE_INFINITY : lowest;
  const high = type === "u32" ? 2 ** 32 - 1 : type === "i32" ? 2 ** 31 - 1 : l.infinities ? Number.POSITIVE_INFINITY : -lowest;
  switch (e.op) {
    case "sum":
      return [b.constant(0, type)];
    case "prod":
      return [b.constant(1, type)];
    case "max":
      return [b.constant(low, type)];
    case "min":
      return [b.constant(high, type)];
    case "all":
      return [b.constant(true, "bool")];
    case "any":
      return [b.constant(false, "bool")];
    case "argmax":
    case "argmin":
      return [b.constant(float ? (l.infinities ? Number.NEGATIVE_INFINITY : lowest) : low, type), l.int(2 ** 31 - 1)];
    default:
      return e.monoid!.identity.map((x) => l.value(x, { values: new Map(), axes: [], guard: undefined, inLoop: false }));
  }
}
