/**
 * Random well-typed programs: several definitions, domains, ragged axes, gathers, reductions, sweeps, new axes, folds, narrow types, several
 * outputs, updates in place. Each comes as text, and as functions that say what it means without the language's own code.
 */
import { formats, roundTo } from "../../dsl/tensor/narrow.ts";
import type { Tape } from "./tape.ts";
import {
  apply,
  both,
  choose,
  type Env,
  extentOf,
  type Index,
  literal,
  orElse,
  type Place,
  type Reduction,
  reduce,
  sweep,
  type Term,
  type Type,
} from "./term.ts";

export interface RandomProgram {
  readonly text: string;
  /** Names for schedules to speak of. */
  readonly indices: readonly string[];
  readonly reduced: readonly string[];
  readonly definitions: readonly string[];
  readonly outputs: readonly string[];
  /** The element of an output, or the new one of an inout parameter; undefined where nothing is written. */
  readonly meaning: (
    sizes: Readonly<Record<string, number>>,
    input: (tensor: string, at: readonly number[]) => number,
  ) => (output: string, at: readonly number[]) => number | undefined;
}

interface Tensor {
  readonly name: string;
  readonly type: Type;
  readonly axes: readonly string[];
  readonly open: boolean;
  /** Values of an `index` tensor are read as f32. */
  readonly index?: boolean;
}
/** An integer tensor whose elements subscript an axis of extent `of`. */
interface Table {
  readonly name: string;
  readonly of: string;
  readonly axis: string;
}
interface Offsets {
  readonly name: string;
  readonly into: string;
  readonly rows: string;
}
type Element = (e: Env, at: readonly number[]) => number | undefined;

const floats = ["f32", "f16", "bf16", "f8e4m3", "f8e5m2"] as const;
const typeOf = (elem: string): Type =>
  elem === "bool" || elem === "u32" ? elem : (floats as readonly string[]).includes(elem) ? "f32" : "i32";
const ranges: Record<string, readonly [number, number]> = { i8: [-128, 127], u8: [0, 255], i4: [-8, 7], u4: [0, 15], i16: [-32768, 32767] };
const rounded = (elem: string, v: number | undefined): number | undefined => {
  const format = formats[elem as keyof typeof formats];
  return v === undefined || !format ? v : roundTo(format, v);
};

export const randomProgram = (tape: Tape): RandomProgram => new Generator(tape).run();

class Generator {
  private readonly tape: Tape;
  private readonly params: string[] = [];
  private readonly results: string[] = [];
  private readonly lines: string[] = [];
  private readonly readable: Tensor[] = [];
  private readonly inout: Tensor[] = [];
  private readonly tables: Table[] = [];
  private readonly offsets: Offsets[] = [];
  private readonly made = new Map<string, Element>();
  /** What outputs and updates leave: apart from `made`, since reads mean the values at entry. */
  private readonly finals = new Map<string, Element>();
  private readonly indices = new Set<string>();
  private readonly reduced = new Set<string>();
  private readonly definitions: string[] = [];
  private count = 0;

  constructor(tape: Tape) {
    this.tape = tape;
  }
  private fresh(prefix: string): string {
    return `${prefix}${this.count++}`;
  }
  private index(extent: string): Index {
    const name = this.fresh("i");
    this.indices.add(name);
    return { name, extent };
  }
  private dim(): string {
    return this.tape.pick(["M", "N", "K"]);
  }
  private dims(least: number, most: number): string[] {
    return Array.from({ length: least + this.tape.draw(most - least + 1) }, () => this.dim());
  }

