/**
 * Which tensors in memory computing an expression reads: through definitions without memory, and through the conditions that say where
 * partial tensors are defined.
 */
import { domainAt, type TensorDomain } from "../../dsl/check/domain.ts";
import { axesParts, children, isTrue, visit } from "../../dsl/tensor/expr.ts";
import type { Define, Expr } from "../../dsl/tensor/ir.ts";
import { atSubscripts } from "../../dsl/tensor/program.ts";

export interface Definitions {
  /** Definitions without memory. */
  readonly inlined: ReadonlyMap<string, Define>;
  readonly domains: ReadonlyMap<string, TensorDomain>;
}
/** A read; no subscripts where the tensor is searched, or read by threads that share a reduction. */
export interface Touch {
  readonly tensor: string;
  readonly subscripts: readonly Expr[] | undefined;
}

/** Names of all tensors that the expression depends on, definitions without memory among them. */
export function namesTouched(e: Expr, known: Definitions, into = new Set<string>()): Set<string> {
  const follow = (x: Expr): void => {
    namesTouched(x, known, into);
  };
  visit(e, (x) => {
    const name = x.kind === "read" ? x.tensor : x.kind === "segment" ? x.table : undefined;
    if (name === undefined || into.has(name)) return;
    into.add(name);
    const d = known.inlined.get(name);
    if (d) {
      follow(d.value);
      axesParts(d.axes).forEach(follow);
    }
    const domain = known.domains.get(name)?.domain;
    if (domain) follow(domain);
  });
  return into;
}

/** The reads of some tensors, each with its subscripts as the expression has them. */
export function touchesOf(e: Expr, tensors: ReadonlySet<string>, known: Definitions): Touch[] {
  const out: Touch[] = [];
  const leads = new Map<string, boolean>();
  /** Whether a definition, or its domain, depends on one of the tensors. */
  const concerns = (name: string): boolean => {
    let result = leads.get(name);
    if (result === undefined) {
      const span = { start: 0, end: 0 };
      result = [...namesTouched({ kind: "read", tensor: name, subscripts: [], type: "int", span }, known)].some((n) => tensors.has(n));
      leads.set(name, result);
    }
    return result;
  };
  const walk = (x: Expr, own: boolean): void => {
    if (x.kind === "segment" && tensors.has(x.table)) out.push({ tensor: x.table, subscripts: undefined });
    if (x.kind === "read") {
      if (tensors.has(x.tensor)) out.push({ tensor: x.tensor, subscripts: own ? x.subscripts : undefined });
      if (concerns(x.tensor)) {
        const d = known.inlined.get(x.tensor);
        if (d) walk(atSubscripts(d.value, d.axes, x.subscripts), own);
        const domain = domainAt(x, known.domains);
        if (!isTrue(domain)) walk(domain, own);
      }
    }
    // The threads that share a reduction are not the one that stores.
    for (const c of children(x)) walk(c, own && x.kind !== "reduce" && x.kind !== "sweep");
  };
  walk(e, true);
  return out;
}
