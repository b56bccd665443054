/**
 * The order of a product whose steps are copied ahead: the first fragments of a step are read during the one before, between its last
 * fragments and the products of those, so that no step begins by waiting for shared memory.
 */
import { type Effect, type EffectOf, type Entry, isOf } from "./effects.ts";
import { type Fragment, firstFragments } from "./fragments-first.ts";
import type { NodeId, Nodes } from "./nodes.ts";

type Assign = EffectOf<"loop">["assigns"][number];
/** What a step lands, before it may be read. */
interface Landing {
  readonly land: Effect;
  readonly barrier: Effect;
}

/**
 * Turns the steps of the loop that is open round where nothing but products follows its copies, and three steps at least are in shared memory.
 * @returns what the loop carries for it
 */
export function fragmentsAhead(n: Nodes, index: NodeId, from: NodeId, step: number): readonly Assign[] {
  const body = n.body;
  const landing = landingOf(body);
  const commit = body.findIndex((e) => isOf(e, "commit"));
  const products = body.slice(commit + 1);
  if (landing === undefined || commit < 0 || !products.every((e) => isProduct(e) || isPlace(n, e))) return [];
  const early = firstFragments(products);
  const later = products.filter((e) => isOf(e, "fragment") && !early.includes(e));
  if (early.length === 0 || later.length === 0) return [];

  const firsts = early.map((e) => placeAt(n, e.at, index, from));
  if (firsts.some((at) => at === undefined)) return [];
  n.before(landing.land);
  n.before(landing.barrier);
  const held = new Map<NodeId, NodeId>();
  const variables = early.flatMap((e, k) => {
    const outs = e.outs.map(() => n.variable("word", "u32"));
    n.before({ ...e, outs, at: firsts[k]! });
    return e.outs.map((out, j) => {
      const variable = n.carried("word_now", "u32", outs[j]!);
      held.set(out, n.inside(variable));
      return variable;
    });
  });
  // Places of the next step are made here, and stand before what reads there.
  const made = body.length;
  const after = n.op("add", [index, n.int(step)], "i32");
  const next = early.map(
    (e): Fragment => ({ ...e, outs: e.outs.map(() => n.variable("word", "u32")), at: placeAt(n, e.at, index, after)! }),
  );
  const places = body.splice(made);
  const last = body.lastIndexOf(later.at(-1)!);
  const known = (ids: readonly NodeId[]): NodeId[] => ids.map((id) => held.get(id) ?? id);
  const turned = body
    .slice(0, last + 1)
    .concat(landing.land, landing.barrier, places, next, body.slice(last + 1))
    .filter((e, k) => !early.includes(e as Fragment) && !(k <= last && (e === landing.land || e === landing.barrier)))
    .map((e): Entry => (isOf(e, "mma") ? { ...e, a: known(e.a), b: known(e.b) } : e));
  body.splice(0, body.length, ...turned);
  const values = next.flatMap((e) => e.outs);
  return variables.map((variable, k) => ({ variable, value: values[k]! }));
}
/** Where a step waits, before all else of it, while later ones are on their way. */
function landingOf(body: readonly Entry[]): Landing | undefined {
  const k = body.findIndex((e) => isOf(e, "land"));
  const [land, barrier] = [body[k], body[k + 1]];
  if (!isOf(land, "land") || land.leave < 1 || !isOf(barrier, "barrier")) return undefined;
  return body.slice(0, k).every((e) => typeof e === "number" || e.kind === "comment") ? { land, barrier } : undefined;
}
const isProduct = (e: Entry): boolean => isOf(e, "fragment") || isOf(e, "mma");
/** Places, and sums of products. What reads elements one by one reads this step's, which others may write over once it has waited for the next. */
const isPlace = (n: Nodes, e: Entry): boolean => {
  if (typeof e !== "number") return e.kind === "comment";
  const { kind, elem, pinned } = n.at(e);
  return kind === "op" && (elem === "i32" || pinned === true);
};
/** A place where the index has another value; undefined where it hangs on what is known in the loop alone. */
function placeAt(n: Nodes, at: NodeId, index: NodeId, value: NodeId): NodeId | undefined {
  const x = n.at(at);
  if (at === index) return value;
  if (x.depth < n.depth) return at;
  if (x.kind !== "op" || x.pinned) return undefined;
  const args = x.args.map((a) => placeAt(n, a, index, value));
  return args.some((a) => a === undefined) ? undefined : n.op(x.op!, args as NodeId[], x.elem, x.hint);
}