  run(): RandomProgram {
    const { tape } = this;
    for (let k = 1 + tape.draw(3); k > 0; k--) this.parameter();
    if (tape.chance(50)) this.table();
    if (tape.chance(40)) this.ragged();
    for (let k = tape.draw(4); k > 0; k--) this.statement();
    for (let k = 1 + tape.draw(2); k > 0; k--) this.output();
    for (const t of this.inout) this.update(t);
    const text = `kernel f[M, N, K](${this.params.join(", ")}) -> (${this.results.join(", ")}) {\n${this.lines.map((l) => `  ${l}\n`).join("")}}\n`;
    return {
      text,
      // Some names were drawn for text that was not used.
      indices: [...this.indices].filter((n) => new RegExp(`\\b${n}\\b`).test(text)),
      reduced: [...this.reduced].filter((n) => new RegExp(`\\b${n}\\b`).test(text)),
      definitions: this.definitions,
      outputs: [...this.finals.keys()],
      meaning: (sizes, input) => this.meaning(sizes, input),
    };
  }
  private meaning(
    sizes: Readonly<Record<string, number>>,
    input: (tensor: string, at: readonly number[]) => number,
  ): (output: string, at: readonly number[]) => number | undefined {
    const known = new Map<string, number | undefined>();
    const read = (tensor: string, at: readonly number[]): number | undefined => {
      const make = this.made.get(tensor);
      if (make === undefined) return input(tensor, at);
      const key = `${tensor} ${at.join()}`;
      if (!known.has(key)) known.set(key, make({ sizes, at: {}, read }, at));
      return known.get(key);
    };
    return (output, at) => this.finals.get(output)!({ sizes, at: {}, read }, at);
  }

  // ---- the signature
  private parameter(): void {
    const elem = this.tape.pick(["f32", "f32", "f32", "i32", "f16", "bf16", "u4", "bool", "u32", "i8", "f8e4m3", "u8"]);
    const name = this.fresh("x");
    const axes = this.dims(0, 3);
    const inout = this.tape.chance(25) && elem !== "bool";
    this.params.push(`${inout ? "inout " : ""}${name}: ${elem}[${axes.join(", ")}]`);
    const t: Tensor = { name, type: typeOf(elem), axes, open: false };
    this.readable.push(t);
    if (inout) this.inout.push({ ...t, name: `${name} ${elem}` });
  }
  private table(): void {
    const t: Table = { name: this.fresh("g"), of: this.dim(), axis: this.dim() };
    this.params.push(`${t.name}: index<${t.of}>[${t.axis}]`);
    this.tables.push(t);
  }
  private ragged(): void {
    const o: Offsets = { name: this.fresh("s"), into: this.dim(), rows: this.dim() };
    this.params.push(`${o.name}: offsets<${o.into}>[${o.rows} + 1]`);
    this.offsets.push(o);
  }

  // ---- subscripts
  private place(extent: string, scope: readonly Index[]): Place | undefined {
    const own = scope.filter((i) => i.extent === extent);
    const options: (() => Place)[] = [];
    if (own.length > 0) {
      const direct = (): Place => {
        const i = this.tape.pick(own);
        return { text: i.name, run: (e) => e.at[i.name] };
      };
      options.push(direct, direct, direct, () => {
        const i = this.tape.pick(own);
        return { text: `${extent} - 1 - ${i.name}`, run: (e) => extentOf(extent, e) - 1 - e.at[i.name]! };
      });
    }
    if (/^\d/.test(extent)) {
      const k = Number(extent) - 1;
      options.push(() => ({ text: String(k), run: () => k }));
    }
    for (const t of this.tables.filter((t) => t.of === extent && scope.some((i) => i.extent === t.axis))) {
      options.push(() => {
        const inner = this.place(
          t.axis,
          scope.filter((i) => i.extent === t.axis),
        )!;
        return { text: `${t.name}[${inner.text}]`, run: (e) => e.read(t.name, [inner.run(e)!]) };
      });
    }
    for (const o of this.offsets.filter((o) => o.rows === extent)) {
      const t = scope.find((i) => i.extent === o.into);
      if (t) options.push(() => ({ text: `segment(${o.name}, ${t.name})`, run: (e) => segmentOf(o, t, e) }));
    }
    return options.length > 0 ? this.tape.pick(options)() : undefined;
  }

