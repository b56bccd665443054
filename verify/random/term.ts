/** Expressions as the generator of programs makes them: their text, and what they mean, written down apart from the language's own code. */

export type Type = "f32" | "i32" | "u32" | "bool";
/** What a term is evaluated in: sizes, indices, and elements that are undefined where there is none. */
export interface Env {
  readonly sizes: Readonly<Record<string, number>>;
  readonly at: Record<string, number>;
  readonly read: (tensor: string, at: readonly number[]) => number | undefined;
}
export interface Term {
  readonly text: string;
  readonly type: Type;
  /** May be undefined. */
  readonly open: boolean;
  readonly run: (e: Env) => number | undefined;
}
export interface Index {
  readonly name: string;
  /** A dimension, or a number. */
  readonly extent: string;
  /** What narrows the domain of the index: a sweep along it runs over that alone. */
  domain?: (e: Env) => boolean;
}
/** A subscript: an integer that lies within an extent. */
export interface Place {
  readonly text: string;
  readonly run: (e: Env) => number | undefined;
}
export const extentOf = (extent: string, e: Env): number => (/^\d/.test(extent) ? Number(extent) : e.sizes[extent]!);

/** An operation on defined values alone; every operand is needed. */
export function apply(type: Type, text: string, args: readonly Term[], f: (...v: number[]) => number): Term {
  return {
    text,
    type,
    open: args.some((a) => a.open),
    run: (e) => {
      const values: number[] = [];
      for (const a of args) {
        const v = a.run(e);
        if (v === undefined) return undefined;
        values.push(v);
      }
      return f(...values);
    },
  };
}
export const literal = (type: Type, text: string, value: number): Term => ({ text, type, open: false, run: () => value });
/** `a else b` */
export const orElse = (a: Term, b: Term): Term => ({
  text: `(${a.text} else ${b.text})`,
  type: a.type,
  open: b.open,
  run: (e) => a.run(e) ?? b.run(e),
});
/** Only the branch that is chosen is evaluated. */
export const choose = (c: Term, a: Term, b: Term): Term => ({
  text: `(if ${c.text} then ${a.text} else ${b.text})`,
  type: a.type,
  open: c.open || a.open || b.open,
  run: (e) => {
    const test = c.run(e);
    return test === undefined ? undefined : test ? a.run(e) : b.run(e);
  },
});
/** `a && b`: b is evaluated where a holds. */
export const both = (a: Term, b: Term): Term => ({
  text: `(${a.text} && ${b.text})`,
  type: "bool",
  open: a.open || b.open,
  run: (e) => {
    const x = a.run(e);
    return x === undefined || x === 0 ? x : b.run(e);
  },
});

export type Reduction = "sum" | "max" | "min" | "mean" | "prod" | "any" | "all" | "logsumexp";
const isTotal = (op: Reduction): boolean => op === "sum" || op === "prod" || op === "any" || op === "all";

/** Over the elements of the box for which condition and body are defined and the condition holds; `range` bounds one of the indices. */
export function reduce(
  op: Reduction,
  over: readonly Index[],
  body: Term,
  where: Term | undefined,
  range?: { readonly text: string; readonly run: (e: Env) => readonly [number, number] | undefined },
): Term {
  const binders = over.map((i, k) => `${i.name}: ${i.extent}${range && k === 0 ? ` in ${range.text}` : ""}`).join(", ");
  return {
    text: `(${op}(${binders}${where ? ` where ${where.text}` : ""}) ${body.text})`,
    type: body.type,
    open: !isTotal(op),
    run: (e) => {
      const values: number[] = [];
      const walk = (k: number): void => {
        const index = over[k];
        if (index === undefined) {
          if (where && !where.run(e)) return;
          const v = body.run(e);
          if (v !== undefined) values.push(v);
          return;
        }
        const n = extentOf(index.extent, e);
        const bounds = range && k === 0 ? range.run(e) : ([0, n] as const);
        if (bounds === undefined) return;
        for (let i = Math.max(0, bounds[0]); i < Math.min(n, bounds[1]); i++) {
          e.at[index.name] = i;
          walk(k + 1);
        }
        delete e.at[index.name];
      };
      walk(0);
      return fold(op, body.type, values);
    },
  };
}
function fold(op: Reduction, type: Type, values: readonly number[]): number | undefined {
  const wrap = (x: number): number => (type === "i32" ? x | 0 : type === "u32" ? x >>> 0 : x);
  if (values.length === 0 && !isTotal(op)) return undefined;
  switch (op) {
    case "sum":
      return values.reduce((a, b) => wrap(a + b), 0);
    case "prod":
      return values.reduce((a, b) => (type === "f32" ? a * b : wrap(Math.imul(a, b))), 1);
    case "max":
      return Math.max(...values);
    case "min":
      return Math.min(...values);
    case "mean":
      return values.reduce((a, b) => a + b, 0) / values.length;
    case "any":
      return Number(values.some((v) => v !== 0));
    case "all":
      return Number(values.every((v) => v !== 0));
    default: {
      const top = Math.max(...values);
      return top + Math.log(values.reduce((a, b) => a + Math.exp(b - top), 0));
    }
  }
}
/** `softmax(j) body` and `cumsum(j) body`, at the j in scope: the row is walked with the others held. */
export function sweep(op: "softmax" | "cumsum", index: Index, body: Term, reverse: boolean): Term {
  return {
    text: `(${op}(${index.name}${reverse ? ", reverse" : ""}) ${body.text})`,
    type: body.type,
    open: body.open,
    run: (e) => {
      const here = e.at[index.name]!;
      const row: (number | undefined)[] = [];
      for (let j = 0; j < extentOf(index.extent, e); j++) {
        e.at[index.name] = j;
        row.push(index.domain && !index.domain(e) ? undefined : body.run(e));
      }
      e.at[index.name] = here;
      if (row[here] === undefined) return undefined;
      if (op === "cumsum") {
        const part = reverse ? row.slice(here) : row.slice(0, here + 1);
        const wrap = (x: number): number => (body.type === "i32" ? x | 0 : body.type === "u32" ? x >>> 0 : x);
        return part.reduce<number>((a, b) => wrap(a + (b ?? 0)), 0);
      }
      const defined = row.filter((v) => v !== undefined);
      const top = Math.max(...defined);
      return Math.exp(row[here] - top) / defined.reduce((a, b) => a + Math.exp(b - top), 0);
    },
  };
}
