/** Tensor IR as text a person could have written. */
import type { Axis, Expr, Op, Program, Statement } from "./ir.ts";
import type { ElemType } from "./types.ts";

const infix: Partial<Record<Op, readonly [string, number]>> = {
  lor: ["||", 1],
  land: ["&&", 2],
  lt: ["<", 3],
  le: ["<=", 3],
  gt: [">", 3],
  ge: [">=", 3],
  eq: ["==", 3],
  ne: ["!=", 3],
  and: ["&", 4],
  or: ["|", 4],
  xor: ["^", 4],
  shl: ["<<", 5],
  shr: [">>", 5],
  add: ["+", 6],
  sub: ["-", 6],
  mul: ["*", 7],
  div: ["/", 7],
  mod: ["%", 7],
};
const prefix: Partial<Record<Op, string>> = { neg: "-", not: "~", lnot: "!" };
const floatTexts = { f32: new Map<number, string>(), f64: new Map<number, string>() };
/** The shortest decimal that reads back as the same number of that type, with a point in it. */
export function floatText(value: number, type: "f32" | "f64"): string {
  const known = floatTexts[type];
  let text = known.get(value);
  if (text === undefined) {
    if (known.size > 1000) known.clear();
    text = newFloatText(value, type);
    known.set(value, text);
  }
  return text;
}
function newFloatText(value: number, type: "f32" | "f64"): string {
  let text = String(value);
  if (type === "f32")
    for (let digits = 1; digits <= 9; digits++) {
      const t = value.toPrecision(digits);
      if (Math.fround(Number(t)) === value) {
        text = String(Number(t));
        break;
      }
    }
  return /[.n]/.test(text) ? text : text.includes("e") ? text.replace("e", ".0e") : `${text}.0`;
}
const plain = (name: string): string => (name.includes("$") ? name.replace(/\$\d+$/, (m) => `'${m.slice(1)}`) : name);

export function printElem(t: ElemType): string {
  return t.bound ? `${t.name}<${t.open ? ".." : ""}${printExpr(t.bound)}>` : t.name;
}
export function printAxis(a: Axis): string {
  return `${plain(a.name)}: ${printExpr(a.extent)}${a.range ? ` in ${printExpr(a.range.from)}..${printExpr(a.range.to)}` : ""}`;
}
/** `level` is the precedence of the place: brackets stand where the expression binds more loosely. */
export function printExpr(e: Expr, level = 0): string {
  const at = (own: number, text: string) => (own < level ? `(${text})` : text);
  const axes = (list: readonly Axis[], where?: Expr) => list.map(printAxis).join(", ") + (where ? ` where ${printExpr(where)}` : "");
  const bodies = (list: readonly Expr[]) => (list.length === 1 ? printExpr(list[0]!, 8) : `(${list.map((b) => printExpr(b)).join(", ")})`);
  switch (e.kind) {
    case "const":
      return typeof e.value === "number" && (e.type === "f32" || e.type === "f64") ? floatText(e.value, e.type) : String(e.value);
    case "dim":
    case "scalar":
      return e.name;
    case "index":
    case "var":
      return plain(e.name);
    case "read":
      return e.subscripts.length === 0 ? plain(e.tensor) : `${plain(e.tensor)}[${e.subscripts.map((s) => printExpr(s)).join(", ")}]`;
    case "op": {
      const i = infix[e.op];
      if (i) return at(i[1], `${printExpr(e.args[0]!, i[1])} ${i[0]} ${printExpr(e.args[1]!, i[1] + 1)}`);
      // An integer is itself, whatever its width; the text has no word for this.
      if (e.op === "to_int" && e.args[0]!.type !== "f32" && e.args[0]!.type !== "f64") return printExpr(e.args[0]!, level);
      const p = prefix[e.op];
      if (p) return at(8, `${p}${printExpr(e.args[0]!, 8)}`);
      return `${e.op.replace(/^to_/, "")}(${e.args.map((a) => printExpr(a)).join(", ")})`;
    }
    case "cast":
      return `${printElem(e.to)}(${printExpr(e.arg)}${e.mode === "nearest" ? "" : e.bits ? `, stochastic: ${printExpr(e.bits)}` : `, ${e.mode}`})`;
    case "relax":
      return `relax<${printElem(e.to)}>(${printExpr(e.arg)})`;
    case "bitcast":
      return `bitcast<${e.type}>(${printExpr(e.arg)})`;
    case "if":
      return at(0.5, `if ${printExpr(e.cond, 1)} then ${printExpr(e.then, 0.5)} else ${printExpr(e.else, 0.5)}`);
    case "else":
      return at(0.2, `${printExpr(e.value, 0.5)} else ${printExpr(e.other, 0.5)}`);
    case "let":
      return at(0, `let ${plain(e.name)} = ${printExpr(e.value)} in ${printExpr(e.body)}`);
    case "reduce":
      return at(
        7.5,
        `${e.op === "monoid" ? `monoid ${e.monoid!.name}` : e.op}(${axes(e.axes, e.where)}) ${bodies(e.bodies)}${e.bodies.length > 1 ? `.${e.component}` : ""}`,
      );
    case "sweep":
      return at(
        7.5,
        `${e.op}(${axes(e.over, e.where)}${e.monoid ? `, ${e.monoid.name}` : ""}${e.reverse ? ", reverse" : ""}) ${bodies(e.bodies)}${e.bodies.length > 1 ? `.${e.component}` : ""}`,
      );
    case "segment":
      return `segment(${plain(e.table)}, ${printExpr(e.arg)})`;
    case "defined":
      return `defined(${printExpr(e.arg)})`;
    default:
      return e satisfies never;
  }
}
const head = (name: string, axes: readonly Axis[]) =>
  axes.length === 0 ? plain(name) : `${plain(name)}[${axes.map(printAxis).join(", ")}]`;
