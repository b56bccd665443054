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
const acting: ReadonlySet<Op["kind"]> = new Set(["store", "issue", "put", "commit", "land", "meet", "comment"]);
/** Whether an operation does more than make its values. */
const acts = (o: Op): boolean => acting.has(o.kind) || (o.kind === "loop" && o.body.some((x) => x.kind !== "comment" && acts(x)));
function isKept(o: Op, needed: ReadonlySet<Value>): boolean {
  for (const v of outsOf(o)) if (needed.has(v)) return true;
  return acts(o);
}

function need(body: readonly Op[], needed: Set<Value>): void {
  for (let k = body.length - 1; k >= 0; k--) {
    const o = body[k]!;
    if (!isKept(o, needed)) continue;
    for (const v of argsOf(o)) needed.add(v);
    if (o.kind !== "loop") continue;
    for (const c of o.carried) if (needed.has(c.out) || needed.has(c.phi)) needed.add(c.init).add(c.next).add(c.phi);
    need(o.body, needed);
  }
}
function kept(body: readonly Op[], needed: ReadonlySet<Value>): Op[] {
  const whole = (o: Op): Op =>
    o.kind === "loop" ? { ...o, carried: o.carried.filter((c) => needed.has(c.phi)), body: kept(o.body, needed) } : o;
  return body.filter((o) => isKept(o, needed)).map(whole);
}
