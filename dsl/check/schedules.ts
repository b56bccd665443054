/** Schedules as checked data: every directive of the language is known, its names resolved, its form checked (docs/language.md, "Schedules"). */
import type { Diagnostics, Span } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { baseName, visit } from "../tensor/expr.ts";
import type { Expr, Program, Statement } from "../tensor/ir.ts";
import { ExpressionChecker } from "./expressions.ts";
import { nearest } from "./functions.ts";
import { Context, emptyScope } from "./scope.ts";

export type TargetName = "cuda" | "wgsl";

/** A directive with its names resolved. */
export type Directive =
  | { readonly kind: "grid"; readonly indices: readonly string[]; readonly span: Span }
  /** `tile i: 32` is about i wherever it occurs, `tile s.i: 32` about the definition s alone. `vectorize`: neighbours to a thread. */
  | {
      readonly kind: "tile" | "unroll" | "split" | "vectorize";
      readonly index: string;
      readonly definition?: string;
      readonly size: number;
      /** Of a set of sizes all, in the order of the text; `size` is one of them: the first, or what a tuner has chosen. */
      readonly choices?: readonly number[];
      readonly span: Span;
    }
  /** Dependent reductions over the index in one pass. */
  | { readonly kind: "stream"; readonly index: string; readonly span: Span }
  | { readonly kind: "warps"; readonly count: number; readonly span: Span }
  /** The definition's product on the matrix unit. */
  | { readonly kind: "mma"; readonly name: string; readonly span: Span }
  /** An operand through shared memory, with so many slots. */
  | { readonly kind: "stage"; readonly name: string; readonly buffers: number; readonly span: Span }
  | { readonly kind: "materialize" | "fuse"; readonly name: string; readonly span: Span };

export interface Schedule {
  readonly name?: string;
  readonly kernel: string;
  readonly target: TargetName;
  readonly arch?: string;
  readonly features: readonly string[];
  /** A condition on dimensions: where it does not hold, another schedule is used. */
  readonly where?: Expr;
  readonly directives: readonly Directive[];
  readonly span: Span;
}

type Takes = "indices" | "sizes" | "definitions" | "count" | "condition";
/** Every directive of the language; `later` where its pass does not exist yet. */
const directives: Record<string, { readonly takes: Takes; readonly later?: string }> = {
  grid: { takes: "indices" },
  tile: { takes: "sizes" },
  unroll: { takes: "sizes" },
  split: { takes: "sizes" },
  warps: { takes: "count" },
  materialize: { takes: "definitions" },
  fuse: { takes: "definitions" },
  recompute: { takes: "definitions" },
  stream: { takes: "indices" },
  stage: { takes: "definitions" },
  mma: { takes: "definitions" },
  vectorize: { takes: "sizes" },
  specialize: { takes: "condition", later: "variants chosen at launch" },
  order: { takes: "indices", later: "the order of blocks" },
  group: { takes: "indices", later: "grouping by a gathered index" },
};
/** Asked of a device: it is a CPU that plays a GPU. */
export const softwareFeature = "software";
/** Asked of a device: it has a type of halves. */
export const halvesFeature = "f16";
/** Asked of a device: its matrix unit takes floats of 8 bits as they are. */
export const eightBitsFeature = "f8";
/**
 * Asked of a device: lanes read each other's registers, within groups of at least so many. WebGPU has no subgroups of fewer than 4 lanes, so
 * that is what the name without a number asks.
 */
const lanesOfFeature: Readonly<Record<string, number>> = { subgroups: 4, subgroups8: 8, subgroups16: 16, subgroups32: 32, subgroups64: 64 };
/** How many lanes a schedule may count on to read each other's registers; 1 where it asks for none. */
export const lanesOf = (features: readonly string[]): number => Math.max(1, ...features.map((f) => lanesOfFeature[f] ?? 1));
const archs = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_120"];
const features: Record<TargetName, readonly string[]> = {
  cuda: [eightBitsFeature],
  wgsl: [...Object.keys(lanesOfFeature), halvesFeature, softwareFeature],
};

export function checkSchedule(s: ast.Schedule, program: Program | undefined, diagnostics: Diagnostics): Schedule | undefined {
  if (program === undefined) {
    diagnostics.add("W503", s.kernel.span, `there is no kernel \`${s.kernel.text}\` to schedule`);
    return undefined;
  }
  if (s.target.text !== "cuda" && s.target.text !== "wgsl") {
    diagnostics.add("W605", s.target.span, `there is no target \`${s.target.text}\``, { help: "targets are cuda and wgsl" });
    return undefined;
  }
  const target: TargetName = s.target.text;
  if (s.arch && (target !== "cuda" || !archs.includes(s.arch.text)))
    diagnostics.add(
      "W605",
      s.arch.span,
      `\`${s.arch.text}\` is not an architecture of ${target}`,
      target === "cuda" ? { help: `known: ${archs.join(", ")}` } : {},
    );
  for (const f of s.features)
    if (!features[target].includes(f.text))
      diagnostics.add(
        "W605",
        f.span,
        `\`${f.text}\` is not a feature of ${target}`,
        features[target].length ? { help: `known: ${features[target].join(", ")}` } : {},
      );
  const where = s.where && condition(s.where, program, diagnostics);
  const names = namesOf(program);
  const list = s.directives.flatMap((d) => directive(d, names, diagnostics));
  const said = new Set<string>();
  for (const d of list) {
    const what =
      "index" in d
        ? `${d.kind} ${"definition" in d && d.definition ? `${d.definition}.` : ""}${d.index}`
        : "name" in d
          ? `${d.kind} ${d.name}`
          : d.kind;
    if (said.has(what)) diagnostics.add("W603", d.span, `\`${what}\` is said twice`);
    said.add(what);
  }
  return {
    ...(s.name ? { name: s.name.text } : {}),
    kernel: s.kernel.text,
    target,
    ...(s.arch ? { arch: s.arch.text } : {}),
    features: s.features.map((f) => f.text),
    ...(where ? { where } : {}),
    directives: list,
    span: s.span,
  };
}

