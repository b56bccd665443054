/**
 * Tensor IR: what a kernel computes. Typed, total, without memory and without order. It is what checking produces, what the
 * reference interpreter runs, and what the compiler starts from.
 *
 * Meaning of an expression at a point: a value, or *undefined* (a hole of a partial tensor). A strict operation is undefined where an
 * operand is; `else`, `if`, `&&`, `||` and reductions say below what they do with holes. Undefined is not NaN.
 */
import type { Span } from "../diagnostics.ts";
import type { Compute, ElemType } from "./types.ts";

export interface Axis {
  readonly name: string;
  /** Size of the axis: the index runs over 0 <= index < extent. */
  readonly extent: Expr;
  /** A restriction of the index, possibly dependent on data: from <= index < to. */
  readonly range?: { readonly from: Expr; readonly to: Expr };
}

interface Node {
  readonly type: Compute;
  readonly span: Span;
}

export type Expr =
  | (Node & { readonly kind: "const"; readonly value: number | boolean })
  /** A dimension; a static one is replaced by its number when an instance is compiled. */
  | (Node & { readonly kind: "dim"; readonly name: string })
  /** A parameter passed by value. */
  | (Node & { readonly kind: "scalar"; readonly name: string })
  | (Node & { readonly kind: "index"; readonly name: string })
  /** The value that an enclosing `let` bound. */
  | (Node & { readonly kind: "var"; readonly name: string })
  /** An element of a parameter (at entry, if inout), definition or output; widened. Undefined outside the tensor's domain. */
  | (Node & { readonly kind: "read"; readonly tensor: string; readonly subscripts: readonly Expr[] })
  | (Node & { readonly kind: "op"; readonly op: Op; readonly args: readonly Expr[] })
  /** Rounds to `to` on every target, then widens again. */
  | (Node & {
      readonly kind: "cast";
      readonly to: ElemType;
      readonly mode: "nearest" | "toward_zero" | "stochastic";
      readonly bits?: Expr;
      readonly arg: Expr;
    })
  /** `arg`; a target may hold it in `to` at this place. */
  | (Node & { readonly kind: "relax"; readonly to: ElemType; readonly arg: Expr })
  | (Node & { readonly kind: "bitcast"; readonly arg: Expr })
  /** Only the chosen branch is evaluated. */
  | (Node & { readonly kind: "if"; readonly cond: Expr; readonly then: Expr; readonly else: Expr })
  /** `value` where it is defined, otherwise `other`. */
  | (Node & { readonly kind: "else"; readonly value: Expr; readonly other: Expr })
  | (Node & { readonly kind: "let"; readonly name: string; readonly value: Expr; readonly body: Expr })
  /**
   * Folds `bodies` over all points of `axes` (lexicographic order) where `where` holds and the bodies are defined. Over no point: sum 0,
   * prod 1, all true, any false, a monoid its identity; max, min, mean, argmax, argmin, logsumexp are undefined.
   */
  | (Node & {
      readonly kind: "reduce";
      readonly op: ReduceOp;
      readonly axes: readonly Axis[];
      readonly where?: Expr;
      readonly bodies: readonly Expr[];
      readonly monoid?: Monoid;
      /** Which component of the result, for a monoid of several. */
      readonly component: number;
    })
  /**
   * At the point where it stands: softmax, inclusive prefix sum or prefix combine of `bodies` along the indices in `over`, the others held.
   * Defined where the bodies are. `over` has the axes as their definition or reduction gave them, `where` its condition.
   */
  | (Node & {
      readonly kind: "sweep";
      readonly op: "softmax" | "cumsum" | "scan";
      readonly over: readonly Axis[];
      readonly where?: Expr;
      readonly reverse: boolean;
      readonly bodies: readonly Expr[];
      readonly monoid?: Monoid;
      readonly component: number;
    })
  /** The r with table[r] <= arg < table[r + 1]; the largest such r. Undefined outside table[0] .. table[R]. */
  | (Node & { readonly kind: "segment"; readonly table: string; readonly arg: Expr })
  /** True where `arg` is defined; itself always defined. Made by domain analysis, never written. */
  | (Node & { readonly kind: "defined"; readonly arg: Expr });

export type ReduceOp = "sum" | "prod" | "max" | "min" | "mean" | "argmax" | "argmin" | "logsumexp" | "all" | "any" | "monoid";

/** Scalar operations; their meaning for each compute type is in `interpret/scalar.ts`. */
export type Op =
  /** Of the exact algebra alone (exact.ts): G^x, the inverse, and an opaque function by number. */
  | "exact_exp"
  | "exact_inv"
  | "exact_hash"
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "mod"
  | "neg"
  | "shl"
  | "shr"
  | "and"
  | "or"
  | "xor"
  | "not"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "eq"
  | "ne"
  | "land"
  | "lor"
  | "lnot"
  | "min"
  | "max"
  | "abs"
  | "sign"
  | "floor"
  | "ceil"
  | "trunc"
  | "round"
  | "clamp"
  | "exp"
  | "exp2"
  | "expm1"
  | "log"
  | "log2"
  | "log1p"
  | "sqrt"
  | "rsqrt"
  | "tanh"
  | "sigmoid"
  | "sin"
  | "cos"
  | "erf"
  | "pow"
  | "isfinite"
  | "random"
  | "uniform"
  | "normal"
  | "to_f32"
  | "to_f64"
  | "to_i32"
  | "to_u32"
  | "to_int";

