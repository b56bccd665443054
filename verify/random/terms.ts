/** The terms of random programs: subscripts in range, and expressions of each type over what is readable. */
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

export interface Tensor {
  readonly name: string;
  readonly type: Type;
  readonly axes: readonly string[];
  readonly open: boolean;
  /** Values of an `index` tensor are read as f32. */
  readonly index?: boolean;
}
/** An integer tensor whose elements subscript an axis of extent `of`. */
export interface Table {
  readonly name: string;
  readonly of: string;
  readonly axis: string;
}
export interface Offsets {
  readonly name: string;
  readonly into: string;
  readonly rows: string;
}
export class TermGenerator {
  protected readonly tape: Tape;
  protected readonly readable: Tensor[] = [];
  protected readonly tables: Table[] = [];
  protected readonly offsets: Offsets[] = [];
  protected readonly indices = new Set<string>();
  protected readonly reduced = new Set<string>();
  private count = 0;

  constructor(tape: Tape) {
    this.tape = tape;
  }
  protected fresh(prefix: string): string {
    return `${prefix}${this.count++}`;
  }
  protected index(extent: string): Index {
    const name = this.fresh("i");
    this.indices.add(name);
    return { name, extent };
  }
  protected dim(): string {
    return this.tape.pick(["M", "N", "K"]);
  }
  protected dims(least: number, most: number): string[] {
    return Array.from({ length: least + this.tape.draw(most - least + 1) }, () => this.dim());
  }

  // ---- subscripts
  protected place(extent: string, scope: readonly Index[]): Place | undefined {
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
  protected leaf(type: Type): Term {
    if (type === "f32") {
      const v = this.tape.pick([1, 0, 0.5, -2, 3.25, 0.1]);
      return literal(type, v < 0 ? `(${v.toFixed(1)})` : Number.isInteger(v) ? v.toFixed(1) : String(v), v === 0.1 ? Math.fround(0.1) : v);
    }
    if (type === "bool") return this.tape.chance(50) ? literal(type, "true", 1) : literal(type, "false", 0);
    const v = this.tape.pick([1, 0, 2, 7]);
    return literal(type, `${type}(${v})`, v);
  }
  /** A read; axes without an index in scope are reduced. */
  protected read(type: Type, scope: readonly Index[], depth: number): Term | undefined {
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
  protected over(type: Type, over: readonly Index[], body: Term, scope: readonly Index[], depth: number): Term {
    const ops: readonly Reduction[] =
      type === "bool" ? ["any", "all"] : type === "f32" ? ["sum", "max", "min", "mean", "sum", "logsumexp"] : ["sum", "max", "min"];
    const where = this.tape.chance(20) ? this.condition([...scope, ...over], over, Math.min(1, depth - 1)) : undefined;
    return reduce(this.tape.pick(ops), over, body, where);
  }
  /** A condition on new indices: their domain from then on, though not within it. */
  protected condition(scope: readonly Index[], own: readonly Index[], depth: number): Term {
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
  protected reduction(type: Type, scope: readonly Index[], depth: number): Term {
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
  protected term(type: Type, scope: readonly Index[], depth: number, open: boolean): Term {
    const t = this.any(type, scope, depth, open);
    return t.open && !open ? orElse(t, this.leaf(type)) : t;
  }
  protected any(type: Type, scope: readonly Index[], depth: number, open: boolean): Term {
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
  protected float(scope: readonly Index[], depth: number, sub: (t?: Type) => Term, row: Index | undefined, open: boolean): (() => Term)[] {
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
  protected bool(scope: readonly Index[], sub: (t?: Type) => Term): (() => Term)[] {
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
  protected integer(type: Type, sub: (t?: Type) => Term): (() => Term)[] {
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
}
function segmentOf(o: Offsets, t: Index, e: Env): number | undefined {
  const at = e.at[t.name]!;
  for (let r = 0; r < extentOf(o.rows, e); r++) if (e.read(o.name, [r])! <= at && at < e.read(o.name, [r + 1])!) return r;
  return undefined;
}
