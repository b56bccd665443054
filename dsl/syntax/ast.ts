/** The syntax tree: what was written, with places, before any name is resolved. */
import type { Span } from "../diagnostics.ts";

export interface Name {
  readonly text: string;
  readonly span: Span;
}

export type BinaryOperator =
  | "+"
  | "-"
  | "*"
  | "/"
  | "%"
  | "<<"
  | ">>"
  | "&"
  | "|"
  | "^"
  | "<"
  | "<="
  | ">"
  | ">="
  | "=="
  | "!="
  | "&&"
  | "||";
export type UnaryOperator = "-" | "!" | "~";

interface Node {
  readonly span: Span;
}
export type Expr =
  | (Node & { readonly kind: "number"; readonly value: number; readonly float: boolean })
  | (Node & { readonly kind: "bool"; readonly value: boolean })
  | (Node & { readonly kind: "name"; readonly name: string })
  | (Node & { readonly kind: "unary"; readonly op: UnaryOperator; readonly arg: Expr })
  | (Node & { readonly kind: "binary"; readonly op: BinaryOperator; readonly lhs: Expr; readonly rhs: Expr })
  | (Node & { readonly kind: "if"; readonly cond: Expr; readonly then: Expr; readonly else: Expr })
  /** `a else b`: a where it is defined, otherwise b. */
  | (Node & { readonly kind: "else"; readonly value: Expr; readonly other: Expr })
  | (Node & { readonly kind: "let"; readonly name: Name; readonly value: Expr; readonly body: Expr })
  | (Node & { readonly kind: "index"; readonly base: Name; readonly args: readonly (Expr | undefined)[] })
  | (Node & { readonly kind: "call"; readonly callee: Name; readonly args: readonly Expr[]; readonly mode?: CastMode })
  | (Node & { readonly kind: "cast"; readonly to: ScalarType; readonly arg: Expr; readonly mode?: CastMode })
  | (Node & { readonly kind: "relax"; readonly to: ScalarType; readonly arg: Expr })
  | (Node & { readonly kind: "bitcast"; readonly to: ScalarType; readonly arg: Expr })
  | (Node & { readonly kind: "member"; readonly base: Expr; readonly field: Name })
  | (Node & { readonly kind: "tuple"; readonly items: readonly Expr[] })
  | (Node & {
      readonly kind: "reduce";
      readonly op: Name;
      readonly monoid?: Name;
      readonly binders: readonly Binder[];
      readonly where?: Expr;
      readonly body: Expr;
    })
  | (Node & {
      readonly kind: "sweep";
      readonly op: Name;
      readonly monoid?: Name;
      readonly indices: readonly Name[];
      readonly reverse: boolean;
      readonly body: Expr;
    })
  | (Node & { readonly kind: "topk"; readonly binder: Binder; readonly where?: Expr; readonly count: Expr; readonly body: Expr })
  | (Node & { readonly kind: "compact"; readonly binder: Binder; readonly where: Expr })
  | (Node & { readonly kind: "group"; readonly binders: readonly Binder[]; readonly key: Expr; readonly count: Expr })
  /** What recovery leaves where nothing could be read. */
  | (Node & { readonly kind: "missing" });

/** How a conversion rounds: `stochastic: r` with u32 bits r, or a named direction. */
export interface CastMode {
  readonly name: Name;
  readonly bits?: Expr;
}

/** `j`, `j: N` (extent), `j in a..b` (restriction). */
export interface Binder {
  readonly name: Name;
  readonly extent?: Expr;
  readonly range?: { readonly from: Expr; readonly to: Expr };
}

export interface ScalarType {
  readonly name: string;
  /** The bound of `index<N>` and `offsets<N>`; `open` for `offsets<..N>`. */
  readonly bound?: Expr;
  readonly open?: boolean;
  readonly span: Span;
}
export interface Type {
  readonly scalar: ScalarType;
  /** undefined: a scalar passed by value; empty: a device scalar. */
  readonly axes?: readonly { readonly name?: Name; readonly extent: Expr | undefined }[];
  readonly span: Span;
}

