/** The grammar of expressions, loosest first; schedules, statements and items build on it (schedule-parser.ts, item-parser.ts). */
import "./group-by.ts";
import { EOF, type IToken, MismatchedTokenException } from "chevrotain";
import type * as ast from "./ast.ts";
import * as t from "./tokens.ts";
import { nothing, TypeParser } from "./type-parser.ts";

const reductions = new Set(["sum", "prod", "max", "min", "mean", "argmax", "argmin", "logsumexp", "all", "any", "unique"]);
const sweeps = new Set(["softmax", "cumsum", "scan"]);
const newAxes = new Set(["topk", "compact", "group"]);
const scalarWords = new Set("f64 f32 f16 bf16 f8e4m3 f8e5m2 i32 u32 i16 u16 i8 u8 i4 u4 u3 u2 bool int".split(" "));

const missing = (): ast.Expr => ({ kind: "missing", span: nothing });

export class ExpressionParser extends TypeParser {
  // ---- expressions, loosest first
  protected readonly rightHandSide = this.RULE(
    "rightHandSide",
    (): ast.Expr =>
      this.chooseByGate<ast.Expr>(0, [
        {
          GATE: () => newAxes.has(this.LA(1).image) && this.is(1, t.Identifier) && this.is(2, t.LParen),
          ALT: () => this.SUBRULE(this.newAxis),
        },
        { ALT: () => this.SUBRULE(this.expression) },
      ]),
    { recoveryValueFunc: missing },
  );
  protected readonly newAxis = this.RULE("newAxis", (): ast.Expr => {
    const start = this.here();
    const op = this.CONSUME(t.Identifier).image;
    this.CONSUME(t.LParen);
    const binders: ast.Binder[] = [this.SUBRULE(this.binder)];
    this.MANY({
      GATE: () => this.is(1, t.Comma) && op === "group",
      DEF: () => {
        this.CONSUME(t.Comma);
        binders.push(this.SUBRULE2(this.binder));
      },
    });
    const where = this.OPTION(() => {
      this.CONSUME(t.Where);
      return this.SUBRULE(this.expression);
    });
    const key = this.OPTION2(() => {
      this.CONSUME(t.By);
      return this.SUBRULE2(this.expression);
    });
    const count = this.OPTION3(() => {
      this.CONSUME2(t.Comma);
      return this.SUBRULE3(this.expression);
    });
    const end = this.LA(1);
    this.CONSUME(t.RParen);
    const after = this.LA(1);
    const body = this.OPTION4({ GATE: () => op === "topk", DEF: () => this.SUBRULE(this.product) });
    const span = this.from(start);
    if (op === "compact") return { kind: "compact", binder: binders[0]!, where: this.needed(where, "Where", end), span };
    if (op === "group") return { kind: "group", binders, key: this.needed(key, "By", end), count: this.needed(count, "Comma", end), span };
    const parts = { count: this.needed(count, "Comma", end), body: this.needed(body, "Expression", after) };
    return { kind: "topk", binder: binders[0]!, ...(where ? { where } : {}), ...parts, span };
  });
  /** A part that the grammar leaves open and a form does not; `found` stands where its first token would. */
  private needed(part: ast.Expr | undefined, token: string, found: IToken): ast.Expr {
    if (part === undefined)
      this.errors = [...this.errors, new MismatchedTokenException(`Expecting token of type --> ${token} <--`, found, this.LA(0))];
    return part ?? missing();
  }

