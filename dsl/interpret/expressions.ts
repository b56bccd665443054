/** The value of each kind of expression, with its error bound, as a function of a frame. */
import { InternalError, invariant } from "../diagnostics.ts";
import type { Expr } from "../tensor/ir.ts";
import { formats, roundStochastic, stepAt } from "../tensor/narrow.ts";
import type { Compute } from "../tensor/types.ts";
import { compilePlain, compilePosition } from "./integers.ts";
import type { Interpreter } from "./interpreter.ts";
import { compileReduce } from "./reduce.ts";
import { compileOp, compileRelax } from "./scalar.ts";
import { type Evaluate, hole, state } from "./state.ts";
import { compileSweep } from "./sweep.ts";

export function compileExpression(machine: Interpreter, e: Expr): Evaluate {
  const plain = e.kind === "op" || e.kind === "if" ? compilePlain(e, machine.leaves) : undefined;
  if (plain) return plain;
  switch (e.kind) {
    case "const": {
      const v = Number(e.value);
      const value = e.type === "f32" ? Math.fround(v) : v;
      return () => {
        state.error = 0;
        return value;
      };
    }
    case "dim": {
      const v = machine.leaves.dim(e.name);
      return () => {
        state.error = 0;
        return v;
      };
    }
    case "scalar": {
      const v = machine.inputs.scalars[e.name];
      invariant(v !== undefined, `no value for scalar ${e.name}`);
      return () => {
        state.error = 0;
        return v;
      };
    }
    case "index": {
      const slot = machine.slot(e.name);
      return (f) => {
        state.error = 0;
        return f[slot]!;
      };
    }
    case "var": {
      const slot = machine.slot(e.name);
      return (f) => {
        state.error = f[slot + 1]!;
        return f[slot]!;
      };
    }
    case "read":
      return read(machine, e);
    case "op":
      return compileOp(
        e,
        e.args.map((a) => machine.compile(a)),
        machine.accuracy,
        (x) => flatten(machine, x, 1),
      );
    case "cast":
      return cast(machine, e);
    case "relax":
      return compileRelax(e, machine.compile(e.arg), machine.accuracy);
    case "bitcast": {
      const arg = machine.compile(e.arg);
      const from = e.arg.type;
      return (f) => {
        const x = arg(f);
        if (state.error > 0) state.open = true;
        state.error = 0;
        return reinterpret(x, from, e.type);
      };
    }
    case "if":
      return choice(machine, e);
    case "else": {
      const value = machine.compile(e.value);
      const other = machine.compile(e.other);
      return (f) => {
        const x = value(f);
        if (!state.undefined) return x;
        state.undefined = false;
        return other(f);
      };
    }
    case "let": {
      const value = machine.compile(e.value);
      const slot = machine.slot(e.name);
      const body = machine.compile(e.body);
      return (f) => {
        const x = value(f);
        if (state.undefined) return 0;
        f[slot] = x;
        f[slot + 1] = state.error;
        return body(f);
      };
    }
    case "reduce":
      return compileReduce(machine, e);
    case "sweep":
      return compileSweep(machine, e);
    case "segment": {
      const table = machine.source(e.table);
      const arg = machine.compile(e.arg);
      const last = table.shape[0]! - 1;
      return (f) => {
        const t = arg(f);
        if (state.undefined) return 0;
        // The largest r with table[r] <= t.
        let lo = 0;
        let hi = last;
        while (lo < hi) {
          const mid = (lo + hi + 1) >> 1;
          if (table.at(mid) <= t) lo = mid;
          else hi = mid - 1;
        }
        if (last < 0 || lo >= last || table.at(lo) > t) return hole();
        state.error = 0;
        return lo;
      };
    }
    case "defined": {
      const arg = machine.compile(e.arg);
      return (f) => {
        arg(f);
        const is = state.undefined ? 0 : 1;
        state.undefined = false;
        state.error = 0;
        return is;
      };
    }
    default:
      return e satisfies never;
  }
}
function read(machine: Interpreter, e: Extract<Expr, { kind: "read" }>): Evaluate {
  const source = machine.source(e.tensor);
  const { strides, shape } = source;
  const outside = (k: number, i: number): never => {
    throw new InternalError(`${e.tensor}: subscript ${k} is ${i}, extent ${shape[k]}`);
  };
  const position = compilePosition(e.subscripts, shape, strides, machine.leaves, outside);
  if (position) return (f) => source.at(position(f));
  const subscripts = e.subscripts.map((s) => machine.compile(s));
  return (f) => {
    let flat = 0;
    for (let k = 0; k < subscripts.length; k++) {
      const i = subscripts[k]!(f);
      if (state.undefined) return 0;
      if (i < 0 || i >= shape[k]!) outside(k, i);
      flat += i * strides[k]!;
    }
    return source.at(flat);
  };
}
/** Terms of a chain of + and -, brackets included. */
function flatten(machine: Interpreter, e: Expr, sign: number): { signs: number[]; terms: Evaluate[] } {
  if (e.kind === "op" && (e.op === "add" || e.op === "sub")) {
    const a = flatten(machine, e.args[0]!, sign);
    const b = flatten(machine, e.args[1]!, e.op === "add" ? sign : -sign);
    return { signs: [...a.signs, ...b.signs], terms: [...a.terms, ...b.terms] };
  }
  return { signs: [sign], terms: [machine.compile(e)] };
}
function cast(machine: Interpreter, e: Extract<Expr, { kind: "cast" }>): Evaluate {
  const arg = machine.compile(e.arg);
  if (e.mode !== "stochastic") return machine.stored(arg, e.to, e.mode);
  const format = formats[e.to.name];
  invariant(format && e.bits, "stochastic rounding of a narrow float");
  const bits = machine.compile(e.bits);
  return (f) => {
    const x = arg(f);
    if (state.undefined) return 0;
    const error = state.error;
    const r = bits(f);
    const y = roundStochastic(format, x, r);
    const low = roundStochastic(format, x - error, r);
    const high = roundStochastic(format, x + error, r);
    state.error =
      error > 0 ? Math.max(Math.abs(high - y), Math.abs(y - low), error >= stepAt(format, x) ? error + stepAt(format, x) : 0) : 0;
    return y;
  };
}
/** An open condition gives the hull of both branches; nothing is lost where they agree. */
function choice(machine: Interpreter, e: Extract<Expr, { kind: "if" }>): Evaluate {
  const cond = machine.compile(e.cond);
  const then = machine.compile(e.then);
  const other = machine.compile(e.else);
  const float = e.type === "f32" || e.type === "f64";
  return (f) => {
    const before = state.open;
    state.open = false;
    const c = cond(f);
    const doubtful = state.open;
    state.open = before || (doubtful && !float);
    if (state.undefined) return 0;
    const x = c ? then(f) : other(f);
    if (!doubtful || !float || state.undefined) return x;
    const ex = state.error;
    const y = c ? other(f) : then(f);
    if (state.undefined) {
      state.undefined = false;
      state.open = true;
      state.error = ex;
      return x;
    }
    state.error = Math.max(ex, Math.abs(x - y) + state.error);
    return x;
  };
}

const bits = new DataView(new ArrayBuffer(4));
function reinterpret(x: number, from: Compute, to: Compute): number {
  if (from === "f32") bits.setFloat32(0, x);
  else if (from === "u32") bits.setUint32(0, x);
  else bits.setInt32(0, x);
  return to === "f32" ? bits.getFloat32(0) : to === "u32" ? bits.getUint32(0) : bits.getInt32(0);
}