/** A user's monoid: an associative `combine` with an `identity`, over tuples. */
export interface Monoid {
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly type: Compute }[];
  readonly commutative: boolean;
  readonly identity: readonly Expr[];
  /** Over the vars `x.NAME` and `y.NAME`. */
  readonly combine: readonly Expr[];
  /** How a field takes many elements at once, where that is known of all: what lies between a monoid and the sums it was derived from. */
  readonly held?: readonly HeldField[];
}
/**
 * A field that is a plain reduction of its body, or a sum of body * scale(exponent, centre): `centre` is a field that is the maximum of the
 * exponents, and `scale` an expression of the vars `from` and `to`. `relax`: the scale may be held in that type.
 */
export type HeldField =
  | { readonly kind: "plain"; readonly op: "sum" | "prod" | "max" | "min" | "any" | "all" }
  | { readonly kind: "centred"; readonly centre: number; readonly scale: Expr; readonly relax?: ElemType };

export type Statement = Define | NewAxis | Write | Fold;

/** A tensor, defined at a point of `axes` exactly where `where` holds and `value` is defined. Stored values are rounded to `storage`. */
export interface Define {
  readonly kind: "define";
  readonly name: string;
  readonly axes: readonly Axis[];
  readonly where?: Expr;
  readonly storage?: ElemType;
  readonly value: Expr;
  readonly output: boolean;
  readonly span: Span;
}
export interface Result {
  /** undefined: dropped. */
  readonly name?: string;
  readonly axes: readonly Axis[];
  readonly elem: ElemType;
  readonly output: boolean;
}
/**
 * topk: `results` (values, indices), each over the outer axes and a rank r < count; larger first, ties to the lower index, NaN last; defined
 * where r < |S|. compact: (count, kept), increasing. group: (start, order), a stable counting sort of the tuples of `over` by `body`.
 */
export interface NewAxis {
  readonly kind: "topk" | "compact" | "group";
  readonly results: readonly Result[];
  readonly outer: readonly Axis[];
  readonly over: readonly Axis[];
  readonly where?: Expr;
  readonly count?: Expr;
  readonly body?: Expr;
  readonly span: Span;
}
/**
 * `set`: tensor[subscripts] = value for all points of `axes` where `where` holds; all reads see the tensor as it was at entry.
 * `add`: tensor[subscripts] accumulates in increasing (lexicographic) order of the points, in the compute type, and is narrowed once.
 */
export interface Write {
  readonly kind: "write";
  readonly tensor: string;
  readonly mode: "set" | "add";
  readonly axes: readonly Axis[];
  readonly where?: Expr;
  readonly subscripts: readonly Expr[];
  readonly value: Expr;
  readonly span: Span;
}
/** For step = 0, 1, ..: the body reads the current states, then all `next` are assigned at once; where one is undefined its state stays. */
export interface Fold {
  readonly kind: "fold";
  readonly axis: Axis;
  readonly where?: Expr;
  readonly states: readonly {
    readonly name: string;
    readonly axes: readonly Axis[];
    readonly storage?: ElemType;
    readonly type: Compute;
    readonly init: Expr;
  }[];
  readonly body: readonly Statement[];
  readonly nexts: readonly { readonly state: string; readonly axes: readonly Axis[]; readonly where?: Expr; readonly value: Expr }[];
  readonly emits: readonly Define[];
  readonly span: Span;
}

/** Where an element of a packed tensor lies: u32 word and bit within it, over the vars named in `indices`. */
export interface MemoryLayout {
  readonly name: string;
  /** What `place` calls the subscripts. */
  readonly indices: readonly string[];
  /** The element's position in memory, counted in elements; it may read a table of pages. */
  readonly place: Expr;
  /** Element positions in all. */
  readonly places: Expr;
}
export interface Param {
  readonly name: string;
  readonly role: "in" | "inout";
  readonly elem: ElemType;
  /** undefined: passed by value; empty: a device scalar. */
  readonly axes?: readonly Axis[];
  readonly where?: Expr;
  readonly layout?: MemoryLayout;
  readonly span: Span;
}
export interface Output {
  readonly name: string;
  readonly elem: ElemType;
  readonly axes: readonly Axis[];
  readonly where?: Expr;
  readonly layout?: MemoryLayout;
  readonly span: Span;
}
/** `where unique(t where c) (a, b)`, possibly under `all(b)`: the tuples are distinct. */
export interface Unique {
  readonly outer: readonly Axis[];
  readonly axes: readonly Axis[];
  readonly where?: Expr;
  readonly keys: readonly Expr[];
  readonly span: Span;
}
export interface Program {
  readonly kernel: string;
  readonly doc: string;
  /** What the instance bound: types by name, static dimensions, constants, functions. */
  readonly binding: Readonly<Record<string, string | number | boolean>>;
  readonly dims: readonly { readonly name: string; readonly value?: number }[];
  readonly params: readonly Param[];
  readonly outputs: readonly Output[];
  /** Preconditions: bool expressions over dimensions, scalars and (under `all`) data. */
  readonly requires: readonly Expr[];
  readonly unique: readonly Unique[];
  readonly statements: readonly Statement[];
  readonly span: Span;
}

/** Functions of one float that a machine approximates. */
export const specialFunctions = [
  "exp",
  "exp2",
  "expm1",
  "log",
  "log2",
  "log1p",
  "sqrt",
  "rsqrt",
  "tanh",
  "sigmoid",
  "sin",
  "cos",
  "erf",
] as const satisfies readonly Op[];
