/**
 * `stream j`: dependent reductions over j in one pass. A definition that reduces over j what hangs on other reductions over j (a softmax and
 * the sum that it weighs) becomes one reduction by a derived monoid: each summand is taken apart into what varies with j, which is
 * accumulated, and what hangs on unfinished totals, which is applied once at the end, or replaced by a centre that moves with what has been
 * seen. The laws: a factor free of j leaves the sum; exp(a + b) = exp(a) exp(b); a moment moves by the binomial theorem; a maximum is kept as it
 * is. What no law takes apart is refused, with the factor.
 */
import type { Directive } from "../../dsl/check/schedules.ts";
import {
  and,
  baseName,
  bool,
  children,
  freeIndices,
  freshName,
  indexVar,
  mapChildren,
  num,
  op,
  renamed,
  some,
  substitute,
  visit,
} from "../../dsl/tensor/expr.ts";
import type { Axis, Define, Expr, Program } from "../../dsl/tensor/ir.ts";
import { printAlike, printExpr } from "../../dsl/tensor/print.ts";
import { atSubscripts, visitStatement } from "../../dsl/tensor/program.ts";
import { type ElemType, isNarrow } from "../../dsl/tensor/types.ts";
import { Refusal } from "../refusal.ts";
import { type Accumulator, monoidOf, seen } from "./monoid.ts";
import { type Definitions, definitionsOf, isPartial } from "./partial.ts";
import { colourOf, type Factor, factorsOf, productOf, type Streamed, sumOf, type Term, termsOf } from "./terms.ts";

type Reduce = Extract<Expr, { kind: "reduce" }>;
type Stream = Extract<Directive, { kind: "stream" }>;
export interface StreamedProgram {
  readonly program: Program;
  /** Definitions that are evaluated inside the pass, and need no memory. */
  readonly inside: ReadonlySet<string>;
}

/**
 * @throws Refusal W606 where the text has no dependent reductions over the index, or no law takes them apart
 */
export function stream(program: Program, directives: readonly Directive[]): StreamedProgram {
  let current: StreamedProgram = { program, inside: new Set() };
  for (const d of directives) if (d.kind === "stream") current = streamIndex(current, d);
  return current;
}
function streamIndex({ program, inside }: StreamedProgram, d: Stream): StreamedProgram {
  const definitions = definitionsOf(program);
  const fused = new Set(inside);
  let done = 0;
  const statements = program.statements.map((s) => {
    // A result along the index itself has no running form.
    if (s.kind !== "define" || !isResult(s, program) || s.axes.some((a) => baseName(a.name) === d.index)) return s;
    const pass = new Pass(d, s, program, definitions);
    const made = pass.run();
    if (made === undefined) return s;
    done++;
    for (const n of pass.inside) fused.add(n);
    return made;
  });
  if (done === 0)
    throw new Refusal(
      "W606",
      d.span,
      `nothing here has reductions over \`${d.index}\` of which one reads another`,
      "stream takes the index of a softmax, or of sums that read a maximum over it",
    );
  return { program: dropUnread({ ...program, statements }), inside: fused };
}
/** Outputs, and what statements other than definitions read: the others are inside of one of these, or stay as they are. */
function isResult(d: Define, program: Program): boolean {
  if (d.output) return true;
  return program.statements.some((s) => s.kind !== "define" && reads(s, d.name));
}
function reads(s: Program["statements"][number], name: string): boolean {
  let found = false;
  visitStatement(s, (e) => {
    if ((e.kind === "read" && e.tensor === name) || (e.kind === "segment" && e.table === name)) found = true;
  });
  return found;
}
function dropUnread(program: Program): Program {
  const used = new Set<string>();
  for (const s of program.statements)
    visitStatement(s, (e) => {
      if (e.kind === "read") used.add(e.tensor);
      if (e.kind === "segment") used.add(e.table);
    });
  const statements = program.statements.filter((s) => s.kind !== "define" || s.output || used.has(s.name));
  return statements.length === program.statements.length ? program : dropUnread({ ...program, statements });
}

/** One definition, and all that it reads of reductions over the index. */
class Pass {
  readonly inside = new Set<string>();
  private readonly d: Stream;
  private readonly target: Define;
  private readonly program: Program;
  private readonly definitions: Definitions;
  private readonly list: Accumulator[] = [];
  private readonly known = new Map<string, number>();
  private readonly index: string;
  /** The axis and condition that all reductions of the pass share, and their text. */
  private domain: { readonly axis: Axis; readonly where: Expr | undefined; readonly text: string } | undefined;
  private partial: string | undefined;
  /** The value hangs on there being an element. */
  private needsElement = false;
  /** What is being derived counts only where there is an element. */
  private inSum = false;

