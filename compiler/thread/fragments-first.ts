/**
 * The order of a step that goes on after its first product, as in a stream: the first fragments are read before copies for the next step are
 * issued. The copies have the rest of the step to land in, and reading fragments takes as long as issuing them.
 */
import { type EffectOf, type Entry, isOf } from "./effects.ts";
import type { NodeId, Nodes } from "./nodes.ts";

export type Fragment = EffectOf<"fragment">;
/** Matrix instructions whose fragments are read first. */
const ahead = 8;

/** What the first products of a step take. */
export function firstFragments(step: readonly Entry[]): Fragment[] {
  const out: Fragment[] = [];
  let products = 0;
  for (const e of step) {
    if (isOf(e, "fragment")) out.push(e);
    if (isOf(e, "mma") && ++products === ahead) break;
  }
  return out;
}

export function fragmentsFirst(n: Nodes, body: readonly Entry[]): readonly Entry[] {
  const copies = body.findIndex((e) => isOf(e, "copy"));
  const commit = body.findIndex((e) => isOf(e, "commit"));
  const inProduct = (e: Entry): boolean => typeof e === "number" || e.kind === "mma" || e.kind === "fragment";
  const length = body.slice(commit + 1).findIndex((e) => !inProduct(e));
  if (copies < 0 || length < 0) return body;
  const first = body.slice(commit + 1, commit + 1 + length);
  if (!body.slice(commit + 1 + length).some((e) => isOf(e, "mma"))) return body;

  const made = new Set(first.filter((e) => typeof e === "number" && !n.at(e).pinned));
  const early = new Set<Entry>();
  const place = (node: NodeId): void => {
    if (!made.has(node) || early.has(node)) return;
    for (const a of n.at(node).args) place(a);
    early.add(node);
  };
  for (const e of firstFragments(first)) {
    place(e.at);
    early.add(e);
  }
  return [...body.slice(0, copies), ...early, ...body.slice(copies).filter((e) => !early.has(e))];
}
