/**
 * The formatter: one spelling for each program. Works on the token stream, so comments stay where they are and no text is lost; what the
 * parser rejects is returned unchanged. Lines break where the author broke them.
 */
import "./syntax/group-by.ts";
import { type IToken, Lexer } from "chevrotain";
import { parse } from "./syntax/parser.ts";
import * as t from "./syntax/tokens.ts";

/** The same words as the parser's, with comments among them. */
const lexer = new Lexer(
  t.vocabulary.map((x) => {
    if (x.name !== "Comment") return x;
    const { GROUP: _, ...kept } = x;
    return kept;
  }),
  { ensureOptimizations: false, positionTracking: "onlyOffset" },
);

/** @returns the formatted text, or undefined where it does not parse */
export function format(text: string): string | undefined {
  if (parse(text).diagnostics.hasErrors) return undefined;
  const tokens = lexer.tokenize(text).tokens.filter((x) => x.tokenType.name !== "Blank");
  const angles = anglesIn(tokens);
  const lines = splitLines(tokens);
  const out: string[] = [];
  let depth = 0;
  let blank = false;
  for (const line of lines) {
    if (line.length === 0) {
      blank = out.length > 0;
      continue;
    }
    const first = line[0]!;
    const closing = leadingClosers(line);
    const continued = isContinuation(first, out.at(-1));
    if (blank && !(closing > 0)) out.push("");
    blank = false;
    out.push(`${"  ".repeat(Math.max(0, depth - closing + (continued ? 1 : 0)))}${join(line, angles)}`);
    for (const x of line) {
      if (opens(x)) depth++;
      if (closes(x)) depth--;
    }
  }
  while (out.at(-1) === "") out.pop();
  return out.length === 0 ? "" : `${out.join("\n")}\n`;
}

function splitLines(tokens: readonly IToken[]): IToken[][] {
  const lines: IToken[][] = [[]];
  for (const x of tokens) {
    if (x.tokenType === t.Newline) lines.push([]);
    else lines.at(-1)!.push(x);
  }
  return lines;
}
const opens = (x: IToken): boolean => x.tokenType === t.LParen || x.tokenType === t.LSquare || x.tokenType === t.LCurly;
const closes = (x: IToken): boolean => x.tokenType === t.RParen || x.tokenType === t.RSquare || x.tokenType === t.RCurly;
function leadingClosers(line: readonly IToken[]): number {
  let n = 0;
  while (n < line.length && closes(line[n]!)) n++;
  return n;
}
const isComment = (x: IToken): boolean => x.tokenType.name === "Comment" || x.tokenType === t.DocComment;
/** A line that goes on with the statement above: one level deeper. Headers (`where`, `->`, `{`) stay at their own. */
function isContinuation(first: IToken, above: string | undefined): boolean {
  if (above === undefined || above === "") return false;
  if (first.tokenType === t.Then || first.tokenType === t.Else || first.tokenType === t.OrOr || first.tokenType === t.AndAnd) return true;
  return first.tokenType.CATEGORIES?.some((c) => c === t.Additive || c === t.Multiplicative || c === t.Comparison) ?? false;
}
/** Tokens of one line with the blanks that the style asks for. */
function join(line: readonly IToken[], angles: ReadonlySet<IToken>): string {
  let text = "";
  line.forEach((x, k) => {
    const before = line[k - 1];
    if (before && blankBetween(before, x, line[k - 2], angles)) text += " ";
    text += isComment(x) ? comment(x.image) : x.image;
  });
  return text.trimEnd();
}
const comment = (image: string): string => {
  const slashes = image.startsWith("///") ? "///" : "//";
  const rest = image.slice(slashes.length).trimEnd();
  return rest === "" || rest.startsWith(" ") ? slashes + rest : `${slashes} ${rest}`;
};
const isWord = (x: IToken): boolean => /^[A-Za-z_0-9]/.test(x.image);

/** The `<` and `>` that enclose a type argument, as against comparisons. */
function anglesIn(tokens: readonly IToken[]): Set<IToken> {
  const angles = new Set<IToken>();
  const real = tokens.filter((x) => x.tokenType !== t.Newline && !isComment(x));
  real.forEach((x, k) => {
    const before = real[k - 1];
    if (x.tokenType !== t.Less || before === undefined) return;
    const takes = [t.IndexWord, t.OffsetsWord, t.Relax, t.Bitcast].includes(before.tokenType) || real[k - 2]?.tokenType === t.Kernel;
    if (!takes) return;
    let depth = 0;
    for (let end = k; end < real.length; end++) {
      const y = real[end]!;
      if (y.tokenType === t.Less) depth++;
      if (y.tokenType === t.Greater && --depth === 0) {
        angles.add(x).add(y);
        return;
      }
    }
  });
  return angles;
}

function blankBetween(a: IToken, b: IToken, beforeA: IToken | undefined, angles: ReadonlySet<IToken>): boolean {
  if (isComment(b)) return true;
  const [x, y] = [a.tokenType, b.tokenType];
  if (x === t.LCurly || y === t.RCurly || y === t.LCurly) return true;
  if (opens(a) || closes(b)) return false;
  if (y === t.Comma || y === t.Semicolon || y === t.Colon || y === t.Dot || x === t.Dot || x === t.DotDot || y === t.DotDot) return false;
  if (angles.has(a) && x === t.Less) return false;
  if (angles.has(b)) return false;
  if (angles.has(a)) return y !== t.LSquare && y !== t.LParen;
  if (x === t.Bang || x === t.Tilde) return false;
  if (x === t.Minus && isUnary(beforeA)) return false;
  if (y === t.LSquare) return !isWord(a) && x !== t.RParen;
  if (y === t.LParen) return keywords.has(a.image) || (!isWord(a) && x !== t.RSquare);
  return true;
}
/** Words after which a bracket stands apart. */
const keywords = new Set(["where", "if", "then", "else", "in", "let", "by", "return", "identity", "emit", "next", "state"]);
const isUnary = (before: IToken | undefined): boolean =>
  before === undefined || opens(before) || /^[-+*/%<>=&|^:,]+$/.test(before.image) || keywords.has(before.image);