  protected readonly expression: (idx?: number) => ast.Expr = this.RULE(
    "expression",
    (): ast.Expr =>
      this.choose<ast.Expr>(0, [
        {
          ALT: () => {
            const start = this.here();
            this.CONSUME(t.Let);
            const name = this.id();
            this.CONSUME(t.Equals);
            const value = this.SUBRULE(this.expression);
            this.CONSUME(t.In);
            const body = this.SUBRULE2(this.expression);
            return { kind: "let", name, value, body, span: this.from(start) };
          },
        },
        { ALT: () => this.SUBRULE(this.otherwise) },
      ]),
    { recoveryValueFunc: missing },
  ) as (idx?: number) => ast.Expr;
  protected readonly otherwise = this.RULE("otherwise", (): ast.Expr => {
    const start = this.here();
    let value = this.SUBRULE(this.choice);
    this.MANY(() => {
      this.CONSUME(t.Else);
      const other = this.SUBRULE2(this.choice);
      const held = value;
      value = { kind: "else", value: held, other, span: this.from(start) };
    });
    return value;
  });
  protected readonly choice = this.RULE(
    "choice",
    (): ast.Expr =>
      this.choose<ast.Expr>(0, [
        {
          ALT: () => {
            const start = this.here();
            this.CONSUME(t.If);
            const cond = this.SUBRULE(this.disjunction);
            this.CONSUME(t.Then);
            const then = this.SUBRULE(this.choice);
            this.CONSUME(t.Else);
            const other = this.SUBRULE2(this.choice);
            return { kind: "if", cond, then, else: other, span: this.from(start) };
          },
        },
        { ALT: () => this.SUBRULE2(this.disjunction) },
      ]),
  );
  protected binary(start: number, op: string, lhs: ast.Expr, rhs: ast.Expr): ast.Expr {
    return { kind: "binary", op: op as ast.BinaryOperator, lhs, rhs, span: this.from(start) };
  }
  protected readonly disjunction = this.RULE("disjunction", (): ast.Expr => {
    const start = this.here();
    let lhs = this.SUBRULE(this.conjunction);
    this.MANY(() => {
      this.CONSUME(t.OrOr);
      lhs = this.binary(start, "||", lhs, this.SUBRULE2(this.conjunction));
    });
    return lhs;
  });
  protected readonly conjunction = this.RULE("conjunction", (): ast.Expr => {
    const start = this.here();
    let lhs = this.SUBRULE(this.comparison);
    this.MANY(() => {
      this.CONSUME(t.AndAnd);
      lhs = this.binary(start, "&&", lhs, this.SUBRULE2(this.comparison));
    });
    return lhs;
  });
  protected readonly comparison = this.RULE("comparison", (): ast.Expr => {
    const start = this.here();
    let lhs = this.SUBRULE(this.bits);
    this.OPTION(() => {
      const op = this.CONSUME(t.Comparison).image;
      lhs = this.binary(start, op, lhs, this.SUBRULE2(this.bits));
    });
    return lhs;
  });
  protected readonly bits = this.RULE("bits", (): ast.Expr => {
    const start = this.here();
    let lhs = this.SUBRULE(this.shift);
    const kind = this.LA(1).image;
    this.MANY({
      GATE: () => this.LA(1).image === kind,
      DEF: () => {
        const op = this.CONSUME(t.Bitwise).image;
        lhs = this.binary(start, op, lhs, this.SUBRULE2(this.shift));
      },
    });
    return lhs;
  });
  protected readonly shift = this.RULE("shift", (): ast.Expr => {
    const start = this.here();
    let lhs = this.SUBRULE(this.sum);
    this.OPTION(() => {
      const op = this.CONSUME(t.ShiftOp).image;
      lhs = this.binary(start, op, lhs, this.SUBRULE2(this.sum));
    });
    return lhs;
  });
  protected readonly sum: (idx?: number) => ast.Expr = this.RULE(
    "sum",
    (): ast.Expr => {
      const start = this.here();
      let lhs = this.SUBRULE(this.product);
      this.MANY(() => {
        const op = this.CONSUME(t.Additive).image;
        lhs = this.binary(start, op, lhs, this.SUBRULE2(this.product));
      });
      return lhs;
    },
    { recoveryValueFunc: missing },
  ) as (idx?: number) => ast.Expr;
  protected readonly product: (idx?: number) => ast.Expr = this.RULE("product", (): ast.Expr => {
    const start = this.here();
    let lhs = this.SUBRULE(this.unary);
    this.MANY(() => {
      const op = this.CONSUME(t.Multiplicative).image;
      lhs = this.binary(start, op, lhs, this.SUBRULE2(this.unary));
    });
    return lhs;
  }) as (idx?: number) => ast.Expr;
  protected readonly unary: (idx?: number) => ast.Expr = this.RULE("unary", (): ast.Expr => {
    const start = this.here();
    return this.choose<ast.Expr>(0, [
      {
        ALT: () => {
          const op = this.choose(2, [
            { ALT: () => this.CONSUME(t.Minus) },
            { ALT: () => this.CONSUME(t.Bang) },
            { ALT: () => this.CONSUME(t.Tilde) },
          ]).image;
          const arg = this.SUBRULE(this.unary);
          return { kind: "unary", op: op as ast.UnaryOperator, arg, span: this.from(start) };
        },
      },
      { GATE: () => this.startsReduction(), ALT: () => this.SUBRULE(this.reduction) },
      { ALT: () => this.SUBRULE(this.postfix) },
    ]);
  }) as (idx?: number) => ast.Expr;

