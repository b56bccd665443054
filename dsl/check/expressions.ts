/** Syntax of expressions -> typed tensor expressions, names resolved, fns inlined. Reports and carries on with a value of the likely type. */
import type { Span } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { freshName, indexVar, num, op } from "../tensor/expr.ts";
import type { Expr, Op } from "../tensor/ir.ts";
import { printElem, printExpr } from "../tensor/print.ts";
import { type Compute, computeOf, type ElemType, isFloat, isInteger, isStorage, storage } from "../tensor/types.ts";
import { conversion, isFloatLiteral, isLiteral, toInt, widen } from "./conversions.ts";
import { functions, nearest } from "./functions.ts";
import { inlineCall } from "./inline.ts";
import { reduction, sweepOf } from "./reductions.ts";
import { type Context, emptyScope, type Scope, type TensorInfo, type View, withVar } from "./scope.ts";

const binaryOps: Record<ast.BinaryOperator, Op> = {
  "+": "add",
  "-": "sub",
  "*": "mul",
  "/": "div",
  "%": "mod",
  "<<": "shl",
  ">>": "shr",
  "&": "and",
  "|": "or",
  "^": "xor",
  "<": "lt",
  "<=": "le",
  ">": "gt",
  ">=": "ge",
  "==": "eq",
  "!=": "ne",
  "&&": "land",
  "||": "lor",
};

export class ExpressionChecker {
  /** Fns whose bodies are being checked: none may call itself. */
  readonly calls: string[] = [];
  readonly context: Context;

  constructor(context: Context) {
    this.context = context;
  }

  /** The typed expression; `want` is the type that literals take where nothing else decides. */
  expr(e: ast.Expr, scope: Scope, want?: Compute): Expr {
    switch (e.kind) {
      case "missing":
        return num(0, want ?? "int", e.span);
      case "number":
        return this.literal(e, want);
      case "bool":
        return { kind: "const", value: e.value, type: "bool", span: e.span };
      case "name":
        return this.name(e, scope, want);
      case "unary": {
        const arg = this.expr(e.arg, scope, want);
        if (e.op === "!") return op("lnot", [this.truth(arg)], "bool", e.span);
        if (e.op === "~") {
          if (!isInteger(arg.type)) this.context.report("W202", e.span, `\`~\` needs an integer, found ${arg.type}`);
          return op("not", [arg], arg.type, e.span);
        }
        if (arg.type === "bool") this.context.report("W205", e.span, "`-` needs a number, found bool");
        if (arg.kind === "const" && typeof arg.value === "number") return { ...arg, value: -arg.value, span: e.span };
        return op("neg", [arg], arg.type, e.span);
      }
      case "binary":
        return this.binary(e, scope, want);
      case "if": {
        const cond = this.condition(e.cond, scope);
        if (cond.kind === "const") return this.expr(cond.value ? e.then : e.else, scope, want);
        const [then, other] = this.pair(e.then, e.else, scope, want, e.span, "the branches of `if`");
        return { kind: "if", cond, then, else: other, type: then.type, span: e.span };
      }
      case "else": {
        const [value, other] = this.pair(e.value, e.other, scope, want, e.span, "the two sides of `else`");
        return { kind: "else", value, other, type: value.type, span: e.span };
      }
      case "let": {
        const value = this.expr(e.value, scope);
        const name = freshName(e.name.text);
        const body = this.expr(e.body, withVar(scope, e.name.text, { kind: "var", name, type: value.type, span: e.name.span }), want);
        return { kind: "let", name, value, body, type: body.type, span: e.span };
      }
      case "index":
        return this.read(e, scope);
      case "call":
        return this.call(e, scope, want);
      case "cast":
        return conversion(this, e.to, e.arg, e.mode, scope, e.span);
      case "relax": {
        const to = this.elem(e.to, scope);
        const arg = this.expr(e.arg, scope, computeOf(to));
        if (!isFloat(arg.type) || storage[to.name].class !== "float")
          this.context.report("W202", e.span, `relax is for floats; this relaxes ${arg.type} to ${printElem(to)}`);
        return { kind: "relax", to, arg, type: arg.type, span: e.span };
      }
      case "bitcast": {
        const to = this.elem(e.to, scope);
        const arg = this.expr(e.arg, scope);
        const wide = (t: Compute) => t === "f32" || t === "i32" || t === "u32";
        if (!wide(arg.type) || !wide(computeOf(to)) || storage[to.name].bits !== 32)
          this.context.report("W202", e.span, `bitcast is between f32, i32 and u32; this is ${arg.type} to ${printElem(to)}`);
        return { kind: "bitcast", arg, type: computeOf(to), span: e.span };
      }
      case "reduce":
        return reduction(this, e, scope, want);
      case "sweep":
        return sweepOf(this, e, scope, want);
      case "member":
        return this.member(e, scope);
      case "tuple":
        this.context.report("W202", e.span, "a tuple can stand only as the value of a monoid or of several results");
        return e.items[0] ? this.expr(e.items[0], scope, want) : num(0);
      case "topk":
      case "compact":
      case "group":
        this.context.report(
          "W404",
          e.span,
          `\`${e.kind}\` makes a new axis: it can stand only as the whole right-hand side of a definition`,
        );
        return num(0);
      default:
        return e satisfies never;
    }
  }
  condition(e: ast.Expr, scope: Scope): Expr {
    return this.truth(this.expr(e, scope, undefined));
  }
  /** An integer that is exact: extents, ranges, subscripts. */
  integer(e: ast.Expr, scope: Scope, what: string): Expr {
    const x = this.expr(e, scope, "int");
    if (!isInteger(x.type)) {
      this.context.report(
        "W201",
        e.span,
        `${what} must be an integer, found ${x.type}`,
        isFloat(x.type) ? { help: "write `i32(...)` and clamp it into range" } : {},
      );
      return num(0);
    }
    return x;
  }
  truth(e: Expr): Expr {
    if (e.type !== "bool")
      this.context.report(
        "W205",
        e.span,
        `a condition must be a bool, found ${e.type}`,
        isInteger(e.type) ? { help: "compare it: `… != 0`" } : {},
      );
    return e;
  }

