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
/** A name in a text, until it is known whether that is a variable of the function or a slot of the thread: its declaration, and elsewhere. */
const [declared, mentioned] = ["@", "#"];
const marked = /([@#])([^@#]+)\1/g;

/** A function of a thread: its text, and by name what that calls, other pieces among it. */
interface Piece {
  readonly text: string;
  readonly calls: readonly (readonly [name: string, what: unknown])[];
}
/**
 * The scripts of one kernel. A name that a single function mentions is a variable of it; others have slots, which threads carry from one
 * function to the next.
 */
export class Scripts<T extends Scripted> {
  private readonly machine: Machine<T>;
  private readonly slots = new Map<string, number>();
  /** The only piece that mentions a name, or that there are several. */
  private readonly places = new Map<string, Piece | "several">();
  private readonly waiting: (() => void)[] = [];
  private readonly built = new Map<Piece, (t: T) => unknown>();

  constructor(machine: Machine<T>) {
    this.machine = machine;
  }
  /** What `list` does to a thread. */
  statements(list: readonly Stmt[]): (t: T) => void {
    return this.later<void>((script) => script.block(list));
  }
  /** The value of an expression for a thread. */
  value(e: Expr): (t: T) => number {
    return this.later<number>((script) => `return ${script.expr(e)};`);
  }
  /** Of several expressions. */
  values(list: readonly Expr[]): (t: T) => number[] {
    return this.later<number[]>((script) => `return [${list.map((e) => script.expr(e)).join(", ")}];`);
  }
  /** The slot of a name that others than scripts read or write. */
  slot(name: string): number {
    let s = this.slots.get(name);
    if (s === undefined) {
      s = this.slots.size;
      this.slots.set(name, s);
    }
    return s;
  }
  /** Makes the functions, once all scripts are there. @returns the number of slots that a thread has */
  settle(): number {
    for (const build of this.waiting) build();
    return this.slots.size;
  }
  private later<Result>(text: (script: Script<T>) => string): (t: T) => Result {
    const script = new Script(this.machine, (p) => this.note(p));
    const piece = script.piece(text(script));
    let run: ((t: T) => unknown) | undefined;
    this.waiting.push(() => {
      run = this.build(piece);
    });
    return (t) => run!(t) as Result;
  }
  private note(piece: Piece): void {
    for (const [, , name] of piece.text.matchAll(marked)) {
      const before = this.places.get(name!);
      this.places.set(name!, before === undefined || before === piece ? piece : "several");
    }
  }
  private build(piece: Piece): (t: T) => unknown {
    let made = this.built.get(piece);
    if (made === undefined) {
      const variables = new Map<string, string>();
      const text = piece.text.replace(marked, (_, mark: string, name: string) => {
        if (this.slots.has(name) || this.places.get(name) === "several") return `v[${this.slot(name)}]`;
        let variable = variables.get(name);
        if (variable === undefined) {
          variable = `n${variables.size}`;
          variables.set(name, variable);
        }
        return mark === declared ? `let ${variable}` : variable;
      });
      const called = piece.calls.map(([, what]) => (isPiece(what) ? this.build(what) : what));
      made = new Function(...piece.calls.map(([name]) => name), `return (t) => {\nconst v = t.values;\n${text}\n};`)(...called);
      this.built.set(piece, made!);
    }
    return made!;
  }
}
const isPiece = (what: unknown): what is Piece => typeof what === "object";

class Script<T extends Scripted> {
  private readonly machine: Machine<T>;
  private readonly made: (piece: Piece) => void;
  /** What the text calls, by its names in it. */
  private readonly held = new Map<unknown, string>();
  private readonly terms: Terms;

  constructor(machine: Machine<T>, made: (piece: Piece) => void) {
    this.machine = machine;
    this.made = made;
    this.terms = {
      name: (name) => `${mentioned}${name}${mentioned}`,
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
  piece(text: string): Piece {
    const called = new Set(text.match(/\bf\d+\b/g));
    const piece = { text, calls: [...this.held].filter(([, name]) => called.has(name)).map(([what, name]) => [name, what] as const) };
    this.made(piece);
    return piece;
  }
  private hold(what: unknown): string {
    let name = this.held.get(what);
    if (name === undefined) {
      name = `f${this.held.size}`;
      this.held.set(what, name);
    }
    return name;
  }
  block(list: readonly Stmt[]): string {
    let text = "";
    for (const s of list) {
      text += `${this.statement(s)}\n`;
      if (text.length > longest) text = `${this.hold(this.piece(text))}(t);\n`;
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
        return `${declared}${s.name}${declared} = ${this.expr(s.value)};`;
      case "assign":
        return `${this.terms.name(s.name)} = ${this.expr(s.value)};`;
      case "for": {
        const body = `${declared}${s.name}${declared} = i;\n${this.block(s.body)}`;
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
        const zeros = s.outs.map((o) => (o === undefined ? "" : `${this.terms.name(o)} = 0;`)).join(" ");
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
  readonly name: (name: string) => string;
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
      return terms.name(e.name);
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