/** One argument of a left-hand side: an index, or any expression where the place is computed. */
export interface Place {
  readonly expr: Expr;
  readonly extent?: Expr;
  readonly range?: { readonly from: Expr; readonly to: Expr };
}
export interface Lhs {
  /** undefined: `_`, a result that is dropped. */
  readonly name?: Name;
  readonly storage?: ScalarType;
  readonly places: readonly Place[];
  readonly subscripted: boolean;
  readonly where?: Expr;
  readonly span: Span;
}
export type Statement =
  | { readonly kind: "let"; readonly results: readonly Lhs[]; readonly value: Expr; readonly span: Span }
  | { readonly kind: "assign"; readonly op: "=" | ":=" | "+="; readonly results: readonly Lhs[]; readonly value: Expr; readonly span: Span }
  | {
      readonly kind: "fold";
      readonly binder: Binder;
      readonly where?: Expr;
      readonly states: readonly { readonly lhs: Lhs; readonly value: Expr }[];
      readonly body: readonly Statement[];
      readonly nexts: readonly { readonly lhs: Lhs; readonly value: Expr }[];
      readonly emits: readonly { readonly lhs: Lhs; readonly value: Expr }[];
      readonly span: Span;
    };

export type Generic =
  | { readonly kind: "type"; readonly name: Name; readonly class: Name }
  | { readonly kind: "const"; readonly name: Name; readonly type: ScalarType }
  | { readonly kind: "fn"; readonly name: Name; readonly params: readonly FnParam[]; readonly result: Type };

export interface FnParam {
  readonly name: Name;
  readonly type: Type;
}
export interface Parameter {
  readonly name: Name;
  readonly inout: boolean;
  readonly type: Type;
  readonly layout?: LayoutUse;
  readonly onlyIf?: Expr;
  readonly where?: Expr;
}
export interface Output {
  readonly name: Name;
  readonly type: Type;
  readonly layout?: LayoutUse;
  readonly where?: Expr;
}
export interface Kernel {
  readonly kind: "kernel";
  readonly doc: string;
  readonly name: Name;
  readonly generics: readonly Generic[];
  readonly dims: readonly { readonly name: Name; readonly static: boolean }[];
  readonly params: readonly Parameter[];
  readonly outputs: readonly Output[];
  readonly where: readonly Expr[];
  readonly body: readonly Statement[];
  /** Names that statements with syntax errors define. */
  readonly broken?: readonly string[];
  readonly span: Span;
}
export interface Fn {
  readonly kind: "fn";
  readonly name: Name;
  readonly dims: readonly Name[];
  readonly params: readonly FnParam[];
  readonly results: readonly Type[];
  readonly body: readonly Statement[];
  readonly returns: readonly Expr[];
  readonly span: Span;
}
export interface Monoid {
  readonly kind: "monoid";
  readonly name: Name;
  readonly fields: readonly { readonly name: Name; readonly type: ScalarType }[];
  readonly commutative: boolean;
  readonly identity: Expr;
  readonly left: Name;
  readonly right: Name;
  readonly combine: Expr;
  readonly span: Span;
}
export interface Instance {
  readonly kind: "instance";
  readonly kernel: Name;
  readonly entries: readonly { readonly name: Name; readonly values: readonly Expr[] }[];
  readonly span: Span;
}
export interface DirectiveItem {
  readonly expr: Expr;
  readonly values?: readonly Expr[];
  readonly in?: Name;
  readonly within?: Name;
  readonly by?: Expr;
}
export interface Directive {
  readonly name: Name;
  readonly items: readonly DirectiveItem[];
  readonly span: Span;
}
export interface Schedule {
  readonly kind: "schedule";
  /** Own name, where it has one: `schedule decode of attention`. */
  readonly name?: Name;
  readonly kernel: Name;
  readonly target: Name;
  readonly arch?: Name;
  readonly features: readonly Name[];
  readonly where?: Expr;
  readonly auto: boolean;
  readonly directives: readonly Directive[];
  readonly span: Span;
}
/** A layout by name, or a built-in form with its arguments. */
export interface LayoutUse {
  readonly name: Name;
  readonly items?: readonly DirectiveItem[];
  readonly span: Span;
}
export interface Layout {
  readonly kind: "layout";
  readonly name: Name;
  readonly dims: readonly Name[];
  readonly indices: readonly Name[];
  readonly word: Expr;
  readonly bit: Expr;
  readonly span: Span;
}
export type Item = Kernel | Fn | Monoid | Instance | Schedule | Layout;
export interface SourceFile {
  readonly items: readonly Item[];
}
