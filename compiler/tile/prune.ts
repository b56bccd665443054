/** Leaves out what nothing stores: values, and what loops carry for nobody. */
import { argsOf, type Op, outsOf, type Value } from "./ir.ts";

export function prune(body: readonly Op[]): readonly Op[] {
  const needed = new Set<Value>();
  // A loop hands its values on to its next turn, so what is needed grows until it stays.
  for (let before = -1; before !== needed.size; ) {
    before = needed.size;
    need(body, needed);
  }
  return kept(body, needed);
}
/** Whether an operation does more than make its values. */
const acts = (o: Op): boolean =>
  ["store", "issue", "put", "commit", "land", "meet", "comment"].includes(o.kind) ||
  (o.kind === "loop" && o.body.some((x) => x.kind !== "comment" && acts(x)));
const isKept = (o: Op, needed: ReadonlySet<Value>): boolean => acts(o) || outsOf(o).some((v) => needed.has(v));

function need(body: readonly Op[], needed: Set<Value>): void {
  for (const o of [...body].reverse()) {
    if (!isKept(o, needed)) continue;
    for (const v of argsOf(o)) needed.add(v);
    if (o.kind !== "loop") continue;
    for (const c of o.carried) if (needed.has(c.out) || needed.has(c.phi)) needed.add(c.init).add(c.next).add(c.phi);
    need(o.body, needed);
  }
}
function kept(body: readonly Op[], needed: ReadonlySet<Value>): Op[] {
  return body.flatMap((o): Op[] => {
    if (!isKept(o, needed)) return [];
    if (o.kind !== "loop") return [o];
    return [{ ...o, carried: o.carried.filter((c) => needed.has(c.phi)), body: kept(o.body, needed) }];
  });
}
