/** Reads that a loop makes a turn early: the units that they take are variables of the loop. */
import type { Value } from "../tile/ir.ts";
import type { Fetched } from "./memory.ts";
import type { NodeId, Nodes } from "./nodes.ts";

/** What one load of a turn takes, for one register of its result. */
export interface Read extends Fetched {
  readonly load: Value;
  readonly register: number;
}
export interface HeldReads {
  /** What each load gives in this turn, by register. */
  readonly values: ReadonlyMap<Value, ReadonlyMap<number, NodeId>>;
  /** What the variables become for the next. */
  readonly assigns: readonly { readonly variable: NodeId; readonly value: NodeId }[];
}
/** Registers of a thread that a loop may carry, of 255: there are operands and places beside them. */
const mostCarried = 96;
/** Of them for reads: more leave no room for other blocks beside one. */
const mostHeld = 32;

/**
 * Reads of the first turn, of this one and of the next, in the same order; undefined where they take more registers than there are beside
 * the `carried` ones. This turn's are not made: what they would take is known.
 */
export function holdReads(
  n: Nodes,
  carried: number,
  first: readonly Read[],
  now: readonly Read[],
  next: readonly Read[],
): HeldReads | undefined {
  const key = (k: number): string => `${first[k]!.unit} ${now[k]!.unit} ${next[k]!.unit}`;
  const units = new Map(now.map((_, k) => [key(k), k]));
  if (units.size > mostHeld || carried + units.size > mostCarried) return undefined;
  const variables = new Map(
    [...units].map(([name, k]) => {
      const { elem, hint } = n.at(now[k]!.unit);
      return [name, { variable: n.carried(`${hint}_now`, elem, first[k]!.unit), value: next[k]!.unit }] as const;
    }),
  );
  const values = new Map<Value, Map<number, NodeId>>();
  const inside = new Map([...variables].map(([name, v]) => [name, n.inside(v.variable)]));
  now.forEach((r, k) => {
    if (!values.has(r.load)) values.set(r.load, new Map());
    values.get(r.load)!.set(r.register, r.value(inside.get(key(k))!));
  });
  return { values, assigns: [...variables.values()] };
}
/** Most of what is read lies beside other such: a few places, each of several units. */
export function together(n: Nodes, reads: readonly Read[]): boolean {
  const units = new Set(reads.map((r) => r.unit));
  return units.size >= 2 * new Set([...units].map((u) => n.at(u).args[0])).size;
}
