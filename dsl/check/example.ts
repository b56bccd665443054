/**
 * Small values for which every fact holds and a goal does not: the example in a message, and the prover's own test, since the two share
 * no code. Backtracks over a tape of choices: dimensions first, then indices within their ranges, table cells only when they are read.
 */
import { conjuncts, visit } from "../tensor/expr.ts";
import type { Expr } from "../tensor/ir.ts";
import { infoOf } from "../tensor/types.ts";
import { type Facts, type Formula, unfold } from "./facts.ts";

class Undecided extends Error {}

/** Evaluations of one search: what it finds depends on the program alone, not on the machine's speed. */
const mostSteps = 150_000;

export interface Example {
  /** Dimensions, indices and table cells, in the order in which they were chosen. */
  readonly values: ReadonlyMap<string, number>;
}

/** @param budget assignments tried at most for each set of sizes */
export function findExample(facts: Facts, goal: Expr, budget = 4000): Example | undefined {
  const special = new Set<number>();
  const scan = (e: Expr): void =>
    visit(e, (x) => {
      if (x.kind === "const" && typeof x.value === "number" && Number.isInteger(x.value) && x.value > 4 && x.value <= 4096)
        for (const d of [-1, 0, 1]) special.add(x.value + d);
    });
  for (const e of [goal, ...facts.conditions]) scan(e);
  for (const a of facts.axes) {
    scan(a.extent);
    if (a.range) scan(a.range.from);
  }
  for (const sizes of [
    [1, 2, 0],
    [1, 2, 3, 4, 0, ...special],
  ]) {
    const found = tryAll(facts, goal, sizes, budget);
    if (found) return found;
  }
  return undefined;
}

function tryAll(facts: Facts, goal: Expr, sizes: readonly number[], budget: number): Example | undefined {
  const tape: { at: number; of: number }[] = [];
  const work = { steps: 0 };
  for (let run = 0; run < budget && work.steps < mostSteps; run++) {
    let head = 0;
    const choose = (of: number): number => {
      if (of <= 0) throw new Undecided();
      if (head === tape.length) tape.push({ at: 0, of });
      return tape[head++]!.at;
    };
    const found = attempt(facts, goal, sizes, choose, work);
    if (found) return found;
    tape.length = head;
    while (tape.length > 0 && tape.at(-1)!.at + 1 >= tape.at(-1)!.of) tape.pop();
    if (tape.length === 0) return undefined;
    tape.at(-1)!.at++;
  }
  return undefined;
}

function attempt(
  facts: Facts,
  goal: Expr,
  sizes: readonly number[],
  choose: (of: number) => number,
  work: { steps: number },
): Example | undefined {
  const values = new Map<string, number>();
  const cells = new Map<string, number>();
  const env: Environment = {
    work,
    values,
    formulas: facts.formulas ?? new Map(),
    cell(tensor, args) {
      const key = args.length === 0 ? tensor : `${tensor}[${args.join(", ")}]`;
      const old = cells.get(key);
      if (old !== undefined) return old;
      const table = facts.tables.get(tensor);
      if (table === undefined) throw new Undecided();
      args.forEach((a, i) => {
        if (a < 0 || a >= evaluate(table.extents[i]!, env)) throw new Undecided();
      });
      if (table.elem.name === "offsets") {
        const total = evaluate(table.elem.bound!, env);
        const last = evaluate(table.extents[0]!, env) - 1;
        if (last < 0 || (last === 0 && total > 0 && !table.elem.open)) throw new Undecided();
        for (let r = 0, v = 0; r <= last; r++) {
          v = r === 0 ? 0 : r === last && !table.elem.open ? total : v + choose(total - v + 1);
          cells.set(`${tensor}[${r}]`, v);
        }
        return cells.get(key)!;
      }
      const v =
        table.elem.name === "index"
          ? choose(evaluate(table.elem.bound!, env))
          : table.elem.name === "bool"
            ? choose(2)
            : [0, 1, 2, infoOf(table.elem).min === 0 ? 3 : -1][choose(4)]!;
      cells.set(key, v);
      return v;
    },
    scalar: (name) => {
      const old = values.get(name);
      if (old !== undefined) return old;
      const v = [1, 0, 2, -1][choose(4)]!;
      values.set(name, v);
      return v;
    },
  };
  try {
    for (const d of facts.dims) values.set(d.name, d.value ?? sizes[choose(sizes.length)]!);
    let pending = facts.conditions.flatMap(conjuncts);
    const prune = (): void => {
      pending = pending.filter((c) => {
        const holds = quietly(c, env);
        if (holds === 0) throw new Undecided();
        return holds === undefined;
      });
    };
    prune();
    for (const a of facts.axes) {
      let from = 0;
      let to = evaluate(a.extent, env);
      if (a.range) {
        from = Math.max(from, evaluate(a.range.from, env));
        to = Math.min(to, evaluate(a.range.to, env));
      }
      values.set(a.name, from + choose(to - from));
    }
    prune();
    if (pending.length > 0) return undefined;
    if (quietly(goal, env) !== 0) return undefined;
    // A condition may only have become decidable once cells were chosen for the goal.
    return facts.conditions.every((c) => quietly(c, env) === 1) ? { values: new Map([...values, ...cells]) } : undefined;
  } catch (e) {
    if (e instanceof Undecided) return undefined;
    throw e;
  }
}
function quietly(e: Expr, env: Environment): number | undefined {
  try {
    return evaluate(e, env);
  } catch (x) {
    if (x instanceof Undecided) return undefined;
    throw x;
  }
}