  constructor(d: Stream, target: Define, program: Program, definitions: Definitions) {
    this.d = d;
    this.target = target;
    this.program = program;
    this.definitions = definitions;
    this.index = freshName(d.index);
  }
  private refuse(what: string, help: string): never {
    throw new Refusal("W606", this.d.span, `\`${this.target.name}\` cannot be streamed over \`${this.d.index}\`: ${what}`, help);
  }
  private readonly isTotal = (e: Expr): boolean => e.kind === "reduce" && e.axes.length === 1 && baseName(e.axes[0]!.name) === this.d.index;

  run(): Define | undefined {
    const whole = this.inline(this.target.value);
    // Nothing to gain where no reduction over the index reads another, and there is only one.
    const totals: Expr[] = [];
    visit(whole, (e) => {
      if (this.isTotal(e)) totals.push(e);
    });
    if (!totals.some((t) => (t as Reduce).bodies.some((b) => some(b, this.isTotal)))) return undefined;
    const value = this.result(whole);
    const monoid = monoidOf(`streamed_${this.target.name}`, this.list);
    const { axis, where } = this.domain!;
    const bodies = [bool(true), ...this.list.map((a) => a.body)];
    const component = (k: number, type: Expr["type"]): Reduce => ({
      ...{ kind: "reduce", op: "monoid", axes: [axis], bodies, monoid, component: k, type, span: this.target.span },
      ...(where ? { where } : {}),
    });
    const filled = (e: Expr): Expr =>
      e.kind === "var" && placeholder.test(e.name) ? component(Number(e.name.slice(1)), e.type) : mapChildren(e, filled);
    for (const b of bodies) this.note(b);
    const needed = this.needsElement ? { where: and(this.target.where, component(seen, "bool")) } : {};
    return { ...this.target, ...needed, value: filled(value) };
  }
  /** Definitions read at an element that hold reductions of their own: computed where they are read. */
  private note(e: Expr): void {
    visit(e, (x) => {
      if (x.kind !== "read") return;
      const own = this.definitions.get(x.tensor);
      if (own && !own.output && some(own.value, (y) => y.kind === "reduce") && x.subscripts.some((s) => freeIndices(s).has(this.index))) {
        this.inside.add(own.name);
        this.note(own.value);
      }
    });
  }
  /** Definitions that hang on reductions over the index, in place of their reads. */
  private inline(e: Expr): Expr {
    if (e.kind === "read") {
      const own = this.definitions.get(e.tensor);
      if (own && this.hangs(own)) {
        if (own.where || own.axes.some((a) => a.range) || (own.storage && isNarrow(own.storage)))
          this.refuse(
            `\`${own.name}\` has a domain or a type of its own between two reductions`,
            `compute \`${own.name}\` in an earlier kernel, or without its domain`,
          );
        if (some(own.value, (x) => x.kind === "sweep"))
          this.refuse(`\`${own.name}\` sweeps over an index between two reductions`, `compute \`${own.name}\` in an earlier kernel`);
        return this.inline(own.axes.length > 0 ? atSubscripts(own.value, own.axes, e.subscripts) : renamed(own.value));
      }
    }
    return mapChildren(e, (c) => this.inline(c));
  }
  private hangs(d: Define): boolean {
    let found = false;
    visit(d.value, (e) => {
      if (this.isTotal(e)) found = true;
      const own = e.kind === "read" ? this.definitions.get(e.tensor) : undefined;
      if (own && own !== d && this.hangs(own)) found = true;
    });
    return found;
  }

