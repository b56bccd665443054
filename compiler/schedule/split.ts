/**
 * `split j: n` cuts a reduction over j into n chunks that run in different blocks, and combines their results:
 * `x[i] = sum(j) e`  ->  `x_part[c: n, i] = sum(j in c * L..(c + 1) * L) e;  x[i] = sum(c) x_part[c, i]`, L = ceil(extent / n), or more: where
 * the extent is known to be a multiple of a power of two, so is L, and tiles and wide accesses within a chunk start where they may.
 * Requires an operation that may be reassociated. A chunk without elements is undefined for max and min, and so takes no part. Of a reduction
 * by a monoid, a streamed one too, every field of a chunk's state is stored, and the states are combined in order (flash decoding; Dao, Haziza, Massa
 * and Sizov 2023).
 */
import type { Directive } from "../../dsl/check/schedules.ts";
import { add, and, baseName, freeIndices, indexVar, isTrue, mapChildren, mul, num, op } from "../../dsl/tensor/expr.ts";
import type { Axis, Define, Expr, HeldField, Program, Statement } from "../../dsl/tensor/ir.ts";
import { printAlike } from "../../dsl/tensor/print.ts";
import { namesIn, unused } from "../../dsl/tensor/program.ts";
import { multiplesIn } from "../plan/bounds.ts";
import { Refusal } from "../refusal.ts";
import { fieldsBehind, onlyFields } from "../stream/monoid.ts";
import { definitionsOf, mayBeUndefined } from "../stream/partial.ts";

import { type Multiples, multipleOf, powerIn } from "./shape.ts";

type Split = Extract<Directive, { size: number }>;
type Reduce = Extract<Expr, { kind: "reduce" }>;
interface Parts {
  readonly taken: Set<string>;
  /** What is stored of chunks so far, by the text of what it is: several results may need the same. */
  readonly made: Map<string, string>;
  /** Whether an expression may be undefined somewhere. */
  readonly isOpen: (e: Expr) => boolean;
  /** Numbers that divide dimensions. */
  readonly multiples: Multiples;
}
const reassociates = new Set(["sum", "prod", "max", "min", "all", "any"]);

/** @param assumed conditions on the dimensions that hold besides those of the program */
export function split(program: Program, directives: readonly Directive[], assumed: readonly Expr[] = []): Program {
  const splits = directives.filter((d): d is Split => d.kind === "split");
  const whole = program.statements.some((s) => s.kind === "define" && s.axes.length === 0 && s.value.kind === "reduce");
  if (splits.length === 0 && !whole) return program;
  const done = new Set<Split>();
  const taken = namesIn(program);
  const made = new Map<string, string>();
  const definitions = definitionsOf(program);
  const isOpen = (e: Expr): boolean => mayBeUndefined(e, program, definitions);
  const multiples = multiplesIn([...program.requires, ...assumed]);
  const statements = program.statements.flatMap((s) => cut(s, splits, done, { taken, made, isOpen, multiples }));
  for (const d of splits)
    if (!done.has(d))
      throw new Refusal(
        "W606",
        d.span,
        `nothing here reduces over \`${d.index}\` in a way that can be split`,
        "split takes a sum, prod, max, min, all, any or monoid over one index",
      );
  return { ...program, statements };
}
function cut(s: Statement, splits: readonly Split[], done: Set<Split>, known: Parts): Statement[] {
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
      return alone ? pieces(e, s, 64, parts, known) : e;
    }
    if ((!reassociates.has(e.op) && e.op !== "monoid") || e.axes.length !== 1)
      throw new Refusal(
        "W606",
        wanted.span,
        `\`${s.name}\`: a ${e.op} over ${e.axes.length === 1 ? "one index" : `${e.axes.length} indices`} cannot be split`,
        "split takes a sum, prod, max, min, all, any or monoid over one index",
      );
    done.add(wanted);
    return e.op === "monoid" ? statePieces(e, s, wanted.size, parts, known) : pieces(e, s, wanted.size, parts, known);
  };
  const value = rewrite(s.value, true);
  const where = s.where && rewrite(s.where, false);
  return [...parts, { ...s, value, ...(where ? { where } : {}) }];
}
/** Chunks are multiples of at most this: the deepest tile that is usual. */
const mostAligned = 128;
const ofChunks = "_chunk";
/** Whether an index counts chunks: what reduces over it combines what others computed. */
export const countsChunks = (index: string): boolean => baseName(index).endsWith(ofChunks);

