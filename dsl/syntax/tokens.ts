/** Tokens, and the rule by which newlines end statements (docs/language.md, "Lines"). */
import "./group-by.ts";
import { createToken, type IToken, Lexer, type TokenType } from "chevrotain";
import type { Diagnostics, Span } from "../diagnostics.ts";

const all: TokenType[] = [];
const token = (name: string, pattern: RegExp | string, more: object = {}): TokenType => {
  const t = createToken({ name, pattern, ...more });
  all.push(t);
  return t;
};
export const Identifier = createToken({ name: "Identifier", pattern: /[A-Za-z_][A-Za-z0-9_]*/ });
const keyword = (word: string): TokenType => token(word, word, { longer_alt: Identifier });
/** A word that means something in one place only and is an ordinary name elsewhere. */
const contextual = (word: string): TokenType => token(word, word, { longer_alt: Identifier, categories: [Identifier] });

export const DocComment = token("DocComment", /\/\/\/[^\n]*/, { line_breaks: false });
token("Comment", /\/\/[^\n]*/, { group: "comments" });
token("Blank", /[ \t\r]+/, { group: Lexer.SKIPPED });
export const Newline = token("Newline", /\n/, { line_breaks: true });

export const Kernel = keyword("kernel");
export const Fn = keyword("fn");
export const MonoidWord = keyword("monoid");
export const Schedule = keyword("schedule");
export const Instance = keyword("instance");
export const Layout = keyword("layout");
export const Let = keyword("let");
export const Where = keyword("where");
export const If = keyword("if");
export const Then = keyword("then");
export const Else = keyword("else");
export const Inout = keyword("inout");
// A word stands before those that are its prefixes.
export const IndexWord = keyword("index");
export const In = keyword("in");
export const OffsetsWord = keyword("offsets");
export const Relax = keyword("relax");
export const Bitcast = keyword("bitcast");
export const Fold = keyword("fold");
export const Static = keyword("static");
export const Const = keyword("const");
export const Return = keyword("return");
export const True = keyword("true");
export const False = keyword("false");
export const State = contextual("state");
export const Next = contextual("next");
export const Emit = contextual("emit");
export const Identity = contextual("identity");
export const Combine = contextual("combine");
export const Commutative = contextual("commutative");
export const By = contextual("by");
export const Of = contextual("of");
export const On = contextual("on");
export const Within = contextual("within");
export const With = contextual("with");
export const Auto = contextual("auto");
export const Reverse = contextual("reverse");
all.push(Identifier);

export const Float = token("Float", /\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+/);
export const Integer = token("Integer", /0[xX][0-9a-fA-F]+|\d+/);
export const DotDot = token("DotDot", "..");
export const Dot = token("Dot", ".");
export const Assign = token("Assign", ":=");
export const PlusAssign = token("PlusAssign", "+=");
export const Arrow = token("Arrow", "->");
export const Semicolon = token("Semicolon", ";");
export const Colon = token("Colon", ":");
export const Comma = token("Comma", ",");
export const LParen = token("LParen", "(");
export const RParen = token("RParen", ")");
export const LSquare = token("LSquare", "[");
export const RSquare = token("RSquare", "]");
export const LCurly = token("LCurly", "{");
export const RCurly = token("RCurly", "}");

