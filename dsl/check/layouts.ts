/**
 * Memory layouts: where an element of a tensor lies, as a position in elements, lowest bits first in words of 32. Declared ones name the word
 * and the bit; the built-in forms are `strides`, `blocked`, `packed`, `swizzled` and `paged` (docs/language.md, "Layouts").
 */
import type { Span } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { add, indexVar, mul, num, op, product, sub, substitute } from "../tensor/expr.ts";
import type { Axis, Expr, MemoryLayout } from "../tensor/ir.ts";
import { printElem } from "../tensor/print.ts";
import { type ElemType, storage } from "../tensor/types.ts";
import type { ExpressionChecker } from "./expressions.ts";
import { nearest } from "./functions.ts";
import { layoutFault } from "./layout-fault.ts";
import type { Obligations } from "./obligations.ts";
import { type Context, emptyScope, type Scope, withIndices } from "./scope.ts";

const div = (a: Expr, b: Expr): Expr => op("div", [a, b], "int");
const mod = (a: Expr, b: Expr): Expr => op("mod", [a, b], "int");
const ceil = (a: Expr, b: Expr): Expr => div(add(a, sub(b, num(1))), b);
const sum = (parts: readonly Expr[]): Expr => parts.reduce(add, num(0));

/** A tensor that asks for a layout. */
export interface Laid {
  readonly name: string;
  readonly axes: readonly Axis[];
  readonly elem: ElemType;
  readonly written: boolean;
}
interface Placed {
  readonly place: Expr;
  readonly places: Expr;
}
/** A form that cannot be what was written. */
class Refused extends Error {
  readonly span: Span;
  readonly help: string | undefined;
  constructor(span: Span, message: string, help?: string) {
    super(message);
    this.span = span;
    this.help = help;
  }
}
const forms = ["strides", "blocked", "packed", "swizzled", "paged"] as const;
const isForm = (name: string): name is (typeof forms)[number] => (forms as readonly string[]).includes(name);

export class LayoutChecker {
  private readonly context: Context;
  private readonly expressions: ExpressionChecker;
  private readonly obligations: Obligations;
  /** Tables that `unique(..) table[..]` says hold distinct values. */
  private readonly distinct: ReadonlySet<string>;

  constructor(context: Context, expressions: ExpressionChecker, obligations: Obligations, distinct: ReadonlySet<string>) {
    this.context = context;
    this.expressions = expressions;
    this.obligations = obligations;
    this.distinct = distinct;
  }

  /** The layout that `use` gives to a tensor; undefined, and reported (W503, W505), where there is none. */
  of(use: ast.LayoutUse, t: Laid): MemoryLayout | undefined {
    try {
      if (t.elem.name === "offsets" || t.elem.name === "index")
        throw new Refused(use.span, `${printElem(t.elem)} steers subscripts and lies row-major`);
      if (t.elem.name === "f64") throw new Refused(use.span, "a layout places elements in words of 32 bits; f64 fills two");
      const name = use.name.text;
      // Names of their own, so that no dimension or parameter is meant by one.
      const indices = t.axes.map((_, k) => `${t.name}.${k}`);
      const at = indices.map((n) => indexVar(n));
      const declared = this.context.declarations.layouts.get(name);
      if (!declared && !isForm(name)) {
        const near = nearest(name, [...this.context.declarations.layouts.keys(), ...forms]);
        this.context.report("W503", use.name.span, `there is no layout \`${name}\``, near ? { help: `did you mean \`${near}\`?` } : {});
        return undefined;
      }
      if (declared && use.items) throw new Refused(use.span, `layout \`${name}\` is declared here and takes no arguments`);
      const placed = declared ? this.declared(declared, use, t, at) : this[name as (typeof forms)[number]](use, t, at);
      const point = { axes: t.axes.map((a, k) => ({ name: indices[k]!, extent: a.extent })), conditions: [] };
      const before = this.context.errors;
      this.obligations.value(placed.place, point);
      this.obligations.value(placed.places, { axes: [], conditions: [] });
      if (this.context.errors > before) return undefined;
      const fault = layoutFault({ ...placed, axes: point.axes, requires: this.context.requires });
      if (fault) throw new Refused(use.span, `layout \`${name}\` is not a bijection: ${fault}`);
      return { name, indices, ...placed };
    } catch (e) {
      if (!(e instanceof Refused)) throw e;
      this.context.report("W505", e.span, e.message, e.help ? { help: e.help } : {});
      return undefined;
    }
  }