  // ---- terms
  private leaf(type: Type): Term {
    if (type === "f32") {
      const v = this.tape.pick([1, 0, 0.5, -2, 3.25, 0.1]);
      return literal(type, v < 0 ? `(${v.toFixed(1)})` : Number.isInteger(v) ? v.toFixed(1) : String(v), v === 0.1 ? Math.fround(0.1) : v);
    }
    if (type === "bool") return this.tape.chance(50) ? literal(type, "true", 1) : literal(type, "false", 0);
    const v = this.tape.pick([1, 0, 2, 7]);
    return literal(type, `${type}(${v})`, v);
  }
  /** A read; axes without an index in scope are reduced. */
  private read(type: Type, scope: readonly Index[], depth: number): Term | undefined {
    const fits = this.readable.filter((t) => t.type === type);
    if (fits.length === 0) return undefined;
    const t = this.tape.pick(fits);
    const over: Index[] = [];
    const places = t.axes.map((extent): Place => {
      const place = this.tape.chance(85) ? this.place(extent, scope) : undefined;
      if (place) return place;
      const i = this.index(extent);
      this.reduced.add(i.name);
      over.push(i);
      return { text: i.name, run: (e) => e.at[i.name] };
    });
    const at = places.length > 0 ? `${t.name}[${places.map((p) => p.text).join(", ")}]` : t.name;
    const element: Term = {
      text: t.index ? `f32(${at})` : at,
      type,
      open: t.open,
      run: (e) => {
        const values = places.map((p) => p.run(e));
        return values.some((v) => v === undefined) ? undefined : e.read(t.name, values as number[]);
      },
    };
    return over.length === 0 ? element : this.over(type, over, element, scope, depth);
  }
  private over(type: Type, over: readonly Index[], body: Term, scope: readonly Index[], depth: number): Term {
    const ops: readonly Reduction[] =
      type === "bool" ? ["any", "all"] : type === "f32" ? ["sum", "max", "min", "mean", "sum", "logsumexp"] : ["sum", "max", "min"];
    const where = this.tape.chance(20) ? this.condition([...scope, ...over], over, Math.min(1, depth - 1)) : undefined;
    return reduce(this.tape.pick(ops), over, body, where);
  }
  /** A condition on new indices: their domain from then on, though not within it. */
  private condition(scope: readonly Index[], own: readonly Index[], depth: number): Term {
    const where = this.term(
      "bool",
      scope.map((i) => (own.includes(i) ? { name: i.name, extent: i.extent } : i)),
      depth,
      true,
    );
    for (const i of own) {
      const before = i.domain;
      i.domain = (e) => (before?.(e) ?? true) && !!where.run(e);
    }
    return where;
  }
  private reduction(type: Type, scope: readonly Index[], depth: number): Term {
    const ragged = this.offsets.filter((o) => scope.some((i) => i.extent === o.rows));
    if (ragged.length > 0 && this.tape.chance(50)) {
      const o = this.tape.pick(ragged);
      const row = scope.find((i) => i.extent === o.rows)!;
      const i = this.index(o.into);
      const bound = (e: Env, k: number): number => e.read(o.name, [e.at[row.name]! + k])!;
      i.domain = (e) => e.at[i.name]! >= bound(e, 0) && e.at[i.name]! < bound(e, 1);
      const body = this.term(type, [...scope, i], depth - 1, true);
      const op: Reduction = type === "bool" ? "any" : this.tape.pick(["sum", "max"]);
      return reduce(op, [i], body, undefined, {
        text: `${o.name}[${row.name}]..${o.name}[${row.name} + 1]`,
        run: (e) => [bound(e, 0), bound(e, 1)],
      });
    }
    const over = Array.from({ length: 1 + this.tape.draw(2) }, () => this.index(this.dim()));
    for (const i of over) this.reduced.add(i.name);
    return this.over(type, over, this.term(type, [...scope, ...over], depth - 1, true), scope, depth);
  }
  /** A term of a type; total unless `open` is asked for. */
  private term(type: Type, scope: readonly Index[], depth: number, open: boolean): Term {
    const t = this.any(type, scope, depth, open);
    return t.open && !open ? orElse(t, this.leaf(type)) : t;
  }
  private any(type: Type, scope: readonly Index[], depth: number, open: boolean): Term {
    const { tape } = this;
    const leaf = (): Term => this.read(type, scope, depth) ?? this.leaf(type);
    if (depth <= 0) return tape.chance(75) ? leaf() : this.leaf(type);
    const sub = (of: Type = type): Term => this.term(of, scope, depth - 1, open);
    const general: (() => Term)[] = [
      leaf,
      leaf,
      () => this.reduction(type, scope, depth),
      () => choose(sub("bool"), sub(), sub()),
      () => orElse(this.term(type, scope, depth - 1, true), sub()),
    ];
    const row = scope.length > 0 ? tape.pick(scope) : undefined;
    if (row && type !== "bool") general.push(() => sweep("cumsum", row, this.term(type, scope, depth - 1, open), tape.chance(30)));
    const own: (() => Term)[] =
      type === "f32" ? this.float(scope, depth, sub, row, open) : type === "bool" ? this.bool(scope, sub) : this.integer(type, sub);
    return tape.pick([...general, ...own])();
  }
  private float(scope: readonly Index[], depth: number, sub: (t?: Type) => Term, row: Index | undefined, open: boolean): (() => Term)[] {
    const two = (op: string, f: (a: number, b: number) => number) => (): Term => {
      const [a, b] = [sub(), sub()];
      return apply("f32", /^[a-z]/.test(op) ? `${op}(${a.text}, ${b.text})` : `(${a.text} ${op} ${b.text})`, [a, b], f as never);
    };
    const one = (text: (a: string) => string, f: (a: number) => number) => (): Term => {
      const a = sub();
      return apply("f32", text(a.text), [a], f as never);
    };
    const options = [
      two("+", (a, b) => a + b),
      two("-", (a, b) => a - b),
      two("*", (a, b) => a * b),
      two("max", Math.max),
      two("min", Math.min),
      one((a) => `abs(${a})`, Math.abs),
      one(
        (a) => `exp(-abs(${a}))`,
        (a) => Math.exp(-Math.abs(a)),
      ),
      one((a) => `tanh(${a})`, Math.tanh),
      one(
        (a) => `sqrt(abs(${a}) + 1.0)`,
        (a) => Math.sqrt(Math.abs(a) + 1),
      ),
      one(
        (a) => `bf16(${a})`,
        (a) => roundTo(formats.bf16!, a),
      ),
      (): Term => {
        const [a, b] = [sub(), sub()];
        return apply("f32", `(${a.text} / (abs(${b.text}) + 1.0))`, [a, b], ((x: number, y: number) => x / (Math.abs(y) + 1)) as never);
      },
      (): Term => {
        const a = this.term("i32", scope, depth - 1, open);
        return apply("f32", `f32(${a.text})`, [a], ((x: number) => x) as never);
      },
    ];
    if (row) {
      options.push(
        () => apply("f32", `f32(${row.name})`, [], (() => 0) as never),
        () => sweep("softmax", row, this.term("f32", scope, depth - 1, open), false),
      );
      options[options.length - 2] = (): Term => ({ text: `f32(${row.name})`, type: "f32", open: false, run: (e) => e.at[row.name] });
    }
    return options;
  }
  private bool(scope: readonly Index[], sub: (t?: Type) => Term): (() => Term)[] {
    const compared = (type: Type, op: string, f: (a: number, b: number) => boolean) => (): Term => {
      const [a, b] = [sub(type), sub(type)];
      return apply("bool", `(${a.text} ${op} ${b.text})`, [a, b], ((x: number, y: number) => Number(f(x, y))) as never);
    };
    const options = [
      compared("f32", ">", (a, b) => a > b),
      compared("i32", "<=", (a, b) => a <= b),
      compared("i32", "==", (a, b) => a === b),
      (): Term => {
        const a = sub();
        return apply("bool", `(!${a.text})`, [a], ((x: number) => Number(!x)) as never);
      },
      () => both(sub(), sub()),
    ];
    if (scope.length > 0) {
      const i = this.tape.pick(scope);
      const j = this.tape.pick(scope);
      const about = (text: string, f: (e: Env) => boolean) => (): Term => ({ text, type: "bool", open: false, run: (e) => Number(f(e)) });
      options.push(
        about(`(${i.name} % 2 == 0)`, (e) => e.at[i.name]! % 2 === 0),
        about(`(${i.name} <= ${j.name})`, (e) => e.at[i.name]! <= e.at[j.name]!),
        about(`(${i.name} + 2 > ${j.name})`, (e) => e.at[i.name]! + 2 > e.at[j.name]!),
        about(`(${i.name} != 3)`, (e) => e.at[i.name]! !== 3),
      );
    }
    return options;
  }
  private integer(type: Type, sub: (t?: Type) => Term): (() => Term)[] {
    const wrap = (x: number): number => (type === "i32" ? x | 0 : x >>> 0);
    const two = (op: string, f: (a: number, b: number) => number) => (): Term => {
      const [a, b] = [sub(), sub()];
      return apply(type, /^[a-z]/.test(op) ? `${op}(${a.text}, ${b.text})` : `(${a.text} ${op} ${b.text})`, [a, b], ((
        x: number,
        y: number,
      ) => wrap(f(x, y))) as never);
    };
    const by = (op: string, n: number, f: (a: number) => number) => (): Term => {
      const a = sub();
      return apply(type, `(${a.text} ${op} ${n})`, [a], ((x: number) => wrap(f(x))) as never);
    };
    return [
      two("+", (a, b) => a + b),
      two("-", (a, b) => a - b),
      two("*", Math.imul),
      two("max", Math.max),
      two("&", (a, b) => a & b),
      two("^", (a, b) => a ^ b),
      by("/", 3, (a) => Math.floor(a / 3)),
      by("%", 5, (a) => a - 5 * Math.floor(a / 5)),
      by(">>", 1, (a) => (type === "i32" ? a >> 1 : a >>> 1)),
      by("<<", 3, (a) => a << 3),
    ];
  }