  private literal(e: Extract<ast.Expr, { kind: "number" }>, want: Compute | undefined): Expr {
    if (e.float)
      return { kind: "const", value: want === "f64" ? e.value : Math.fround(e.value), type: want === "f64" ? "f64" : "f32", span: e.span };
    const type = want === undefined || want === "bool" ? "int" : want;
    if ((type === "i32" && e.value > 2 ** 31 - 1) || (type === "u32" && e.value > 2 ** 32 - 1) || e.value > Number.MAX_SAFE_INTEGER)
      this.context.report("W204", e.span, `${e.value} does not fit ${type}`);
    return { kind: "const", value: e.value, type, span: e.span };
  }

  private name(e: Extract<ast.Expr, { kind: "name" }>, scope: Scope, want?: Compute): Expr {
    const bound = scope.vars.get(e.name);
    if (bound) return bound.kind === "const" ? bound : { ...bound, span: e.span };
    const index = scope.indices.get(e.name);
    if (index) return indexVar(index.axis.name, e.span);
    const view = scope.views.get(e.name);
    if (view) return this.readView(view, [], e.name, scope, e.span);
    const fnDim = scope.dims.get(e.name);
    if (fnDim) return fnDim;
    if (this.context.binding.consts.has(e.name)) {
      const value = this.context.binding.consts.get(e.name)!;
      return { kind: "const", value, type: typeof value === "boolean" ? "bool" : "int", span: e.span };
    }
    if (this.context.dims.has(e.name)) return { kind: "dim", name: e.name, type: "int", span: e.span };
    if (!scope.closed) {
      const scalar = this.context.scalars.get(e.name);
      if (scalar) return { kind: "scalar", name: e.name, type: computeOf(scalar.elem), span: e.span };
      const tensor = this.tensor(e.name);
      if (tensor) return this.readTensor(tensor, [], e.span);
    }
    this.unknown(e.name, e.span, scope);
    return num(0, want ?? "f32", e.span);
  }
  tensor(name: string): TensorInfo | undefined {
    const t = this.context.tensors.get(name);
    if (t) this.context.used.add(name);
    return t;
  }
  private unknown(name: string, span: Span, scope: Scope): void {
    if (this.context.poisoned.has(name)) return;
    if (this.context.absent.has(name)) {
      this.context.report("W101", span, `\`${name}\` is an optional parameter that this instance leaves out`, {
        help: "read it only under `if` of the constant it depends on",
      });
      return;
    }
    const near = nearest(name, [
      ...scope.indices.keys(),
      ...scope.vars.keys(),
      ...this.context.dims.keys(),
      ...this.context.scalars.keys(),
      ...this.context.tensors.keys(),
    ]);
    this.context.report("W101", span, `\`${name}\` is not in scope here`, near ? { help: `did you mean \`${near}\`?` } : {});
  }

