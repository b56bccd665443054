/** Kernels under many shapes, data and schedules, on several targets, held against the reference within the derived bound. */
import { type Compiled, compile, Refusal, variantsOf } from "../compiler/index.ts";
import { type Checked, type CheckedInstance, check, type Schedule } from "../dsl/index.ts";
import { visit } from "../dsl/tensor/expr.ts";
import type { Program } from "../dsl/tensor/ir.ts";
import { visitStatement } from "../dsl/tensor/program.ts";
import { type PreparedCall, prepare } from "../runtime/call.ts";
import { agree, type Disagreement, describe } from "./agree.ts";
import { planBounds, withPlan } from "./bounds/call.ts";
import { generate, seeded } from "./generate.ts";
import { brokenLaws } from "./laws.ts";
import type { Level } from "./levels.ts";
import { randomSchedule } from "./random/schedule.ts";
import { Tape } from "./random/tape.ts";
import { interpreterFor, rememberProgram } from "./reference-device.ts";
import type { OpenTarget } from "./targets.ts";
import { workOf } from "./work.ts";

export interface FuzzOptions {
  readonly runs: number;
  /** Run k draws from seed + k. */
  readonly seed: number;
  /** `all`: those of the text and the derived one; `random`: eight more, the same for every seed; `derived`: that alone. */
  readonly schedules: "all" | "derived" | "random";
  /** Only this one, by its label. */
  readonly only?: string;
  /** Extents to draw from. */
  readonly sizes?: readonly number[];
  readonly instance?: string;
  /** Each run over the exact algebra too, bit for bit. Default: true. */
  readonly exact?: boolean;
  readonly progress?: (text: string) => void;
}
export interface FuzzFailure {
  readonly seed: number;
  readonly sizes: readonly number[] | undefined;
  readonly dims: Readonly<Record<string, number>>;
  /** The element, or what else was wrong. */
  readonly detail: string;
  readonly element?: Disagreement;
}
export interface FuzzReport {
  readonly kernel: string;
  readonly instance: string;
  readonly schedule: string;
  readonly target: string;
  readonly device: string;
  readonly runs: number;
  readonly compared: number;
  readonly open: number;
  readonly void: number;
  /** Largest error over its bound. */
  readonly errorOverBound: number;
  /** The same against the bound of the schedule's own order of operations, on the runs that were held against it. */
  readonly planErrorOverBound: number;
  readonly ok: boolean;
  /** Why it was not run. */
  readonly skipped?: string;
  readonly failure?: FuzzFailure;
}
/** Points that a run visits at most: some seconds on the interpreters. */
const mostWork = 2 ** 21;
type Attempt = (seed: number, sizes: readonly number[] | undefined, count: boolean) => Promise<FuzzFailure | undefined>;
interface Plan {
  readonly label: string;
  readonly schedule: Schedule | undefined;
  readonly checked: Checked;
}
/** Around tile edges, and a prime. */
const edges = [1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 63, 65];
/** Sizes that a failure is tried at, smallest first. */
const smaller: readonly (readonly number[])[] = [
  [1, 2],
  [1, 2, 3, 4, 5],
  [1, 3, 8, 9, 17],
];

/** One report for each instance, schedule and target. */
export async function* fuzz(
  text: string,
  kernels: ReadonlySet<string> | undefined,
  targets: readonly OpenTarget[],
  options: FuzzOptions,
): AsyncGenerator<FuzzReport> {
  const checked = check(text);
  for (const instance of checked.instances) {
    if (kernels && !kernels.has(instance.kernel)) continue;
    if (options.instance !== undefined && instance.name.replace(/\s/g, "") !== options.instance.replace(/\s/g, "")) continue;
    for (const target of targets) {
      const languages = [...new Set(target.levels.map((l) => l.target))];
      const labels = new Set(languages.flatMap((t) => plansFor(text, checked, instance, t, options).map((p) => p.label)));
      for (const label of labels) {
        if (options.only !== undefined && label !== options.only) continue;
        const levels = target.levels.flatMap((level) => {
          const plan = plansFor(text, checked, instance, level.target, options).find((p) => p.label === label);
          return plan ? [{ level, plan }] : [];
        });
        const report = await one(instance, label, target, levels, options);
        if (report) yield report;
      }
    }
  }
}
function plansFor(text: string, checked: Checked, instance: CheckedInstance, target: "cuda" | "wgsl", options: FuzzOptions): Plan[] {
  const derived: Plan = { label: "derived", schedule: undefined, checked };
  if (options.schedules === "derived") return [derived];
  const own = variantsOf(checked, instance, target)
    .filter((v) => v.schedule !== undefined)
    .map((v) => ({ label: v.label === "" ? "first" : v.label, schedule: v.schedule, checked }));
  const drawn: Plan[] = [];
  if (options.schedules === "random") {
    const names = namesOf(instance.program);
    for (let k = 0; k < 8; k++) {
      const extra = randomSchedule(new Tape([], seeded(1000 + k)), names, target).replace(
        "schedule f on",
        `schedule random${k} of ${instance.kernel} on`,
      );
      const again = extra ? check(text + extra) : undefined;
      const schedule = again?.ok ? again.schedules.at(-1) : undefined;
      if (again && schedule) drawn.push({ label: `random${k}: ${extra.trim()}`, schedule, checked: again });
    }
  }
  return [derived, ...own, ...drawn];
}
/** What schedules may speak of. */
export function namesOf(p: Program): { indices: string[]; reduced: string[]; definitions: string[] } {
  const indices = new Set<string>();
  const reduced = new Set<string>();
  const definitions: string[] = [];
  for (const s of p.statements) {
    if (s.kind === "define") {
      for (const a of s.axes) indices.add(a.name);
      if (!s.output) definitions.push(s.name);
    }
    visitStatement(s, (e) => {
      visit(e, (x) => {
        if (x.kind === "reduce") for (const a of x.axes) if (!a.name.includes("$")) reduced.add(a.name);
      });
    });
  }
  return { indices: [...indices].filter((n) => !n.includes("$")), reduced: [...reduced], definitions };
}

