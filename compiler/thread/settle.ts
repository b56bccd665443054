/**
 * Wide accesses where a language gives a buffer or a shared array one type in a launch: what goes by 16 bytes in all accesses holds vectors,
 * and wide accesses of any other are taken apart again.
 */
import { children, type Expr, partsOf, type Stmt, unfolded } from "./ir.ts";

export function settleWide(body: readonly Stmt[]): { readonly body: readonly Stmt[]; readonly vectors: ReadonlyMap<string, number> } {
  /** How many elements an access takes, and what has accesses of one, or of various numbers. */
  const [wide, single] = [new Map<string, number>(), new Set<string>()];
  const together = (name: string, count: number): void => {
    if ((wide.get(name) ?? count) !== count) single.add(name);
    wide.set(name, count);
  };
  const look = (e: Expr): void => {
    if (e.kind === "load") single.add(e.buffer);
    if (e.kind === "shared") single.add(e.array);
    children(e).forEach(look);
  };
  const walk = (list: readonly Stmt[]): void => {
    for (const s of list) {
      if (s.kind === "loads") together(s.buffer, s.outs.length);
      if (s.kind === "stores") together(s.buffer, s.values.length);
      if (s.kind === "takes") together(s.array, s.outs.length);
      if (s.kind === "shares") together(s.array, s.values.length);
      if (s.kind === "store" || s.kind === "merge" || s.kind === "copy") single.add(s.buffer);
      if (s.kind === "share") single.add(s.array);
      partsOf(s).forEach(look);
      if (s.kind === "for") walk(s.body);
      if (s.kind === "if") walk(s.then);
    }
  };
  walk(body);
  const vectors = new Map([...wide].filter(([name]) => !single.has(name)));
  const settled = (list: readonly Stmt[]): Stmt[] =>
    list.flatMap((s): Stmt[] => {
      if (s.kind === "for") return [{ ...s, body: settled(s.body) }];
      if (s.kind === "if") return [{ ...s, then: settled(s.then) }];
      if (s.kind === "shares") return vectors.has(s.array) ? [s] : unfolded(s);
      if (s.kind === "stores") return vectors.has(s.buffer) ? [s] : unfolded(s);
      if ((s.kind !== "loads" && s.kind !== "takes") || vectors.has(s.kind === "loads" ? s.buffer : s.array)) return [s];
      // The place is computed once, under the name that the vector would have had.
      return [{ kind: "let", name: s.name, value: s.at }, ...unfolded({ ...s, at: { kind: "name", name: s.name, elem: "i32" } })];
    });
  return { body: vectors.size === wide.size ? body : settled(body), vectors };
}