const cond = (where?: Expr) => (where ? ` where ${printExpr(where)}` : "");

/** The same text for the same expression about an index, whatever fresh names that and its reductions were given. */
export function printAlike(e: Expr, index: string): string {
  const names = new Map([[index, "@"]]);
  return printExpr(e).replace(/\b\w+'\d+/g, (name) => {
    const known = names.get(name) ?? `#${names.size}`;
    names.set(name, known);
    return known;
  });
}
export function printStatement(s: Statement, indent = "  "): string {
  switch (s.kind) {
    case "define":
      return `${indent}${s.output ? "" : "let "}${head(s.name, s.axes)}${s.storage ? `: ${printElem(s.storage)}` : ""}${cond(s.where)} = ${printExpr(s.value)}`;
    case "write":
      return `${indent}${s.tensor}[${s.subscripts.map((x) => printExpr(x)).join(", ")}] for ${s.axes.map(printAxis).join(", ")}${cond(s.where)} ${s.mode === "add" ? "+=" : ":="} ${printExpr(s.value)}`;
    case "fold": {
      const lines = [
        ...s.states.map((x) => `state ${head(x.name, x.axes)}${x.storage ? `: ${printElem(x.storage)}` : ""} = ${printExpr(x.init)}`),
        ...s.body.map((x) => printStatement(x, "")),
        ...s.nexts.map((x) => `next ${head(x.state, x.axes)}${cond(x.where)} = ${printExpr(x.value)}`),
        ...s.emits.map((x) => `emit ${printStatement(x, "")}`),
      ];
      return `${indent}fold ${printAxis(s.axis)}${cond(s.where)} {\n${lines.map((l) => `${indent}  ${l}`).join("\n")}\n${indent}}`;
    }
    default: {
      const results = s.results.map((r) => (r.name ? head(r.name, r.axes) : "_")).join(", ");
      return `${indent}let (${results}) = ${s.kind}(${s.over.map(printAxis).join(", ")}${cond(s.where)}${s.count ? `, ${printExpr(s.count)}` : ""})${s.body ? ` ${printExpr(s.body, 8)}` : ""}`;
    }
  }
}
export function printProgram(p: Program): string {
  const tensor = (elem: ElemType, axes?: readonly Axis[]) => printElem(elem) + (axes ? `[${axes.map(printAxis).join(", ")}]` : "");
  const params = p.params.map((x) => `  ${x.role === "inout" ? "inout " : ""}${x.name}: ${tensor(x.elem, x.axes)}${cond(x.where)}`);
  const outputs = p.outputs.map((x) => `  ${x.name}: ${tensor(x.elem, x.axes)}${cond(x.where)}`);
  const dims = p.dims.map((d) => (d.value === undefined ? d.name : `${d.name} = ${d.value}`)).join(", ");
  return [
    `kernel ${p.kernel}[${dims}](`,
    params.join(",\n"),
    ") -> (",
    outputs.join(",\n"),
    ")",
    ...(p.requires.length ? [`where ${p.requires.map((r) => printExpr(r)).join(", ")}`] : []),
    "{",
    ...p.statements.map((s) => printStatement(s)),
    "}",
  ].join("\n");
}