  /** Rule 1: after the bracket that closes `max(...)` an operand makes it a reduction, anything else a call. */
  protected startsReduction(): boolean {
    const image = this.LA(1).image;
    if (!this.is(1, t.Identifier, t.MonoidWord)) return false;
    if (this.LA(1).tokenType === t.MonoidWord) return true;
    if ((!reductions.has(image) && !sweeps.has(image)) || !this.is(2, t.LParen)) return false;
    let depth = 0;
    for (let k = 2; ; k++) {
      const token = this.LA(k);
      if (token.tokenType === EOF) return false;
      if (token.tokenType === t.LParen || token.tokenType === t.LSquare) depth++;
      if (token.tokenType === t.RParen || token.tokenType === t.RSquare) depth--;
      if (depth === 0)
        return this.is(
          k + 1,
          t.Identifier,
          t.Integer,
          t.Float,
          t.LParen,
          t.Relax,
          t.Bitcast,
          t.IndexWord,
          t.True,
          t.False,
          t.MonoidWord,
          t.Bang,
        );
    }
  }
  protected readonly reduction = this.RULE("reduction", (): ast.Expr => {
    const start = this.here();
    const word = this.choose(0, [{ ALT: () => this.CONSUME(t.MonoidWord) }, { ALT: () => this.CONSUME(t.Identifier) }]);
    const op = this.name(word);
    const monoid = this.OPTION({ GATE: () => word.tokenType === t.MonoidWord, DEF: () => this.name(this.CONSUME2(t.Identifier)) });
    const sweep = sweeps.has(op.text);
    this.CONSUME(t.LParen);
    const binders: ast.Binder[] = [];
    let reverse = false;
    this.AT_LEAST_ONE_SEP({
      SEP: t.Comma,
      DEF: () => {
        this.choose(2, [
          {
            GATE: () => sweep && this.LA(1).tokenType === t.Reverse,
            ALT: () => {
              this.CONSUME(t.Reverse);
              reverse = true;
            },
          },
          { ALT: () => void binders.push(this.SUBRULE(this.binder)) },
        ]);
      },
    });
    const where = this.OPTION2(() => {
      this.CONSUME(t.Where);
      return this.SUBRULE(this.expression);
    });
    this.CONSUME(t.RParen);
    const logical = op.text === "all" || op.text === "any";
    const body = this.chooseByGate(3, [
      { GATE: () => logical, ALT: () => this.SUBRULE(this.comparison) },
      { ALT: () => this.SUBRULE(this.product) },
    ]);
    const span = this.from(start);
    if (sweep) {
      const names = binders.map((b) => b.name);
      const by = op.text === "scan" ? names.pop() : undefined;
      return { kind: "sweep", op, ...(by ? { monoid: by } : {}), indices: names, reverse, body, span };
    }
    return { kind: "reduce", op, ...(monoid ? { monoid } : {}), binders, ...(where ? { where } : {}), body, span };
  });

