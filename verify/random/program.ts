/**
 * Random well-typed programs: several definitions, domains, ragged axes, gathers, reductions, monoids, sweeps, new axes, folds, narrow types, several
 * outputs, updates in place. Each comes as text, and as functions that say what it means without the language's own code.
 */
import { formats, roundTo } from "../../dsl/tensor/narrow.ts";
import { monoids } from "./monoids.ts";
import type { Tape } from "./tape.ts";
import { apply, type Env, extentOf, type Index, literal, type Term, type Type } from "./term.ts";
import { type Offsets, type Table, type Tensor, TermGenerator } from "./terms.ts";

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

class Generator extends TermGenerator {
  private readonly params: string[] = [];
  private readonly results: string[] = [];
  private readonly lines: string[] = [];
  private readonly inout: Tensor[] = [];
  private readonly made = new Map<string, Element>();
  /** What outputs and updates leave: apart from `made`, since reads mean the values at entry. */
  private readonly finals = new Map<string, Element>();
  private readonly definitions: string[] = [];
  private readonly monoids = new Set<string>();

  run(): RandomProgram {
    const { tape } = this;
    for (let k = 1 + tape.draw(3); k > 0; k--) this.parameter();
    if (tape.chance(50)) this.table();
    if (tape.chance(40)) this.ragged();
    for (let k = tape.draw(4); k > 0; k--) this.statement();
    for (let k = 1 + tape.draw(2); k > 0; k--) this.output();
    for (const t of this.inout) this.update(t);
    const text = `${[...this.monoids].join("")}kernel f[M, N, K](${this.params.join(", ")}) -> (${this.results.join(", ")}) {\n${this.lines.map((l) => `  ${l}\n`).join("")}}\n`;
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
      () => this.monoid(),
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
  /** A reduction to several fields at once. */
  private monoid(): void {
    const m = this.tape.pick(monoids);
    this.monoids.add(m.text);
    const axes = this.dims(0, 2).map((d) => this.index(d));
    const over = this.index(this.dim());
    this.reduced.add(over.name);
    const bodies = m.fields.map((type) => this.term(type, [...axes, over], 2, true));
    const names = m.fields.map(() => this.fresh("d"));
    const outer = axes.map((i) => `${i.name}: ${i.extent}`).join(", ");
    const heads = names.map((n) => `${n}${outer ? `[${outer}]` : ""}`);
    this.lines.push(`let (${heads.join(", ")}) = monoid ${m.name}(${over.name}: ${over.extent}) (${bodies.map((b) => b.text).join(", ")})`);
    const state = (e: Env, at: readonly number[]): readonly number[] => {
      const point: Env = { ...e, at: Object.fromEntries(axes.map((i, k) => [i.name, at[k]!])) };
      let sum = m.identity;
      for (let j = 0; j < extentOf(over.extent, e); j++) {
        point.at[over.name] = j;
        const element = bodies.map((b) => b.run(point));
        if (element.every((v) => v !== undefined)) sum = m.combine(sum, element);
      }
      return sum;
    };
    names.forEach((name, k) => {
      this.made.set(name, (e, at) => state(e, at)[k]);
      this.definitions.push(name);
      this.readable.push({ name, type: m.fields[k]!, axes: axes.map((i) => i.extent), open: false });
    });
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
