/** One random program under one random schedule, on every level: what disagrees, if anything. */
import { type Compiled, compile, Refusal } from "../../compiler/index.ts";
import { type CheckedInstance, check, type TargetName } from "../../dsl/index.ts";
import type { TensorParam } from "../../runtime/abi.ts";
import { type CallResult, type PreparedCall, prepare } from "../../runtime/call.ts";
import { agree, describe, unflatten } from "../agree.ts";
import { readElement } from "../convert.ts";
import { generate } from "../generate.ts";
import { runThreads, runTiles } from "../levels.ts";
import { interpreterFor } from "../reference-device.ts";
import { type RandomProgram, randomProgram } from "./program.ts";
import { randomSchedule } from "./schedule.ts";
import type { Tape } from "./tape.ts";

/** Runs a compiled kernel; faults are what it did besides computing. */
export interface Level {
  readonly name: string;
  readonly target: TargetName;
  readonly run: (compiled: Compiled, call: PreparedCall) => Promise<{ result: CallResult; faults: readonly string[] }>;
}
export const levels: Readonly<Record<"tile" | "thread", (target: TargetName) => Level>> = {
  tile: (target) => ({ name: "tile", target, run: async (c, call) => ({ result: runTiles(c, call), faults: [] }) }),
  thread: (target) => ({
    name: "thread",
    target,
    run: async (c, call) => {
      const { result, faults } = runThreads(c, call);
      return { result, faults: faults.map((f) => f.text) };
    },
  }),
};

export interface Outcome {
  readonly text: string;
  readonly status: "ok" | "wrong" | "ill-typed" | "refused" | "no data";
  /** What was wrong, in a line or two. */
  readonly detail: string;
  readonly compared: number;
  /** Elements whose bound is infinite, or that a decision on floats left open. */
  readonly undecided: number;
}
const sizes = [1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 33];

/** Everything about the case follows from the tape. */
export async function runCase(tape: Tape, on: readonly Level[]): Promise<Outcome> {
  const program = randomProgram(tape);
  const schedules = [...new Set(on.map((l) => l.target))].map((target) => [target, randomSchedule(tape, program, target)] as const);
  const text = program.text + schedules.map(([, s]) => s).join("");
  const outcome = (status: Outcome["status"], detail = "", compared = 0, undecided = 0): Outcome => ({
    text,
    status,
    detail,
    compared,
    undecided,
  });
  const checked = check(text);
  const error = checked.diagnostics.find((d) => d.severity === "error");
  if (error) return outcome("ill-typed", `${error.code} ${error.message}`);
  const random = (): number => tape.draw(2 ** 16) / 2 ** 16;
  let compared = 0;
  let undecided = 0;
  const compiled = new Map<TargetName, Compiled>();
  try {
    for (const [target] of schedules)
      compiled.set(
        target,
        compile(checked.instances[0] as CheckedInstance, text, { target, schedule: checked.schedules.find((s) => s.target === target) }),
      );
    const { artifact } = compiled.values().next().value!;
    const made = generate(artifact, seededBy(random), { sizes, most: 1500 });
    if (made === undefined) return outcome("no data");
    let held: string | undefined;
    for (const level of on) {
      const own = compiled.get(level.target)!;
      const call = prepare(own.artifact, structuredClone(made.args), { dims: made.dims, checkData: true });
      const machine = interpreterFor(call, level.target);
      held ??= againstMeaning(program, call) ?? "";
      if (held) return outcome("wrong", `reference: ${held}`);
      const { result, faults } = await level.run(own, call);
      if (faults.length > 0) return outcome("wrong", `${level.name} ${level.target}: ${faults[0]}`);
      const a = agree(call, result, machine);
      if (a.disagreements.length > 0)
        return outcome("wrong", `${level.name} ${level.target}, ${JSON.stringify(made.dims)}: ${describe(a.disagreements[0]!)}`);
      compared += a.compared;
      undecided += a.open + a.void;
    }
  } catch (e) {
    if (e instanceof Refusal) return outcome("refused", `${e.code} ${e.message}`);
    return outcome("wrong", (e as Error).stack ?? String(e));
  }
  return outcome("ok", "", compared, undecided);
}
/** Data come from one seed, so that a tape stays short. */
function seededBy(random: () => number): () => number {
  let a = Math.floor(random() * 2 ** 16);
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
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
      if (!(Math.abs(e.value - want) <= slack) && !(Number.isNaN(want) && Number.isNaN(e.value)))
        return `${name}[${at}]: ${e.value}, meant ${want}`;
    }
  }
  return undefined;
}
