/**
 * The exact algebra: the same program with floats replaced by integers modulo 2^32, so that every legal schedule gives the same bits.
 * `+ - *` wrap, max is the signed one, exp(x) is G^x for an odd G (exp(a + b) = exp(a) exp(b) holds exactly), a / b is a times the inverse of
 * b, and a function without a law is an opaque hash. Integer literals are themselves, others are hashes of their bits; integer data stay as
 * they are. Narrowing is left out: it is a homomorphism for + - and *, and not for max or a comparison. What this proves is algebra and data
 * flow; the error bounds are about the floats. (After the payload algebra of Triton's FpSan.)
 */
import { bool, mapChildren, num, op } from "./expr.ts";
import type { Axis, Expr, Monoid, Op, Program, Statement } from "./ir.ts";
import { type Compute, type ElemType, isFloat } from "./types.ts";

// ---- the algebra itself; the targets spell the same functions (compiler/emit/exact.ts)
const generator = 0x9e3779b1;
/** G^x modulo 2^32. */
export function exactExp(x: number): number {
  let result = 1;
  let base = generator | 0;
  for (let e = x >>> 0; e !== 0; e >>>= 1) {
    if (e & 1) result = Math.imul(result, base);
    base = Math.imul(base, base);
  }
  return result | 0;
}
/** The inverse of an odd number (Newton, five steps); of an even one something opaque and even. */
export function exactInverse(y: number): number {
  if ((y & 1) === 0) return (Math.imul(y, 0x85ebca6b) ^ 0x1234) & ~1;
  let x = y | 0;
  for (let i = 0; i < 5; i++) x = Math.imul(x, 2 - Math.imul(y, x));
  return x | 0;
}
/** An opaque function: number `id`, of one or two operands. */
export function exactHash(id: number, x: number, y = 0): number {
  let h = (x ^ Math.imul(id + 1, 0x9e3779b9)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = (h + Math.imul(y, 0x27d4eb2f)) | 0;
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}
const view = new DataView(new ArrayBuffer(4));
function exactLiteral(v: number): number {
  // What a maximum or a minimum starts from stays below and above everything.
  if (Math.abs(v) >= 3.4028234663852886e38) return v < 0 ? -(2 ** 31) : 2 ** 31 - 1;
  if (Number.isInteger(v) && Math.abs(v) < 2 ** 31) return v;
  view.setFloat32(0, v);
  return exactHash(0, view.getInt32(0)) | 1;
}

// ---- programs over it
/** Operations of floats that mean the same on integers. */
const same = new Set<Op>(["add", "sub", "mul", "neg", "min", "max", "abs", "sign", "clamp", "lt", "le", "gt", "ge", "eq", "ne"]);
const opaque: readonly Op[] = [
  ...(["exp2", "expm1", "log", "log2", "log1p", "sqrt", "rsqrt", "tanh", "sigmoid", "sin", "cos", "erf"] as const),
  ...(["floor", "ceil", "trunc", "round", "pow", "mod", "uniform", "normal", "to_i32", "to_u32", "to_int"] as const),
];
const typeOf = (t: Compute): Compute => (isFloat(t) ? "i32" : t);
const elemOf = (e: ElemType): ElemType =>
  ["f64", "f32", "f16", "bf16", "f8e4m3", "f8e5m2"].includes(e.name)
    ? { name: "i32", standsFor: e.name }
    : e.bound
      ? { ...e, bound: exactExpr(e.bound) }
      : e;
const hash = (of: Op, args: readonly Expr[]): Expr => op("exact_hash", [num(opaque.indexOf(of) + 1, "i32"), ...args], "i32");

export function exactExpr(e: Expr): Expr {
  const inner = mapChildren(e, exactExpr);
  switch (inner.kind) {
    case "const":
      return isFloat(inner.type) ? num(exactLiteral(Number(inner.value)), "i32") : inner;
    case "op":
      return operation(e as Extract<Expr, { kind: "op" }>, inner);
    case "cast":
      return isFloat(e.type) ? { kind: "relax", to: elemOf(inner.to), arg: inner.arg, type: "i32", span: e.span } : inner;
    case "relax":
      return { ...inner, to: elemOf(inner.to), type: typeOf(e.type) };
    case "bitcast": {
      const from = typeOf((e as Extract<Expr, { kind: "bitcast" }>).arg.type);
      const to = typeOf(inner.type);
      return from === to ? inner.arg : { ...inner, type: to };
    }
    case "reduce":
    case "sweep":
      return { ...inner, type: typeOf(inner.type), ...(inner.monoid ? { monoid: exactMonoid(inner.monoid) } : {}) };
    default:
      return { ...inner, type: typeOf(inner.type) };
  }
}
function operation(before: Extract<Expr, { kind: "op" }>, e: Extract<Expr, { kind: "op" }>): Expr {
  const operands = before.args[0]?.type;
  const float = isFloat(before.type) || (operands !== undefined && isFloat(operands));
  if (!float) return e;
  const type = typeOf(e.type);
  if (same.has(e.op)) return { ...e, type };
  if (e.op === "div") return op("mul", [e.args[0]!, op("exact_inv", [e.args[1]!], "i32")], "i32", e.span);
  if (e.op === "exp") return { ...e, op: "exact_exp", type };
  if (e.op === "isfinite") return bool(true);
  if (e.op === "to_f32" || e.op === "to_f64")
    return operands !== undefined && isFloat(operands) ? e.args[0]! : op("to_i32", e.args, "i32", e.span);
  if (e.op === "uniform" || e.op === "normal") return hash(e.op, [op("to_i32", [op("random", e.args, "u32", e.span)], "i32")]);
  const value = hash(e.op, e.args);
  // A float that becomes an integer is opaque: what it indexes is clamped or guarded.
  return e.op === "to_u32" || e.op === "to_int" ? op(e.op, [value], type, e.span) : value;
}
const monoids = new WeakMap<Monoid, Monoid>();
function exactMonoid(m: Monoid): Monoid {
  let made = monoids.get(m);
  if (made === undefined) {
    made = {
      ...m,
      fields: m.fields.map((f) => ({ ...f, type: typeOf(f.type) })),
      identity: m.identity.map(exactExpr),
      combine: m.combine.map(exactExpr),
      ...(m.held
        ? {
            held: m.held.map((h) =>
              h.kind === "plain" ? h : { ...h, scale: exactExpr(h.scale), ...(h.relax ? { relax: elemOf(h.relax) } : {}) },
            ),
          }
        : {}),
    };
    monoids.set(m, made);
  }
  return made;
}
const axes = (list: readonly Axis[]): Axis[] =>
  list.map((a) => ({
    ...a,
    extent: exactExpr(a.extent),
    ...(a.range ? { range: { from: exactExpr(a.range.from), to: exactExpr(a.range.to) } } : {}),
  }));
const where = (w: Expr | undefined): { where?: Expr } => (w ? { where: exactExpr(w) } : {});

function statement(s: Statement): Statement {
  switch (s.kind) {
    case "define": {
      const { storage, ...rest } = s;
      const kept = storage ? { storage: elemOf(storage) } : {};
      return { ...rest, ...kept, axes: axes(s.axes), ...where(s.where), value: exactExpr(s.value) };
    }
    case "write":
      return { ...s, axes: axes(s.axes), ...where(s.where), subscripts: s.subscripts.map(exactExpr), value: exactExpr(s.value) };
    case "fold":
      return {
        ...s,
        axis: axes([s.axis])[0]!,
        ...where(s.where),
        states: s.states.map(({ storage, ...x }) => ({
          ...x,
          ...(storage ? { storage: elemOf(storage) } : {}),
          axes: axes(x.axes),
          init: exactExpr(x.init),
          type: typeOf(x.type),
        })),
        body: s.body.map(statement),
        nexts: s.nexts.map((n) => ({ ...n, axes: axes(n.axes), ...where(n.where), value: exactExpr(n.value) })),
        emits: s.emits.map((d) => statement(d) as typeof d),
      };
    default:
      return {
        ...s,
        results: s.results.map((r) => ({ ...r, axes: axes(r.axes), elem: elemOf(r.elem) })),
        outer: axes(s.outer),
        over: axes(s.over),
        ...where(s.where),
        ...(s.count ? { count: exactExpr(s.count) } : {}),
        ...(s.body ? { body: exactExpr(s.body) } : {}),
      };
  }
}

/** The program over the exact algebra. Sugar that stands for floats (softmax, mean) must be gone. */
export function exactProgram(p: Program): Program {
  return {
    ...p,
    params: p.params.map((x) => ({ ...x, elem: elemOf(x.elem), ...(x.axes ? { axes: axes(x.axes) } : {}), ...where(x.where) })),
    outputs: p.outputs.map((x) => ({ ...x, elem: elemOf(x.elem), axes: axes(x.axes), ...where(x.where) })),
    requires: p.requires.map(exactExpr),
    unique: p.unique.map((u) => ({ ...u, ...where(u.where), keys: u.keys.map(exactExpr) })),
    statements: p.statements.map(statement),
  };
}