/** What a schedule asks of the dimensions of a launch. */
function condition(e: ast.Expr, program: Program, diagnostics: Diagnostics): Expr {
  const none = { types: new Map(), dims: new Map(), consts: new Map(), fns: new Map() };
  const context = new Context(none, { kernels: new Map(), fns: new Map(), monoids: new Map(), layouts: new Map() }, diagnostics);
  for (const d of program.dims) context.dims.set(d.name, { span: program.span });
  return new ExpressionChecker(context).condition(e, emptyScope);
}

interface Names {
  readonly indices: ReadonlySet<string>;
  readonly definitions: ReadonlySet<string>;
}
function namesOf(program: Program): Names {
  const indices = new Set<string>();
  const definitions = new Set<string>([...program.outputs, ...program.params].map((o) => o.name));
  const expr = (e: Expr | undefined): void => {
    if (e)
      visit(e, (x) => {
        if (x.kind === "reduce") for (const a of x.axes) indices.add(baseName(a.name));
      });
  };
  const statement = (s: Statement): void => {
    switch (s.kind) {
      case "define":
        definitions.add(s.name);
        for (const a of s.axes) indices.add(a.name);
        expr(s.where);
        expr(s.value);
        return;
      case "write":
        definitions.add(s.tensor);
        for (const a of s.axes) indices.add(a.name);
        expr(s.value);
        return;
      case "fold":
        indices.add(s.axis.name);
        for (const x of s.states) definitions.add(x.name);
        for (const b of s.body) statement(b);
        for (const n of s.nexts) expr(n.value);
        return;
      default:
        for (const a of [...s.outer, ...s.over]) indices.add(a.name);
        for (const r of s.results) if (r.name) definitions.add(r.name);
    }
  };
  for (const s of program.statements) statement(s);
  return { indices, definitions };
}

