/** What names mean while a kernel is checked. */
import type { Code, Diagnostics, Span } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { and, baseName, isTrue } from "../tensor/expr.ts";
import type { Axis, Define, Expr, Monoid } from "../tensor/ir.ts";
import type { Compute, ElemType, Storage } from "../tensor/types.ts";
import { domainOf, rangeCondition, type TensorDomain } from "./domain.ts";
import type { Facts, Formula, TableType } from "./facts.ts";
import { Prover } from "./prove.ts";

export interface TensorInfo {
  readonly name: string;
  readonly kind: "param" | "definition" | "output" | "state";
  /** The type of a read. */
  readonly type: Compute;
  /** As stored, where it is stored in a type of its own. */
  readonly elem?: ElemType;
  readonly axes: readonly Axis[];
  readonly inout?: boolean;
  readonly span: Span;
}

/** A tensor argument of a fn: a tensor with some subscripts given, the rest open. */
export interface View {
  readonly tensor: TensorInfo;
  readonly subscripts: readonly (Expr | undefined)[];
}

/** An index in scope, with the condition of the definition or reduction that binds it. */
export interface BoundIndex {
  readonly axis: Axis;
  readonly where?: Expr;
}

export interface Scope {
  /** By the name in the text; inside a fn the axis has a name of its own. */
  readonly indices: ReadonlyMap<string, BoundIndex>;
  /** `let` names, fn parameters and monoid operands. */
  readonly vars: ReadonlyMap<string, Expr>;
  readonly views: ReadonlyMap<string, View>;
  /** Dimensions of the fn whose body this is. */
  readonly dims: ReadonlyMap<string, Expr>;
  /** True inside a fn or monoid, where the kernel's tensors are not visible. */
  readonly closed: boolean;
}
export const emptyScope: Scope = { indices: new Map(), vars: new Map(), views: new Map(), dims: new Map(), closed: false };

export function withIndices(scope: Scope, axes: readonly Axis[], where?: Expr): Scope {
  const indices = new Map(scope.indices);
  for (const axis of axes) indices.set(baseName(axis.name), { axis, ...(where ? { where } : {}) });
  return { ...scope, indices };
}
export const withVar = (scope: Scope, name: string, value: Expr): Scope => ({ ...scope, vars: new Map(scope.vars).set(name, value) });

/** What an instance binds: types, constants and functions by name, and the static dimensions. */
export interface Binding {
  readonly types: ReadonlyMap<string, Storage>;
  readonly dims: ReadonlyMap<string, number>;
  readonly consts: ReadonlyMap<string, boolean | number>;
  readonly fns: ReadonlyMap<string, string>;
}

/** The items of a file by name. */
export interface Declarations {
  readonly kernels: ReadonlyMap<string, ast.Kernel>;
  readonly fns: ReadonlyMap<string, ast.Fn>;
  readonly monoids: ReadonlyMap<string, ast.Monoid>;
  readonly layouts: ReadonlyMap<string, ast.Layout>;
}

/** Everything that checking one instance of one kernel shares. */
export class Context {
  readonly dims = new Map<string, { readonly value?: number; readonly span: Span }>();
  readonly scalars = new Map<string, { readonly elem: ElemType; readonly span: Span }>();
  readonly tensors = new Map<string, TensorInfo>();
  readonly domains = new Map<string, TensorDomain>();
  readonly tables = new Map<string, TableType>();
  /** Every name that the text of the kernel gives to a tensor: what fns make must not take one. */
  readonly taken = new Set<string>();
  /** Names of parameters that this instance leaves out (`b: f32[N] if bias`). */
  readonly absent = new Set<string>();
  readonly monoids = new Map<string, Monoid>();
  readonly requires: Expr[] = [];
  readonly formulas = new Map<string, Formula>();
  readonly used = new Set<string>();
  /** Definitions with errors of their own: what follows from them is not reported. */
  readonly poisoned = new Set<string>();
  readonly binding: Binding;
  readonly declarations: Declarations;
  private readonly diagnostics: Diagnostics;

  constructor(binding: Binding, declarations: Declarations, diagnostics: Diagnostics) {
    this.binding = binding;
    this.declarations = declarations;
    this.diagnostics = diagnostics;
  }
  report(code: Code, span: Span, message: string, more: { help?: string; notes?: { span?: Span; text: string }[] } = {}): void {
    this.diagnostics.add(code, span, message, more);
  }
  warn(code: Code, span: Span, message: string, help?: string): void {
    this.diagnostics.add(code, span, message, { severity: "warning", ...(help ? { help } : {}) });
  }
  /** Number of errors so far: whether a step added some. */
  get errors(): number {
    return this.diagnostics.list.length;
  }
  define(info: TensorInfo, domain: Expr | undefined): void {
    this.tensors.set(info.name, info);
    this.domains.set(info.name, { axes: info.axes, domain });
    if (info.elem) this.tables.set(info.name, { elem: info.elem, extents: info.axes.map((a) => a.extent) });
    else if (info.type !== "f32" && info.type !== "f64")
      this.tables.set(info.name, {
        elem: { name: info.type === "bool" ? "bool" : info.type === "u32" ? "u32" : "i32" },
        extents: info.axes.map((a) => a.extent),
      });
  }
  /** Definitions that fns make: they stand before the statement that calls. */
  readonly hoisted: Define[] = [];
  hoist(d: Define): void {
    const own = and(rangeCondition(d.axes, this.domains), d.where, domainOf(d.value, this.domains));
    this.define({ name: d.name, kind: "definition", type: d.value.type, axes: d.axes, span: d.span }, isTrue(own) ? undefined : own);
    this.used.add(d.name);
    this.hoisted.push(d);
  }
  facts(axes: readonly Axis[], conditions: readonly Expr[]): Facts {
    return {
      dims: [...this.dims].map(([name, d]) => ({ name, ...(d.value === undefined ? {} : { value: d.value }) })),
      tables: this.tables,
      axes,
      conditions: [...this.requires, ...conditions],
      formulas: this.formulas,
    };
  }
  prover(axes: readonly Axis[] = [], conditions: readonly Expr[] = []): Prover {
    return new Prover(this.facts(axes, conditions));
  }
}
