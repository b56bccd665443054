/** Scalar operations: their exact meaning in f64, and the error that an admissible f32 evaluation may add (accuracy.ts holds the figures). */
import { exactExp, exactHash, exactInverse } from "../tensor/exact.ts";
import type { Expr, Op } from "../tensor/ir.ts";
import { formats } from "../tensor/narrow.ts";
import { philox } from "../tensor/philox.ts";
import type { Compute } from "../tensor/types.ts";
import { type Accuracy, onGrid, sumsExactly } from "./accuracy.ts";
import { compileInteger } from "./integers.ts";
import { type Evaluate, state } from "./state.ts";

type OpExpr = Extract<Expr, { kind: "op" }>;
const maxFloat = 3.4028234663852886e38;
/** 2^-52 of the magnitude: the reference's own rounding. */
const own = 2 ** -52;

/** Error function, to double precision (Abramowitz and Stegun 7.1.6 series, and the continued fraction of erfc beyond 3). */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = a;
    let sum = a;
    for (let n = 1; n < 200 && Math.abs(term) > 1e-18; n++) {
      term *= (2 * a * a) / (2 * n + 1);
      sum += term;
    }
    return (Math.sign(x) * 2 * sum * Math.exp(-a * a)) / Math.sqrt(Math.PI);
  }
  let f = 0;
  for (let n = 60; n > 0; n--) f = n / 2 / (a + f);
  return Math.sign(x) * (1 - Math.exp(-a * a) / ((a + f) * Math.sqrt(Math.PI)));
}

/** By how much b^x grows up to x + e; where b^x has vanished, e may be beyond measure. */
const growth = (power: (x: number) => number, x: number, e: number, log: number): number =>
  power(x) === 0 ? power(x + e) : power(x) * Math.expm1(log * e);
const exp2 = (x: number): number => 2 ** x;
/** f(x) for functions of one float: value, and the largest slope on [x - e, x + e] times e. */
const unary: Partial<Record<Op, { readonly f: (x: number) => number; readonly inherited: (x: number, e: number) => number }>> = {
  exp: { f: Math.exp, inherited: (x, e) => growth(Math.exp, x, e, 1) },
  exp2: { f: exp2, inherited: (x, e) => growth(exp2, x, e, Math.LN2) },
  expm1: { f: Math.expm1, inherited: (x, e) => growth(Math.exp, x, e, 1) },
  log: { f: Math.log, inherited: (x, e) => (e >= x && e > 0 ? Number.POSITIVE_INFINITY : -Math.log1p(-e / x)) },
  log2: { f: Math.log2, inherited: (x, e) => (e >= x && e > 0 ? Number.POSITIVE_INFINITY : -Math.log1p(-e / x) / Math.LN2) },
  log1p: { f: Math.log1p, inherited: (x, e) => (e >= 1 + x && e > 0 ? Number.POSITIVE_INFINITY : -Math.log1p(-e / (1 + x))) },
  sqrt: {
    f: Math.sqrt,
    inherited: (x, e) => (e === 0 ? 0 : Math.max(Math.sqrt(x + e) - Math.sqrt(x), Math.sqrt(x) - Math.sqrt(Math.max(x - e, 0)))),
  },
  rsqrt: {
    f: (x) => 1 / Math.sqrt(x),
    inherited: (x, e) => (e === 0 ? 0 : e >= x ? Number.POSITIVE_INFINITY : 1 / Math.sqrt(x - e) - 1 / Math.sqrt(x)),
  },
  tanh: { f: Math.tanh, inherited: (x, e) => e * (1 - Math.tanh(Math.max(Math.abs(x) - e, 0)) ** 2) },
  sigmoid: { f: (x) => 1 / (1 + Math.exp(-x)), inherited: (x, e) => e / (2 + 2 * Math.cosh(Math.max(Math.abs(x) - e, 0))) },
  sin: { f: Math.sin, inherited: (_x, e) => e },
  cos: { f: Math.cos, inherited: (_x, e) => e },
  erf: { f: erf, inherited: (x, e) => (2 / Math.sqrt(Math.PI)) * Math.exp(-(Math.max(Math.abs(x) - e, 0) ** 2)) * e },
};
const steps: Partial<Record<Op, (x: number) => number>> = {
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
  round: (x) => (Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)),
};