function directive(d: ast.Directive, names: Names, diagnostics: Diagnostics): Directive[] {
  const known = directives[d.name.text];
  if (known === undefined) {
    const near = nearest(d.name.text, Object.keys(directives));
    diagnostics.add("W601", d.name.span, `there is no directive \`${d.name.text}\``, near ? { help: `did you mean \`${near}\`?` } : {});
    return [];
  }
  if (known.takes === "condition") {
    diagnostics.add("W604", d.span, `\`${d.name.text}\`: ${known.later} is not built yet; the kernel compiles without the directive`);
    return [];
  }
  if (d.items.length === 0) {
    diagnostics.add("W603", d.span, `\`${d.name.text}\` names nothing`, { help: form[known.takes](d.name.text) });
    return [];
  }
  if (known.takes === "count") return count(d, diagnostics);
  const out: Directive[] = [];
  let wrong = false;
  for (const item of d.items) {
    const name =
      item.expr.kind === "name"
        ? item.expr.name
        : item.expr.kind === "member" && item.expr.base.kind === "name"
          ? item.expr.field.text
          : undefined;
    const definition = item.expr.kind === "member" && item.expr.base.kind === "name" ? item.expr.base.name : undefined;
    if (definition !== undefined && !names.definitions.has(definition)) {
      const near = nearest(definition, names.definitions);
      diagnostics.add(
        "W602",
        item.expr.span,
        `the kernel has no definition \`${definition}\``,
        near ? { help: `did you mean \`${near}\`?` } : {},
      );
      wrong = true;
      continue;
    }
    if (known.later === undefined) {
      const staging = d.name.text === "stage";
      if (staging && name === "buffers" && item.values) continue;
      const extra =
        (staging && item.in?.text === "shared" ? undefined : item.in) ??
        item.by ??
        (known.takes === "sizes" ? undefined : (item.values?.[0] ?? (definition ? item.expr : undefined)));
      if (name === undefined || extra) {
        const text = name === undefined ? "takes names" : `takes ${known.takes} alone`;
        diagnostics.add("W603", extra?.span ?? item.expr.span, `\`${d.name.text}\` ${text}`, { help: form[known.takes](d.name.text) });
        wrong = true;
        continue;
      }
    }
    if (name === undefined || name === "buffers" || d.name.text === "group") continue;
    const scope = known.takes === "definitions" ? names.definitions : names.indices;
    if (!scope.has(name)) {
      const near = nearest(name, scope);
      const other = known.takes === "definitions" ? names.indices : names.definitions;
      const help = other.has(name)
        ? `\`${name}\` is ${known.takes === "definitions" ? "an index" : "a definition"}; \`${d.name.text}\` takes ${known.takes === "definitions" ? "definitions" : "indices"}`
        : near
          ? `did you mean \`${near}\`?`
          : undefined;
      diagnostics.add(
        "W602",
        item.expr.span,
        `the kernel has no ${known.takes === "definitions" ? "definition" : "index"} \`${name}\``,
        help ? { help } : {},
      );
      wrong = true;
      continue;
    }
    if (item.within) diagnostics.add("W604", item.within.span, "cutting tiles at segment ends (`within`) is not built yet");
    if (known.takes === "sizes") {
      const sizes = sizesOf(d, item, diagnostics);
      const [size] = sizes;
      if (size === undefined) wrong = true;
      else
        out.push({
          kind: d.name.text as "tile" | "unroll" | "split" | "vectorize",
          index: name,
          ...(definition ? { definition } : {}),
          size,
          ...(sizes.length > 1 ? { choices: sizes } : {}),
          span: item.expr.span,
        });
    } else if (d.name.text === "mma") out.push({ kind: "mma", name, span: item.expr.span });
    else if (d.name.text === "stage") out.push({ kind: "stage", name, buffers: buffersOf(d, diagnostics), span: item.expr.span });
    else if (d.name.text === "stream") out.push({ kind: "stream", index: name, span: item.expr.span });
    else if (d.name.text === "materialize") out.push({ kind: "materialize", name, span: item.expr.span });
    else if (d.name.text === "fuse" || d.name.text === "recompute") out.push({ kind: "fuse", name, span: item.expr.span });
  }
  if (known.later !== undefined) {
    if (!wrong)
      diagnostics.add("W604", d.span, `\`${d.name.text}\`: ${known.later} is not built yet; the kernel compiles without the directive`);
    return [];
  }
  if (d.name.text === "grid" && !wrong)
    out.push({ kind: "grid", indices: d.items.map((i) => (i.expr as { name: string }).name), span: d.span });
  return out;
}
const form: Record<Takes, (name: string) => string> = {
  indices: (n) => `write \`${n} i, j\``,
  sizes: (n) => `write \`${n} i: 32\``,
  definitions: (n) => `write \`${n} name\``,
  count: (n) => `write \`${n} 4\``,
  condition: (n) => `write \`${n} K % 8 == 0\``,
};
function count(d: ast.Directive, diagnostics: Diagnostics): Directive[] {
  const e = d.items[0]!.expr;
  if (d.items.length === 1 && e.kind === "number" && !e.float && isPowerOfTwo(e.value) && e.value <= 32)
    return [{ kind: "warps", count: e.value, span: d.span }];
  diagnostics.add("W603", d.span, "`warps` takes a power of two up to 32", { help: "write `warps 4`" });
  return [];
}
/** A size, or a set of them; none where one is wrong. */
function sizesOf(d: ast.Directive, item: ast.DirectiveItem, diagnostics: Diagnostics): number[] {
  const sizes = (item.values?.length ? item.values : [undefined]).map((v) => sizeOf(d, item, v, diagnostics));
  const known = sizes.filter((s) => s !== undefined);
  if (known.length < sizes.length) return [];
  const twice = known.find((s, k) => known.indexOf(s) < k);
  if (twice !== undefined) {
    diagnostics.add("W603", item.expr.span, `${twice} stands twice in a set of sizes`);
    return [];
  }
  return known;
}
function sizeOf(d: ast.Directive, item: ast.DirectiveItem, v: ast.Expr | undefined, diagnostics: Diagnostics): number | undefined {
  if (v?.kind !== "number" || v.float || v.value < 1) {
    diagnostics.add("W603", v?.span ?? item.expr.span, `\`${d.name.text}\` gives each index a size`, { help: form.sizes(d.name.text) });
    return undefined;
  }
  const limit = d.name.text === "split" ? 4096 : 1024;
  if ((d.name.text !== "split" && !isPowerOfTwo(v.value)) || v.value > limit) {
    diagnostics.add("W603", v.span, `${v.value} is not a ${d.name.text === "split" ? "count" : "power of two"} up to ${limit}`);
    return undefined;
  }
  return v.value;
}
/** `buffers: 2` among the items of `stage`; three slots where it is not said. */
function buffersOf(d: ast.Directive, diagnostics: Diagnostics): number {
  const item = d.items.find((i) => i.expr.kind === "name" && i.expr.name === "buffers");
  const v = item?.values?.[0];
  if (item === undefined) return 3;
  if (item.values!.length === 1 && v?.kind === "number" && !v.float && v.value >= 2 && v.value <= 8) return v.value;
  diagnostics.add("W603", item.expr.span, "`buffers` is a number from 2 to 8", { help: "write `stage a, b in shared, buffers: 2`" });
  return 3;
}
const isPowerOfTwo = (n: number): boolean => n >= 1 && Number.isInteger(Math.log2(n));
