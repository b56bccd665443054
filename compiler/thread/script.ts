/**
 * Statements of a thread as one function of JavaScript. A tree of closures calls another for every name, constant and sum; in a function of
 * the program's own the engine puts operations and accesses in line.
 */
import type { ScalarFn } from "../scalar.ts";
import { type Expr, type Stmt, unfolded } from "./ir.ts";

/** What a script acts on: a thread with a slot for every name. */
export interface Scripted {
  readonly index: number;
  readonly block: number;
  readonly values: Float64Array;
}
type Access<T, Args extends readonly unknown[], Result = void> = (t: T, ...args: Args) => Result;
/** What a script cannot say by itself; every access is made for its place of the program, once. */
export interface Machine<T extends Scripted> {
  readonly slot: (name: string) => number;
  readonly uniform: (name: string) => number;
  /** As text where nobody watches and a language has a sign for it. */
  readonly operation: (e: Extract<Expr, { kind: "op" }>, args: readonly string[]) => ScalarFn | string;
  /** Reads at a position. */
  readonly read: (e: Extract<Expr, { kind: "load" | "shared" }>) => Access<T, [at: number], number>;
  readonly write: (s: Extract<Stmt, { kind: "store" | "share" }>) => Access<T, [at: number, value: number]>;
  readonly merge: (s: Extract<Stmt, { kind: "merge" }>) => Access<T, [at: number, mask: number, bits: number]>;
  /** Puts what it reads in the slots of its names. */
  readonly readWide: (s: Extract<Stmt, { kind: "loads" | "takes" }>) => Access<T, [at: number]>;
  readonly writeWide: (s: Extract<Stmt, { kind: "stores" | "shares" }>) => Access<T, [at: number, values: readonly number[]]>;
  readonly copy: (s: Extract<Stmt, { kind: "copy" }>) => Access<T, [to: number, from: number, valid: number]>;
  readonly commit: Access<T, []>;
  readonly land: Access<T, [leave: number]>;
  /** Threads meet within a statement of one of them. */
  readonly diverged: Access<T, []>;
}
/** Longer functions are left to the interpreter of the engine, some of them for good. */
const longest = 1500;

/** What `list` does to a thread. */
export function scripted<T extends Scripted>(list: readonly Stmt[], machine: Machine<T>): (t: T) => void {
  return new Script(machine).all(list);
}
/** The value of an expression for a thread. */
export function scriptedValue<T extends Scripted>(e: Expr, machine: Machine<T>): (t: T) => number {
  const script = new Script(machine);
  return script.made<number>(`return ${script.expr(e)};`);
}
/** Of several expressions. */
export function scriptedValues<T extends Scripted>(list: readonly Expr[], machine: Machine<T>): (t: T) => number[] {
  const script = new Script(machine);
  return script.made<number[]>(`return [${list.map((e) => script.expr(e)).join(", ")}];`);
}

class Script<T extends Scripted> {
  private readonly machine: Machine<T>;
  /** Functions that the text calls, by their names in it. */
  private readonly held = new Map<unknown, string>();
  private readonly terms: Terms;