  // ---- operators
  private binary(e: Extract<ast.Expr, { kind: "binary" }>, scope: Scope, want: Compute | undefined): Expr {
    const name = binaryOps[e.op];
    if (e.op === "&&" || e.op === "||") {
      const lhs = this.condition(e.lhs, scope);
      if (lhs.kind === "const" && lhs.value === (e.op === "||")) return lhs;
      const rhs = this.condition(e.rhs, scope);
      return lhs.kind === "const" ? rhs : op(name, [lhs, rhs], "bool", e.span);
    }
    const compares = ["<", "<=", ">", ">=", "==", "!="].includes(e.op);
    if (e.op === "/" && isLiteral(e.lhs) && isLiteral(e.rhs) && !isFloatLiteral(e.lhs) && !isFloatLiteral(e.rhs))
      this.context.report("W202", e.span, "`/` between two integer literals", {
        help: "write `1.0 / 2.0` for a fraction, or the quotient itself",
      });
    const [lhs, rhs] = this.pair(
      e.lhs,
      e.rhs,
      scope,
      compares ? undefined : want,
      e.span,
      `the operands of \`${e.op}\``,
      e.op === "<<" || e.op === ">>",
    );
    if (compares) {
      if (lhs.type === "bool" && e.op !== "==" && e.op !== "!=") this.context.report("W202", e.span, `\`${e.op}\` does not order bools`);
      return op(name, [lhs, rhs], "bool", e.span);
    }
    if (lhs.type === "bool")
      this.context.report(
        "W205",
        e.span,
        `\`${e.op}\` needs numbers, found bool`,
        e.op === "&" || e.op === "|" ? { help: `for conditions write \`${e.op}${e.op}\`` } : {},
      );
    if (["%", "<<", ">>", "&", "|", "^"].includes(e.op) && !isInteger(lhs.type))
      this.context.report("W202", e.span, `\`${e.op}\` needs integers, found ${lhs.type}`);
    if (lhs.kind === "const" && rhs.kind === "const" && lhs.type === "int" && ["+", "-", "*"].includes(e.op)) {
      const [a, b] = [Number(lhs.value), Number(rhs.value)];
      return num(e.op === "+" ? a + b : e.op === "-" ? a - b : a * b, "int", e.span);
    }
    return op(name, [lhs, rhs], lhs.type, e.span);
  }
  /** Two operands of one type: literals adapt, `int` absorbs i32 and u32, f64 absorbs f32; nothing else converts. */
  private pair(a: ast.Expr, b: ast.Expr, scope: Scope, want: Compute | undefined, span: Span, what: string, shift = false): [Expr, Expr] {
    let lhs: Expr;
    let rhs: Expr;
    if (isLiteral(a) && !isLiteral(b)) {
      rhs = this.expr(b, scope, want);
      lhs = this.expr(a, scope, rhs.type === "bool" ? want : rhs.type);
    } else {
      lhs = this.expr(a, scope, want);
      rhs = this.expr(b, scope, isLiteral(b) && isLiteral(a) ? want : lhs.type === "bool" ? undefined : lhs.type);
    }
    if (lhs.type === rhs.type || (shift && isInteger(lhs.type) && isInteger(rhs.type))) return [lhs, rhs];
    if (isInteger(lhs.type) && isInteger(rhs.type)) return [toInt(lhs), toInt(rhs)];
    if (isFloat(lhs.type) && isFloat(rhs.type)) return [widen(lhs), widen(rhs)];
    const [l, r] = [lhs.type, rhs.type];
    const float = isFloat(l) ? l : isFloat(r) ? r : undefined;
    const help = float && l !== "bool" && r !== "bool" ? { help: `convert the integer: \`${float}(…)\`` } : {};
    this.context.report("W201", span, `${what} have different types, ${l} and ${r}`, help);
    return isFloat(l) || r === "bool" ? [lhs, { ...lhs, span }] : [{ ...rhs, span }, rhs];
  }

