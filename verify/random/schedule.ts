/** Random schedules over the names of a program: legal in form; what cannot be honoured is refused by the compiler with a code. */
import type { RandomProgram } from "./program.ts";
import type { Tape } from "./tape.ts";

/** The text of a schedule of kernel `f`, or nothing: the derived one. */
export function randomSchedule(tape: Tape, p: Pick<RandomProgram, "indices" | "reduced" | "definitions">, target: "cuda" | "wgsl"): string {
  // A software device of the target has a scheduler of its own, and so has one whose lanes read each other's registers: 4 in any subgroup.
  const wgsl = tape.pick([
    "wgsl",
    "wgsl",
    "wgsl",
    "wgsl with software",
    "wgsl with software",
    "wgsl with subgroups",
    "wgsl with software, subgroups",
  ]);
  const place = target === "wgsl" ? wgsl : target;
  const none = place === target ? "" : `schedule f on ${place} { }\n`;
  if (!tape.chance(70)) return none;
  const said = new Set<string>();
  const lines: string[] = [];
  for (let k = 1 + tape.draw(4); k > 0; k--) {
    const directive = one(tape, p);
    if (directive === undefined) continue;
    const what = directive.replace(/:.*| \d.*/, "");
    if (said.has(what)) continue;
    said.add(what);
    lines.push(directive);
  }
  return lines.length === 0 ? none : `schedule f on ${place} { ${lines.join("; ")} }\n`;
}
function one(tape: Tape, p: Pick<RandomProgram, "indices" | "reduced" | "definitions">): string | undefined {
  const from = (list: readonly string[]): string | undefined => (list.length > 0 ? tape.pick(list) : undefined);
  const about = (word: string, list: readonly string[], rest = ""): string | undefined => {
    const name = from(list);
    return name && `${word} ${name}${rest}`;
  };
  const power = (most: number): number => 2 ** tape.draw(most + 1);
  switch (tape.draw(8)) {
    case 0:
      return about("tile", p.indices, `: ${power(6)}`);
    case 1:
      return `warps ${power(3)}`;
    case 2:
      return about("unroll", p.reduced, `: ${power(3)}`);
    case 3:
      return tape.chance(40) ? about("split", p.reduced, `: ${1 + tape.draw(5)}`) : undefined;
    case 4:
      return about("materialize", p.definitions);
    case 5:
      return about("fuse", p.definitions);
    case 6:
      return about("vectorize", p.indices, `: ${power(3)}`);
    default:
      return about("grid", p.indices);
  }
}
