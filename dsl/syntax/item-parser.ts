/** The grammar of files: items, statements, and what stands around the expressions in them (docs/language.md). */
import "./group-by.ts";
import { EOF } from "chevrotain";
import type * as ast from "./ast.ts";
import { ScheduleParser } from "./schedule-parser.ts";
import * as t from "./tokens.ts";

export class ItemParser extends ScheduleParser {
  constructor() {
    super(t.vocabulary, { recoveryEnabled: true, maxLookahead: 3, skipValidations: true });
    this.performSelfAnalysis();
  }

  // ---- files and items
  readonly file = this.RULE("file", (): ast.SourceFile => {
    const items: ast.Item[] = [];
    this.lines();
    this.MANY({
      DEF: () => {
        const item = this.SUBRULE(this.item);
        if (item) items.push(item);
        this.SUBRULE(this.newlines);
      },
    });
    return { items };
  });
  private readonly item = this.RULE(
    "item",
    (): ast.Item | undefined =>
      this.choose<ast.Item | undefined>(0, [
        { ALT: () => this.SUBRULE(this.kernel) },
        { ALT: () => this.SUBRULE(this.fn) },
        { ALT: () => this.SUBRULE(this.monoid) },
        { ALT: () => this.SUBRULE(this.instance) },
        { ALT: () => this.SUBRULE(this.schedule) },
        { ALT: () => this.SUBRULE(this.layout) },
      ]),
    { recoveryValueFunc: () => undefined },
  );