  // ---- reads
  private read(e: Extract<ast.Expr, { kind: "index" }>, scope: Scope): Expr {
    const view = scope.views.get(e.base.text);
    const given = e.args.map((a, k) => (a ? this.integer(a, scope, `subscript ${k + 1} of \`${e.base.text}\``) : undefined));
    if (given.some((g) => g === undefined)) {
      this.context.report("W105", e.span, "`_` leaves an axis open, which only an argument of a fn may do");
      return num(0, "f32", e.span);
    }
    const subscripts = given as Expr[];
    if (view) return this.readView(view, subscripts, e.base.text, scope, e.span);
    const tensor = scope.closed ? undefined : this.tensor(e.base.text);
    if (tensor) return this.readTensor(tensor, subscripts, e.span);
    if (
      scope.indices.has(e.base.text) ||
      this.context.dims.has(e.base.text) ||
      this.context.scalars.has(e.base.text) ||
      scope.vars.has(e.base.text)
    )
      this.context.report("W105", e.span, `\`${e.base.text}\` is not a tensor and takes no subscripts`);
    else this.unknown(e.base.text, e.base.span, scope);
    return num(0, "f32", e.span);
  }
  private readTensor(tensor: TensorInfo, subscripts: readonly Expr[], span: Span): Expr {
    if (subscripts.length !== tensor.axes.length) {
      const n = tensor.axes.length;
      this.context.report(
        "W105",
        span,
        `\`${tensor.name}\` has ${n} ${n === 1 ? "axis" : "axes"} [${tensor.axes.map((a) => printExpr(a.extent)).join(", ")}], read with ${subscripts.length} subscript${subscripts.length === 1 ? "" : "s"}`,
      );
      return num(0, tensor.type, span);
    }
    return { kind: "read", tensor: tensor.name, subscripts, type: tensor.type, span };
  }
  private readView(view: View, subscripts: readonly Expr[], name: string, _scope: Scope, span: Span): Expr {
    const open = view.subscripts.filter((s) => s === undefined).length;
    if (open !== subscripts.length) {
      this.context.report("W105", span, `\`${name}\` has ${open} open axes, read with ${subscripts.length} subscripts`);
      return num(0, view.tensor.type, span);
    }
    let at = 0;
    return {
      kind: "read",
      tensor: view.tensor.name,
      subscripts: view.subscripts.map((s) => s ?? subscripts[at++]!),
      type: view.tensor.type,
      span,
    };
  }

  // ---- calls
  private call(e: Extract<ast.Expr, { kind: "call" }>, scope: Scope, want: Compute | undefined): Expr {
    const name = e.callee.text;
    if (name === "segment") return this.segment(e, scope);
    const bound = this.context.binding.types.get(name);
    if (bound)
      return conversion(this, { name: bound, span: e.callee.span }, e.args[0] ?? { kind: "missing", span: e.span }, e.mode, scope, e.span);
    const fn = this.context.declarations.fns.get(this.context.binding.fns.get(name) ?? name);
    if (fn)
      return (
        this.inline(fn, this.withJoined(fn, e), this.context.binding.fns.has(name) ? { ...scope, closed: false } : scope)[0] ??
        num(0, "f32", e.span)
      );
    const info = functions.get(name);
    if (
      info === undefined &&
      ["sum", "prod", "mean", "argmax", "argmin", "logsumexp", "all", "any", "softmax", "cumsum", "scan"].includes(name)
    ) {
      this.context.report("W104", e.span, `\`${name}(…)\` is followed by what it reduces`, { help: `write \`${name}(j) x[j]\`` });
      return num(0, want ?? "f32", e.span);
    }
    if (info === undefined) {
      const near = nearest(name, [...functions.keys(), ...this.context.declarations.fns.keys(), "sum", "softmax", "segment"]);
      this.context.report("W503", e.callee.span, `there is no function \`${name}\``, near ? { help: `did you mean \`${near}\`?` } : {});
      return num(0, want ?? "f32", e.span);
    }
    if (!info.arity.includes(e.args.length)) {
      this.context.report(
        "W104",
        e.span,
        `\`${name}\` takes ${info.arity.join(" or ")} argument${info.arity.at(-1) === 1 ? "" : "s"}, found ${e.args.length}`,
      );
      return num(0, want ?? "f32", e.span);
    }
    if (info.takes === "random") {
      const args = e.args.map((a) => this.expr(a, scope, "u32"));
      for (const a of args) if (!isInteger(a.type)) this.context.report("W202", a.span, `\`${name}\` takes integers, found ${a.type}`);
      return op(info.op, args, info.gives as Compute, e.span);
    }
    let args: Expr[];
    if (e.args.length === 1) args = [this.expr(e.args[0]!, scope, want ?? (info.takes === "float" ? "f32" : undefined))];
    else {
      const lead = e.args.findIndex((a) => !isLiteral(a));
      const first = this.expr(e.args[Math.max(0, lead)]!, scope, want ?? (info.takes === "float" ? "f32" : undefined));
      args = e.args.map((a, k) => (k === Math.max(0, lead) ? first : this.expr(a, scope, first.type)));
      if (args.some((a) => a.type !== args[0]!.type)) {
        if (args.every((a) => isInteger(a.type))) args = args.map(toInt);
        else if (args.every((a) => isFloat(a.type))) args = args.map(widen);
        else
          this.context.report(
            "W201",
            e.span,
            `the arguments of \`${name}\` have different types, ${args.map((a) => a.type).join(" and ")}`,
          );
      }
    }
    const type = args[0]!.type;
    if (info.takes === "float" && !isFloat(type))
      this.context.report(
        "W202",
        e.span,
        `\`${name}\` needs a float, found ${type}`,
        isInteger(type) ? { help: `write \`${name}(f32(…))\`` } : {},
      );
    if (info.takes === "number" && type === "bool") this.context.report("W205", e.span, `\`${name}\` needs numbers, found bool`);
    return op(info.op, args, info.gives === "same" ? type : info.gives, e.span);
  }
  /** A fn bound to a function parameter may ask for more: those parameters joined the kernel's signature under their own names. */
  private withJoined(fn: ast.Fn, e: Extract<ast.Expr, { kind: "call" }>): Extract<ast.Expr, { kind: "call" }> {
    if (!this.context.binding.fns.has(e.callee.text)) return e;
    const joined = fn.params.slice(e.args.length).map((p): ast.Expr => ({ kind: "name", name: p.name.text, span: e.span }));
    return { ...e, args: [...e.args, ...joined] };
  }
  private segment(e: Extract<ast.Expr, { kind: "call" }>, scope: Scope): Expr {
    const [table, arg] = e.args;
    const name = table?.kind === "name" ? table.name : undefined;
    const info = name === undefined ? undefined : (scope.views.get(name)?.tensor ?? this.tensor(name));
    if (e.args.length !== 2 || arg === undefined || info?.elem?.name !== "offsets" || info.axes.length !== 1) {
      this.context.report(
        "W104",
        e.span,
        "`segment` takes a table of type `offsets<N>[R + 1]` and a position",
        name !== undefined && info === undefined ? { help: `\`${name}\` is not in scope` } : {},
      );
      return num(0, "int", e.span);
    }
    return { kind: "segment", table: info.name, arg: this.integer(arg, scope, "the position"), type: "int", span: e.span };
  }

