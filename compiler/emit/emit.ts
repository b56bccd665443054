/** Thread IR -> source text. One walk; what differs between languages is asked of the target. */
import { isEightBits } from "../../dsl/tensor/matrix.ts";
import type { SizeExpr } from "../../runtime/abi.ts";
import { listOf } from "../lists.ts";
import { atom } from "../targets/spelling.ts";
import type { Target, Text, Unit } from "../targets/target.ts";
import {
  accumulates,
  type Contraction,
  children,
  contractionOf,
  type Expr,
  productOf,
  type Stmt,
  type ThreadKernel,
  turnOf,
} from "../thread/ir.ts";
import type { Elem } from "../tile/ir.ts";
import { type Arenas, heldIn } from "./arenas.ts";

export interface EmittedBody {
  readonly lines: readonly string[];
  /** Index into `lines` -> Weft line. */
  readonly origins: readonly (readonly [number, number])[];
}

export function emitBody(kernel: ThreadKernel, target: Target, arenas: Arenas): EmittedBody {
  const e = new Emitter(kernel, target, arenas);
  e.block(kernel.body, 1);
  return { lines: e.lines, origins: e.origins };
}

/** An expression of dimensions, as the target spells it. */
export function sizeText(e: SizeExpr, target: Target): string {
  if (typeof e === "number") return String(e);
  if (typeof e === "string") return target.uniform(e);
  const [op, a, b] = e;
  const [x, y] = [sizeText(a, target), sizeText(b, target)];
  if (op === "ceildiv") return `((${x} + ${y} - 1) / ${y})`;
  if (op === "min" || op === "max") return `${op}(${x}, ${y})`;
  return `(${x} ${op} ${y})`;
}

const reads = (e: Expr): boolean => e.kind === "load" || e.kind === "shared" || children(e).some(reads);

class Emitter {
  readonly lines: string[] = [];
  readonly origins: [number, number][] = [];
  private readonly kernel: ThreadKernel;
  private readonly target: Target;
  private readonly arenas: Arenas;

  constructor(kernel: ThreadKernel, target: Target, arenas: Arenas) {
    this.kernel = kernel;
    this.target = target;
    this.arenas = arenas;
  }
  private line(depth: number, text: string): void {
    this.lines.push("  ".repeat(depth) + text);
  }
  private buffer(name: string): ThreadKernel["buffers"][number] {
    return this.kernel.buffers.find((b) => b.name === name)!;
  }

  /** What holds a position of a buffer, where there, and in what units: words of an arena have no type of their own. */
  private place(buffer: string, position: Expr): { readonly held: string; readonly at: Text; readonly unit: Unit } {
    const at = this.expr(position);
    const b = this.buffer(buffer);
    const place = this.arenas.places.get(buffer);
    if (place === undefined) return { held: buffer, at, unit: b.unit };
    const t = this.target;
    const from = place.uniform === undefined ? at : t.op("add", "i32", [atom(t.uniform(place.uniform)), at], "i32");
    return { held: heldIn(place.arena, b), at: from, unit: b.unit === "u16" ? "u16" : "u32" };
  }
  /** What is written to a buffer, as it is held. */
  private asHeld(buffer: string, held: Unit, value: Text): Text {
    const { unit } = this.buffer(buffer);
    return held === unit ? value : this.target.op("bitcast", "u32", [value], unit as Elem);
  }
  /** What was read of a buffer, as it was held. */
  private asRead(buffer: string, held: Unit, value: Text): Text {
    const { unit } = this.buffer(buffer);
    return held === unit ? value : this.target.op("bitcast", unit as Elem, [value], "u32");
  }
  private arrayUnit(name: string): Unit {
    return this.kernel.shared.find((a) => a.name === name)!.elem as Unit;
  }