  /** The memory of a declared layout ends after the word of the last element. */
  private declared(l: ast.Layout, use: ast.LayoutUse, t: Laid, at: readonly Expr[]): Placed {
    if (l.indices.length !== t.axes.length || l.dims.length !== t.axes.length)
      throw new Refused(
        use.name.span,
        `layout \`${l.name.text}\` is of ${l.indices.length} indices, this tensor has ${t.axes.length} axes`,
      );
    const axes = t.axes.map((a, k) => ({ name: l.indices[k]!.text, extent: a.extent }));
    const scope: Scope = {
      ...withIndices(emptyScope, axes),
      dims: new Map(l.dims.map((d, k) => [d.text, t.axes[k]!.extent])),
      closed: true,
    };
    const word = this.expressions.integer(l.word, scope, "a word");
    const bit = this.expressions.integer(l.bit, scope, "a bit");
    const { bits } = storage[t.elem.name];
    const to = (values: readonly Expr[], e: Expr): Expr => substitute(e, new Map(axes.map((a, k) => [a.name, values[k]!])));
    const last = t.axes.map((a) => sub(a.extent, num(1)));
    const per = num(32 / bits);
    return {
      place: add(mul(to(at, word), per), div(to(at, bit), num(bits))),
      places: mul(op("max", [add(to(last, word), num(1)), num(0)], "int"), per),
    };
  }