  /** The results of a fn at a call. */
  inline(fn: ast.Fn, e: Extract<ast.Expr, { kind: "call" }>, scope: Scope): Expr[] {
    return inlineCall(this, fn, e, scope);
  }

  elem(t: ast.ScalarType, scope: Scope = emptyScope): ElemType {
    const name = this.context.binding.types.get(t.name) ?? t.name;
    if (t.bound)
      return {
        name: name as "index" | "offsets",
        bound: this.integer(t.bound, scope, `the bound of ${t.name}`),
        ...(t.open ? { open: true } : {}),
      };
    if (name === "int") return { name: "i32" };
    if (isStorage(name) && name !== "index" && name !== "offsets") return { name };
    const near = nearest(t.name, [...Object.keys(storage), ...this.context.binding.types.keys()]);
    this.context.report("W103", t.span, `there is no type \`${t.name}\``, near ? { help: `did you mean \`${near}\`?` } : {});
    return { name: "f32" };
  }
  scalarOf(t: ast.ScalarType, scope: Scope): Compute {
    return t.name === "int" ? "int" : computeOf(this.elem(t, scope));
  }
  /** `x.a`: a component of a monoid's operand or result. */
  private member(e: Extract<ast.Expr, { kind: "member" }>, scope: Scope): Expr {
    if (e.base.kind === "name") {
      const bound = scope.vars.get(`${e.base.name}.${e.field.text}`);
      if (bound) return bound;
    }
    const base = this.expr(e.base, scope);
    if ((base.kind === "reduce" || base.kind === "sweep") && base.monoid) {
      const k = base.monoid.fields.findIndex((f) => f.name === e.field.text);
      if (k >= 0) return { ...base, component: k, type: base.monoid.fields[k]!.type };
      this.context.report("W504", e.field.span, `monoid \`${base.monoid.name}\` has no component \`${e.field.text}\``);
      return base;
    }
    this.context.report("W202", e.span, `only a monoid has components; this is ${base.type}`);
    return base;
  }
}
