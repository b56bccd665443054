/** What a reduction starts from, and over which axes it is carried. */

import { member } from "../../dsl/check/domain.ts";
import { axesParts } from "../../dsl/tensor/expr.ts";
import type { Compute } from "../../dsl/tensor/types.ts";
import { fieldsBehind } from "../stream/monoid.ts";
import { type Env, elemOf, type Lowering, lowest, type Reduce } from "./expression.ts";
import type { Value } from "./ir.ts";
import { valuesIn } from "./reduce.ts";

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

/**
 * The axes over which each component of a reduction varies: those of its own body and of the components that its combine reads. A running
 * maximum that is the same for all columns is carried once for them.
 */
export function carriedBy(
  l: Lowering,
  e: Reduce,
  env: Env,
  held: readonly Value[],
  spread: string | undefined,
): (k: number) => readonly string[] {
  const b = l.builder;
  const axesOf = (list: readonly Value[]): string[] => [...new Set([...list.flatMap((v) => b.axes(v)), ...(spread ? [spread] : [])])];
  const { monoid } = e;
  // Partial results of several threads are exchanged as one tuple, over the same axes.
  if (monoid === undefined || monoid.fields.length === 1 || spread !== undefined) {
    const all = axesOf(held);
    return () => all;
  }
  const domain = [...axesParts(e.axes), member(e, l.domains)].flatMap((x) => valuesIn(x, env));
  const own = e.bodies.map((body) => axesOf([...valuesIn(body, env), ...domain]));
  const behind = fieldsBehind(monoid);
  return (k) => [...new Set([...behind[k]!].flatMap((j) => own[j]!))];
}