  // ---- the built-in forms
  /** `strides(s0, s1, ..)`: elements between neighbours along each axis. */
  protected strides(use: ast.LayoutUse, t: Laid, at: readonly Expr[]): Placed {
    const strides = this.arguments(use, t.axes.length, "a stride for each axis").map((i) => this.size(i.expr, "a stride"));
    const last = t.axes.map((a, k) => mul(op("max", [sub(a.extent, num(1)), num(0)], "int"), strides[k]!));
    return { place: sum(at.map((i, k) => mul(i, strides[k]!))), places: add(sum(last), num(1)) };
  }
  /** `blocked(16, 8)`: row-major over blocks, and inside each; the last blocks are padded. */
  protected blocked(use: ast.LayoutUse, t: Laid, at: readonly Expr[]): Placed {
    const sizes = this.arguments(use, t.axes.length, "a block size for each axis").map((i) => this.positive(i.expr, "a block size"));
    const counts = t.axes.map((a, k) => ceil(a.extent, sizes[k]!));
    const block = rowMajor(
      at.map((i, k) => div(i, sizes[k]!)),
      counts,
    );
    const inside = rowMajor(
      at.map((i, k) => mod(i, sizes[k]!)),
      sizes,
    );
    return { place: add(mul(block, product(sizes)), inside), places: mul(product(counts), product(sizes)) };
  }
  /** `packed(k, 8)`: eight neighbours along k in one word, words row-major; `order: {0, 2, ..}` says which element each field holds. */
  protected packed(use: ast.LayoutUse, t: Laid, at: readonly Expr[]): Placed {
    const { bits } = storage[t.elem.name];
    const [axis, count, order, ...more] = use.items ?? [];
    if (!axis || !count || more.length > 0) throw new Refused(use.span, "packed takes an axis and the elements of a word: `packed(k, 8)`");
    const k = this.axis(axis.expr, t);
    const per = this.literal(count.expr, "the elements of a word");
    if (per * bits !== 32)
      throw new Refused(count.expr.span, `a word of 32 bits holds ${32 / bits} elements of ${printElem(t.elem)}, not ${per}`);
    const words = t.axes.map((a, i) => (i === k ? ceil(a.extent, num(per)) : a.extent));
    const word = rowMajor(
      at.map((i, n) => (n === k ? div(i, num(per)) : i)),
      words,
    );
    const field = order ? permuted(mod(at[k]!, num(per)), this.order(order, per, use)) : mod(at[k]!, num(per));
    return { place: add(mul(word, num(per)), field), places: mul(product(words), num(per)) };
  }
  /** `swizzled(8, 1, 4)`: chunks of 8 along the last axis; the lowest bits of a chunk's number are XORed with row / 1, modulo 4. */
  protected swizzled(use: ast.LayoutUse, t: Laid, at: readonly Expr[]): Placed {
    const [chunk, every, count] = this.arguments(use, 3, "the chunk, the rows that share a pattern, and the number of patterns").map((i) =>
      this.literal(i.expr, "an argument of swizzled"),
    ) as [number, number, number];
    if (t.axes.length < 2) throw new Refused(use.span, "swizzled permutes within the rows of a tensor of two axes or more");
    if (!Number.isInteger(Math.log2(count))) throw new Refused(use.span, `the number of patterns is a power of two, not ${count}`);
    const row = at.at(-2)!;
    const column = at.at(-1)!;
    const number = div(column, num(chunk));
    const low = xor(mod(number, num(count)), mod(div(row, num(every)), num(count)), count);
    const width = mul(ceil(t.axes.at(-1)!.extent, num(chunk * count)), num(chunk * count));
    const place = sum([mul(mul(div(number, num(count)), num(count)), num(chunk)), mul(low, num(chunk)), mod(column, num(chunk))]);
    const extents = [...t.axes.slice(0, -1).map((a) => a.extent), width];
    return { place: rowMajor([...at.slice(0, -1), place], extents), places: product(extents) };
  }
  /** `paged(j, 16 by page)`: pages of 16 along j lie where the table says: page[axes before j, j / 16] is one of its own bound. */
  protected paged(use: ast.LayoutUse, t: Laid, at: readonly Expr[]): Placed {
    const [axis, size, ...more] = use.items ?? [];
    if (!axis || !size?.by || more.length > 0)
      throw new Refused(use.span, "paged takes an axis, the length of a page, and the table of pages: `paged(j, 16 by page)`");
    const k = this.axis(axis.expr, t);
    const length = this.positive(size.expr, "the length of a page");
    const table = size.by.kind === "name" ? this.context.tensors.get(size.by.name) : undefined;
    if (table?.elem?.name !== "index" || table.kind !== "param")
      throw new Refused(size.by.span, "the table of pages is a parameter of type `index<PAGES>[..]`");
    if (table.axes.length !== k + 1)
      throw new Refused(
        size.by.span,
        `\`${table.name}\` has ${table.axes.length} axes; the pages of axis ${k} take ${k + 1}: the axes before it, and the page`,
      );
    this.context.used.add(table.name);
    const { axes } = t;
    const needed = [...axes.slice(0, k).map((a) => a.extent), ceil(axes[k]!.extent, length)];
    const prover = this.context.prover();
    needed.forEach((n, i) => {
      if (!prover.proves(op("ge", [table.axes[i]!.extent, n], "bool")))
        throw new Refused(size.by!.span, `axis ${i} of \`${table.name}\` is not proven to reach every page of \`${t.name}\``);
    });
    if (t.written && !this.distinct.has(table.name)) {
      const at = table.axes.map((_, i) => `a${i}`).join(", ");
      const help = `add \`where unique(${at}) ${table.name}[${at}]\``;
      throw new Refused(use.span, `\`${t.name}\` is written: two of its elements may not share a page`, help);
    }
    const page: Expr = {
      kind: "read",
      tensor: table.name,
      subscripts: [...at.slice(0, k), div(at[k]!, length)],
      type: "int",
      span: size.by.span,
    };
    const extents = [table.elem.bound!, length, ...axes.slice(k + 1).map((a) => a.extent)];
    return { place: rowMajor([page, mod(at[k]!, length), ...at.slice(k + 1)], extents), places: product(extents) };
  }

