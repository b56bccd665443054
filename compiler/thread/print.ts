/** Thread IR as text, close to what will be emitted. */
import { sizeText } from "../../runtime/abi.ts";
import { accumulates, type Expr, type Stmt, type ThreadKernel } from "./ir.ts";

export function printKernel(k: ThreadKernel): string {
  const buffers = k.buffers.map((b) => `  ${b.access} ${b.name}: ${b.unit}[${sizeText(b.units)}]${b.atomic ? " atomic" : ""}`);
  const shared = k.shared.map((s) => `  shared ${s.name}: ${s.elem}[${s.count}]`);
  return [`thread ${k.name}  threads ${k.threads}  blocks ${sizeText(k.blocks)}`, ...buffers, ...shared, ...printBlock(k.body, "  ")].join(
    "\n",
  );
}
function printBlock(list: readonly Stmt[], indent: string): string[] {
  return list.flatMap((s): string[] => {
    switch (s.kind) {
      case "let":
      case "var":
        return [`${indent}${s.kind} ${s.name}: ${s.value.elem} = ${printExpr(s.value)}`];
      case "assign":
        return [`${indent}${s.name} = ${printExpr(s.value)}`];
      case "for":
        return [`${indent}for ${s.name} in ${printExpr(s.from)}..${printExpr(s.to)} step ${s.step}`, ...printBlock(s.body, `${indent}  `)];
      case "if":
        return [`${indent}if ${printExpr(s.test)}`, ...printBlock(s.then, `${indent}  `)];
      case "store":
        return [`${indent}${s.buffer}[${printExpr(s.at)}] = ${printExpr(s.value)}`];
      case "loads":
        return [
          `${indent}let ${s.outs.map((o) => o ?? "_").join(", ")}: ${s.elem} = ${s.buffer}[${printExpr(s.at)} ..]${s.guard ? ` where ${printExpr(s.guard)}` : ""}`,
        ];
      case "stores":
        return [`${indent}${s.buffer}[${printExpr(s.at)} ..] = ${s.values.map(printExpr).join(", ")}`];
      case "merge":
        return [`${indent}merge ${s.buffer}[${printExpr(s.at)}] under ${printExpr(s.mask)} = ${printExpr(s.bits)}`];
      case "share":
        return [`${indent}${s.array}[${printExpr(s.at)}] = ${printExpr(s.value)}`];
      case "shares":
        return [`${indent}${s.array}[${printExpr(s.at)} ..] = ${s.values.map(printExpr).join(", ")}`];
      case "takes":
        return [`${indent}let ${s.outs.map((o) => o ?? "_").join(", ")}: ${s.elem} = ${s.array}[${printExpr(s.at)} ..]`];
      case "copy":
        return [`${indent}copy ${s.array}[${printExpr(s.to)}] <- ${s.buffer}[${printExpr(s.from)}] where ${printExpr(s.valid)}`];
      case "commit":
        return [`${indent}commit`];
      case "land":
        return [`${indent}land, leave ${s.leave}`];
      case "scale":
        return s.outs.map((o, k) => `${indent}let ${o}: ${s.values[k]!.elem} = scale ${printExpr(s.values[k]!)} by ${printExpr(s.by[k]!)}`);
      case "shuffle":
        return [`${indent}let ${s.out}: ${s.value.elem} = shuffle ${printExpr(s.value)} by ${s.mask}`];
      case "fragment":
        return [`${indent}let ${s.outs.join(", ")}: u32 = fragment ${s.array}[${printExpr(s.at)}]${s.transposed ? " transposed" : ""}`];
      case "mma": {
        const [a, b, c] = [s.a, s.b, s.c].map((list) => list.map(printExpr).join(", "));
        const declares = s.outs.some((_, k) => !accumulates(s, k)) ? "let " : "";
        return [`${indent}${declares}${s.outs.join(", ")}: ${s.elem} = mma ${s.form} (${a}) (${b}) + (${c})`];
      }
      case "barrier":
        return [`${indent}barrier`];
      case "comment":
        return [`${indent}// ${s.text}`];
      default:
        return s satisfies never;
    }
  });
}
function printExpr(e: Expr): string {
  switch (e.kind) {
    case "const":
      return String(e.value);
    case "name":
    case "uniform":
      return e.name;
    case "thread":
    case "block":
      return e.kind;
    case "op":
      return `${e.op}(${e.args.map(printExpr).join(", ")})`;
    case "load":
      return `${e.buffer}[${printExpr(e.at)}${e.guard ? ` where ${printExpr(e.guard)}` : ""}]`;
    default:
      return `${e.array}[${printExpr(e.at)}]`;
  }
}
