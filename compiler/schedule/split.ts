/**
 * `split j: n` cuts a reduction over j into n chunks that run in different blocks, and combines their results:
 * `x[i] = sum(j) e`  ->  `x_part[i, c: n] = sum(j in c * L..(c + 1) * L) e;  x[i] = sum(c) x_part[i, c]`, L = ceil(extent / n).
 * Requires an operation that may be reassociated. A chunk without elements is undefined for max and min, and so takes no part.
 */
import type { Directive } from "../../dsl/check/schedules.ts";
import { add, baseName, freeIndices, indexVar, mapChildren, mul, num, op } from "../../dsl/tensor/expr.ts";
import type { Axis, Define, Expr, Program, Statement } from "../../dsl/tensor/ir.ts";
import { namesIn, unused } from "../../dsl/tensor/program.ts";
import { Refusal } from "../refusal.ts";

type Split = Extract<Directive, { size: number }>;
const reassociates = new Set(["sum", "prod", "max", "min", "all", "any"]);

export function split(program: Program, directives: readonly Directive[]): Program {
  const splits = directives.filter((d): d is Split => d.kind === "split");
  const whole = program.statements.some((s) => s.kind === "define" && s.axes.length === 0 && s.value.kind === "reduce");
  if (splits.length === 0 && !whole) return program;
  const done = new Set<Split>();
  const taken = namesIn(program);
  const statements = program.statements.flatMap((s) => cut(s, splits, done, taken));
  for (const d of splits)
    if (!done.has(d))
      throw new Refusal(
        "W606",
        d.span,
        `nothing here reduces over \`${d.index}\` in a way that can be split`,
        "split takes a sum, prod, max, min, all or any over one index",
      );
  return { ...program, statements };
}
function cut(s: Statement, splits: readonly Split[], done: Set<Split>, taken: Set<string>): Statement[] {
  if (s.kind !== "define") return [s];
  const parts: Define[] = [];
  const rewrite = (e: Expr, root: boolean): Expr => {
    if (e.kind !== "reduce") return mapChildren(e, (c) => rewrite(c, false));
    const axis = e.axes[0]!;
    const wanted = splits.find((d) => d.index === baseName(axis.name) && (d.definition === undefined || d.definition === s.name));
    if (wanted === undefined) {
      // A result of one element would leave the device to one block.
      const alone =
        root &&
        s.axes.length === 0 &&
        e.axes.length === 1 &&
        reassociates.has(e.op) &&
        axis.range === undefined &&
        axis.extent.kind !== "const";
      return alone ? pieces(e, s, 64, parts, taken) : e;
    }
    if (!reassociates.has(e.op) || e.axes.length !== 1)
      throw new Refusal(
        "W606",
        wanted.span,
        `\`${s.name}\`: a ${e.op === "monoid" ? "monoid" : e.op} over ${e.axes.length} indices cannot be split`,
        "split takes a sum, prod, max, min, all or any over one index",
      );
    done.add(wanted);
    return pieces(e, s, wanted.size, parts, taken);
  };
  const value = rewrite(s.value, true);
  return [...parts, { ...s, value }];
}
function pieces(e: Extract<Expr, { kind: "reduce" }>, s: Define, n: number, parts: Define[], taken: Set<string>): Expr {
  const axis = e.axes[0]!;
  const chunk: Axis = { name: `${axis.name}_chunk`, extent: num(n) };
  const length = op("div", [add(axis.extent, num(n - 1)), num(n)], "int");
  const c = indexVar(chunk.name);
  const low = mul(c, length);
  const high = add(low, length);
  const range = axis.range
    ? { from: op("max", [axis.range.from, low], "int"), to: op("min", [axis.range.to, high], "int") }
    : { from: low, to: high };
  const own = freeIndices(e);
  const outer = s.axes.filter((a) => own.has(a.name));
  const name = unused(`${s.name}_part`, taken);
  const { where, ...open } = e;
  parts.push({
    kind: "define",
    name,
    axes: [...outer, chunk],
    value: { ...open, ...(where ? { where } : {}), axes: [{ ...axis, range }] },
    output: false,
    span: s.span,
  });
  const read: Expr = {
    kind: "read",
    tensor: name,
    subscripts: [...outer.map((a) => indexVar(a.name)), c],
    type: e.bodies[0]!.type,
    span: e.span,
  };
  return { kind: "reduce", op: e.op, axes: [chunk], bodies: [read], component: 0, type: e.type, span: e.span };
}