  // ---- arguments
  private arguments(use: ast.LayoutUse, count: number, what: string): readonly ast.DirectiveItem[] {
    const items = use.items ?? [];
    if (items.length !== count) throw new Refused(use.span, `\`${use.name.text}\` takes ${what}: ${count}, found ${items.length}`);
    return items;
  }
  private axis(e: ast.Expr, t: Laid): number {
    const name = e.kind === "name" ? e.name : undefined;
    const k = t.axes.findIndex((a) => a.name === name);
    if (k < 0)
      throw new Refused(
        e.span,
        `\`${t.name}\` has no axis ${name === undefined ? "like this" : `\`${name}\``}`,
        `name it in the shape: \`${name ?? "k"}: K\``,
      );
    return k;
  }
  private size(e: ast.Expr, what: string): Expr {
    return this.expressions.integer(e, emptyScope, what);
  }
  private positive(e: ast.Expr, what: string): Expr {
    const size = this.size(e, what);
    if (!this.context.prover().proves(op("ge", [size, num(1)], "bool")))
      throw new Refused(e.span, `${what} must be proven to be at least 1`);
    return size;
  }
  private literal(e: ast.Expr, what: string): number {
    const size = this.size(e, what);
    if (size.kind !== "const" || typeof size.value !== "number" || size.value < 1)
      throw new Refused(e.span, `${what} is a number from 1, or a static dimension`);
    return size.value;
  }
  private order(item: ast.DirectiveItem, per: number, use: ast.LayoutUse): number[] {
    if (item.expr.kind !== "name" || item.expr.name !== "order" || item.values === undefined)
      throw new Refused(item.expr.span, "the third argument of packed is the order of the fields: `order: {0, 2, 4, 6, 1, 3, 5, 7}`");
    const list = item.values.map((v) => (v.kind === "number" ? v.value : -1));
    if (list.length !== per || new Set(list).size !== per || list.some((v) => v < 0 || v >= per))
      throw new Refused(use.span, `an order of ${per} fields names each of 0 to ${per - 1} once`);
    return list;
  }
}

function rowMajor(at: readonly Expr[], extents: readonly Expr[]): Expr {
  const terms: Expr[] = [];
  let stride: Expr = num(1);
  for (let k = at.length - 1; k >= 0; k--) {
    terms.unshift(mul(at[k]!, stride));
    if (k > 0) stride = mul(extents[k]!, stride);
  }
  return sum(terms);
}
/** a XOR b for 0 <= a, b < count, a power of two, bit by bit. */
function xor(a: Expr, b: Expr, count: number): Expr {
  const bits: Expr[] = [];
  for (let v = 1; v < count; v *= 2) bits.push(mul(mod(add(div(a, num(v)), div(b, num(v))), num(2)), num(v)));
  return sum(bits);
}
/** The field that holds element e, where field f holds element order[f]. */
function permuted(e: Expr, order: readonly number[]): Expr {
  const field = order.map((_, element) => order.indexOf(element));
  const bits = Math.log2(order.length);
  const linear = field.every((f, element) => {
    let image = 0;
    for (let b = 0; b < bits; b++) if ((element >> b) & 1) image += field[1 << b]!;
    return image === f;
  });
  // Most orders in use permute the bits of the number.
  if (linear) return sum(Array.from({ length: bits }, (_, b) => mul(mod(div(e, num(1 << b)), num(2)), num(field[1 << b]!))));
  const is = (element: number): Expr => {
    const d = sub(e, num(element));
    return op("max", [sub(num(1), op("max", [d, sub(num(0), d)], "int")), num(0)], "int");
  };
  return sum(field.map((f, element) => mul(is(element), num(f))));
}