/** Records the error of a float result: `inherited` from the operands plus `rounding`, and what flushing or overflow add. */
function settle(z: number, inherited: number, rounding: number, accuracy: Accuracy, type: Compute): number {
  if (type === "f64") {
    state.error = inherited + Math.abs(z) * own;
    return z;
  }
  // What is exact here was exact in f64 too.
  let e = inherited + rounding === 0 ? 0 : inherited + rounding + Math.abs(z) * own;
  const m = Math.abs(z);
  // A subnormal result is flushed, or rounded to a step of 2^-149, of which no function is more than 6 off.
  if (rounding > 0 && m - inherited < 2 ** -126 && m > 0) e += Math.max(accuracy.flush, 6 * 2 ** -149);
  if (m + e > maxFloat) e = Number.POSITIVE_INFINITY;
  state.error = e;
  return z;
}

/** A value that may be held in a narrower type: one rounding to it. */
export function compileRelax(e: Extract<Expr, { kind: "relax" }>, arg: Evaluate, accuracy: Accuracy): Evaluate {
  const format = formats[e.to.name];
  if (format === undefined || e.type !== "f32" || accuracy.unit === 0) return arg;
  const half = 2 ** -(format.mantissaBits + 1);
  const least = 2 ** (-format.bias - format.mantissaBits) + (e.to.name === "f16" ? accuracy.flushHalf : 0);
  return (f) => {
    const x = arg(f);
    const m = Math.abs(x) + state.error;
    state.error = m > format.max ? Number.POSITIVE_INFINITY : state.error + half * m + least;
    return x;
  };
}
export function compileOp(
  e: OpExpr,
  args: readonly Evaluate[],
  accuracy: Accuracy,
  flatten: (e: Expr) => { signs: number[]; terms: Evaluate[] },
): Evaluate {
  const { type } = e;
  if (type === "f32" || type === "f64") return compileFloat(e, args, accuracy, flatten);
  return compileExact(e, args);
}

/** Both operands with their errors, left to right; undefined where either is. */
const pair =
  (left: Evaluate, right: Evaluate, combine: (a: number, ea: number, b: number, eb: number) => number): Evaluate =>
  (f) => {
    const a = left(f);
    if (state.undefined) return 0;
    const ea = state.error;
    const b = right(f);
    if (state.undefined) return 0;
    return combine(a, ea, b, state.error);
  };

