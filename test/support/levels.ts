/** One text on the levels of the compiler, held against the reference. */
import { expect } from "vitest";
import { type Compiled, compile } from "../../compiler/index.ts";
import type { Stmt } from "../../compiler/thread/ir.ts";
import { check, type TargetName } from "../../dsl/index.ts";
import { type PreparedCall, prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { type Level, threadLevel, tileLevel } from "../../verify/levels.ts";
import { interpreterFor, rememberProgram } from "../../verify/reference-device.ts";

/** The first instance of a text under its first schedule for a target. */
export function compiled(text: string, target: TargetName, exact = false): Compiled {
  const checked = check(text);
  expect(
    checked.diagnostics.filter((d) => d.severity === "error").map((d) => `${d.code} ${d.message}`),
    text,
  ).toEqual([]);
  const instance = checked.instances[0]!;
  const made = compile(instance, text, { target, exact, schedule: checked.schedules.find((s) => s.target === target) });
  rememberProgram(made.artifact, instance.program);
  return made;
}
/** The statements of a kernel, with those of its loops and conditions. */
export const statements = (list: readonly Stmt[]): Stmt[] =>
  list.flatMap((s) => [s, ...(s.kind === "for" ? statements(s.body) : s.kind === "if" ? statements(s.then) : [])]);
/**
 * Holds a text against the reference on tiles and on all threads, over the exact algebra and over floats.
 * @returns the number of elements that were compared
 */
export async function agreesOnLevels(
  text: string,
  runs: number,
  from: number,
  targets: readonly TargetName[] = ["cuda", "wgsl"],
  sizes: readonly number[] = [0, 1, 2, 3, 5, 9, 17, 33],
): Promise<number> {
  let compared = 0;
  for (const exact of [true, false])
    for (const target of targets) {
      const made = compiled(text, target, exact);
      const random = seeded(from);
      for (let run = 0; run < runs; run++) {
        const drawn = generate(made.artifact, random, {
          sizes,
          most: 4000,
          style: exact ? "bits" : "plain",
        });
        if (drawn === undefined) continue;
        const levels: Level[] = [tileLevel(target), threadLevel(target)];
        const prepared = (): PreparedCall => prepare(made.artifact, structuredClone(drawn.args), { dims: drawn.dims });
        // One reference for both levels: what it has computed it keeps.
        const machine = interpreterFor(prepared(), target);
        for (const level of levels) {
          const call = prepared();
          const { result, faults } = await level.run(made, call);
          expect(faults).toEqual([]);
          const a = agree(call, result, machine);
          expect(
            a.disagreements.map(words),
            `${exact ? "exact " : ""}${level.name} ${target} ${JSON.stringify(drawn.dims)}\n${text}`,
          ).toEqual([]);
          compared += a.compared;
        }
      }
    }
  return compared;
}
