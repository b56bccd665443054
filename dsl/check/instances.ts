/** The bindings under which a kernel is checked and compiled: the product of the sets in each `instance` (rule 34). */
import type { Diagnostics } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { isStorage, type Storage, storage } from "../tensor/types.ts";
import { nearest } from "./functions.ts";
import type { Binding, Declarations } from "./scope.ts";

export interface InstanceBinding {
  readonly binding: Binding;
  /** False where a static dimension or a type has only a stand-in: good for checking, not for compiling. */
  readonly complete: boolean;
}

/** The classes a type parameter can have, with the type that stands in where no instance binds it. */
const classes: Record<string, { readonly standIn: Storage; readonly admits: (s: Storage) => boolean }> = {
  float: { standIn: "f32", admits: (s) => storage[s].class === "float" },
  integer: { standIn: "i32", admits: (s) => storage[s].class === "integer" && s !== "index" && s !== "offsets" },
  scalar: { standIn: "f32", admits: (s) => s !== "index" && s !== "offsets" },
};

export function bindingsOf(
  kernel: ast.Kernel,
  instances: readonly ast.Instance[],
  declarations: Declarations,
  diagnostics: Diagnostics,
): InstanceBinding[] {
  for (const g of kernel.generics)
    if (g.kind === "type" && !(g.class.text in classes))
      diagnostics.add("W103", g.class.span, `there is no class of types \`${g.class.text}\``, {
        help: "classes are float, integer and scalar",
      });
  const own = instances.filter((i) => i.kernel.text === kernel.name.text);
  if (own.length === 0) return standIns(kernel, diagnostics);
  return own.flatMap((i) => product(kernel, i, declarations, diagnostics));
}

function standIns(kernel: ast.Kernel, diagnostics: Diagnostics): InstanceBinding[] {
  const types = new Map<string, Storage>();
  let consts: Map<string, boolean | number>[] = [new Map()];
  for (const g of kernel.generics) {
    if (g.kind === "type") types.set(g.name.text, classes[g.class.text]?.standIn ?? "f32");
    if (g.kind === "const")
      consts = consts.flatMap((c) => [true, false].map((v) => new Map(c).set(g.name.text, g.type.name === "bool" ? v : Number(v))));
    if (g.kind === "fn") {
      diagnostics.add("W502", g.name.span, `no instance binds the function \`${g.name.text}\``, {
        help: `write \`instance ${kernel.name.text} { ${g.name.text}: some_fn }\``,
      });
      return [];
    }
  }
  const complete = kernel.generics.length === 0 && kernel.dims.every((d) => !d.static);
  return consts.map((c) => ({ binding: { types, dims: new Map(), consts: c, fns: new Map() }, complete }));
}

function product(kernel: ast.Kernel, instance: ast.Instance, declarations: Declarations, diagnostics: Diagnostics): InstanceBinding[] {
  const names = [...kernel.generics.map((g) => g.name.text), ...kernel.dims.filter((d) => d.static).map((d) => d.name.text)];
  let out: Binding[] = [{ types: new Map(), dims: new Map(), consts: new Map(), fns: new Map() }];
  for (const e of instance.entries) {
    const generic = kernel.generics.find((g) => g.name.text === e.name.text);
    const dim = kernel.dims.find((d) => d.name.text === e.name.text);
    if (generic === undefined && !dim?.static) {
      const near = nearest(e.name.text, names);
      const help = dim ? `declare it \`${dim.name.text}: static\`` : near ? `did you mean \`${near}\`?` : undefined;
      diagnostics.add(
        "W501",
        e.name.span,
        dim
          ? `\`${e.name.text}\` is known at launch, an instance binds static dimensions`
          : `\`${kernel.name.text}\` has no parameter \`${e.name.text}\``,
        help ? { help } : {},
      );
      continue;
    }
    const next: Binding[] = [];
    for (const b of out)
      for (const v of e.values) {
        const bound = bind(b, e.name.text, v, generic, declarations, diagnostics);
        if (bound) next.push(bound);
      }
    if (next.length === 0) return [];
    out = next;
  }
  const given = new Set(instance.entries.map((e) => e.name.text));
  const missing = names.filter((n) => !given.has(n));
  if (missing.length > 0) {
    diagnostics.add("W502", instance.span, `this instance leaves ${missing.map((m) => `\`${m}\``).join(", ")} unbound`, {
      help: `add ${missing.map((m) => `\`${m}: …\``).join(", ")}`,
    });
    return [];
  }
  return out.map((binding) => ({ binding, complete: true }));
}
function bind(
  b: Binding,
  name: string,
  v: ast.Expr,
  generic: ast.Generic | undefined,
  declarations: Declarations,
  diagnostics: Diagnostics,
): Binding | undefined {
  if (generic === undefined) {
    if (v.kind === "number" && !v.float) return { ...b, dims: new Map(b.dims).set(name, v.value) };
    diagnostics.add("W501", v.span, `\`${name}\` is a dimension: bind it to a number`);
    return undefined;
  }
  if (generic.kind === "type") {
    const type = v.kind === "name" ? v.name : "";
    if (isStorage(type) && (classes[generic.class.text]?.admits(type) ?? true)) return { ...b, types: new Map(b.types).set(name, type) };
    diagnostics.add("W501", v.span, `\`${type || "this"}\` is not a ${generic.class.text} type`);
    return undefined;
  }
  if (generic.kind === "const") {
    const value = v.kind === "bool" ? v.value : v.kind === "number" ? v.value : undefined;
    if (value !== undefined && (typeof value === "boolean") === (generic.type.name === "bool"))
      return { ...b, consts: new Map(b.consts).set(name, value) };
    diagnostics.add("W501", v.span, `\`${name}\` is a constant of type ${generic.type.name}`);
    return undefined;
  }
  const fn = v.kind === "name" ? v.name : "";
  if (declarations.fns.has(fn)) return { ...b, fns: new Map(b.fns).set(name, fn) };
  const near = nearest(fn, declarations.fns.keys());
  diagnostics.add("W503", v.span, `there is no fn \`${fn}\``, near ? { help: `did you mean \`${near}\`?` } : {});
  return undefined;
}

/** `f16, D=64`: an instance as people name it; empty where there is only one. */
export function bindingName(b: Binding): string {
  return [
    ...[...b.types].map(([k, v]) => `${k}=${v}`),
    ...[...b.dims].map(([k, v]) => `${k}=${v}`),
    ...[...b.consts].map(([k, v]) => `${k}=${v}`),
    ...[...b.fns].map(([k, v]) => `${k}=${v}`),
  ].join(", ");
}
