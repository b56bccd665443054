/** The grammar of types and of indices with their ranges, and where a rule stands in the text; expressions build on it (expression-parser.ts). */
import "./group-by.ts";
import { EmbeddedActionsParser, type IToken, type TokenType } from "chevrotain";
import type { Span } from "../diagnostics.ts";
import type * as ast from "./ast.ts";
import * as t from "./tokens.ts";

export const nothing: Span = { start: 0, end: 0 };

export abstract class TypeParser extends EmbeddedActionsParser {
  /** What extents and bounds are. */
  protected abstract readonly sum: (idx?: number) => ast.Expr;

  // ---- places
  protected from(start: number): Span {
    const last = this.LA(0);
    const end = last?.startOffset >= 0 ? last.startOffset + last.image.length : start;
    return { start, end: Math.max(end, start) };
  }
  protected here(): number {
    const next = this.LA(1);
    return next.startOffset >= 0 ? next.startOffset : this.from(0).end;
  }
  protected name(token: IToken): ast.Name {
    return { text: token.image ?? "", span: { start: token.startOffset ?? 0, end: (token.startOffset ?? 0) + (token.image?.length ?? 0) } };
  }
  protected choose<T>(occurrence: number, alternatives: { GATE?: () => boolean; ALT: () => T }[]): T {
    return this.or(occurrence, alternatives) as T;
  }
  /** The same where gates decide, and each alternative but the last has one: paths of several tokens would take long to prepare, and decide nothing. */
  protected chooseByGate<T>(occurrence: number, alternatives: { GATE?: () => boolean; ALT: () => T }[]): T {
    return this.or(occurrence, { DEF: alternatives, MAX_LOOKAHEAD: 1 }) as T;
  }
  protected id(): ast.Name {
    return this.name(this.CONSUME(t.Identifier));
  }
  protected is(k: number, ...types: TokenType[]): boolean {
    const token = this.LA(k).tokenType;
    return types.some((x) => token === x || (token.CATEGORIES?.includes(x) ?? false));
  }
  protected lines(): void {
    this.MANY9({
      GATE: () => this.is(1, t.Newline, t.Semicolon),
      DEF: () => this.choose(9, [{ ALT: () => this.CONSUME9(t.Newline) }, { ALT: () => this.CONSUME9(t.Semicolon) }]),
    });
  }

  // ---- types
  protected readonly scalarType = this.RULE(
    "scalarType",
    (): ast.ScalarType => {
      const start = this.here();
      return this.choose<ast.ScalarType>(0, [
        {
          ALT: () => this.SUBRULE(this.indexType),
        },
        {
          ALT: () => {
            this.CONSUME(t.OffsetsWord);
            this.CONSUME(t.Less);
            const open = this.OPTION(() => this.CONSUME(t.DotDot)) !== undefined;
            const bound = this.SUBRULE(this.sum);
            this.CONSUME(t.Greater);
            return { name: "offsets", bound, open, span: this.from(start) };
          },
        },
        {
          ALT: () => {
            const name = this.CONSUME(t.Identifier);
            return { name: name.image, span: this.from(start) };
          },
        },
      ]);
    },
    { recoveryValueFunc: () => ({ name: "f32", span: nothing }) },
  );
  protected readonly type = this.RULE(
    "type",
    (): ast.Type => {
      const start = this.here();
      const scalar = this.SUBRULE(this.scalarType);
      const axes: { name?: ast.Name; extent: ast.Expr | undefined }[] = [];
      const tensor = this.OPTION(() => {
        this.CONSUME(t.LSquare);
        this.MANY({
          DEF: () => {
            const name = this.OPTION2({
              GATE: () => this.is(2, t.Colon),
              DEF: () => {
                const n = this.name(this.CONSUME(t.Identifier));
                this.CONSUME(t.Colon);
                return n;
              },
            });
            const extent = this.SUBRULE(this.sum);
            axes.push({ ...(name ? { name } : {}), extent });
            this.OPTION3(() => this.CONSUME(t.Comma));
          },
        });
        return this.CONSUME(t.RSquare);
      });
      return { scalar, ...(tensor ? { axes } : {}), span: this.from(start) };
    },
    { recoveryValueFunc: () => ({ scalar: { name: "f32", span: nothing }, span: nothing }) },
  );
  protected readonly range = this.RULE("range", () => {
    this.CONSUME(t.In);
    const from = this.SUBRULE(this.sum);
    this.CONSUME(t.DotDot);
    return { from, to: this.SUBRULE2(this.sum) };
  });
  protected readonly binder = this.RULE("binder", (): ast.Binder => {
    const name = this.id();
    const extent = this.OPTION(() => {
      this.CONSUME(t.Colon);
      return this.SUBRULE(this.sum);
    });
    const range = this.OPTION2(() => this.SUBRULE(this.range));
    return { name, ...(extent ? { extent } : {}), ...(range ? { range } : {}) };
  });
  protected readonly indexType = this.RULE("indexType", (): ast.ScalarType => {
    const start = this.here();
    this.CONSUME(t.IndexWord);
    this.CONSUME(t.Less);
    const bound = this.SUBRULE(this.sum);
    this.CONSUME(t.Greater);
    return { name: "index", bound, span: this.from(start) };
  });
}