  block(list: readonly Stmt[], depth: number): void {
    for (const s of list) this.statement(s, depth);
  }
  private statement(s: Stmt, depth: number): void {
    const t = this.target;
    switch (s.kind) {
      case "let":
      case "var":
        return this.line(depth, t.declare(s.name, s.value.elem, this.expr(s.value).text, s.kind === "var"));
      case "assign":
        return this.line(depth, `${s.name} = ${this.expr(s.value).text};`);
      case "for":
        for (const text of t.loop(s.name, turnOf(s.name), this.operand(s.from), this.operand(s.to), s.step, s.twice ?? false))
          this.line(depth, text);
        this.block(s.body, depth + 1);
        return this.line(depth, "}");
      case "if":
        this.line(depth, t.condition(this.expr(s.test).text));
        this.block(s.then, depth + 1);
        return this.line(depth, "}");
      case "store": {
        const b = this.buffer(s.buffer);
        const { held, at, unit } = this.place(s.buffer, s.at);
        return this.line(depth, t.store(held, unit, at, this.asHeld(s.buffer, unit, this.expr(s.value)), b.atomic));
      }
      case "loads": {
        const guard = s.guard && this.expr(s.guard);
        const { held, at, unit } = this.place(s.buffer, s.at);
        // Two narrow ones lie in a word, the first in its low half.
        const halves = unit === "u16";
        const words = halves ? s.outs.length / 2 : s.outs.length;
        for (const text of t.wide.load(s.name, unit, words, held, at, guard)) this.line(depth, text);
        s.outs.forEach((name, k) => {
          if (name === undefined) return;
          const word = this.asRead(s.buffer, unit, atom(`${s.name}.${"xyzw"[halves ? k >> 1 : k]}`)).text;
          this.line(depth, t.declare(name, s.elem, halves ? (k % 2 === 0 ? `${word} & 0xffffu` : `${word} >> 16`) : word, false));
        });
        return;
      }
      case "stores": {
        const { held, at, unit } = this.place(s.buffer, s.at);
        const values = s.values.map((v) => this.asHeld(s.buffer, unit, this.expr(v)));
        const words =
          unit === "u16"
            ? listOf(values.length / 2, (k) => 2 * k).map((k) => {
                const pair = this.pairOf(s.values[k]!, s.values[k + 1]!);
                if (pair) return pair.text;
                const high = t.op("shl", "u32", [values[k + 1]!, atom("16")], "u32");
                return t.op("or", "u32", [values[k]!, high], "u32").text;
              })
            : values.map((v) => v.text);
        return this.line(depth, t.wide.store(unit, held, at, words));
      }
      case "shares":
        return this.line(
          depth,
          t.wide.store(
            this.arrayUnit(s.array),
            s.array,
            this.expr(s.at),
            s.values.map((v) => this.expr(v).text),
          ),
        );
      case "takes":
        for (const text of t.wide.load(s.name, this.arrayUnit(s.array), s.outs.length, s.array, this.expr(s.at))) this.line(depth, text);
        s.outs.forEach((name, k) => {
          if (name !== undefined) this.line(depth, t.declare(name, s.elem, `${s.name}.${"xyzw"[k]}`, false));
        });
        return;
      case "copy": {
        const [to, from, valid] = [s.to, s.from, s.valid].map((e) => this.expr(e).text);
        return this.line(depth, `weft_copy_async_16(&${s.array}[${to}], &${s.buffer}[${from}], ${valid});`);
      }
      case "commit":
        return this.line(depth, "weft_copy_async_commit();");
      case "land":
        return this.line(depth, `weft_copy_async_wait<${s.leave}>();`);
      case "scale": {
        s.outs.forEach((name, k) => this.line(depth, t.declare(name, s.values[k]!.elem, this.expr(s.values[k]!).text, true)));
        const factors = new Map(s.by.map((e) => [this.expr(e).text, e]));
        const others = [...factors.values()].map(
          (e): Expr => ({ kind: "op", op: "ne", args: [e, { kind: "const", value: 1, elem: e.elem }], elem: "bool" }),
        );
        const some = others.reduce((x, y): Expr => ({ kind: "op", op: "lor", args: [x, y], elem: "bool" }));
        this.line(depth, t.condition(t.anyLane(this.expr(some))));
        s.outs.forEach((name, k) => {
          const scaled = productOf({ kind: "name", name, elem: s.values[k]!.elem }, s.by[k]!);
          this.line(depth + 1, `${name} = ${this.expr(scaled).text};`);
        });
        return this.line(depth, "}");
      }
      case "shuffle": {
        // Registers are words: a truth value goes as one.
        const truth = s.value.elem === "bool";
        const value = truth ? t.op("to_u32", "u32", [this.expr(s.value)], "bool") : this.expr(s.value);
        const text = `${t.shuffle(value, s.mask)}${truth ? " != 0u" : ""}`;
        return this.line(depth, t.declare(s.out, s.value.elem, text, false));
      }
      case "fragment": {
        this.line(depth, `unsigned ${s.outs.join(", ")};`);
        const name = `weft_ldmatrix_x${s.outs.length}${s.transposed ? "_trans" : ""}`;
        return this.line(depth, `${name}(${[...s.outs, `&${s.array}[${this.expr(s.at).text}]`].join(", ")});`);
      }
      case "mma": {
        if (isEightBits(s.form)) this.line(depth, `float ${s.outs.join(", ")};`);
        else
          s.outs.forEach((name, k) => {
            if (!accumulates(s, k)) this.line(depth, t.declare(name, s.elem, this.expr(s.c[k]!).text, true));
          });
        const args = [...s.outs, ...[...s.a, ...s.b].map((e) => this.expr(e).text)];
        return this.line(depth, `weft_mma_${s.form}(${args.join(", ")});`);
      }
      case "merge": {
        const { held, at } = this.place(s.buffer, s.at);
        for (const text of t.merge(held, at, this.expr(s.mask), this.expr(s.bits))) this.line(depth, text);
        return;
      }
      case "share": {
        const v = this.expr(s.value);
        const value =
          s.value.elem === "bool" ? t.op("select", "u32", [v, atom(t.literal(1, "u32")), atom(t.literal(0, "u32"))], "u32").text : v.text;
        return this.line(depth, `${s.array}[${this.expr(s.at).text}] = ${value};`);
      }
      case "barrier":
        return this.line(depth, t.barrier);
      case "comment":
        if (s.line) this.origins.push([this.lines.length, s.line]);
        return this.line(depth, `// ${s.text}${s.line ? ` (line ${s.line})` : ""}`);
      default:
        return s satisfies never;
    }
  }
  private contracted(one: Contraction, elem: Elem): Text {
    const t = this.target;
    const part = (name: "a" | "b" | "c"): Text => {
      const text = this.expr(one[name]);
      return one.negative === name ? t.op("neg", elem, [text], elem) : text;
    };
    return t.fma!(elem, part("a"), part("b"), part("c"));
  }
  /** The right side of a comparison. */
  private operand(e: Expr): string {
    const t = this.expr(e);
    return t.level >= 9 ? t.text : `(${t.text})`;
  }
  /** Two units in a word, where they are halves of one, or codes of a narrow float that one instruction makes. */
  private pairOf(low: Expr, high: Expr): Text | undefined {
    if (low.kind !== "op" || high.kind !== "op") return undefined;
    const [word, same] = [low.args[0]!, high.args[0]!];
    const by = (e: typeof low, op: string, value: number): boolean =>
      e.op === op && e.args[1]?.kind === "const" && e.args[1].value === value;
    const halves = by(low, "and", 0xffff) && by(high, "shr", 16) && word.kind === "name" && same.kind === "name" && word.name === same.name;
    if (halves) return this.expr(word);
    if (low.op !== high.op) return undefined;
    const format = /^encode_(f16|bf16)$/.exec(low.op)?.[1] as "f16" | "bf16" | undefined;
    return format && this.target.pair?.(format, this.expr(low.args[0]!), this.expr(high.args[0]!));
  }
  private guardedLoad(e: Extract<Expr, { kind: "load" }>, load: (held: string, at: Text, unit: Unit) => Text): Text {
    const t = this.target;
    const { held, at, unit } = this.place(e.buffer, e.at);
    if (e.guard === undefined) return load(held, at, unit);
    const zero = atom(t.literal(e.elem === "bool" ? false : 0, e.elem));
    const guard = this.expr(e.guard);
    // The position is made harmless as well: a language may evaluate both sides of a choice.
    const safe = t.op("select", "i32", [guard, at, atom("0")], "i32");
    return t.op("select", e.elem, [guard, load(held, safe, unit), zero], e.elem);
  }
  private expr(e: Expr): Text {
    const t = this.target;
    switch (e.kind) {
      case "const": {
        const text = t.literal(e.value, e.elem);
        return text.startsWith("-") ? { text, level: 15 } : atom(text);
      }
      case "name":
        return atom(e.name);
      case "uniform":
        return atom(t.uniform(e.name));
      case "thread":
        return atom(t.threadIndex);
      case "block":
        return atom(t.blockIndex);
      case "op": {
        if (e.op === "or" && e.args[1]!.kind === "op" && e.args[1]!.op === "shl") {
          const [high, by] = e.args[1]!.args as [Expr, Expr];
          const pair = by.kind === "const" && by.value === 16 ? this.pairOf(e.args[0]!, high) : undefined;
          if (pair) return pair;
        }
        // Memory is read whatever stands before it: a read under a condition would wait for that.
        const both = (e.op === "land" && "and") || (e.op === "lor" && "or");
        if (both && e.args.slice(1).some(reads))
          return t.op(
            both,
            "bool",
            e.args.map((a) => this.expr(a)),
            "bool",
          );
        const [from] = e.args;
        if (e.op === "decode_f16" && from?.kind === "load" && t.half && this.buffer(from.buffer).unit === "u16")
          return this.guardedLoad({ ...from, elem: "f32" }, t.half);
        const one = t.fma && contractionOf(e);
        if (one) return this.contracted(one, e.elem);
        const args = e.args.map((a) => this.expr(a));
        return (e.wraps ? t.wrapping?.(e.op, args) : undefined) ?? t.op(e.op, e.elem, args, e.args[0]!.elem);
      }
      case "load": {
        const b = this.buffer(e.buffer);
        return this.guardedLoad(e, (held, at, unit) => this.asRead(e.buffer, unit, t.load(held, unit, at, b.atomic)));
      }
      case "shared": {
        const text = `${e.array}[${this.expr(e.at).text}]`;
        if (this.kernel.shared.some((s) => s.name === e.array && (s.elem === "u16" || s.elem === "u8")))
          return t.op("to_u32", "u32", [atom(text)], "i32");
        return e.elem === "bool" ? t.op("ne", "bool", [atom(text), atom(t.literal(0, "u32"))], "u32") : atom(text);
      }
      default:
        return e satisfies never;
    }
  }
}
