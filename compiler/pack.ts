/**
 * Kernels that bring a parameter from row-major order into its layout, as Weft text: one for each parameter with a layout. They are kernels
 * like any other, checked, scheduled, bound and tested as such.
 */
import type * as ast from "../dsl/syntax/ast.ts";
import { parse } from "../dsl/syntax/parser.ts";

/** @returns undefined where no parameter has a layout */
export function packKernels(text: string): string | undefined {
  const { items } = parse(text).file;
  const kernels = items.filter((i): i is ast.Kernel => i.kind === "kernel");
  const instances = items.filter((i): i is ast.Instance => i.kind === "instance");
  const parts = kernels.flatMap((k) =>
    k.params.flatMap((p) =>
      p.layout === undefined
        ? []
        : packKernel(
            k,
            p,
            p.layout,
            instances.filter((i) => i.kernel.text === k.name.text),
            text,
          ),
    ),
  );
  if (parts.length === 0) return undefined;
  const layouts = items.filter((i) => i.kind === "layout").map((l) => text.slice(l.span.start, l.span.end));
  return `${[...layouts, ...parts].join("\n\n")}\n`;
}

function packKernel(k: ast.Kernel, p: ast.Parameter, use: ast.LayoutUse, instances: readonly ast.Instance[], text: string): string[] {
  const slice = (x: { readonly span: ast.Kernel["span"] }): string => text.slice(x.span.start, x.span.end);
  const axes = p.type.axes ?? [];
  const by = use.items?.find((i) => i.by)?.by;
  const table = by?.kind === "name" ? k.params.find((x) => x.name.text === by.name) : undefined;
  const signature = [slice(p.type), slice(use), ...(table ? [slice(table.type)] : [])].join(" ");
  const words = wordsOf(signature);
  const dims = k.dims.filter((d) => words.has(d.name.text));
  const generics = k.generics.filter((g) => g.kind !== "fn" && words.has(g.name.text));
  // Preconditions on these dimensions alone: a stride that reaches over a row, say.
  const known = new Set(dims.map((d) => d.name.text));
  const where = k.where.filter((w) => w.kind !== "reduce" && [...wordsOf(slice(w))].every((x) => known.has(x))).map(slice);
  if (table) {
    const places = (table.type.axes ?? []).map((_, i) => `a${i}`).join(", ");
    where.push(`unique(${places}) ${table.name.text}[${places}]`);
  }
  const name = `${k.name.text}_pack_${p.name.text}`;
  const at = axes.map((_, i) => `a${i}`).join(", ");
  const type = slice(p.type);
  const head = [
    `kernel ${name}`,
    generics.length
      ? `<${generics.map((g) => (g.kind === "type" ? `${g.name.text}: ${g.class.text}` : `const ${g.name.text}: bool`)).join(", ")}>`
      : "",
    dims.length ? `[${dims.map((d) => (d.static ? `${d.name.text}: static` : d.name.text)).join(", ")}]` : "",
    `(${p.name.text}: ${type}${table ? `, ${table.name.text}: ${slice(table.type)}` : ""})`,
    ` -> (packed: ${type} ${slice(use)})`,
    where.length ? ` where ${where.join(", ")}` : "",
  ].join("");
  const bound = new Set([...generics.map((g) => g.name.text), ...dims.filter((d) => d.static).map((d) => d.name.text)]);
  const own = instances.map(
    (i) =>
      `instance ${name} { ${i.entries
        .filter((e) => bound.has(e.name.text))
        .map((e) => `${e.name.text}: ${e.values.map(slice).join(" | ")}`)
        .join(", ")} }`,
  );
  return [
    `/// Brings \`${p.name.text}\` of \`${k.name.text}\` from row-major order into its layout.\n${head} {\n  packed[${at}] = ${p.name.text}[${at}]\n}`,
    ...(bound.size > 0 ? new Set(own) : []),
  ];
}
const wordsOf = (s: string): Set<string> => new Set(s.match(/[A-Za-z_]\w*/g));