  private readonly kernel = this.RULE(
    "kernel",
    (): ast.Kernel => {
      const start = this.here();
      this.CONSUME(t.Kernel);
      const name = this.id();
      const generics: ast.Generic[] = [];
      this.OPTION(() => {
        this.CONSUME(t.Less);
        this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => generics.push(this.SUBRULE(this.generic)) });
        this.CONSUME(t.Greater);
      });
      const dims: { name: ast.Name; static: boolean }[] = [];
      this.OPTION2(() => {
        this.CONSUME(t.LSquare);
        this.MANY_SEP({
          SEP: t.Comma,
          DEF: () => {
            const dim = this.name(this.CONSUME2(t.Identifier));
            const fixed = this.OPTION3(() => {
              this.CONSUME(t.Colon);
              return this.CONSUME(t.Static);
            });
            dims.push({ name: dim, static: fixed !== undefined });
          },
        });
        this.CONSUME(t.RSquare);
      });
      const params: ast.Parameter[] = [];
      this.CONSUME(t.LParen);
      this.MANY2({
        DEF: () => {
          const p = this.SUBRULE(this.parameter);
          if (p) params.push(p);
          this.OPTION4(() => this.CONSUME2(t.Comma));
        },
      });
      this.CONSUME(t.RParen);
      const outputs: ast.Output[] = [];
      this.OPTION5(() => {
        this.CONSUME(t.Arrow);
        this.CONSUME2(t.LParen);
        this.MANY3({
          DEF: () => {
            const o = this.SUBRULE(this.output);
            if (o) outputs.push(o);
            this.OPTION6(() => this.CONSUME3(t.Comma));
          },
        });
        this.CONSUME2(t.RParen);
      });
      const where: ast.Expr[] = [];
      this.OPTION7(() => {
        this.CONSUME(t.Where);
        this.AT_LEAST_ONE_SEP2({ SEP: t.Comma, DEF: () => where.push(this.SUBRULE(this.expression)) });
      });
      const body = this.SUBRULE(this.block) ?? [];
      return { kind: "kernel", doc: "", name, generics, dims, params, outputs, where, body, span: this.from(start) };
    },
    { recoveryValueFunc: () => undefined as unknown as ast.Kernel },
  );
  private readonly generic = this.RULE(
    "generic",
    (): ast.Generic =>
      this.choose<ast.Generic>(0, [
        {
          ALT: () => {
            this.CONSUME(t.Const);
            const name = this.name(this.CONSUME(t.Identifier));
            this.CONSUME(t.Colon);
            return { kind: "const", name, type: this.SUBRULE(this.scalarType) };
          },
        },
        {
          ALT: () => {
            this.CONSUME(t.Fn);
            const name = this.name(this.CONSUME2(t.Identifier));
            const params = this.SUBRULE(this.fnParams);
            this.CONSUME(t.Arrow);
            return { kind: "fn", name, params, result: this.SUBRULE(this.type) };
          },
        },
        {
          ALT: () => {
            const name = this.name(this.CONSUME3(t.Identifier));
            this.CONSUME2(t.Colon);
            return { kind: "type", name, class: this.name(this.CONSUME4(t.Identifier)) };
          },
        },
      ]),
  );
  private readonly parameter = this.RULE(
    "parameter",
    (): ast.Parameter | undefined => {
      const inout = this.OPTION(() => this.CONSUME(t.Inout)) !== undefined;
      const name = this.id();
      this.CONSUME(t.Colon);
      const type = this.SUBRULE(this.type);
      const layout = this.OPTION2(() => this.SUBRULE(this.layoutUse));
      const onlyIf = this.OPTION3(() => {
        this.CONSUME(t.If);
        return this.SUBRULE(this.expression);
      });
      const where = this.OPTION4(() => {
        this.CONSUME(t.Where);
        return this.SUBRULE2(this.expression);
      });
      return { name, inout, type, ...(layout ? { layout } : {}), ...(onlyIf ? { onlyIf } : {}), ...(where ? { where } : {}) };
    },
    { recoveryValueFunc: () => undefined },
  );
  private readonly output = this.RULE(
    "output",
    (): ast.Output | undefined => {
      const name = this.id();
      this.CONSUME(t.Colon);
      const type = this.SUBRULE(this.type);
      const layout = this.OPTION(() => this.SUBRULE(this.layoutUse));
      const where = this.OPTION2(() => {
        this.CONSUME(t.Where);
        return this.SUBRULE(this.expression);
      });
      return { name, type, ...(layout ? { layout } : {}), ...(where ? { where } : {}) };
    },
    { recoveryValueFunc: () => undefined },
  );

  // ---- statements
  private readonly block = this.RULE(
    "block",
    (): ast.Statement[] => {
      const out: ast.Statement[] = [];
      this.CONSUME(t.LCurly);
      this.SUBRULE(this.newlines);
      this.MANY({
        GATE: () => !this.is(1, t.RCurly, t.Return, EOF),
        DEF: () => {
          const s = this.SUBRULE(this.statement);
          if (s) out.push(s);
          this.SUBRULE2(this.newlines);
        },
      });
      this.CONSUME(t.RCurly);
      return out;
    },
    { recoveryValueFunc: () => [] },
  );
  private readonly statement = this.RULE(
    "statement",
    (): ast.Statement | undefined =>
      this.choose<ast.Statement | undefined>(0, [
        {
          ALT: () => {
            const start = this.here();
            this.CONSUME(t.Let);
            const results = this.SUBRULE(this.results);
            this.CONSUME(t.Equals);
            const value = this.SUBRULE(this.rightHandSide);
            return { kind: "let", results, value, span: this.from(start) };
          },
        },
        { ALT: () => this.SUBRULE(this.fold) },
        {
          ALT: () => {
            const start = this.here();
            const results = this.SUBRULE2(this.results);
            const op = this.choose<"=" | ":=" | "+=">(2, [
              { ALT: () => (this.CONSUME2(t.Equals), "=" as const) },
              { ALT: () => (this.CONSUME(t.Assign), ":=" as const) },
              { ALT: () => (this.CONSUME(t.PlusAssign), "+=" as const) },
            ]);
            const value = this.SUBRULE2(this.rightHandSide);
            return { kind: "assign", op, results, value, span: this.from(start) };
          },
        },
      ]),
    { recoveryValueFunc: () => undefined },
  );
  private readonly results = this.RULE(
    "results",
    (): ast.Lhs[] => {
      const out: ast.Lhs[] = [];
      this.choose(0, [
        {
          ALT: () => {
            this.CONSUME(t.LParen);
            this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => out.push(this.SUBRULE(this.lhs)) });
            this.CONSUME(t.RParen);
          },
        },
        { ALT: () => void out.push(this.SUBRULE2(this.lhs)) },
      ]);
      return out;
    },
    { recoveryValueFunc: () => [] },
  );
  private readonly lhs = this.RULE(
    "lhs",
    (): ast.Lhs => {
      const start = this.here();
      const name = this.id();
      const storage = this.OPTION(() => {
        this.CONSUME(t.Colon);
        return this.SUBRULE(this.scalarType);
      });
      const places: ast.Place[] = [];
      const subscripted = this.OPTION2(() => {
        this.CONSUME(t.LSquare);
        this.MANY({
          DEF: () => {
            places.push(this.SUBRULE(this.place));
            this.OPTION3(() => this.CONSUME(t.Comma));
          },
        });
        return this.CONSUME(t.RSquare);
      });
      const where = this.OPTION4(() => {
        this.CONSUME(t.Where);
        return this.SUBRULE(this.expression);
      });
      return {
        ...(name.text === "_" ? {} : { name }),
        ...(storage ? { storage } : {}),
        places,
        subscripted: subscripted !== undefined,
        ...(where ? { where } : {}),
        span: this.from(start),
      };
    },
    { recoveryValueFunc: () => undefined as unknown as ast.Lhs },
  );
  private readonly place = this.RULE("place", (): ast.Place => {
    const expr = this.SUBRULE(this.sum);
    const extent = this.OPTION(() => {
      this.CONSUME(t.Colon);
      return this.SUBRULE2(this.sum);
    });
    const range = this.OPTION2(() => this.SUBRULE(this.range));
    return { expr, ...(extent ? { extent } : {}), ...(range ? { range } : {}) };
  });
  private readonly fold = this.RULE(
    "fold",
    (): ast.Statement => {
      const start = this.here();
      this.CONSUME(t.Fold);
      const binder = this.SUBRULE(this.binder);
      const where = this.OPTION(() => {
        this.CONSUME(t.Where);
        return this.SUBRULE(this.expression);
      });
      const states: { lhs: ast.Lhs; value: ast.Expr }[] = [];
      const nexts: { lhs: ast.Lhs; value: ast.Expr }[] = [];
      const emits: { lhs: ast.Lhs; value: ast.Expr }[] = [];
      const body: ast.Statement[] = [];
      this.CONSUME(t.LCurly);
      this.SUBRULE(this.newlines);
      this.MANY({
        GATE: () => !this.is(1, t.RCurly, EOF),
        DEF: () => {
          this.chooseByGate(0, [
            { GATE: () => this.is(1, t.State) && this.is(2, t.Identifier), ALT: () => void states.push(this.SUBRULE(this.part)) },
            { GATE: () => this.is(1, t.Next) && this.is(2, t.Identifier), ALT: () => void nexts.push(this.SUBRULE2(this.part)) },
            { GATE: () => this.is(1, t.Emit) && this.is(2, t.Identifier), ALT: () => void emits.push(this.SUBRULE3(this.part)) },
            {
              ALT: () => {
                const s = this.SUBRULE(this.statement);
                if (s) body.push(s);
              },
            },
          ]);
          this.SUBRULE2(this.newlines);
        },
      });
      this.CONSUME(t.RCurly);
      return { kind: "fold", binder, ...(where ? { where } : {}), states, body, nexts, emits, span: this.from(start) };
    },
    { recoveryValueFunc: () => undefined as unknown as ast.Statement },
  );
  private readonly part = this.RULE("part", () => {
    this.CONSUME(t.Identifier);
    const lhs = this.SUBRULE(this.lhs);
    this.CONSUME(t.Equals);
    return { lhs, value: this.SUBRULE(this.rightHandSide) };
  });

  // ---- fn, monoid
  private readonly fnParams = this.RULE("fnParams", (): ast.FnParam[] => {
    const params: ast.FnParam[] = [];
    this.CONSUME(t.LParen);
    this.MANY(() => {
      const name = this.id();
      this.CONSUME(t.Colon);
      params.push({ name, type: this.SUBRULE(this.type) });
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
    return params;
  });
  private readonly fn = this.RULE(
    "fn",
    (): ast.Fn => {
      const start = this.here();
      this.CONSUME(t.Fn);
      const name = this.id();
      const dims: ast.Name[] = [];
      this.OPTION(() => {
        this.CONSUME(t.LSquare);
        this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => dims.push(this.name(this.CONSUME2(t.Identifier))) });
        this.CONSUME(t.RSquare);
      });
      const params = this.SUBRULE(this.fnParams);
      this.CONSUME(t.Arrow);
      const results: ast.Type[] = [];
      this.choose(0, [
        {
          ALT: () => {
            this.CONSUME(t.LParen);
            this.AT_LEAST_ONE_SEP2({ SEP: t.Comma, DEF: () => results.push(this.SUBRULE(this.type)) });
            this.CONSUME(t.RParen);
          },
        },
        { ALT: () => results.push(this.SUBRULE2(this.type)) },
      ]);
      const body: ast.Statement[] = [];
      const returns: ast.Expr[] = [];
      this.choose(2, [
        {
          ALT: () => {
            this.CONSUME(t.Equals);
            returns.push(this.SUBRULE(this.expression));
          },
        },
        {
          ALT: () => {
            this.CONSUME(t.LCurly);
            this.SUBRULE(this.newlines);
            this.MANY({
              GATE: () => !this.is(1, t.Return, t.RCurly),
              DEF: () => {
                const s = this.SUBRULE(this.statement);
                if (s) body.push(s);
                this.SUBRULE2(this.newlines);
              },
            });
            this.CONSUME(t.Return);
            this.AT_LEAST_ONE_SEP3({ SEP: t.Comma, DEF: () => returns.push(this.SUBRULE2(this.expression)) });
            this.SUBRULE3(this.newlines);
            this.CONSUME(t.RCurly);
          },
        },
      ]);
      return { kind: "fn", name, dims, params, results, body, returns, span: this.from(start) };
    },
    { recoveryValueFunc: () => undefined as unknown as ast.Fn },
  );
  private readonly monoid = this.RULE(
    "monoid",
    (): ast.Monoid => {
      const start = this.here();
      this.CONSUME(t.MonoidWord);
      const name = this.id();
      const fields: { name: ast.Name; type: ast.ScalarType }[] = [];
      this.CONSUME(t.LParen);
      this.AT_LEAST_ONE_SEP({
        SEP: t.Comma,
        DEF: () => {
          const field = this.name(this.CONSUME2(t.Identifier));
          this.CONSUME(t.Colon);
          fields.push({ name: field, type: this.SUBRULE(this.scalarType) });
        },
      });
      this.CONSUME(t.RParen);
      const commutative = this.OPTION(() => this.CONSUME(t.Commutative)) !== undefined;
      this.CONSUME(t.LCurly);
      this.SUBRULE(this.newlines);
      this.CONSUME(t.Identity);
      const identity = this.SUBRULE(this.expression);
      this.SUBRULE2(this.newlines);
      this.CONSUME(t.Combine);
      this.CONSUME2(t.LParen);
      const left = this.name(this.CONSUME3(t.Identifier));
      this.CONSUME(t.Comma);
      const right = this.name(this.CONSUME4(t.Identifier));
      this.CONSUME2(t.RParen);
      this.CONSUME(t.Equals);
      const combine = this.SUBRULE2(this.expression);
      this.SUBRULE3(this.newlines);
      this.CONSUME(t.RCurly);
      return { kind: "monoid", name, fields, commutative, identity, left, right, combine, span: this.from(start) };
    },
    { recoveryValueFunc: () => undefined as unknown as ast.Monoid },
  );
}
