/** PTX text, as nvcc writes it, to kernels: instructions with their operands, labels resolved. Source: PTX ISA 9, "Syntax". */
import { WeftError } from "../../runtime/errors.ts";

export type Operand =
  | { readonly kind: "register"; readonly name: string }
  | { readonly kind: "number"; readonly value: bigint }
  /** `[base + offset]` */
  | { readonly kind: "address"; readonly base: Operand; readonly offset: number }
  | { readonly kind: "list"; readonly items: readonly Operand[] }
  /** A variable of the module, a parameter or a special register. */
  | { readonly kind: "symbol"; readonly name: string };
export interface Instruction {
  /** `add.s32` as ["add", "s32"]. */
  readonly op: readonly string[];
  readonly operands: readonly Operand[];
  /** Runs only where this register holds, or does not. */
  readonly guard?: { readonly register: string; readonly negated: boolean };
  /** Of a branch: the place it goes to. */
  readonly target?: number;
  readonly line: number;
}
export interface Entry {
  readonly name: string;
  readonly params: readonly string[];
  readonly instructions: readonly Instruction[];
  /** Bytes of local memory of a thread, and how they are called. */
  readonly local: { readonly name: string; readonly bytes: number };
}
export interface Module {
  readonly entries: ReadonlyMap<string, Entry>;
  /** Constant tables by name. */
  readonly tables: ReadonlyMap<string, Uint8Array>;
}

/** @throws WeftError R204 with the line that is not understood */
export function parsePtx(text: string): Module {
  const lines = text.split("\n").map((l) => l.replace(/\/\/.*/, "").trim());
  const entries = new Map<string, Entry>();
  const tables = new Map<string, Uint8Array>();
  for (let at = 0; at < lines.length; at++) {
    const table = /^\.(?:const|global) .*\.b(8|32) (\w+)\[\d+\] = \{(.*)\};$/.exec(lines[at]!);
    if (table) tables.set(table[2]!, bytesOf(Number(table[1]), table[3]!.split(",")));
    const entry = /^(?:\.visible )?\.entry (\w+)\(/.exec(lines[at]!);
    if (!entry) continue;
    const params: string[] = [];
    while (!lines[at]!.startsWith("{")) {
      const p = /\.param .*\.\w+ (\w+)(?:\[\d+\])?,?$/.exec(lines[at]!);
      if (p) params.push(p[1]!);
      at++;
    }
    const from = at + 1;
    for (let depth = 1; depth > 0; ) {
      at++;
      const l = lines[at] ?? "}";
      // Braces on lines of their own are scopes; registers have names of their own all the same.
      if (l === "{") depth++;
      if (l === "}") depth--;
    }
    entries.set(entry[1]!, body(entry[1]!, params, lines, from, at));
  }
  return { entries, tables };
}
function bytesOf(bits: number, items: readonly string[]): Uint8Array {
  const values = items.map((x) => Number(x));
  return bits === 8 ? Uint8Array.from(values) : new Uint8Array(Uint32Array.from(values).buffer);
}
function body(name: string, params: readonly string[], lines: readonly string[], from: number, to: number): Entry {
  const labels = new Map<string, number>();
  const found: { text: string; line: number }[] = [];
  let local = { name: "", bytes: 0 };
  for (let k = from; k < to; k++) {
    let text = lines[k]!;
    if (text === "" || text === "{" || text === "}") continue;
    const depot = /^\.local .*\.b8\s+(\w+)\[(\d+)\];$/.exec(text);
    if (depot) local = { name: depot[1]!, bytes: Number(depot[2]) };
    if (text.startsWith(".")) continue;
    const label = /^(\$?\w+):\s*(.*)$/.exec(text);
    if (label) {
      labels.set(label[1]!, found.length);
      text = label[2]!;
      if (text === "") continue;
    }
    // `{ asm; }` of inline text stands on one line.
    for (const part of text.replace(/^\{\s*(.*;)\s*\}$/, "$1").split(";"))
      if (part.trim() !== "") found.push({ text: part.trim(), line: k + 1 });
  }
  return { name, params, local, instructions: found.map(({ text, line }) => instruction(text, line, labels)) };
}
function instruction(text: string, line: number, labels: ReadonlyMap<string, number>): Instruction {
  const m = /^(?:@(!?)%(\w+)\s+)?([a-z][\w.:]*)\s*(.*)$/.exec(text);
  if (!m) throw new WeftError("R204", `PTX line ${line} is not understood: ${text}`);
  const op = m[3]!.split(".");
  const guard = m[2] === undefined ? {} : { guard: { register: m[2], negated: m[1] === "!" } };
  if (op[0] === "bra") {
    const target = labels.get(m[4]!.trim());
    if (target === undefined) throw new WeftError("R204", `PTX line ${line}: no label ${m[4]}`);
    return { op, operands: [], line, target, ...guard };
  }
  return { op, operands: split(m[4]!).map((o) => operand(o, line)), line, ...guard };
}
/** At commas outside brackets; `a|b` are two operands. */
function split(text: string): string[] {
  const out: string[] = [];
  let depth = 0;
  let current = "";
  for (const c of text) {
    if (c === "{" || c === "[") depth++;
    if (c === "}" || c === "]") depth--;
    if ((c === "," || c === "|") && depth === 0) {
      out.push(current.trim());
      current = "";
    } else current += c;
  }
  if (current.trim() !== "") out.push(current.trim());
  return out;
}
function operand(text: string, line: number): Operand {
  if (text.startsWith("{"))
    return {
      kind: "list",
      items: text
        .slice(1, -1)
        .split(",")
        .map((t) => operand(t.trim(), line)),
    };
  if (text.startsWith("[")) {
    const m = /^\[\s*([^+\]\s]+)\s*(?:\+\s*(-?\d+))?\s*\]$/.exec(text);
    if (!m) throw new WeftError("R204", `PTX line ${line}: an address is not understood: ${text}`);
    return { kind: "address", base: operand(m[1]!, line), offset: Number(m[2] ?? 0) };
  }
  if (/^%[a-zA-Z]+\d+$/.test(text) || text === "%SP" || text === "%SPL") return { kind: "register", name: text.slice(1) };
  if (text.startsWith("%")) return { kind: "symbol", name: text };
  // 0f3F800000 and 0d…: the bits of a float.
  if (/^0[fFdD][0-9a-fA-F]+$/.test(text)) return { kind: "number", value: BigInt(`0x${text.slice(2)}`) };
  if (/^-?(0x[0-9a-fA-F]+|\d+)U?$/.test(text)) {
    const plain = text.replace(/U$/, "");
    return { kind: "number", value: plain.startsWith("-") ? -BigInt(plain.slice(1)) : BigInt(plain) };
  }
  return { kind: "symbol", name: text };
}