interface Environment {
  readonly work: { steps: number };
  readonly values: Map<string, number>;
  readonly formulas: ReadonlyMap<string, Formula>;
  cell(tensor: string, args: readonly number[]): number;
  scalar(name: string): number;
}

/** Integer and bool expressions over exact integers; true is 1. Throws where a value cannot be had. */
function evaluate(e: Expr, env: Environment): number {
  env.work.steps++;
  switch (e.kind) {
    case "const":
      return Number(e.value);
    case "dim":
    case "index":
    case "var": {
      const v = env.values.get(e.name);
      if (v === undefined) throw new Undecided();
      return v;
    }
    case "scalar":
      return env.scalar(e.name);
    case "read": {
      const formula = env.formulas.get(e.tensor);
      if (formula) return evaluate(unfold(formula, e.subscripts), env);
      return env.cell(
        e.tensor,
        e.subscripts.map((s) => evaluate(s, env)),
      );
    }
    case "segment":
      return segmentOf(e.table, evaluate(e.arg, env), env);
    case "if":
      return evaluate(e.cond, env) ? evaluate(e.then, env) : evaluate(e.else, env);
    case "relax":
      return evaluate(e.arg, env);
    case "cast":
      if (e.to.name === "index" || e.to.name === "offsets") return evaluate(e.arg, env);
      throw new Undecided();
    case "reduce":
      return quantifier(e, env);
    case "op":
      return operation(e, env);
    default:
      throw new Undecided();
  }
}
/** The r whose segment holds t; cells outside the table end the attempt. */
function segmentOf(table: string, t: number, env: Environment): number {
  let r = 0;
  while (!(env.cell(table, [r]) <= t && t < env.cell(table, [r + 1]))) r++;
  return r;
}
function quantifier(e: Extract<Expr, { kind: "reduce" }>, env: Environment): number {
  if (e.op !== "any" && e.op !== "all") throw new Undecided();
  const axis = e.axes[0];
  if (axis === undefined) throw new Undecided();
  let from = 0;
  let to = evaluate(axis.extent, env);
  if (axis.range) {
    from = Math.max(from, evaluate(axis.range.from, env));
    to = Math.min(to, evaluate(axis.range.to, env));
  }
  const inner = new Map(env.values);
  const scope: Environment = { ...env, values: inner, cell: env.cell, scalar: env.scalar };
  const { where, ...open } = e;
  for (let i = from; i < to; i++) {
    inner.set(axis.name, i);
    if (e.axes.length === 1 && where && !evaluate(where, scope)) continue;
    const v = e.axes.length > 1 ? quantifier({ ...e, axes: e.axes.slice(1) }, scope) : open.bodies.every((b) => evaluate(b, scope)) ? 1 : 0;
    if (e.op === "any" && v) return 1;
    if (e.op === "all" && !v) return 0;
  }
  return e.op === "any" ? 0 : 1;
}
function operation(e: Extract<Expr, { kind: "op" }>, env: Environment): number {
  if (e.op === "land") return e.args.every((a) => evaluate(a, env)) ? 1 : 0;
  if (e.op === "lor") return e.args.some((a) => evaluate(a, env)) ? 1 : 0;
  const [a, b, c] = e.args.map((x) => evaluate(x, env)) as [number, number, number];
  switch (e.op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "div":
    case "mod":
      if (b === 0) throw new Undecided();
      return e.op === "div" ? Math.floor(a / b) : a - b * Math.floor(a / b);
    case "neg":
      return -a;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "clamp":
      return Math.min(Math.max(a, b), c);
    case "abs":
      return Math.abs(a);
    case "and":
      return a & b;
    case "lnot":
      return a ? 0 : 1;
    case "lt":
      return Number(a < b);
    case "le":
      return Number(a <= b);
    case "gt":
      return Number(a > b);
    case "ge":
      return Number(a >= b);
    case "eq":
      return Number(a === b);
    case "ne":
      return Number(a !== b);
    case "to_int":
      return a;
    default:
      throw new Undecided();
  }
}
