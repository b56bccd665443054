/** Text -> syntax tree, with recovery: all errors of a file at once, never an exception (docs/language.md). */
import "./group-by.ts";
import { EOF, type IRecognitionException, type IToken } from "chevrotain";
import { Diagnostics } from "../diagnostics.ts";
import type * as ast from "./ast.ts";
import { ItemParser } from "./item-parser.ts";
import * as t from "./tokens.ts";

let parser: ItemParser | undefined;

export interface Parsed {
  readonly file: ast.SourceFile;
  readonly comments: readonly t.Comment[];
  readonly diagnostics: Diagnostics;
}

/** Parses one file. Never throws: what could not be read is reported and left out. */
export function parse(text: string): Parsed {
  const diagnostics = new Diagnostics();
  const { tokens, comments } = t.tokenize(text, diagnostics);
  parser ??= new ItemParser();
  parser.input = tokens;
  const file = parser.file() ?? { items: [] };
  for (const e of parser.errors) reportSyntax(e, text, diagnostics);
  const whole = parser.errors.length === 0 ? file.items : file.items.flatMap((x) => sound(x));
  const items = whole.map((x) => (x.kind === "kernel" ? { ...x, doc: docBefore(x.span.start, text) } : x));
  return { file: { items }, comments, diagnostics };
}

/** What recovery left whole: items without holes, and of a kernel the statements without holes, with the names that the others define. */
function sound(item: ast.Item | undefined): ast.Item[] {
  if (item === undefined) return [];
  if (item.kind !== "kernel") return isWhole(item) ? [item] : [];
  const body = item.body.filter(isWhole);
  const broken = item.body
    .filter((s) => !body.includes(s))
    .flatMap((s) => (s?.kind === "fold" || s === undefined ? [] : (s.results ?? []).flatMap((r) => (r?.name ? [r.name.text] : []))));
  return isWhole({ ...item, body: [] }) ? [{ ...item, body, ...(broken.length > 0 ? { broken } : {}) }] : [];
}
/** Nothing in it is undefined: optional properties are left out, and only a subscript may be, where `_` leaves an axis open. */
function isWhole(node: unknown): boolean {
  if (node === undefined) return false;
  if (node === null || typeof node !== "object") return true;
  if (Array.isArray(node)) return node.every(isWhole);
  const { kind, args } = node as { kind?: string; args?: readonly unknown[] };
  if (kind === "missing") return false;
  if (kind === "index") return Array.isArray(args) && args.every((x) => x === undefined || isWhole(x));
  return Object.values(node).every(isWhole);
}

/** The `///` lines directly above an item. */
function docBefore(start: number, text: string): string {
  const lines = text.slice(0, start).split("\n").slice(0, -1);
  const doc: string[] = [];
  for (let i = lines.length - 1; i >= 0 && lines[i]!.trim().startsWith("///"); i--) doc.unshift(lines[i]!.trim().slice(3).trim());
  return doc.join("\n");
}

const spelled: Record<string, string> = {
  Expression: "an expression",
  Identifier: "a name",
  Integer: "an integer",
  Newline: "the end of the line",
  EOF: "the end of the file",
  Equals: "`=`",
  LParen: "`(`",
  RParen: "`)`",
  LSquare: "`[`",
  RSquare: "`]`",
  LCurly: "`{`",
  RCurly: "`}`",
  Colon: "`:`",
  Comma: "`,`",
  Less: "`<`",
  Greater: "`>`",
  Arrow: "`->`",
  DotDot: "`..`",
};
function reportSyntax(e: IRecognitionException, text: string, diagnostics: Diagnostics): void {
  const at = e.token.startOffset >= 0 ? e.token : (e as { previousToken?: IToken }).previousToken;
  const start = at && at.startOffset >= 0 ? (at === e.token ? at.startOffset : at.startOffset + at.image.length) : text.length;
  const length = e.token.startOffset >= 0 ? Math.max(1, e.token.image.length) : 1;
  const found =
    e.token.tokenType === EOF ? "the end of the file" : e.token.tokenType === t.Newline ? "the end of the line" : `\`${e.token.image}\``;
  const expected = /Expecting token of type --> (\w+) <--/.exec(e.message)?.[1];
  const message =
    expected !== undefined
      ? `expected ${spelled[expected] ?? `\`${expected.toLowerCase()}\``}, found ${found}`
      : e.name === "NotAllInputParsedException"
        ? `${found} does not start a kernel, fn, monoid, layout, instance or schedule`
        : `${found} cannot stand here`;
  // Where reading stopped early, the place that stopped it has been reported.
  if (e.name === "NotAllInputParsedException" && diagnostics.hasErrors) return;
  if (expected === "EOF" && diagnostics.hasErrors) return;
  diagnostics.add("W002", { start, end: start + length }, message, chainHelp(text, start, found));
}
function chainHelp(text: string, start: number, found: string): { help?: string } {
  if (
    /^`(<|<=|>|>=|==|!=)`$/.test(found) &&
    /[<>=]/.test(
      text
        .slice(Math.max(0, start - 40), start)
        .split("\n")
        .at(-1) ?? "",
    )
  ) {
    return { help: "comparisons do not chain: write `a < b && b < c`" };
  }
  if (/^`[&|^]`$/.test(found)) return { help: "mixed `&`, `|`, `^` need brackets" };
  return {};
}
