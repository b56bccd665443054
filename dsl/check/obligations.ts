/**
 * What an expression owes before it means anything: subscripts in range, divisors not zero, narrowed integers that fit, outputs defined.
 * Each is proven for all sizes, or reported with a small counterexample where one exists, or reported as not proven.
 */
import type { Code, Span } from "../diagnostics.ts";
import { children, compare, freeIndices, indexVar, not, num, op, visit } from "../tensor/expr.ts";
import type { Axis, Expr } from "../tensor/ir.ts";
import { printElem, printExpr } from "../tensor/print.ts";
import { type ElemType, isInteger, storage } from "../tensor/types.ts";
import { domainOf, member } from "./domain.ts";
import { evaluateInteger } from "./evaluate.ts";
import { findExample } from "./example.ts";
import { Prover } from "./prove.ts";
import type { Context } from "./scope.ts";

/** The point at which an expression stands: the indices in scope and what is known of them. */
export interface Point {
  readonly axes: readonly Axis[];
  readonly conditions: readonly Expr[];
}

export class Obligations {
  private readonly context: Context;
  private readonly provers = new Map<string, Prover>();

  constructor(context: Context) {
    this.context = context;
  }
  private prover(p: Point): Prover {
    const key = `${p.axes.map((a) => `${a.name}:${printExpr(a.extent)}:${a.range ? printExpr(a.range.from) + printExpr(a.range.to) : ""}`).join()}|${p.conditions.map((c) => printExpr(c)).join("&")}`;
    let prover = this.provers.get(key);
    if (prover === undefined) {
      prover = new Prover(this.context.facts(p.axes, p.conditions));
      this.provers.set(key, prover);
    }
    return prover;
  }

  /** Checks `e` and all inside it, at a point where its own domain may be assumed. */
  value(e: Expr, at: Point): void {
    this.walk(e, { ...at, conditions: [...at.conditions, domainOf(e, this.context.domains)] });
  }
  /** Extents and ranges of axes, each at the point that the axes before it make. */
  axes(axes: readonly Axis[], at: Point): Point {
    let point = at;
    for (const a of axes) {
      for (const part of a.range ? [a.extent, a.range.from, a.range.to] : [a.extent]) this.walk(part, point);
      point = { ...point, axes: [...point.axes, a] };
    }
    return point;
  }

  private walk(e: Expr, at: Point): void {
    switch (e.kind) {
      case "read":
        for (const s of e.subscripts) this.walk(s, at);
        this.subscripts(e, at);
        return;
      case "op": {
        const [a, b] = e.args;
        if (e.op === "land" || e.op === "lor") {
          this.walk(a!, at);
          this.walk(b!, { ...at, conditions: [...at.conditions, e.op === "land" ? a! : not(a!)] });
          return;
        }
        for (const x of e.args) this.walk(x, at);
        if ((e.op === "div" || e.op === "mod") && isInteger(e.type)) this.divisor(e, at);
        if (e.op === "to_u32" && a!.type === "int") this.range(a!, { name: "u32" }, e.span, at);
        return;
      }
      case "cast":
        for (const x of children(e)) this.walk(x, at);
        this.range(e.arg, e.to, e.span, at);
        return;
      case "if":
        this.walk(e.cond, at);
        this.walk(e.then, { ...at, conditions: [...at.conditions, e.cond] });
        this.walk(e.else, { ...at, conditions: [...at.conditions, not(e.cond)] });
        return;
      case "else":
        this.value(e.value, at);
        this.walk(e.other, at);
        return;
      case "reduce": {
        const inner = this.axes(e.axes, at);
        if (e.where) this.value(e.where, inner);
        const body = { ...inner, conditions: [...inner.conditions, member(e, this.context.domains)] };
        for (const b of e.bodies) this.walk(b, body);
        return;
      }
      case "sweep": {
        // The row is walked with the other indices held: what is known of this point of it is not known of the others.
        const swept = new Set(e.over.map((a) => a.name));
        const about = (x: Expr): boolean => [...freeIndices(x)].some((n) => swept.has(n));
        const axes = at.axes.map(({ range, ...a }) => (range && !about(range.from) && !about(range.to) ? { ...a, range } : a));
        const held = at.conditions.filter((c) => !about(c));
        if (e.where) this.value(e.where, { axes, conditions: held });
        const row = { axes, conditions: [...held, member(e, this.context.domains)] };
        for (const b of e.bodies) this.walk(b, row);
        return;
      }
      default:
        for (const c of children(e)) this.walk(c, at);
    }
  }