  // ---- statements
  private head(name: string, axes: readonly Index[], explicit: boolean): string {
    return axes.length === 0 ? name : `${name}[${axes.map((i) => (explicit ? `${i.name}: ${i.extent}` : i.name)).join(", ")}]`;
  }
  private statement(): void {
    const kinds = [
      () => this.define(),
      () => this.define(),
      () => this.define(),
      () => this.topk(),
      () => this.compact(),
      () => this.fold(),
    ];
    if (this.tables.length > 0) kinds.push(() => this.group());
    this.tape.pick(kinds)();
  }
  /** An element computed at the point that the axes name. */
  private element(axes: readonly Index[], value: Term, elem: string, where?: Term): Element {
    return (e, at) => {
      const point: Env = { ...e, at: Object.fromEntries(axes.map((i, k) => [i.name, at[k]!])) };
      return where && !where.run(point) ? undefined : rounded(elem, value.run(point));
    };
  }
  private define(): void {
    const type = this.tape.pick<Type>(["f32", "f32", "f32", "i32", "bool", "u32"]);
    const axes = this.dims(0, 3).map((d) => this.index(d));
    const where = axes.length > 0 && this.tape.chance(35) ? this.condition(axes, axes, 1) : undefined;
    const value = this.term(type, axes, 1 + this.tape.draw(3), this.tape.chance(30));
    const elem = type === "f32" && this.tape.chance(20) ? this.tape.pick(["f16", "bf16"]) : "";
    const name = this.fresh("d");
    const storage = elem ? `: ${elem}` : "";
    this.lines.push(
      `let ${name}${storage}${axes.length ? `[${axes.map((i) => `${i.name}: ${i.extent}`).join(", ")}]` : ""}${where ? ` where ${where.text}` : ""} = ${value.text}`,
    );
    this.made.set(name, this.element(axes, value, elem, where));
    this.definitions.push(name);
    this.readable.push({ name, type, axes: axes.map((i) => i.extent), open: value.open || where !== undefined });
  }
  /** Rows of values: the defined elements along an axis, with their places. */
  private rowOf(over: Index, body: Term, where: Term | undefined, e: Env): [number, number][] {
    const out: [number, number][] = [];
    for (let j = 0; j < extentOf(over.extent, e); j++) {
      e.at[over.name] = j;
      if (where && !where.run(e)) continue;
      const v = body.run(e);
      if (v !== undefined) out.push([v, j]);
    }
    return out;
  }
  private topk(): void {
    const axes = this.dims(0, 1).map((d) => this.index(d));
    const over = this.index(this.dim());
    const rank = this.index("2");
    const body = this.term("f32", [...axes, over], 2, true);
    const [v, x] = [this.fresh("d"), this.fresh("d")];
    const outer = [...axes, rank].map((i) => (i === rank ? i.name : `${i.name}: ${i.extent}`)).join(", ");
    this.lines.push(`let (${v}[${outer}], ${x}[${outer}]) = topk(${over.name}: ${over.extent}, 2) ${body.text}`);
    const sorted = (e: Env, at: readonly number[]): [number, number] | undefined => {
      const point: Env = { ...e, at: Object.fromEntries(axes.map((i, k) => [i.name, at[k]!])) };
      return this.rowOf(over, body, undefined, point).sort((a, b) => b[0] - a[0] || a[1] - b[1])[at.at(-1)!];
    };
    this.made.set(v, (e, at) => sorted(e, at)?.[0]);
    this.made.set(x, (e, at) => sorted(e, at)?.[1]);
    const extents = [...axes.map((i) => i.extent), "2"];
    this.readable.push(
      { name: v, type: "f32", axes: extents, open: true },
      { name: x, type: "f32", axes: extents, open: true, index: true },
    );
  }
  private compact(): void {
    const axes = this.dims(0, 1).map((d) => this.index(d));
    const over = this.index(this.dim());
    const where = this.term("bool", [...axes, over], 2, true);
    const [n, k] = [this.fresh("d"), this.fresh("d")];
    const rank = this.index(over.extent);
    const outer = axes.map((i) => `${i.name}: ${i.extent}`);
    this.lines.push(
      `let (${n}${outer.length ? `[${outer.join(", ")}]` : ""}, ${k}[${[...outer, rank.name].join(", ")}]) = compact(${over.name}: ${over.extent} where ${where.text})`,
    );
    const list = (e: Env, at: readonly number[]): [number, number][] => {
      const point: Env = { ...e, at: Object.fromEntries(axes.map((i, m) => [i.name, at[m]!])) };
      return this.rowOf(over, literal("f32", "", 0), where, point);
    };
    this.made.set(n, (e, at) => list(e, at).length);
    this.made.set(k, (e, at) => list(e, at)[at.at(-1)!]?.[1]);
    this.readable.push(
      { name: n, type: "u32", axes: axes.map((i) => i.extent), open: false },
      { name: k, type: "f32", axes: [...axes.map((i) => i.extent), over.extent], open: true, index: true },
    );
  }
  private group(): void {
    const t = this.tape.pick(this.tables);
    const [start, order] = [this.fresh("d"), this.fresh("d")];
    const [e0, s0, t0] = [this.fresh("i"), this.fresh("i"), this.fresh("i")];
    this.lines.push(`let (${start}[${e0}], ${order}[${s0}]) = group(${t0}: ${t.axis} by ${t.name}[${t0}], ${t.of})`);
    const keys = (e: Env): number[] => Array.from({ length: extentOf(t.axis, e) }, (_, k) => e.read(t.name, [k])!);
    this.made.set(start, (e, at) => keys(e).filter((k) => k < at[0]!).length);
    this.made.set(order, (e, at) => {
      const list = keys(e);
      return list.map((_, k) => k).sort((a, b) => list[a]! - list[b]! || a - b)[at[0]!];
    });
    this.tables.push({ name: order, of: t.axis, axis: t.axis });
    this.offsets.push({ name: start, into: t.axis, rows: t.of });
  }
  private fold(): void {
    const axes = this.dims(1, 2).map((d) => this.index(d));
    const name = this.fresh("d");
    const steps = 1 + this.tape.draw(3);
    const elem = this.tape.chance(30) ? this.tape.pick(["bf16", "f16"]) : "";
    const first = this.term("f32", axes, 1, false);
    const state: Tensor = { name, type: "f32", axes: axes.map((i) => i.extent), open: false };
    this.readable.push(state);
    const inner = axes.map((i) => this.index(i.extent));
    const where = this.tape.chance(25) ? this.condition(inner, inner, 1) : undefined;
    const next = this.term("f32", inner, 2, where !== undefined);
    const counter = this.fresh("i");
    const storage = elem ? `: ${elem}` : "";
    this.lines.push(
      `fold ${counter}: ${steps} {`,
      `  state ${name}${storage}[${axes.map((i) => `${i.name}: ${i.extent}`).join(", ")}] = ${first.text}`,
      `  next ${name}[${inner.map((i) => i.name).join(", ")}]${where ? ` where ${where.text}` : ""} = ${next.text}`,
      "}",
    );
    const start = this.element(axes, first, elem);
    const step = this.element(inner, next, elem, where);
    this.made.set(name, (e, at) => {
      let current = new Map<string, number | undefined>();
      const read = (k: number) => {
        const here = current;
        return (tensor: string, a: readonly number[]): number | undefined => {
          if (tensor !== name) return e.read(tensor, a);
          const key = a.join();
          if (!here.has(key)) here.set(key, valueAt(k, a));
          return here.get(key);
        };
      };
      const states: Map<string, number | undefined>[] = Array.from({ length: steps + 1 }, () => new Map());
      const valueAt = (k: number, a: readonly number[]): number | undefined => {
        const known = states[k]!;
        const key = a.join();
        if (!known.has(key)) {
          if (k === 0) known.set(key, start(e, a));
          else {
            current = states[k - 1]!;
            known.set(key, step({ ...e, read: read(k - 1) }, a) ?? valueAt(k - 1, a));
          }
        }
        return known.get(key);
      };
      return valueAt(steps, at);
    });
  }
  private output(): void {
    const elem = this.tape.pick(["f32", "f32", "f32", "i32", "f16", "bf16", "bool", "u32", "i8", "f8e4m3", "u4", "i16"]);
    const axes = this.dims(0, 3).map((d) => this.index(d));
    const name = this.fresh("o");
    const value = this.stored(elem, axes, 1 + this.tape.draw(3));
    this.results.push(`${name}: ${elem}[${axes.map((i) => i.extent).join(", ")}]`);
    this.lines.push(`${this.head(name, axes, false)} = ${value.text}`);
    const element = this.element(axes, value, elem);
    this.made.set(name, element);
    this.finals.set(name, element);
    this.readable.push({ name, type: typeOf(elem), axes: axes.map((i) => i.extent), open: false });
  }
  /** A term that is shown to fit a storage type. */
  private stored(elem: string, scope: readonly Index[], depth: number): Term {
    const value = this.term(typeOf(elem), scope, depth, false);
    const range = ranges[elem];
    if (!range) return value;
    const [lo, hi] = range;
    return apply("i32", `clamp(${value.text}, ${lo}, ${hi})`, [value], ((x: number) => Math.min(Math.max(x, lo), hi)) as never);
  }
  private update(given: Tensor): void {
    const [name, elem] = given.name.split(" ") as [string, string];
    const { axes, type } = given;
    const table = this.tables.find((t) => axes.length > 0 && t.of === axes[0]);
    if (table && type !== "bool" && !(elem in ranges) && this.tape.chance(50)) {
      const t = this.index(table.axis);
      const rest = axes.slice(1).map((d) => this.index(d));
      const scope = [t, ...rest];
      const where = this.tape.chance(40) ? this.condition(scope, scope, 1) : undefined;
      const value = this.term(type, scope, 2, false);
      this.lines.push(
        `${name}[${[`${table.name}[${t.name}]`, ...rest.map((i) => i.name)].join(", ")}]${where ? ` where ${where.text}` : ""} += ${value.text}`,
      );
      const wrap = (x: number): number => (type === "i32" ? x | 0 : type === "u32" ? x >>> 0 : x);
      this.finals.set(name, (e, at) => {
        let sum = e.read(name, at)!;
        for (let k = 0; k < extentOf(table.axis, e); k++) {
          if (e.read(table.name, [k]) !== at[0]) continue;
          const point: Env = { ...e, at: Object.fromEntries([[t.name, k], ...rest.map((i, m) => [i.name, at[m + 1]!] as const)]) };
          if (where && !where.run(point)) continue;
          sum = wrap(sum + value.run(point)!);
        }
        return rounded(elem, sum);
      });
      return;
    }
    const own = axes.map((d) => this.index(d));
    const where = own.length > 0 && this.tape.chance(30) ? this.condition(own, own, 1) : undefined;
    const value = this.stored(elem, own, 2);
    this.lines.push(`${this.head(name, own, false)}${where ? ` where ${where.text}` : ""} := ${value.text}`);
    const element = this.element(own, value, elem, where);
    this.finals.set(name, (e, at) => element(e, at) ?? e.read(name, at));
  }
}
function segmentOf(o: Offsets, t: Index, e: Env): number | undefined {
  const at = e.at[t.name]!;
  for (let r = 0; r < extentOf(o.rows, e); r++) if (e.read(o.name, [r])! <= at && at < e.read(o.name, [r + 1])!) return r;
  return undefined;
}
