/** The signature of a kernel as the ABI has it. */
import { indexVar, mapChildren } from "../dsl/tensor/expr.ts";
import type { Expr, MemoryLayout, Program } from "../dsl/tensor/ir.ts";
import type { LayoutAbi, Param } from "../runtime/abi.ts";
import { sizeExpr } from "./plan/size.ts";

/** What a launch takes and gives. */
export function paramsOf(p: Program): Param[] {
  const params = p.params.map((x): Param => {
    if (x.axes === undefined) return { name: x.name, kind: "scalar", elem: x.elem.name };
    return {
      name: x.name,
      kind: "tensor",
      role: x.role,
      elem: x.elem.name,
      shape: x.axes.map((a) => sizeExpr(a.extent)),
      ...(x.elem.bound ? { bound: sizeExpr(x.elem.bound) } : {}),
      ...(x.elem.open ? { open: true } : {}),
      ...leastOf(x.name, p),
      ...(p.unique.some(
        (u) =>
          u.outer.length === 0 &&
          u.where === undefined &&
          u.keys.length === 1 &&
          u.keys[0]!.kind === "read" &&
          u.keys[0]!.tensor === x.name,
      )
        ? { distinct: true }
        : {}),
      ...layoutOf(x.layout),
    };
  });
  const outputs = p.outputs.map(
    (o): Param => ({
      name: o.name,
      kind: "tensor",
      role: "out",
      elem: o.elem.name,
      shape: o.axes.map((a) => sizeExpr(a.extent)),
      ...(o.elem.bound ? { bound: sizeExpr(o.elem.bound) } : {}),
      ...layoutOf(o.layout),
    }),
  );
  return [...params, ...outputs];
}
/** A table of pages is read by name: its element stands for itself in `place`. */
function layoutOf(l: MemoryLayout | undefined): { layout?: LayoutAbi } {
  if (l === undefined) return {};
  let table: LayoutAbi["table"];
  const named = (e: Expr): Expr => {
    if (e.kind !== "read") return mapChildren(e, named);
    table = { param: e.tensor, at: e.subscripts.map(sizeExpr) };
    return indexVar(e.tensor);
  };
  const place = sizeExpr(named(l.place));
  return { layout: { name: l.name, indices: l.indices, place, places: sizeExpr(l.places), ...(table ? { table } : {}) } };
}
/** `where all(i) x[i] >= c`: what a generator of data and a check of it can use. */
function leastOf(name: string, p: Program): { least?: number } {
  for (const r of p.requires) {
    const body = r.kind === "reduce" && r.op === "all" && r.where === undefined ? r.bodies[0]! : undefined;
    if (body?.kind !== "op" || (body.op !== "ge" && body.op !== "gt")) continue;
    const [x, c] = body.args as [Expr, Expr];
    if (x.kind !== "read" || x.tensor !== name || !x.subscripts.every((s) => s.kind === "index") || c.kind !== "const") continue;
    if (body.op === "ge") return { least: Number(c.value) };
    if (x.type !== "f64") return { least: x.type === "f32" ? floatAfter(Number(c.value)) : Number(c.value) + 1 };
  }
  return {};
}
/** The least f32 above x. */
function floatAfter(x: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, x);
  if (view.getFloat32(0) > x) return view.getFloat32(0);
  if (x === 0) return 2 ** -149;
  view.setInt32(0, view.getInt32(0) + (x > 0 ? 1 : -1));
  return view.getFloat32(0);
}