  private subscripts(e: Extract<Expr, { kind: "read" }>, at: Point): void {
    const tensor = this.context.tensors.get(e.tensor);
    if (tensor === undefined || this.context.poisoned.has(e.tensor)) return;
    e.subscripts.forEach((s, k) => {
      const axis = tensor.axes[k]!;
      const own = s.kind === "index" ? at.axes.find((a) => a.name === s.name) : undefined;
      if (own && printExpr(own.extent) === printExpr(axis.extent)) return;
      for (const [goal, fault] of [
        [compare("ge", s, num(0)), "may be negative"],
        [compare("lt", s, axis.extent), `may reach or pass the extent ${printExpr(axis.extent)}`],
      ] as const) {
        const which = ["first", "second", "third", "fourth", "fifth", "sixth"][k] ?? `${k + 1}th`;
        const ok = this.require(
          goal,
          at,
          s.span,
          "W303",
          "W304",
          `\`${printExpr(e)}\`: the ${which} subscript ${fault}`,
          [`needs 0 <= ${printExpr(s)} < ${printExpr(axis.extent)}`],
          s,
        );
        if (!ok) break;
      }
    });
  }
  private divisor(e: Extract<Expr, { kind: "op" }>, at: Point): void {
    const d = e.args[1]!;
    const prover = this.prover(at);
    if (d.kind === "const" && d.value !== 0) return;
    if (prover.proves(compare("ge", d, num(1))) || prover.proves(compare("le", d, num(-1)))) return;
    const example = findExample(this.context.facts(at.axes, at.conditions), compare("ne", d, num(0)));
    this.context.report("W307", d.span, `the divisor \`${printExpr(d)}\` ${example ? "may be" : "is not shown to differ from"} 0`, {
      ...(example ? { notes: [{ text: exampleText(example.values, [d]) }] } : {}),
      help: `state \`where ${printExpr(d)} >= 1\` on the kernel, or guard the division`,
    });
  }
  /** An integer that is stored in fewer bits, as an index, or without a sign, must provably fit. */
  range(e: Expr, elem: ElemType, span: Span, at: Point): void {
    const info = storage[elem.name];
    if (info.class !== "integer" || !isInteger(e.type)) return;
    const wide = elem.name === "i32" || elem.name === "u32";
    if (wide && (e.type !== "int" || elem.name === "i32")) return;
    const low = "min" in info ? (info.min as number) : 0;
    const goals = [compare("ge", e, num(low))];
    if (elem.name === "index") goals.push(compare("lt", e, elem.bound!));
    else if (elem.name === "offsets") goals.push(compare("le", e, elem.bound!));
    else if (!wide && "max" in info) goals.push(compare("le", e, num(info.max as number)));
    const end = elem.bound ? `${printExpr(elem.bound)}${elem.name === "index" ? " - 1" : ""}` : String("max" in info ? info.max : "");
    for (const goal of goals)
      if (
        !this.require(
          goal,
          at,
          span,
          "W203",
          "W203",
          `\`${printExpr(e)}\` is not shown to fit ${printElem(elem)}`,
          wide ? [] : [`needs ${low} <= value <= ${end}`],
          e,
          `write \`clamp(…, ${low}, ${end})\``,
        )
      )
        return;
  }