function compileFloat(
  e: OpExpr,
  args: readonly Evaluate[],
  accuracy: Accuracy,
  flatten: (e: Expr) => { signs: number[]; terms: Evaluate[] },
): Evaluate {
  const { type } = e;
  const [fa, fb, fc] = args as [Evaluate, Evaluate, Evaluate];
  const u = type === "f64" ? 0 : accuracy.unit;
  const one = unary[e.op];
  if (one) {
    const rule = type === "f64" ? undefined : accuracy.functions[e.op];
    return (f) => {
      const x = fa(f);
      if (state.undefined) return 0;
      const ex = state.error;
      const z = one.f(x);
      const inherited = one.inherited(x, ex);
      const exactRoot = e.op === "sqrt" && ex === 0 && Math.fround(z) === z && z * z === x && accuracy.correctlyRounded;
      return settle(z, inherited, rule && !exactRoot ? rule(x, ex, Math.abs(z) + inherited) : 0, accuracy, type);
    };
  }
  const step = steps[e.op];
  if (step)
    return (f) => {
      const x = fa(f);
      if (state.undefined) return 0;
      const z = step(x);
      const ex = state.error;
      state.error = ex === 0 ? 0 : Math.max(step(x + ex) - z, z - step(x - ex));
      return z;
    };
  switch (e.op) {
    case "add":
    case "sub": {
      const sign = e.op === "add" ? 1 : -1;
      const chain = accuracy.regroups && type === "f32" ? flatten(e) : undefined;
      if (chain && chain.terms.length > 2) return chainSum(chain.signs, chain.terms, accuracy);
      return pair(fa, fb, (a, ea, right, eb) => {
        const b = sign * right;
        const inherited = ea + eb;
        const z = a + b;
        const exact = inherited === 0 && Math.fround(z) === z && z - a === b && z - b === a;
        return settle(z, inherited, exact ? 0 : u * (Math.abs(z) + inherited), accuracy, type);
      });
    }
    case "mul":
      return pair(fa, fb, (a, ea, b, eb) => {
        const z = a * b;
        if (z === 0 && ea === 0 && eb === 0) {
          state.error = 0;
          return z;
        }
        const inherited = Math.abs(a) * eb + Math.abs(b) * ea + ea * eb;
        const exact = inherited === 0 && Math.fround(z) === z && Math.abs(z) > 2 ** -100;
        return settle(z, inherited, exact ? 0 : u * (Math.abs(z) + inherited), accuracy, type);
      });
    case "div":
      return pair(fa, fb, (a, ea, b, eb) => {
        const z = a / b;
        if (a === 0 && ea === 0 && eb === 0 && b !== 0) {
          state.error = 0;
          return z;
        }
        const inherited = eb > 0 && eb >= Math.abs(b) ? Number.POSITIVE_INFINITY : (ea + Math.abs(z) * eb) / (Math.abs(b) - eb);
        const exact = inherited === 0 && accuracy.correctlyRounded && Math.fround(z) === z && z * b === a;
        const inRange = accuracy.correctlyRounded || (Math.abs(b) >= 2 ** -126 && Math.abs(b) <= 2 ** 126);
        const rounding = type === "f64" || exact ? 0 : inRange ? accuracy.divide * (Math.abs(z) + inherited) : Number.POSITIVE_INFINITY;
        return settle(z, inherited, rounding, accuracy, type);
      });
    case "mod":
      return pair(fa, fb, (a, ea, b, eb) => {
        const z = a - b * Math.floor(a / b);
        state.error = ea + eb > 0 || accuracy.unit > 0 ? Math.abs(b) : 0;
        return z;
      });
    case "neg":
      return (f) => -fa(f);
    case "abs":
      return (f) => Math.abs(fa(f));
    case "sign":
      return (f) => {
        const x = fa(f);
        if (state.error > 0 && Math.abs(x) <= state.error) state.open = true;
        state.error = 0;
        return Math.sign(x);
      };
    case "min":
    case "max": {
      const better = e.op === "min" ? (a: number, b: number) => a < b : (a: number, b: number) => a > b;
      return pair(fa, fb, (a, ea, b, eb) => {
        state.error = Math.max(ea, eb);
        // The number where one side is NaN (rule 39).
        return Number.isNaN(a) ? b : Number.isNaN(b) || better(a, b) ? a : b;
      });
    }
    case "clamp":
      return (f) => {
        const x = fa(f);
        if (state.undefined) return 0;
        let error = state.error;
        const lo = fb(f);
        if (state.undefined) return 0;
        error = Math.max(error, state.error);
        const hi = fc(f);
        if (state.undefined) return 0;
        state.error = Math.max(error, state.error);
        return Math.min(Math.max(Number.isNaN(x) ? lo : x, lo), hi);
      };
    case "pow": {
      const rule = accuracy.functions.pow;
      return pair(fa, fb, (x, ex, y, ey) => {
        const z = x ** y;
        // Monotone in each operand: the extremes are at the corners, of the value and of what the rule makes of it.
        const corners = [-ex, ex].flatMap((dx) => [-ey, ey].map((dy) => [x + dx, y + dy] as const));
        let inherited = 0;
        if (ex > 0 || ey > 0) {
          if (ex >= Math.abs(x)) inherited = Number.POSITIVE_INFINITY;
          else for (const [p, q] of corners) inherited = Math.max(inherited, Math.abs(p ** q - z));
        }
        const rounding =
          rule && type === "f32" && x !== 0 ? Math.max(...corners.map(([p, q]) => rule(p, 0, Math.abs(z) + inherited, q))) : 0;
        return settle(z, inherited, rounding, accuracy, type);
      });
    }
    case "uniform":
    case "normal": {
      const word = randomWord(args);
      if (e.op === "uniform")
        return (f) => {
          const w = word(f, 0);
          state.error = 0;
          return (w >>> 8) * 2 ** -24;
        };
      return (f) => {
        // Box-Muller on words n and n + 1 of the pair that holds n: cosine for the even one, sine for the odd.
        const u1 = ((word(f, 0) >>> 8) + 1) * 2 ** -24;
        const u2 = (word(f, 1) >>> 8) * 2 ** -24;
        const radius = Math.sqrt(-2 * Math.log(u1));
        const z = radius * (lastWord.odd ? Math.sin(2 * Math.PI * u2) : Math.cos(2 * Math.PI * u2));
        const trig = (accuracy.functions.cos?.(0, 0, 1) ?? 0) + 2 * Math.PI * u * 4;
        const root = radius * 8 * u + (accuracy.functions.log?.(u1, 0, Math.abs(Math.log(u1))) ?? 0) / Math.max(radius, 1e-3);
        return settle(z, radius * trig + root, u * Math.abs(z), accuracy, type);
      };
    }
    case "to_f32":
    case "to_f64": {
      const from = e.args[0]!.type;
      return (f) => {
        const x = fa(f);
        if (state.undefined || type === "f64" || (from === "f32" && type === "f32")) return x;
        const exact = state.error === 0 && Math.fround(x) === x;
        return settle(x, state.error, exact ? 0 : u * (Math.abs(x) + state.error), accuracy, type);
      };
    }
    default:
      throw new Error(`no meaning for ${e.op} on ${type}`);
  }
}

