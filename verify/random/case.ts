/** One random program under one random schedule, on every level: what disagrees, if anything. */
import { type Compiled, compile, Refusal } from "../../compiler/index.ts";
import { type CheckedInstance, check, type TargetName } from "../../dsl/index.ts";
import type { TensorParam } from "../../runtime/abi.ts";
import { type Arguments, type PreparedCall, prepare } from "../../runtime/call.ts";
import { agree, describe, unflatten } from "../agree.ts";
import { planBounds, withPlan } from "../bounds/call.ts";
import { readElement } from "../convert.ts";
import { generate, seeded } from "../generate.ts";
import type { Level } from "../levels.ts";
import { interpreterFor, rememberProgram } from "../reference-device.ts";
import { type RandomProgram, randomProgram } from "./program.ts";
import { randomSchedule } from "./schedule.ts";
import type { Tape } from "./tape.ts";

export interface Outcome {
  readonly text: string;
  readonly status: "ok" | "wrong" | "ill-typed" | "refused" | "no data";
  /** What was wrong, in a line or two. */
  readonly detail: string;
  readonly compared: number;
  /** Elements whose bound is infinite, or that a decision on floats left open. */
  readonly undecided: number;
}
/** A program that checks and compiles, and arguments for it. */
export interface Case {
  readonly text: string;
  readonly program: RandomProgram;
  readonly floats: Prepared;
  /** The same over the exact algebra. */
  readonly exact: Prepared;
}
interface Prepared {
  readonly compiled: ReadonlyMap<TargetName, Compiled>;
  readonly args: Arguments;
  readonly dims: Readonly<Record<string, number>>;
}
const sizes = [1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 33];
const outcome = (text: string, status: Outcome["status"], detail = ""): Outcome => ({ text, status, detail, compared: 0, undecided: 0 });
const failure = (text: string, e: unknown): Outcome =>
  e instanceof Refusal ? outcome(text, "refused", `${e.code} ${e.message}`) : outcome(text, "wrong", (e as Error).stack ?? String(e));

/** Everything about the case follows from the tape. */
export function makeCase(tape: Tape, targets: readonly TargetName[]): Case | Outcome {
  const program = randomProgram(tape);
  const text = program.text + targets.map((t) => randomSchedule(tape, program, t)).join("");
  try {
    const checked = check(text);
    const error = checked.diagnostics.find((d) => d.severity === "error");
    if (error) return outcome(text, "ill-typed", `${error.code} ${error.message}`);
    const instance = checked.instances[0] as CheckedInstance;
    const prepared = (exact: boolean): Prepared | undefined => {
      const compiled = new Map(
        targets.map((target) => {
          const made = compile(instance, text, { target, exact, schedule: checked.schedules.find((s) => s.target === target) });
          rememberProgram(made.artifact, instance.program);
          return [target, made] as const;
        }),
      );
      const { artifact } = compiled.get(targets[0]!)!;
      const made = generate(artifact, seeded(data), { sizes, most: 700, style: exact ? "bits" : "plain" });
      return made && { compiled, ...made };
    };
    // Data come from one seed, so that a tape stays short.
    const data = tape.draw(2 ** 16);
    const [exact, floats] = [prepared(true), prepared(false)];
    return exact === undefined || floats === undefined ? outcome(text, "no data") : { text, program, floats, exact };
  } catch (e) {
    return failure(text, e);
  }
}
export const isCase = (x: Case | Outcome): x is Case => "floats" in x;

/**
 * Runs a case on levels: over the exact algebra first, where every bit must be the reference's, then over floats, within the bound; and the
 * reference against what the generator says the text means.
 */
export async function checkCase(c: Case, on: readonly Level[]): Promise<Outcome> {
  let compared = 0;
  let undecided = 0;
  const wrong = (detail: string): Outcome => ({ ...outcome(c.text, "wrong", detail), compared, undecided });
  try {
    for (const [mode, { compiled, args, dims }] of [
      ["exact", c.exact],
      ["", c.floats],
    ] as const)
      for (const [k, level] of on.entries()) {
        const own = compiled.get(level.target)!;
        const call = prepare(own.artifact, structuredClone(args), { dims, checkData: true });
        const machine = interpreterFor(call, level.target);
        const meant = k === 0 && mode === "" ? againstMeaning(c.program, call) : undefined;
        if (meant) return wrong(`reference: ${meant}`);
        const { result, faults } = await level.run(own, call);
        const at = `${mode} ${level.name} ${level.target}, ${JSON.stringify(dims)}`.trim();
        if (faults.length > 0) return wrong(`${at}: ${faults[0]}`);
        const a = agree(call, result, machine);
        if (a.disagreements.length > 0) return wrong(`${at}: ${describe(a.disagreements[0]!)}`);
        compared += a.compared;
        undecided += a.open + a.void;
        if (mode === "exact" || !level.plan) continue;
        const planned = agree(
          call,
          result,
          withPlan(machine, planBounds(own, prepare(own.artifact, structuredClone(args), { dims }), level.plan)),
        );
        if (planned.disagreements.length > 0) return wrong(`${at}, plan bound: ${describe(planned.disagreements[0]!)}`);
      }
  } catch (e) {
    return failure(c.text, e);
  }
  return { ...outcome(c.text, "ok"), compared, undecided };
}
export async function runCase(tape: Tape, on: readonly Level[]): Promise<Outcome> {
  const made = makeCase(tape, [...new Set(on.map((l) => l.target))]);
  return isCase(made) ? await checkCase(made, on) : made;
}

/** The reference interpreter against what the generator says the program means, both in f64. */
function againstMeaning(program: RandomProgram, call: PreparedCall): string | undefined {
  const machine = interpreterFor(call, "cuda");
  const entry = new Map([...call.tensors].map(([name, t]) => [name, { ...t, data: t.data.slice() }]));
  const meaning = program.meaning(call.values, (name, at) => {
    const t = entry.get(name)!;
    return readElement(
      t.elem,
      t.data,
      at.reduce((n, i, k) => n * t.shape[k]! + i, 0),
    );
  });
  for (const name of program.outputs) {
    const { elem } = call.artifact.params.find((p): p is TensorParam => p.kind === "tensor" && p.name === name)!;
    const { shape } = call.tensors.get(name)!;
    const count = shape.reduce((a, b) => a * b, 1);
    for (let flat = 0; flat < Math.min(count, 200); flat++) {
      const at = unflatten(flat, shape);
      const e = machine.elementAt(name, flat);
      if (e.open) continue;
      const want = meaning(name, at);
      if (want === undefined || !e.defined) {
        if (want !== undefined || e.defined) return `${name}[${at}]: defined ${e.defined}, meant ${want}`;
        continue;
      }
      // Both are f64; their orders of summation may differ. What rounds to a narrow type may round to its neighbour then.
      const slack = elem === "f32" ? 1e-9 * (1 + Math.abs(want)) : e.bound;
      if (!(Math.abs(e.value - want) <= slack) && !Object.is(e.value, want)) return `${name}[${at}]: ${e.value}, meant ${want}`;
    }
  }
  return undefined;
}
