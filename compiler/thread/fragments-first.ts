/**
 * The order of a step that goes on after its first product, as in a stream: the first fragments are read before copies for the next step are
 * issued. The copies have the rest of the step to land in, and reading fragments takes as long as issuing them.
 */
import type { Effect } from "./effects.ts";
import type { NodeId, Nodes } from "./nodes.ts";

export type Fragment = Extract<Effect, { kind: "fragment" }>;
/** Matrix instructions whose fragments are read first. */
const ahead = 8;

/** What the first products of a step take. */
export function firstFragments(step: readonly Effect[]): Fragment[] {
  const out: Fragment[] = [];
  let products = 0;
  for (const e of step) {
    if (e.kind === "fragment") out.push(e);
    if (e.kind === "mma" && ++products === ahead) break;
  }
  return out;
}

export function fragmentsFirst(n: Nodes, body: readonly Effect[]): readonly Effect[] {
  const copies = body.findIndex((e) => e.kind === "copy");
  const commit = body.findIndex((e) => e.kind === "commit");
  const inProduct = (e: Effect): boolean => e.kind === "mma" || e.kind === "fragment" || e.kind === "node";
  const length = body.slice(commit + 1).findIndex((e) => !inProduct(e));
  if (copies < 0 || length < 0) return body;
  const first = body.slice(commit + 1, commit + 1 + length);
  if (!body.slice(commit + 1 + length).some((e) => e.kind === "mma")) return body;

  const makers = new Map<NodeId, Effect>();
  for (const e of first) if (e.kind === "node" && !n.at(e.node).pinned) makers.set(e.node, e);
  const early = new Set<Effect>();
  const place = (node: NodeId): void => {
    const maker = makers.get(node);
    if (maker === undefined || early.has(maker)) return;
    for (const a of n.at(node).args) place(a);
    early.add(maker);
  };
  for (const e of firstFragments(first)) {
    place(e.at);
    early.add(e);
  }
  return [...body.slice(0, copies), ...early, ...body.slice(copies).filter((e) => !early.has(e))];
}
