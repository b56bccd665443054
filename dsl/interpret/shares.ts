/** Where a bound comes from: the definitions whose roundings make the most of it. */
import type { Statement } from "../tensor/ir.ts";
import type { Interpreter } from "./interpreter.ts";

export interface Share {
  readonly definition: string;
  /** The bound that the roundings of this definition would leave alone, over the whole bound. */
  readonly share: number;
}
/** The names that a statement computes; a fold goes by those of its states. */
export function namesOf(s: Statement): string[] {
  if (s.kind === "fold") return [s.states.map((x) => x.name).join(", ")];
  if (s.kind === "define") return [s.name];
  if (s.kind === "write") return [s.tensor];
  return s.results.flatMap((r) => r.name ?? []);
}
/**
 * Shares of an element's bound, largest first, those below a hundredth left out. They need not add up to 1: errors go through
 * maxima and decisions as well as through sums.
 */
export function sharesOf(machine: Interpreter, tensor: string, flat: number): Share[] {
  const { bound } = machine.elementAt(tensor, flat);
  if (!(bound > 0) || bound === Number.POSITIVE_INFINITY) return [];
  const names = new Set(machine.program.statements.flatMap(namesOf));
  return [...names]
    .map((definition) => ({ definition, share: machine.withOnlyRoundingOf(definition).elementAt(tensor, flat).bound / bound }))
    .filter((s) => s.share >= 0.01)
    .sort((a, b) => b.share - a.share);
}