async function one(
  instance: CheckedInstance,
  label: string,
  target: OpenTarget,
  plans: readonly { level: Level; plan: Plan }[],
  options: FuzzOptions,
): Promise<FuzzReport | undefined> {
  const tally = { runs: 0, compared: 0, open: 0, void: 0, errorOverBound: 0, planErrorOverBound: 0 };
  const head = { kernel: instance.kernel, instance: instance.name, schedule: label, target: target.name, device: target.device };
  const floats = new Map<Level, Compiled>();
  const exact = new Map<Level, Compiled>();
  try {
    for (const { level, plan } of plans) {
      const own = plan.checked.instances.find((i) => i.kernel === instance.kernel && i.name === instance.name)!;
      for (const into of options.exact === false ? [floats] : [exact, floats]) {
        const made = compile(own, plan.checked.text, { target: level.target, schedule: plan.schedule, exact: into === exact });
        rememberProgram(made.artifact, own.program);
        into.set(level, made);
      }
    }
  } catch (e) {
    // A random schedule that cannot be honoured is none.
    if (e instanceof Refusal && label.startsWith("random")) return undefined;
    if (!(e instanceof Refusal)) throw e;
    return { ...head, ...tally, ok: false, failure: { seed: options.seed, sizes: undefined, dims: {}, detail: `${e.code}: ${e.message}` } };
  }
  for (const [level, made] of floats) {
    const missing = level.lacks?.(made.artifact);
    if (missing !== undefined) return { ...head, ...tally, ok: true, skipped: `the device has no ${missing}` };
  }
  let drawn = 0;
  // Sums of sums are long at sizes that are not: asked for by name, they are run all the same.
  const admits = options.sizes
    ? undefined
    : (dims: Readonly<Record<string, number>>): boolean => workOf(instance.program, dims) <= mostWork;
  const attempt: Attempt = async (seed, sizes, count) => {
    for (const compiled of [exact, floats]) {
      const random = seeded(seed);
      const first = compiled.values().next().value;
      if (first === undefined) continue;
      const style = compiled === exact ? "bits" : seed % 4 === 3 ? "edges" : "plain";
      const made = generate(first.artifact, random, { sizes: sizes ?? edges, most: 20_000, style, admits });
      if (made === undefined) continue;
      drawn++;
      const failed = (detail: string, element?: Disagreement): FuzzFailure => ({
        ...{ seed, sizes, dims: made.dims, detail: compiled === exact ? `exact mode: ${detail}` : detail },
        ...(element ? { element } : {}),
      });
      const call = (c: Compiled): PreparedCall => prepare(c.artifact, structuredClone(made.args), { dims: made.dims, checkData: true });
      const [law] = compiled === floats && count && seed % 8 === 0 ? brokenLaws(call(first), random, 10) : [];
      if (law) return failed(`monoid ${law.monoid} is not ${law.law}: ${JSON.stringify(law.values)} gives ${law.left} and ${law.right}`);
      for (const [level, own] of compiled) {
        const prepared = call(own);
        const machine = interpreterFor(prepared, level.target);
        const { result, faults } = await level.run(own, prepared);
        if (faults.length > 0) return failed(`${level.name} ${level.target}: ${faults[0]}`);
        const a = agree(prepared, result, machine, { sample: 2000, random });
        const [bad] = a.disagreements;
        if (bad) return failed(`${level.name} ${level.target}: ${describe(bad)}`, bad);
        // The plan's own bound costs as much as the run itself, so not every run pays it.
        if (level.plan && compiled === floats && seed % 4 === 0) {
          const planned = agree(prepared, result, withPlan(machine, planBounds(own, call(own), level.plan)), { sample: 2000, random });
          const [worse] = planned.disagreements;
          if (worse) return failed(`${level.name} ${level.target}, plan bound: ${describe(worse)}`, worse);
          if (count) tally.planErrorOverBound = Math.max(tally.planErrorOverBound, planned.errorOverBound);
        }
        if (!count) continue;
        tally.compared += a.compared;
        tally.open += a.open;
        tally.void += a.void;
        tally.errorOverBound = Math.max(tally.errorOverBound, a.errorOverBound);
      }
    }
    return undefined;
  };
  for (let k = 0; k < options.runs; k++) {
    options.progress?.(`${instance.kernel} ${label} on ${target.name}: ${k + 1}/${options.runs}`);
    const failure = await attempt(options.seed + k, options.sizes, true);
    tally.runs++;
    if (failure) return { ...head, ...tally, ok: false, failure: (await smallest(attempt)) ?? failure };
  }
  if (drawn === 0) {
    const detail = `no data met the preconditions in ${options.runs} runs: give sizes that do`;
    return { ...head, ...tally, ok: false, failure: { seed: options.seed, sizes: options.sizes, dims: {}, detail } };
  }
  if (tally.compared + tally.open + tally.void === 0) {
    const detail = `no output had an element in ${options.runs} runs: give sizes that allow some`;
    return { ...head, ...tally, ok: false, failure: { seed: options.seed, sizes: options.sizes, dims: {}, detail } };
  }
  return { ...head, ...tally, ok: true };
}
/** The same fault at small sizes, where it shows there. */
async function smallest(attempt: Attempt): Promise<FuzzFailure | undefined> {
  for (const sizes of smaller)
    for (let seed = 1; seed <= 20; seed++) {
      const failure = await attempt(seed, sizes, false);
      if (failure) return failure;
    }
  return undefined;
}
