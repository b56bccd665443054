/** The grammar of what says how: instances, schedules, and layouts, declared and used (docs/language.md). */
import type * as ast from "./ast.ts";
import { ExpressionParser } from "./expression-parser.ts";
import * as t from "./tokens.ts";

export class ScheduleParser extends ExpressionParser {
  protected readonly newlines = this.RULE("newlines", () => this.lines());
  protected readonly instance = this.RULE(
    "instance",
    (): ast.Instance => {
      const start = this.here();
      this.CONSUME(t.Instance);
      const kernel = this.id();
      const entries: { name: ast.Name; values: ast.Expr[] }[] = [];
      this.CONSUME(t.LCurly);
      this.SUBRULE(this.newlines);
      this.MANY(() => {
        const name = this.name(this.CONSUME2(t.Identifier));
        this.CONSUME(t.Colon);
        const values: ast.Expr[] = [];
        this.AT_LEAST_ONE_SEP({ SEP: t.Pipe, DEF: () => values.push(this.SUBRULE(this.value)) });
        entries.push({ name, values });
        this.OPTION(() => this.CONSUME(t.Comma));
        this.SUBRULE2(this.newlines);
      });
      this.CONSUME(t.RCurly);
      return { kind: "instance", kernel, entries, span: this.from(start) };
    },
    { recoveryValueFunc: () => undefined as unknown as ast.Instance },
  );
  /** A value in an instance or a directive: a number, a bool, or a name. */
  private readonly value = this.RULE("value", (): ast.Expr => {
    const start = this.here();
    return this.choose<ast.Expr>(0, [
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
          const image = this.CONSUME(t.Identifier).image;
          return { kind: "name", name: image, span: this.from(start) };
        },
      },
    ]);
  });
  protected readonly schedule = this.RULE(
    "schedule",
    (): ast.Schedule => {
      const start = this.here();
      this.CONSUME(t.Schedule);
      const first = this.id();
      const of = this.OPTION(() => {
        this.CONSUME(t.Of);
        return this.name(this.CONSUME2(t.Identifier));
      });
      this.CONSUME(t.On);
      const target = this.name(this.CONSUME3(t.Identifier));
      const arch = this.OPTION2({ GATE: () => !this.is(1, t.With, t.Auto), DEF: () => this.name(this.CONSUME4(t.Identifier)) });
      const features: ast.Name[] = [];
      this.OPTION3(() => {
        this.CONSUME(t.With);
        this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => features.push(this.name(this.CONSUME5(t.Identifier))) });
      });
      const where = this.OPTION4(() => {
        this.CONSUME(t.Where);
        return this.SUBRULE(this.expression);
      });
      const directives: ast.Directive[] = [];
      const auto = this.choose<boolean>(0, [
        { ALT: () => (this.CONSUME(t.Auto), true) },
        {
          ALT: () => {
            this.CONSUME(t.LCurly);
            this.SUBRULE(this.newlines);
            this.MANY(() => {
              const d = this.SUBRULE(this.directive);
              if (d) directives.push(d);
              this.SUBRULE2(this.newlines);
            });
            this.CONSUME(t.RCurly);
            return false;
          },
        },
      ]);
      return {
        kind: "schedule",
        ...(of ? { name: first } : {}),
        kernel: of ?? first,
        target,
        ...(arch ? { arch } : {}),
        features,
        ...(where ? { where } : {}),
        auto,
        directives,
        span: this.from(start),
      };
    },
    { recoveryValueFunc: () => undefined as unknown as ast.Schedule },
  );
  private readonly directive = this.RULE(
    "directive",
    (): ast.Directive | undefined => {
      const start = this.here();
      const name = this.id();
      const items: ast.DirectiveItem[] = [];
      this.MANY({
        GATE: () => !this.is(1, t.Newline, t.Semicolon, t.RCurly),
        DEF: () => {
          items.push(this.SUBRULE(this.directiveItem));
          this.OPTION(() => this.CONSUME(t.Comma));
        },
      });
      return { name, items, span: this.from(start) };
    },
    { recoveryValueFunc: () => undefined },
  );
  private readonly directiveItem = this.RULE("directiveItem", (): ast.DirectiveItem => {
    const expr = this.SUBRULE(this.comparison);
    const values = this.OPTION(() => {
      this.CONSUME(t.Colon);
      const list: ast.Expr[] = [];
      this.choose(0, [
        {
          ALT: () => {
            this.CONSUME(t.LCurly);
            this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => list.push(this.SUBRULE(this.value)) });
            this.CONSUME(t.RCurly);
          },
        },
        { ALT: () => list.push(this.SUBRULE2(this.value)) },
      ]);
      return list;
    });
    const place = this.OPTION2(() => {
      this.CONSUME(t.In);
      return this.name(this.CONSUME(t.Identifier));
    });
    const within = this.OPTION3(() => {
      this.CONSUME(t.Within);
      return this.name(this.CONSUME2(t.Identifier));
    });
    const by = this.OPTION4(() => {
      this.CONSUME(t.By);
      return this.SUBRULE(this.expression);
    });
    return { expr, ...(values ? { values } : {}), ...(place ? { in: place } : {}), ...(within ? { within } : {}), ...(by ? { by } : {}) };
  });
  protected readonly layout = this.RULE(
    "layout",
    (): ast.Layout => {
      const start = this.here();
      this.CONSUME(t.Layout);
      const name = this.id();
      const dims: ast.Name[] = [];
      const indices: ast.Name[] = [];
      this.CONSUME(t.LSquare);
      this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => dims.push(this.name(this.CONSUME2(t.Identifier))) });
      this.CONSUME(t.RSquare);
      this.CONSUME(t.LParen);
      this.AT_LEAST_ONE_SEP2({ SEP: t.Comma, DEF: () => indices.push(this.name(this.CONSUME3(t.Identifier))) });
      this.CONSUME(t.RParen);
      this.CONSUME(t.Equals);
      this.CONSUME2(t.LParen);
      this.CONSUME4(t.Identifier);
      this.CONSUME(t.Colon);
      const word = this.SUBRULE(this.sum);
      this.CONSUME(t.Comma);
      this.CONSUME5(t.Identifier);
      this.CONSUME2(t.Colon);
      const bit = this.SUBRULE2(this.sum);
      this.CONSUME2(t.RParen);
      return { kind: "layout", name, dims, indices, word, bit, span: this.from(start) };
    },
    { recoveryValueFunc: () => undefined as unknown as ast.Layout },
  );
  /** `layout NAME`, or a built-in form: `layout packed(k, 8)`, `layout paged(j, 16 by page)`. */
  protected readonly layoutUse = this.RULE("layoutUse", (): ast.LayoutUse => {
    const start = this.here();
    this.CONSUME(t.Layout);
    const name = this.id();
    const items = this.OPTION(() => {
      const list: ast.DirectiveItem[] = [];
      this.CONSUME(t.LParen);
      this.MANY_SEP({ SEP: t.Comma, DEF: () => list.push(this.SUBRULE(this.directiveItem)) });
      this.CONSUME(t.RParen);
      return list;
    });
    return { name, ...(items ? { items } : {}), span: this.from(start) };
  });
}
