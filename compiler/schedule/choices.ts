/** Sets of sizes in a schedule: what a tuner chooses from, and a schedule with its choice. */
import type { Directive, Schedule } from "../../dsl/check/schedules.ts";

type Sized = Extract<Directive, { size: number }>;
/** Sizes by what they are of, as a directive says it: `tile i`, `split s.j`. */
export type Choice = Readonly<Record<string, number>>;
const labelOf = (d: Sized): string => `${d.kind} ${d.definition ? `${d.definition}.` : ""}${d.index}`;
const isOpen = (d: Directive): d is Sized & { choices: readonly number[] } => "choices" in d && d.choices !== undefined;

/** What the text leaves open: the sizes of each set. */
export const openSizes = (s: Schedule): Readonly<Record<string, readonly number[]>> =>
  Object.fromEntries(s.directives.filter(isOpen).map((d) => [labelOf(d), d.choices]));

/** Every way to choose, the first of each set first. */
export function combinations(s: Schedule): Choice[] {
  return Object.entries(openSizes(s)).reduce<Choice[]>(
    (list, [label, sizes]) => list.flatMap((c) => sizes.map((n) => ({ ...c, [label]: n }))),
    [{}],
  );
}
/** The schedule with these sizes; what the choice does not name stays as it is. */
export const chosen = (s: Schedule, choice: Choice): Schedule => ({
  ...s,
  directives: s.directives.map((d) => (isOpen(d) ? { ...d, size: choice[labelOf(d)] ?? d.size } : d)),
});