/** a chain of k terms that may be regrouped: nested rounding is not a bound. */
function chainSum(signs: readonly number[], terms: readonly Evaluate[], accuracy: Accuracy): Evaluate {
  const h = terms.length - 1;
  const gamma = (h * accuracy.unit) / (1 - h * accuracy.unit);
  return (f) => {
    let sum = 0;
    let magnitude = 0;
    let inherited = 0;
    // Of all terms: their sum may be on it where they are not.
    let grid = true;
    for (let i = 0; i < terms.length; i++) {
      const x = terms[i]!(f);
      if (state.undefined) return 0;
      sum += signs[i]! * x;
      magnitude += Math.abs(x) + state.error;
      inherited += state.error;
      if (grid && !onGrid(x)) grid = false;
    }
    const exact = inherited === 0 && grid && sumsExactly(magnitude);
    return settle(sum, inherited, exact ? 0 : gamma * magnitude, accuracy, "f32");
  };
}

const lastWord = { odd: false };
/** Word n + offset of the generator; for `normal`, n is taken down to its pair and its parity remembered. */
function randomWord(args: readonly Evaluate[]): (f: Float64Array, offset: number) => number {
  return (f, offset) => {
    const seed = args[0]!(f);
    const stream = args.length === 3 ? args[1]!(f) : 0;
    const n = args.at(-1)!(f);
    lastWord.odd = n % 2 === 1;
    return philox(seed, stream, offset === 0 ? n : n % 2 === 1 ? n - 1 : n + 1);
  };
}

function compileExact(e: OpExpr, args: readonly Evaluate[]): Evaluate {
  const { type } = e;
  const [fa, fb, fc] = args as [Evaluate, Evaluate, Evaluate];
  const operands = e.args[0]!.type;
  const integer = compileInteger(e, args);
  if (integer) return integer;
  switch (e.op) {
    case "lt":
    case "le":
    case "gt":
    case "ge":
    case "eq":
    case "ne":
      return comparison(e.op, fa, fb);
    case "land":
    case "lor": {
      const stop = e.op === "lor" ? 1 : 0;
      return (f) => {
        const a = fa(f);
        if (state.undefined || a === stop) return a;
        return fb(f);
      };
    }
    case "isfinite":
      return (f) => {
        const x = fa(f);
        state.error = 0;
        return Number.isFinite(x) ? 1 : 0;
      };
    case "to_i32":
    case "to_u32":
    case "to_int": {
      const [lo, hi] = type === "u32" ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1];
      const to = (x: number): number => (Number.isNaN(x) ? 0 : Math.min(Math.max(Math.trunc(x), lo), hi) + 0);
      return (f) => {
        const x = fa(f);
        if (state.undefined) return 0;
        const err = state.error;
        if (err > 0 && to(x + err) !== to(x - err)) state.open = true;
        state.error = 0;
        return to(x);
      };
    }
    case "random": {
      const word = randomWord(args);
      return (f) => word(f, 0);
    }
    case "exact_exp":
      return (f) => exactExp(fa(f));
    case "exact_inv":
      return (f) => exactInverse(fa(f));
    case "exact_hash":
      return (f) => {
        const id = fa(f);
        const x = fb(f);
        return state.undefined ? 0 : exactHash(id, x, fc ? fc(f) : 0);
      };
    default:
      throw new Error(`no meaning for ${e.op} on ${operands}`);
  }
}

function comparison(name: Op, fa: Evaluate, fb: Evaluate): Evaluate {
  const test: Record<string, (a: number, b: number) => boolean> = {
    lt: (a, b) => a < b,
    le: (a, b) => a <= b,
    gt: (a, b) => a > b,
    ge: (a, b) => a >= b,
    eq: (a, b) => a === b,
    ne: (a, b) => a !== b,
  };
  const holds = test[name]!;
  return pair(fa, fb, (a, ea, b, eb) => {
    const margin = ea + eb;
    if (margin > 0 && Math.abs(a - b) <= margin) state.open = true;
    state.error = 0;
    return holds(a, b) ? 1 : 0;
  });
}