  constructor(machine: Machine<T>) {
    this.machine = machine;
    this.terms = {
      slot: machine.slot,
      uniform: machine.uniform,
      thread: "t.index",
      block: "t.block",
      operation: (e, args) => {
        const operation = machine.operation(e, args);
        return typeof operation === "string" ? operation : callText(this.hold(operation), args);
      },
      read: (e) => this.call(machine.read(e), e.at),
    };
  }
  all(list: readonly Stmt[]): (t: T) => void {
    return this.made<void>(this.block(list));
  }
  made<Result>(text: string): (t: T) => Result {
    const called = new Set(text.match(/\bf\d+\b/g));
    const own = [...this.held].filter(([, name]) => called.has(name));
    return new Function(...own.map(([, name]) => name), `return (t) => {\nconst v = t.values;\n${text}\n};`)(...own.map(([f]) => f));
  }
  private hold(what: unknown): string {
    let name = this.held.get(what);
    if (name === undefined) {
      name = `f${this.held.size}`;
      this.held.set(what, name);
    }
    return name;
  }
  private block(list: readonly Stmt[]): string {
    let text = "";
    for (const s of list) {
      text += `${this.statement(s)}\n`;
      if (text.length > longest) text = `${this.hold(this.made<void>(text))}(t);\n`;
    }
    return text;
  }
  private call(access: unknown, ...args: readonly Expr[]): string {
    return `${this.hold(access)}(${["t", ...args.map((a) => this.expr(a))].join(", ")})`;
  }
  private statement(s: Stmt): string {
    const { machine } = this;
    switch (s.kind) {
      case "let":
      case "var":
      case "assign":
        return `v[${machine.slot(s.name)}] = ${this.expr(s.value)};`;
      case "for": {
        const body = `v[${machine.slot(s.name)}] = i;\n${this.block(s.body)}`;
        return `for (let i = ${this.expr(s.from)}; i < ${this.expr(s.to)}; i += ${s.step}) {\n${body}}`;
      }
      case "if":
        return `if (${this.expr(s.test)}) {\n${this.block(s.then)}}`;
      case "store":
      case "share":
        return `${this.call(machine.write(s), s.at, s.value)};`;
      case "merge":
        return `${this.call(machine.merge(s), s.at, s.mask, s.bits)};`;
      case "stores":
      case "shares":
        return `${this.hold(machine.writeWide(s))}(t, ${this.expr(s.at)}, [${s.values.map((x) => this.expr(x)).join(", ")}]);`;
      case "takes":
        return `${this.call(machine.readWide(s), s.at)};`;
      case "loads": {
        const read = `${this.call(machine.readWide(s), s.at)};`;
        if (!s.guard) return read;
        const zeros = s.outs.map((o) => (o === undefined ? "" : `v[${machine.slot(o)}] = 0;`)).join(" ");
        return `if (${this.expr(s.guard)}) {\n${read}\n} else { ${zeros} }`;
      }
      case "scale":
        return this.block(unfolded(s));
      case "copy":
        return `${this.call(machine.copy(s), s.to, s.from, s.valid)};`;
      case "commit":
        return `${this.call(machine.commit)};`;
      case "land":
        return `${this.hold(machine.land)}(t, ${s.leave});`;
      case "barrier":
      case "mma":
      case "fragment":
      case "shuffle":
        return `${this.call(machine.diverged)};`;
      case "comment":
        return "";
      default:
        return s satisfies never;
    }
  }
  expr(e: Expr): string {
    return expressionText(e, this.terms);
  }
}
/** How the text of an expression says what is not of its own. */
export interface Terms {
  /** Of a name, in `v`. */
  readonly slot: (name: string) => number;
  readonly uniform: (name: string) => number;
  readonly thread: string;
  readonly block: string;
  readonly operation: (e: Extract<Expr, { kind: "op" }>, args: readonly string[]) => string;
  readonly read: (e: Extract<Expr, { kind: "load" | "shared" }>) => string;
}
export function expressionText(e: Expr, terms: Terms): string {
  switch (e.kind) {
    case "const":
      return numeral(Number(e.value));
    case "name":
      return `v[${terms.slot(e.name)}]`;
    case "uniform":
      return numeral(terms.uniform(e.name));
    case "thread":
      return terms.thread;
    case "block":
      return terms.block;
    case "op":
      // Both sides of a choice are evaluated, as WGSL does: a load that may lie outside carries its own guard.
      return terms.operation(
        e,
        e.args.map((a) => expressionText(a, terms)),
      );
    case "load":
      return e.guard ? `(${expressionText(e.guard, terms)} ? ${terms.read(e)} : 0)` : terms.read(e);
    case "shared":
      return terms.read(e);
    default:
      return e satisfies never;
  }
}
/** A call of an operation that has no sign in JavaScript. */
export const callText = (name: string, args: readonly string[]): string => `${name}(${[...args, "0", "0"].slice(0, 3).join(", ")})`;
const numeral = (x: number): string => (Object.is(x, -0) ? "-0" : String(x));