  protected readonly postfix = this.RULE("postfix", (): ast.Expr => {
    const start = this.here();
    let base = this.SUBRULE(this.primary);
    this.MANY(() => {
      this.CONSUME(t.Dot);
      const field = this.id();
      const held = base;
      base = { kind: "member", base: held, field, span: this.from(start) };
    });
    return base;
  });
  protected readonly args = this.RULE("args", () => {
    const items: (ast.Expr | undefined)[] = [];
    this.MANY(() => {
      items.push(
        this.chooseByGate<ast.Expr | undefined>(0, [
          { GATE: () => this.LA(1).image === "_", ALT: () => void this.CONSUME(t.Identifier) },
          { ALT: () => this.SUBRULE(this.expression) },
        ]),
      );
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    return items;
  });
  protected readonly castMode = this.RULE("castMode", (): ast.CastMode => {
    this.CONSUME(t.Comma);
    const name = this.id();
    const bits = this.OPTION(() => {
      this.CONSUME(t.Colon);
      return this.SUBRULE(this.expression);
    });
    return { name, ...(bits ? { bits } : {}) };
  });
  /** `T(x, stochastic: r)`: only a conversion has an argument with a colon. */
  protected hasMode(): boolean {
    return (
      this.is(1, t.Comma) &&
      this.is(2, t.Identifier) &&
      (this.is(3, t.Colon) || (this.is(3, t.RParen) && ["toward_zero", "nearest"].includes(this.LA(2).image)))
    );
  }
  protected readonly primary: (idx?: number) => ast.Expr = this.RULE(
    "primary",
    (): ast.Expr => {
      const start = this.here();
      return this.choose<ast.Expr>(0, [
        {
          ALT: () => {
            const image = this.CONSUME(t.Float).image;
            return { kind: "number", value: Number(image), float: true, span: this.from(start) };
          },
        },
        {
          ALT: () => {
            const image = this.CONSUME(t.Integer).image;
            return { kind: "number", value: Number(image), float: false, span: this.from(start) };
          },
        },
        { ALT: () => (this.CONSUME(t.True), { kind: "bool", value: true, span: this.from(start) }) },
        { ALT: () => (this.CONSUME(t.False), { kind: "bool", value: false, span: this.from(start) }) },
        {
          ALT: () => {
            const word = this.choose(2, [{ ALT: () => this.CONSUME(t.Relax) }, { ALT: () => this.CONSUME(t.Bitcast) }]);
            this.CONSUME(t.Less);
            const to = this.SUBRULE(this.scalarType);
            this.CONSUME(t.Greater);
            this.CONSUME(t.LParen);
            const arg = this.SUBRULE(this.expression);
            this.CONSUME(t.RParen);
            return { kind: word.tokenType === t.Relax ? "relax" : "bitcast", to, arg, span: this.from(start) };
          },
        },
        {
          ALT: () => {
            this.CONSUME2(t.LParen);
            const items: ast.Expr[] = [];
            this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => items.push(this.SUBRULE2(this.expression)) });
            this.CONSUME2(t.RParen);
            return items.length === 1 ? items[0]! : { kind: "tuple", items, span: this.from(start) };
          },
        },
        {
          ALT: () => {
            const to = this.choose<ast.ScalarType>(3, [
              { GATE: () => scalarWords.has(this.LA(1).image), ALT: () => this.SUBRULE2(this.scalarType) },
              { ALT: () => this.SUBRULE3(this.indexType) },
            ]);
            this.CONSUME3(t.LParen);
            const arg = this.SUBRULE3(this.expression);
            const mode = this.OPTION({ GATE: () => this.hasMode(), DEF: () => this.SUBRULE(this.castMode) });
            this.CONSUME3(t.RParen);
            return { kind: "cast", to, arg, ...(mode ? { mode } : {}), span: this.from(start) };
          },
          GATE: () => this.is(1, t.IndexWord) || scalarWords.has(this.LA(1).image),
        },
        {
          ALT: () => {
            const name = this.id();
            const applied = this.OPTION4(() =>
              this.choose<ast.Expr>(4, [
                {
                  ALT: () => {
                    this.CONSUME(t.LSquare);
                    const args = this.SUBRULE(this.args);
                    this.CONSUME(t.RSquare);
                    return { kind: "index", base: name, args, span: this.from(start) };
                  },
                },
                {
                  ALT: () => {
                    this.CONSUME4(t.LParen);
                    const args: ast.Expr[] = [];
                    this.MANY({
                      GATE: () => !this.is(1, t.RParen),
                      DEF: () => {
                        args.push(this.SUBRULE4(this.expression));
                        this.OPTION2({ GATE: () => !this.hasMode(), DEF: () => this.CONSUME(t.Comma) });
                      },
                    });
                    const mode = this.OPTION3({ GATE: () => this.hasMode(), DEF: () => this.SUBRULE2(this.castMode) });
                    this.CONSUME4(t.RParen);
                    return { kind: "call", callee: name, args, ...(mode ? { mode } : {}), span: this.from(start) };
                  },
                },
              ]),
            );
            return applied ?? { kind: "name", name: name.text, span: name.span };
          },
        },
      ]);
    },
    { recoveryValueFunc: missing },
  ) as (idx?: number) => ast.Expr;
}