/** Chunk c of n of a reduction's axis. */
function chunkOf(axis: Axis, n: number, multiples: Multiples): { readonly chunk: Axis; readonly within: Axis } {
  const chunk: Axis = { name: `${baseName(axis.name)}${ofChunks}`, extent: num(n) };
  const divided = (e: Expr, by: number): Expr => op("div", [add(e, num(by - 1)), num(by)], "int");
  const least = axis.extent.kind === "const" ? Number(axis.extent.value) / n : mostAligned;
  const unit = powerIn(multipleOf(axis.extent, multiples), Math.min(mostAligned, least));
  const length = unit === 1 ? divided(axis.extent, n) : mul(divided(axis.extent, n * unit), num(unit));
  const c = indexVar(chunk.name);
  const low = mul(c, length);
  const high = add(low, length);
  const range = axis.range
    ? { from: op("max", [axis.range.from, low], "int"), to: op("min", [axis.range.to, high], "int") }
    : { from: low, to: high };
  return { chunk, within: { ...axis, range } };
}
const readAt = (tensor: string, axes: readonly Axis[], type: Expr["type"], span: Expr["span"]): Expr => ({
  ...{ kind: "read", tensor, type, span },
  subscripts: axes.map((a) => indexVar(a.name)),
});
/** The axes of a definition that these indices are, and those that their ranges speak of. */
function axesFor(s: Define, names: ReadonlySet<string>): Axis[] {
  const needed = new Set(names);
  for (const a of [...s.axes].reverse())
    if (needed.has(a.name))
      for (const x of [a.extent, ...(a.range ? [a.range.from, a.range.to] : [])]) for (const n of freeIndices(x)) needed.add(n);
  return s.axes.filter((a) => needed.has(a.name));
}
function pieces(e: Reduce, s: Define, n: number, parts: Define[], { taken, multiples }: Parts): Expr {
  const { chunk, within } = chunkOf(e.axes[0]!, n, multiples);
  const axes = [chunk, ...axesFor(s, freeIndices(e))];
  const name = unused(`${s.name}_part`, taken);
  parts.push({ kind: "define", name, axes, value: { ...e, axes: [within] }, output: false, span: s.span });
  const bodies = [readAt(name, axes, e.bodies[0]!.type, e.span)];
  return { kind: "reduce", op: e.op, axes: [chunk], bodies, component: 0, type: e.type, span: e.span };
}
function statePieces(e: Reduce, s: Define, n: number, parts: Define[], { taken, made, isOpen, multiples }: Parts): Expr {
  const { chunk, within } = chunkOf(e.axes[0]!, n, multiples);
  const index = e.axes[0]!.name;
  const { held, ...monoid } = e.monoid!;
  // An element takes part where all that it reads is defined.
  const open = e.bodies.filter(isOpen);
  const domain = [within.extent, within.range!.from, within.range!.to, ...(e.where ? [e.where] : []), ...open];
  const behind = fieldsBehind(monoid).map((from) => [...from].sort((a, b) => a - b));
  // A field varies with what it is made from, and with nothing else that the state holds.
  const own = behind.map((from) => {
    const names = new Set([...domain, ...from.map((f) => e.bodies[f]!)].flatMap((x) => [...freeIndices(x)]));
    return [chunk, ...axesFor(s, names)];
  });
  // One that is the same for all elements, whether there was any, goes with the least of the others rather than in a walk of its own.
  const varying = own.filter((_, k) => e.bodies[k]!.kind !== "const");
  const least = varying.reduce<Axis[] | undefined>((x, y) => (x === undefined || y.length < x.length ? y : x), undefined);
  const axesOf = own.map((axes, k) => (least && e.bodies[k]!.kind === "const" && axes.every((a) => least.includes(a)) ? least : axes));
  const names = behind.map((from, k) => {
    const laws = from.map((f) => `${lawOf(held?.[f]) ?? printAlike(monoid.combine[f]!, index)} ${printAlike(e.bodies[f]!, index)}`);
    const key = [n, axesOf[k]!.map((a) => a.name).join(), ...domain.map((x) => printAlike(x, index)), ...laws].join("; ");
    const old = made.get(key);
    const name = old ?? unused(`${s.name}_${monoid.fields[k]!.name}`, taken);
    made.set(key, name);
    return { name, isNew: old === undefined };
  });
  // Those with the most axes first: their walk carries what the others need.
  const order = names.flatMap(({ isNew }, k) => (isNew ? [k] : [])).sort((a, b) => axesOf[b]!.length - axesOf[a]!.length || a - b);
  for (const k of order) {
    const mine = new Set(axesOf[k]);
    // All that fit, with what they are made from.
    const fit = behind.filter((_, f) => axesOf[f]!.every((a) => mine.has(a))).flat();
    const fields = [...new Set(fit)].sort((a, b) => a - b);
    const { type } = monoid.fields[k]!;
    const dropped = open.filter((x) => !fields.includes(e.bodies.indexOf(x)));
    const where = and(e.where, ...dropped.map((arg): Expr => ({ kind: "defined", arg, type: "bool", span: e.span })));
    const value: Reduce = {
      ...{ ...e, axes: [within], type, ...(isTrue(where) ? {} : { where }) },
      ...{ bodies: fields.map((f) => e.bodies[f]!), monoid: onlyFields(e.monoid!, fields), component: fields.indexOf(k) },
    };
    parts.push({ kind: "define", name: names[k]!.name, axes: axesOf[k]!, value, output: false, span: s.span });
  }
  const bodies = monoid.fields.map(({ type }, k) => readAt(names[k]!.name, axesOf[k]!, type, e.span));
  return { kind: "reduce", op: "monoid", axes: [chunk], bodies, monoid, component: e.component, type: e.type, span: e.span };
}
const lawOf = (h: HeldField | undefined): string | undefined =>
  h && (h.kind === "plain" ? h.op : `at a centre${h.relax ? `, in ${h.relax.standsFor ?? h.relax.name}` : ""}`);
