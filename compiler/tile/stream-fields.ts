/**
 * How the elements of a tile join the state of a streamed reduction, field by field, all at once. Maxima of the tile move the centres; what was
 * summed about an old centre is moved to the new one; the tile's own elements are taken at the new one, and where they multiply rows by columns
 * a matrix unit adds them up.
 */
import { freeIndices } from "../../dsl/tensor/expr.ts";
import type { Expr, HeldField } from "../../dsl/tensor/ir.ts";
import { matrixForms } from "../../dsl/tensor/matrix.ts";
import { notNegative } from "../plan/bounds.ts";
import { type Env, type Lowering, lowest, type Reduce } from "./expression.ts";
import type { Combine, Value } from "./ir.ts";
import { stageKey } from "./stage.ts";

/** The elements of a tile at a step of the walk. */
export interface Elements {
  readonly e: Reduce;
  readonly at: Env;
  /** The tile axis that they lie along. */
  readonly over: string;
  /** A value where an element counts, another one elsewhere. */
  readonly kept: (v: Value, otherwise: Value) => Value;
  /** What changes nothing in field k. */
  readonly identity: readonly Value[];
}
const operations = { sum: "add", prod: "mul", max: "max", min: "min", any: "lor", all: "land" } as const;

export function plain(l: Lowering, k: number, h: Extract<HeldField, { kind: "plain" }>, x: Elements, before: Value): Value {
  const b = l.builder;
  const { value, counted } = elementOf(l, k, h, x);
  const by: Combine = { kind: h.op };
  const join = (tile: Value): Value => b.map(operations[h.op], [before, tile], b.elem(before));
  // The largest of a x, with a >= 0, is a times the largest x: rounding keeps the order. What stands for a dropped element is no product.
  const scaled = h.op === "max" && counted === value ? scaledBy(l, value, x.over) : undefined;
  const body = l.expand(x.e.bodies[k]!);
  const natural = (part: Expr): boolean => notNegative(part, l.plan.program.requires) && l.value(part, x.at) === scaled!.by;
  if (scaled && body.kind === "op" && body.args.some(natural)) {
    const [largest] = b.reduce([scaled.of], x.over, by);
    return join(b.map("mul", [scaled.by, largest!], b.elem(before)));
  }
  if (b.elem(counted) === "bool" && b.constantOf(counted) !== undefined) return join(counted);
  const [whole] = b.reduce([counted], x.over, by);
  return join(whole!);
}
/** Field k of the elements: as it is, and with what changes nothing in place of those that do not count. */
function elementOf(l: Lowering, k: number, h: HeldField, x: Elements): { readonly value: Value; readonly counted: Value } {
  const b = l.builder;
  const value = l.value(x.e.bodies[k]!, x.at);
  const vanishes = l.infinities && h.kind === "plain" && h.op === "max" && b.elem(value) === "f32";
  return { value, counted: x.kept(value, vanishes ? b.constant(Number.NEGATIVE_INFINITY, "f32") : x.identity[k]!) };
}
export function centred(
  l: Lowering,
  k: number,
  h: Extract<HeldField, { kind: "centred" }>,
  x: Elements,
  acc: readonly Value[],
  next: readonly Value[],
): Value {
  const b = l.builder;
  const [from, to] = [acc[h.centre]!, next[h.centre]!];
  const scaled = (v: Value): Value => l.value(h.scale, { ...x.at, values: new Map(x.at.values).set("from", v).set("to", to) });
  const elem = b.elem(acc[k]!);
  const moved = b.map("mul", [acc[k]!, scaled(from)], elem);
  const none = b.constant(0, elem);
  const weight = weightOf(l, h, x, to, scaled, none);
  const body = x.e.bodies[k]!;
  const product = h.relax === undefined ? undefined : columnProduct(l, body, h.relax.standsFor ?? h.relax.name, x.over);
  if (product) {
    const form = elem === "i32" ? "exact" : matrixForms(h.relax)[0]!;
    const own: Env = { ...x.at, values: new Map(x.at.values).set(product.columns, l.others.get(product.columns)!) };
    const staged = l.staged.get(stageKey(product.axes, 1, body));
    return b.dot(weight, staged ? staged() : l.value(body, own), moved, form, false, product.axes);
  }
  const one = body.kind === "const" && Number(body.value) === 1;
  const element = one ? weight : b.map("mul", [x.kept(l.value(body, x.at), none), weight], elem);
  const [sum] = b.reduce([element], x.over, { kind: "sum" });
  return b.map("add", [moved, sum!], elem);
}
/** The weight of each element about the new centre; 0 where it does not count. */
function weightOf(
  l: Lowering,
  h: Extract<HeldField, { kind: "centred" }>,
  x: Elements,
  centre: Value,
  scaled: (v: Value) => Value,
  none: Value,
): Value {
  const b = l.builder;
  const { value, counted } = elementOf(l, h.centre, x.e.monoid!.held![h.centre]!, x);
  const vanishes = counted === value || (l.infinities && h.scale.kind === "op" && h.scale.op === "exp" && b.elem(value) === "f32");
  if (!vanishes) return x.kept(scaled(value), none);
  // exp(-infinity) is 0: an element that was dropped from the maximum has no weight.
  const product = h.scale.kind === "op" && h.scale.op === "exp" ? scaledBy(l, value, x.over) : undefined;
  if (product === undefined || !l.powersOfTwo) return scaled(counted);
  return powerOfTwo(l, product, value, counted, centre);
}
interface Scaled {
  readonly by: Value;
  readonly of: Value;
}
/** A product of a matrix product with what is the same for the whole tile. */
function scaledBy(l: Lowering, value: Value, over: string): Scaled | undefined {
  const b = l.builder;
  const product = b.mapOf(value);
  if (b.elem(value) !== "f32" || product?.op !== "mul") return undefined;
  const [p, q] = product.args as [Value, Value];
  const [by, of] = b.axes(p).length === 0 ? [p, q] : [q, p];
  return b.axes(by).length === 0 && b.axes(of).includes(over) && b.isProduct(of) ? { by, of } : undefined;
}
/**
 * exp(a x - centre), with x a matrix product, as 2^(x (a log2 e) - centre log2 e): one multiply-add an element. The centre times log2 e is
 * rounded once more than in the text, by as much as the largest exponent's own rounding, of which the promise has one for each of the two.
 */
function powerOfTwo(l: Lowering, product: Scaled, value: Value, counted: Value, centre: Value): Value {
  const b = l.builder;
  const times = (v: Value): Value => b.map("mul", [v, b.constant(Math.LOG2E, "f32")], "f32");
  const power = (v: Value, c: Value): Value => b.map("exp2", [b.map("sub", [v, times(c)], "f32")], "f32");
  if (counted === value) return power(b.map("mul", [product.of, times(product.by)], "f32"), centre);
  // Before any element the centre is the lowest number, which must stay one.
  return power(times(counted), b.map("max", [centre, b.constant(lowest / 2, "f32")], "f32"));
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
  const held: readonly string[] = matrixForms(l.plan.tables.get(body.tensor)?.elem);
  return (form === undefined ? held.length > 0 : held.includes(form)) && !freeIndices(body).has(product.rows) ? product : undefined;
}
