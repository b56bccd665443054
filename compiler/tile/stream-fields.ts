/**
 * How the elements of a tile join the state of a streamed reduction, field by field, all at once. Maxima of the tile move the centres; what was
 * summed about an old centre is moved to the new one; the tile's own elements are taken at the new one, and where they multiply rows by columns
 * a matrix unit adds them up.
 */
import { freeIndices } from "../../dsl/tensor/expr.ts";
import type { Expr, HeldField } from "../../dsl/tensor/ir.ts";
import { matrixForm } from "../../dsl/tensor/matrix.ts";
import { notNegative } from "../plan/bounds.ts";
import type { Env, Lowering, Reduce } from "./expression.ts";
import type { Combine, Value } from "./ir.ts";
import { stageKey } from "./stage.ts";

/** @param kept its argument where an element counts, what changes nothing elsewhere */
export function plain(
  l: Lowering,
  e: Reduce,
  k: number,
  h: Extract<HeldField, { kind: "plain" }>,
  at: Env,
  before: Value,
  kept: (v: Value) => Value,
  over: string,
): Value {
  const b = l.builder;
  const value = l.value(e.bodies[k]!, at);
  const element = kept(value);
  const by: Combine = { kind: h.op };
  const op = ({ sum: "add", prod: "mul", max: "max", min: "min", any: "lor", all: "land" } as const)[h.op];
  // The largest of a x, with a >= 0, is a times the largest x: rounding keeps the order. Where elements are dropped, what stands for them is no product.
  const scaled = h.op === "max" && element === value ? scaledBy(l, value, over) : undefined;
  const body = l.expand(e.bodies[k]!);
  if (scaled && body.kind === "op" && body.args.some((x) => notNegative(x, l.plan.program.requires) && l.value(x, at) === scaled.by)) {
    const [largest] = b.reduce([scaled.of], over, by);
    return b.map(op, [before, b.map("mul", [scaled.by, largest!], b.elem(before))], b.elem(before));
  }
  const [whole] = b.reduce([element], over, by);
  return b.map(op, [before, whole!], b.elem(before));
}
export function centred(
  l: Lowering,
  e: Reduce,
  k: number,
  h: Extract<HeldField, { kind: "centred" }>,
  at: Env,
  acc: readonly Value[],
  next: readonly Value[],
  counted: (v: Value) => Value,
  over: string,
): Value {
  const b = l.builder;
  const to = next[h.centre]!;
  const scaled = (from: Value): Value => l.value(h.scale, { ...at, values: new Map(at.values).set("from", from).set("to", to) });
  const elem = b.elem(acc[k]!);
  const moved = b.map("mul", [acc[k]!, scaled(acc[h.centre]!)], elem);
  const exponent = l.value(e.bodies[h.centre]!, at);
  const weight = counted(powerOfTwo(l, h.scale, exponent, to, over) ?? scaled(exponent));
  const body = e.bodies[k]!;
  const product = h.relax === undefined ? undefined : columnProduct(l, body, h.relax.standsFor ?? h.relax.name, over);
  if (product) {
    const form = elem === "i32" ? "exact" : matrixForm(h.relax)!;
    const own: Env = { ...at, values: new Map(at.values).set(product.columns, l.others.get(product.columns)!) };
    const staged = l.staged.get(stageKey(product.axes, 1, body));
    return b.dot(weight, staged ? staged() : l.value(body, own), moved, form, product.axes);
  }
  const one = body.kind === "const" && Number(body.value) === 1;
  const element = one ? weight : b.map("mul", [counted(l.value(body, at)), weight], elem);
  const [sum] = b.reduce([element], over, { kind: "sum" });
  return b.map("add", [moved, sum!], elem);
}
/** A product of floats with one factor that is the same for the whole tile. */
function scaledBy(l: Lowering, value: Value, over: string): { readonly by: Value; readonly of: Value } | undefined {
  const b = l.builder;
  const product = b.mapOf(value);
  if (b.elem(value) !== "f32" || product?.op !== "mul") return undefined;
  const [p, q] = product.args as [Value, Value];
  const [by, of] = b.axes(p).length === 0 ? [p, q] : [q, p];
  return b.axes(by).length === 0 && b.axes(of).includes(over) ? { by, of } : undefined;
}
/**
 * exp(a x - centre) as 2^(x (a log2 e) - centre log2 e), where a is the same for the whole tile and the target has the power: one multiply-add
 * an element. As many roundings of the size of the exponent as before; the centre's, which is one for all elements of a tile, in place of x's own.
 */
function powerOfTwo(l: Lowering, scale: Expr, exponent: Value, centre: Value, over: string): Value | undefined {
  const b = l.builder;
  const scaled = scaledBy(l, exponent, over);
  if (!l.powersOfTwo || scale.kind !== "op" || scale.op !== "exp" || scaled === undefined) return undefined;
  const times = (v: Value): Value => b.map("mul", [v, b.constant(Math.LOG2E, "f32")], "f32");
  return b.map("exp2", [b.map("sub", [b.map("mul", [scaled.of, times(scaled.by)], "f32"), times(centre)], "f32")], "f32");
}
/** The launch's product of weights and this element, where a matrix unit takes the two. */
export function columnProduct(
  l: Lowering,
  body: Expr,
  form: string | undefined,
  over: string,
): (typeof l.shape.products)[number] | undefined {
  const product = l.shape.products.find((p) => p.axes.over === over);
  if (product === undefined || body.kind !== "read" || !freeIndices(body).has(product.columns)) return undefined;
  const elem = matrixForm(l.plan.tables.get(body.tensor)?.elem);
  return elem !== undefined && (form === undefined || elem === form) && !freeIndices(body).has(product.rows) ? product : undefined;
}
