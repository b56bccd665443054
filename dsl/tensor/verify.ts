/**
 * What every tensor program guarantees, after checking and after each rewriting:
 * 1. a tensor is defined before it is read, once, and read with as many subscripts as it has axes;
 * 2. an index or var is bound where it stands: by its statement, an enclosing reduction, a fold or a `let`; none hides another;
 * 3. operands have the types that their operation takes; conditions are bools, subscripts and ranges integers;
 * 4. a reduction has a body for each component, a sweep stands at the indices it sweeps;
 * 5. after desugaring (`plain`) no softmax, logsumexp or mean is left.
 */
import { InternalError } from "../diagnostics.ts";
import type { Axis, Expr, Program, Statement } from "./ir.ts";
import { printExpr } from "./print.ts";
import { isInteger } from "./types.ts";

export function verifyProgram(p: Program, stage: string, plain = false): void {
  new Verifier(p, stage, plain).run();
}

class Verifier {
  private readonly program: Program;
  private readonly stage: string;
  private readonly plain: boolean;
  private readonly ranks = new Map<string, number>();

  constructor(program: Program, stage: string, plain: boolean) {
    this.program = program;
    this.stage = stage;
    this.plain = plain;
  }
  run(): void {
    for (const x of this.program.params) if (x.axes) this.ranks.set(x.name, x.axes.length);
    for (const s of this.program.statements) this.statement(s, new Set());
  }
  /** The text is made only for a failure. */
  private check(ok: boolean, text: () => string): void {
    if (!ok) throw new InternalError(`after ${this.stage}, ${this.program.kernel}: ${text()}`);
  }
  private define(name: string, rank: number): void {
    this.check(!this.ranks.has(name), () => `${name} is defined twice`);
    this.ranks.set(name, rank);
  }
  /** Axes bind one after the other: a range may speak of the indices before it. */
  private axes(list: readonly Axis[], bound: ReadonlySet<string>): Set<string> {
    const inner = new Set(bound);
    for (const a of list) {
      for (const e of a.range ? [a.extent, a.range.from, a.range.to] : [a.extent]) {
        this.expr(e, inner);
        this.check(isInteger(e.type), () => `the axis ${a.name} has a bound of type ${e.type}`);
      }
      this.check(!inner.has(a.name), () => `the index ${a.name} hides another`);
      inner.add(a.name);
    }
    return inner;
  }
  private condition(e: Expr | undefined, bound: ReadonlySet<string>): void {
    if (e === undefined) return;
    this.expr(e, bound);
    this.check(e.type === "bool", () => `the condition ${printExpr(e)} is ${e.type}`);
  }
  private statement(s: Statement, bound: ReadonlySet<string>): void {
    switch (s.kind) {
      case "define": {
        const inner = this.axes(s.axes, bound);
        this.condition(s.where, inner);
        this.expr(s.value, inner);
        return this.define(s.name, s.axes.length);
      }
      case "write": {
        const inner = this.axes(s.axes, bound);
        this.condition(s.where, inner);
        for (const e of [...s.subscripts, s.value]) this.expr(e, inner);
        const output = this.program.outputs.find((o) => o.name === s.tensor);
        if (output && !this.ranks.has(s.tensor)) this.ranks.set(s.tensor, output.axes.length);
        return this.check(
          this.ranks.get(s.tensor) === s.subscripts.length,
          () => `${s.tensor} is written with ${s.subscripts.length} subscripts`,
        );
      }
      case "fold": {
        for (const x of s.states) {
          this.expr(x.init, this.axes(x.axes, bound));
          this.define(x.name, x.axes.length);
        }
        const step = this.axes([s.axis], bound);
        this.condition(s.where, step);
        for (const b of s.body) this.statement(b, step);
        for (const n of s.nexts) {
          const inner = this.axes(n.axes, step);
          this.condition(n.where, inner);
          this.expr(n.value, inner);
        }
        for (const d of s.emits) {
          const inner = this.axes(
            d.axes.filter((a) => a.name !== s.axis.name),
            step,
          );
          this.condition(d.where, inner);
          this.expr(d.value, inner);
          this.define(d.name, d.axes.length);
        }
        return;
      }
      default: {
        const inner = this.axes(s.over, this.axes(s.outer, bound));
        this.condition(s.where, inner);
        if (s.body) this.expr(s.body, inner);
        if (s.count) this.expr(s.count, bound);
        for (const r of s.results) if (r.name) this.define(r.name, r.axes.length);
      }
    }
  }
  private expr(e: Expr, bound: ReadonlySet<string>): void {
    const go = (x: Expr): void => this.expr(x, bound);
    switch (e.kind) {
      case "const":
        return this.check((typeof e.value === "boolean") === (e.type === "bool"), () => `${e.value} as ${e.type}`);
      case "dim":
        return this.check(
          this.program.dims.some((d) => d.name === e.name),
          () => `no dimension ${e.name}`,
        );
      case "scalar":
        return this.check(
          this.program.params.some((x) => x.name === e.name && x.axes === undefined),
          () => `no scalar ${e.name}`,
        );
      case "index":
      case "var":
        return this.check(bound.has(e.name), () => `${e.name} is not bound in ${printExpr(e)}`);
      case "read": {
        const rank = this.ranks.get(e.tensor);
        this.check(rank === e.subscripts.length, () => `${printExpr(e)}: ${rank === undefined ? "not defined yet" : `${rank} axes`}`);
        for (const s of e.subscripts) {
          go(s);
          this.check(isInteger(s.type), () => `${printExpr(e)}: a subscript of type ${s.type}`);
        }
        return;
      }
      case "op":
        e.args.forEach(go);
        return this.operands(e);
      case "let":
        go(e.value);
        return this.expr(e.body, new Set(bound).add(e.name));
      case "if":
        this.condition(e.cond, bound);
        go(e.then);
        go(e.else);
        return this.check(
          e.then.type === e.else.type && e.type === e.then.type,
          () => `the branches of ${printExpr(e)} are ${e.then.type} and ${e.else.type}`,
        );
      case "else":
        go(e.value);
        go(e.other);
        return this.check(e.value.type === e.other.type, () => `the sides of ${printExpr(e)} are ${e.value.type} and ${e.other.type}`);
      case "reduce": {
        this.check(!this.plain || (e.op !== "mean" && e.op !== "logsumexp"), () => `${e.op} is left`);
        this.check(e.bodies.length === (e.monoid?.fields.length ?? 1), () => `${printExpr(e)} has ${e.bodies.length} bodies`);
        const inner = this.axes(e.axes, bound);
        this.condition(e.where, inner);
        for (const b of e.bodies) this.expr(b, inner);
        return;
      }
      case "sweep":
        this.check(!this.plain || e.op !== "softmax", () => "softmax is left");
        for (const a of e.over) this.check(bound.has(a.name), () => `${e.op} sweeps ${a.name}, which is not bound`);
        this.condition(e.where, bound);
        return e.bodies.forEach(go);
      case "segment":
        this.check(this.ranks.get(e.table) === 1, () => `segment of ${e.table}`);
        return go(e.arg);
      case "cast":
        go(e.arg);
        if (e.bits) go(e.bits);
        return;
      default:
        return go(e.arg);
    }
  }
  private operands(e: Extract<Expr, { kind: "op" }>): void {
    const [a, b] = e.args;
    const same = [
      "add",
      "sub",
      "mul",
      "div",
      "mod",
      "and",
      "or",
      "xor",
      "min",
      "max",
      "lt",
      "le",
      "gt",
      "ge",
      "eq",
      "ne",
      "land",
      "lor",
      "pow",
    ];
    // An int and a stored integer may meet in what domain analysis makes; both are 32 bits wide below.
    const alike = b === undefined || a!.type === b.type || (isInteger(a!.type) && isInteger(b.type));
    if (same.includes(e.op)) this.check(alike, () => `${printExpr(e)}: ${a!.type} and ${b?.type}`);
    if (["lt", "le", "gt", "ge", "eq", "ne", "land", "lor", "lnot"].includes(e.op))
      this.check(e.type === "bool", () => `${printExpr(e)} is ${e.type}`);
    if (["land", "lor", "lnot"].includes(e.op))
      for (const x of e.args) this.check(x.type === "bool", () => `${printExpr(x)} is ${x.type} in a condition`);
  }
}