export const AndAnd = token("AndAnd", "&&");
export const OrOr = token("OrOr", "||");
const Operator = createToken({ name: "Operator", pattern: Lexer.NA });
const operator = (name: string, text: string, ...categories: TokenType[]) => token(name, text, { categories: [...categories, Operator] });
export const Comparison = createToken({ name: "Comparison", pattern: Lexer.NA });
export const ShiftOp = createToken({ name: "ShiftOp", pattern: Lexer.NA });
export const Multiplicative = createToken({ name: "Multiplicative", pattern: Lexer.NA });
export const Additive = createToken({ name: "Additive", pattern: Lexer.NA });
export const Bitwise = createToken({ name: "Bitwise", pattern: Lexer.NA });
operator("ShiftLeft", "<<", ShiftOp);
operator("ShiftRight", ">>", ShiftOp);
operator("LessEqual", "<=", Comparison);
operator("GreaterEqual", ">=", Comparison);
operator("EqualEqual", "==", Comparison);
operator("NotEqual", "!=", Comparison);
export const Less = operator("Less", "<", Comparison);
export const Greater = operator("Greater", ">", Comparison);
export const Equals = token("Equals", "=");
export const Plus = operator("Plus", "+", Additive);
export const Minus = operator("Minus", "-", Additive);
operator("Star", "*", Multiplicative);
operator("Slash", "/", Multiplicative);
operator("Percent", "%", Multiplicative);
operator("Ampersand", "&", Bitwise);
export const Pipe = operator("Pipe", "|", Bitwise);
operator("Caret", "^", Bitwise);
export const Bang = token("Bang", "!");
export const Tilde = token("Tilde", "~");

export const vocabulary: TokenType[] = [...all, Operator, Comparison, ShiftOp, Multiplicative, Additive, Bitwise];
const lexer = new Lexer(vocabulary, { ensureOptimizations: false, positionTracking: "onlyOffset" });

/** A line goes on after one of these, and one that starts with it continues the one before. */
const joins = [Equals, Assign, PlusAssign, Arrow, Colon, DotDot, AndAnd, OrOr, Where, Then, Else, In, Dot, Comma];
/** After one of these a line goes on. */
const opens = new Set<TokenType>([...joins, Bang, Tilde, If, Let]);
/** A line that starts with one of these continues the one before. */
const continues = new Set<TokenType>([...joins, LCurly, RParen, RSquare]);
const isOperator = (t: IToken): boolean => t.tokenType.CATEGORIES?.includes(Operator) ?? false;

export interface Comment {
  readonly text: string;
  readonly span: Span;
}
export interface Tokens {
  readonly tokens: IToken[];
  readonly comments: Comment[];
}

export function tokenize(text: string, diagnostics: Diagnostics): Tokens {
  const result = lexer.tokenize(text);
  for (const e of result.errors) {
    const bad = text.slice(e.offset, e.offset + e.length);
    diagnostics.add("W001", { start: e.offset, end: e.offset + e.length }, `\`${bad}\` is not part of the language`);
  }
  const comments = (result.groups["comments"] ?? []).map((t) => ({
    text: t.image,
    span: { start: t.startOffset, end: t.startOffset + t.image.length },
  }));
  const docs = result.tokens.filter((t) => t.tokenType === DocComment);
  for (const t of docs) comments.push({ text: t.image, span: { start: t.startOffset, end: t.startOffset + t.image.length } });
  comments.sort((a, b) => a.span.start - b.span.start);
  return { tokens: dropNewlines(result.tokens.filter((t) => t.tokenType !== DocComment)), comments };
}

/** Keeps only the newlines that end something. */
function dropNewlines(tokens: readonly IToken[]): IToken[] {
  const out: IToken[] = [];
  const brackets: TokenType[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const t = tokens[i]!;
    if (t.tokenType === Newline) {
      const before = out.at(-1);
      let n = i + 1;
      while (tokens[n]?.tokenType === Newline) n++;
      const after = tokens[n];
      const inside = brackets.length > 0 && brackets.at(-1) !== LCurly;
      if (inside || !before || before.tokenType === Newline || opens.has(before.tokenType) || isOperator(before)) continue;
      if (after && (continues.has(after.tokenType) || isOperator(after))) continue;
      out.push(t);
      continue;
    }
    if (t.tokenType === LParen || t.tokenType === LSquare || t.tokenType === LCurly) brackets.push(t.tokenType);
    if (t.tokenType === RParen || t.tokenType === RSquare || t.tokenType === RCurly) brackets.pop();
    out.push(t);
  }
  return out;
}