  /** An expression outside the pass: its reductions over the index as components of the state. */
  private result(e: Expr): Expr {
    if (this.isTotal(e)) return this.total(e as Reduce);
    if (!some(e, this.isTotal)) return e;
    // Where a value counts only on some condition, so does there being an element.
    const before = this.needsElement;
    if (e.kind === "else") {
      this.needsElement = false;
      const value = this.result(e.value);
      const missing = this.needsElement;
      this.needsElement = before;
      const other = this.result(e.other);
      return missing ? this.ifSeen(value, other) : { ...e, value, other };
    }
    const made = mapChildren(e, (c) => this.result(c));
    const guarded = e.kind === "if" || e.kind === "defined" || (e.kind === "op" && (e.op === "land" || e.op === "lor"));
    if (guarded && this.needsElement && !before)
      this.refuse(
        `\`${printExpr(e)}\` asks for a maximum on some condition alone`,
        "write `else` where there may be no element, or finish the maximum in an earlier kernel",
      );
    return made;
  }
  private total(r: Reduce): Expr {
    const { body, at } = this.enter(r);
    if (r.op === "sum") {
      // Over no element it is 0, whatever the accumulators hold; all reductions of the pass see the same elements.
      const outer = this.inSum;
      this.inSum = true;
      const value = this.sum(body, r, at);
      this.inSum = outer;
      return outer ? value : this.ifSeen(value, num(0, r.type));
    }
    if (r.op === "max" || r.op === "min") this.needsElement ||= !this.inSum;
    else if (r.op !== "prod" && r.op !== "any" && r.op !== "all")
      this.refuse(`a ${r.op} has no running form here`, "stream takes sums, products, max, min, any and all");
    if (colourOf(body, at) === "mixed")
      this.refuse(
        `\`${printExpr(body)}\` stands in a ${r.op} and mixes an element with an unfinished reduction`,
        "finish the reduction in an earlier kernel",
      );
    return this.component(this.accumulator({ op: r.op, type: r.type, body }));
  }
  private sum(body: Expr, r: Reduce, at: Streamed): Expr {
    const element: Factor[] = [];
    const after: Factor[] = [];
    const exponents: Term[] = [];
    const shifts: Term[][] = [];
    let relax: ElemType | undefined;
    for (const f of factorsOf(body, at)) {
      const colour = colourOf(f.e, at);
      if (colour === "total") after.push(f);
      else if (colour !== "mixed") element.push(f);
      else if (f.e.kind === "op" && f.e.op === "exp") {
        // Several exponentials become one, which the text relaxes nowhere.
        relax = exponents.length === 0 ? f.relax : undefined;
        exponents.push(...termsOf(f.e.args[0]!, at, f.inverse));
      } else if (!f.inverse && isShift(f.e, at)) shifts.push(termsOf(f.e, at));
      else
        this.refuse(
          `\`${printExpr(f.e)}\` mixes the element with an unfinished reduction in a way that no law takes apart`,
          "finish the reduction in an earlier kernel, or write the factor as a product or as exp of a sum",
        );
    }
    const weight = productOf(element, num(1, r.type));
    const scale = (e: Expr): Expr =>
      after.reduce<Expr>((x, f) => op(f.inverse ? "div" : "mul", [x, this.result(f.e)], r.type, f.e.span), e);
    if (shifts.length > 0) {
      const [first, second] = shifts;
      if (exponents.length > 0 || shifts.length > 2 || (second && this.termsText(second) !== this.termsText(first!)))
        this.refuse(
          `\`${printExpr(body)}\` is more than a second moment about one unfinished value`,
          "finish what is subtracted in an earlier kernel",
        );
      return scale(this.moment(first!, second ? 2 : 1, weight, r, at));
    }
    if (exponents.length === 0) return scale(this.component(this.accumulator({ op: "sum", type: r.type, body: weight })));
    const mixed = exponents.find((t) => colourOf(t.e, at) === "mixed");
    if (mixed)
      this.refuse(
        `\`${printExpr(mixed.e)}\` stands in an exponent and multiplies the element by an unfinished reduction`,
        "an exponent must be a sum of a part that varies with the index and a part that does not",
      );
    const own = exponents.filter((t) => colourOf(t.e, at) !== "total");
    const exponent = sumOf(own)!;
    const centre = this.accumulator({ op: "max", type: r.type, body: exponent });
    const held = this.component(this.accumulator({ op: "sum", type: r.type, body: weight, centre, ...(relax ? { relax } : {}) }));
    // What the text subtracts, against the centre that was used instead of it.
    const rest = exponents.filter((t) => colourOf(t.e, at) === "total");
    const [only] = rest;
    const same =
      rest.length === 1 &&
      only!.negative &&
      this.isTotal(only!.e) &&
      (only!.e as Reduce).op === "max" &&
      this.sameMaximum(only!.e as Reduce, exponent);
    if (same) return scale(held);
    const shift = op("add", [this.result(sumOf(rest)!), this.component(centre)], r.type);
    return scale(op("mul", [held, op("exp", [shift], r.type)], r.type));
  }
  /** sum(weight * (u + y)^power), u the part that varies with the index: moments of u about a running mean, moved to -y at the end. */
  private moment(terms: readonly Term[], power: 1 | 2, weight: Expr, r: Reduce, at: Streamed): Expr {
    const u = sumOf(terms.filter((t) => colourOf(t.e, at) !== "total"))!;
    const y = sumOf(terms.filter((t) => colourOf(t.e, at) === "total"))!;
    const { type } = r;
    const count = this.accumulator({ op: "sum", type, body: num(1, type) }, u);
    const centre = this.accumulator({ op: "sum", type, body: u, mean: { count } });
    const weights = this.accumulator({ op: "sum", type, body: weight }, u);
    const first = this.accumulator({ op: "sum", type, body: num(0, type), moment: { centre, weight: weights } });
    const of = (name: "add" | "mul", a: Expr, b: Expr): Expr => op(name, [a, b], type);
    const by = of("add", this.component(centre), this.result(y));
    const lower = of("mul", by, this.component(weights));
    if (power === 1) return of("add", this.component(first), lower);
    const second = this.accumulator({ op: "sum", type, body: num(0, type), moment: { centre, weight: weights, first } });
    return of("add", this.component(second), of("mul", by, of("add", of("mul", num(2, type), this.component(first)), lower)));
  }
  private termsText(list: readonly Term[]): string {
    return list.map((t) => `${t.negative ? "-" : "+"}${this.text(t.e)}`).join(" ");
  }
  private sameMaximum(r: Reduce, exponent: Expr): boolean {
    return this.text(this.enter(r).body) === this.text(exponent);
  }
  /** A reduction's body at the pass's own index, its domain being that of the pass. */
  private enter(r: Reduce): { body: Expr; at: Streamed } {
    const axis = r.axes[0]!;
    const by = new Map([[axis.name, indexVar(this.index)]]);
    const where = r.where && substitute(r.where, by);
    const own: Axis = { ...axis, name: this.index };
    const text = [axis.extent, axis.range?.from, axis.range?.to, where].map((e) => (e ? this.text(e) : "")).join("; ");
    this.domain ??= { axis: own, where, text };
    if (text !== this.domain.text) this.refuse("its reductions range over different elements", "give them one domain, or split the kernel");
    for (const e of [axis.extent, ...(axis.range ? [axis.range.from, axis.range.to] : []), ...(where ? [where] : [])])
      if (some(e, this.isTotal)) this.refuse("an unfinished reduction decides which elements there are", "finish it in an earlier kernel");
    const body = substitute(r.bodies[0]!, by);
    visit(body, (e) => {
      if (this.isTotal(e) && freeIndices(e).has(this.index))
        this.refuse(`\`${printExpr(e)}\` is another total for every element`, "finish it in an earlier kernel");
    });
    return { body, at: { index: this.index, isTotal: this.isTotal } };
  }
  /** @param beside what the element reads as well, in another accumulator */
  private accumulator(a: Accumulator, beside?: Expr): number {
    // An element takes part where all that it reads is defined: for every accumulator the same ones.
    const partial = [...new Set([...this.partialReads(a.body), ...(beside ? this.partialReads(beside) : [])])].sort().join();
    if ((a.centre === undefined && a.moment === undefined) || partial !== "") {
      this.partial ??= partial;
      if (partial !== this.partial)
        this.refuse("its reductions read tensors that are defined at different elements", "give them one domain");
    }
    const key = `${a.op} ${a.centre ?? ""} ${JSON.stringify([a.mean, a.moment, a.relax?.name])} ${this.text(a.body)}`;
    const old = this.known.get(key);
    if (old !== undefined) return old;
    this.list.push(a);
    this.known.set(key, this.list.length);
    return this.list.length;
  }
  /** What decides whether an element is defined: reads of partial tensors, each with the branch in which it stands. */
  private partialReads(e: Expr, branch = ""): string[] {
    const here = this.text(e);
    if (e.kind === "segment" || e.kind === "else" || e.kind === "defined") return [`${branch}${here}`];
    const own = e.kind === "read" && isPartial(e.tensor, this.program, this.definitions) ? [`${branch}${here}`] : [];
    const guarded = e.kind === "if" || (e.kind === "op" && (e.op === "land" || e.op === "lor"));
    return [
      ...own,
      ...children(e).flatMap((c, k) =>
        this.partialReads(c, guarded && k > 0 ? `${branch}${k} of ${this.text(children(e)[0]!)}: ` : branch),
      ),
    ];
  }
  private text(e: Expr): string {
    return printAlike(e, this.index);
  }
  private component(k: number): Expr {
    return { kind: "var", name: `#${k}`, type: this.list[k - 1]!.type, span: this.target.span };
  }
  private ifSeen(then: Expr, other: Expr): Expr {
    return {
      kind: "if",
      cond: { kind: "var", name: `#${seen}`, type: "bool", span: then.span },
      then,
      else: other,
      type: then.type,
      span: then.span,
    };
  }
}
const placeholder = /^#\d+$/;
/** A sum of terms of which each is of the element or unfinished, and none mixes. */
const isShift = (e: Expr, at: Streamed): boolean => {
  const terms = termsOf(e, at);
  return terms.length > 1 && terms.every((t) => colourOf(t.e, at) !== "mixed");
};