  /** An output is defined wherever its declaration says. */
  total(name: string, goal: Expr, at: Point, span: Span, remedy: Expr | undefined): void {
    const prover = this.prover(at);
    if (prover.proves(goal)) return;
    const open = firstOpen(goal, prover);
    const example = findExample(this.context.facts(at.axes, at.conditions), open);
    const values = example ? [{ text: exampleText(example.values, [open, ...at.axes.map((a) => indexVar(a.name))]) }] : [];
    const where = this.suggestion(goal, at);
    const reduce = remedy && (remedy.kind === "reduce" || remedy.kind === "else") ? " else 0.0" : "";
    this.context.report(
      example ? "W305" : "W306",
      span,
      example
        ? `\`${name}\` is undefined where \`${printExpr(open)}\` does not hold`
        : `\`${name}\` is not shown to be defined everywhere: needs \`${printExpr(open)}\``,
      {
        notes: values,
        help: where
          ? `add \`where ${where}\` to the kernel, or supply a value with \`… else 0.0\``
          : `supply a value where it is undefined: \`…${reduce || " else 0.0"}\``,
      },
    );
  }

  private require(
    goal: Expr,
    at: Point,
    span: Span,
    refuted: Code,
    unknown: Code,
    message: string,
    known: readonly string[],
    about: Expr,
    remedy?: string,
  ): boolean {
    const prover = this.prover(at);
    if (prover.proves(goal)) return true;
    const example = findExample(this.context.facts(at.axes, at.conditions), goal);
    const where = this.suggestion(goal, at);
    const notes = [
      ...known.map((text) => ({ text })),
      {
        text: example
          ? exampleText(example.values, [goal, about], about)
          : `no counterexample up to size 4 either: what is known does not settle \`${printExpr(goal)}\``,
      },
    ];
    const help = where
      ? `add \`where ${where}\` to the kernel, or guard it: \`… where ${printExpr(goal)}\``
      : (remedy ?? `guard it with \`where ${printExpr(goal)}\``);
    this.context.report(example ? refuted : unknown, span, message, { notes, help });
    return false;
  }
  /** A precondition on dimensions that would settle the goal, tried before it is suggested. */
  private suggestion(goal: Expr, at: Point): string | undefined {
    const names = new Set<string>();
    visit(goal, (x) => {
      if (x.kind === "dim" && this.context.dims.get(x.name)?.value === undefined) names.add(x.name);
    });
    const dim = (name: string): Expr => ({ kind: "dim", name, type: "int", span: goal.span });
    const candidates: Expr[] = [];
    for (const a of names) for (const b of names) if (a !== b) candidates.push(compare("le", dim(a), dim(b)));
    for (const a of names) candidates.push(compare("ge", dim(a), num(1)));
    for (const c of candidates.slice(0, 16)) {
      const prover = new Prover(this.context.facts(at.axes, [...at.conditions, c]));
      if (prover.proves(goal) && !prover.refutes(op("eq", [num(0), num(0)], "bool"))) return printExpr(c);
    }
    return undefined;
  }
}
/** The first part of a conjunction that is not proven. */
function firstOpen(goal: Expr, prover: Prover): Expr {
  if (goal.kind === "op" && goal.op === "land") {
    const part = goal.args.find((g) => !prover.proves(g));
    return part ? firstOpen(part, prover) : goal;
  }
  return goal;
}
/** `for example  M = 1, N = 0, i = 0`: only what the goal depends on, then the value that broke the bound. */
function exampleText(values: ReadonlyMap<string, number>, about: readonly Expr[], broken?: Expr): string {
  const names = new Set<string>();
  for (const e of about)
    visit(e, (x) => {
      if (x.kind === "dim" || x.kind === "index" || x.kind === "scalar") names.add(x.name);
      if (x.kind === "read") names.add(x.tensor);
      if (x.kind === "segment") names.add(x.table);
    });
  const shown = [...values]
    .filter(([k]) => names.has(k.split("[")[0]!) || names.has(k))
    .map(([k, v]) => `${k.replace(/\$\d+$/, "")} = ${v}`);
  const value = broken && broken.kind !== "index" ? evaluateInteger(broken, values) : undefined;
  return `for example  ${shown.length ? shown.join(", ") : [...values].map(([k, v]) => `${k} = ${v}`).join(", ")}${value === undefined ? "" : `  gives ${value}`}`;
}
