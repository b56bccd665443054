/** The pipeline: a checked instance -> an artifact for one target, with every stage open to an observer. */
import { type Directive, eightBitsFeature, halvesFeature, lanesOf, softwareFeature } from "../dsl/check/schedules.ts";
import type { CheckedInstance, Schedule } from "../dsl/index.ts";
import { desugar } from "../dsl/tensor/desugar.ts";
import { exactProgram } from "../dsl/tensor/exact.ts";
import { conjuncts, continueFreshNames, freshNames } from "../dsl/tensor/expr.ts";
import type { Expr, Program } from "../dsl/tensor/ir.ts";
import { printExpr, printProgram } from "../dsl/tensor/print.ts";
import { specialize } from "../dsl/tensor/program.ts";
import { computeOf } from "../dsl/tensor/types.ts";
import { verifyProgram } from "../dsl/tensor/verify.ts";
import type { Artifact, LaunchAbi, StepAbi, UniformAbi } from "../runtime/abi.ts";
import { type Arenas, arenasOf, noArenas } from "./emit/arenas.ts";
import { emitModule } from "./emit/module.ts";
import { Lines } from "./lines.ts";
import { multiplesIn } from "./plan/bounds.ts";
import type { Plan } from "./plan/jobs.ts";
import { plan } from "./plan/plan.ts";
import { sizeCondition } from "./plan/size.ts";
import { Refusal } from "./refusal.ts";
import { type JobDirectives, printDirectives } from "./schedule/default.ts";
import { derivedStreams } from "./schedule/derive.ts";
import { split } from "./schedule/split.ts";
import { paramsOf } from "./signature.ts";
import { stream } from "./stream/stream.ts";
import { cuda, withEightBits } from "./targets/cuda.ts";
import type { Target } from "./targets/target.ts";
import { softwareWgsl, wgsl, withHalves, withLanes } from "./targets/wgsl.ts";
import type { ThreadKernel } from "./thread/ir.ts";
import { lowerLaunch } from "./thread/lower.ts";
import { printKernel } from "./thread/print.ts";
import { verifyKernel } from "./thread/verify.ts";
import { launchesOf, type Step, type TileProgram } from "./tile/ir.ts";
import { lowerPlan } from "./tile/lower.ts";
import { printTileProgram } from "./tile/print.ts";
import { verifyTileProgram } from "./tile/verify.ts";

export const targets: Readonly<Record<"cuda" | "wgsl", Target>> = { cuda, wgsl };

/** Names of the stages, in order, with the sentence that `weft explain` shows. */
export const stages = {
  check: "the typed program, as written",
  desugar: "softmax, logsumexp and mean as definitions; static dimensions as numbers",
  split: "dependent reductions in one pass, and reductions cut over blocks, with their combine",
  plan: "what is stored, what is recomputed, and the directives of each launch",
  tile: "each launch as operations on tiles",
  thread: "each launch as one thread sees it",
  emit: "source text",
} as const;
export type Stage = keyof typeof stages;
export type Observer = (stage: Stage, text: () => string) => void;

export interface Compiled {
  readonly artifact: Artifact;
  /** What was chosen where no schedule says it, as directives. */
  readonly directives: readonly string[];
  readonly tiles: TileProgram;
  readonly kernels: readonly ThreadKernel[];
}
export interface CompileOptions {
  readonly target: "cuda" | "wgsl";
  readonly schedule?: Schedule | undefined;
  /** Over the exact algebra (dsl/tensor/exact.ts): same bits as the reference under every schedule. */
  readonly exact?: boolean;
  readonly observe?: Observer;
}

/**
 * Compiles one instance for one target.
 * @throws Refusal where the target or a directive cannot be honoured; InternalError where the compiler is wrong
 */
export function compile(instance: CheckedInstance, weft: string, options: CompileOptions): Compiled {
  const target = targetFor(options);
  const observe = options.observe ?? (() => undefined);
  const directives = options.schedule?.directives ?? [];
  if (!instance.complete)
    throw new Refusal(
      "W502",
      instance.program.span,
      `\`${instance.kernel}\` has types or static dimensions that no instance binds`,
      `write \`instance ${instance.kernel} { … }\``,
    );
  observe("check", () => printProgram(instance.program));
  const { plain, program, planned, derived, freshNames: taken } = front(instance, weft, target, options);
  continueFreshNames(taken);
  refuseTypes(program, target);
  observe("desugar", () => printProgram(plain));
  observe("split", () => printProgram(program));
  const chosen: JobDirectives[] = [];
  const tiles = lowerPlan(planned, target, { directives, observe: (d) => chosen.push(d) });
  const streamed = derived.flatMap((d) => (d.kind === "stream" ? [`stream ${d.index}`] : []));
  observe("plan", () =>
    [...streamed, ...chosen.flatMap((d) => [`launch ${d.name}, ${d.threads} threads`, ...printDirectives(d).map((l) => `  ${l}`)])].join(
      "\n",
    ),
  );
  verifyTileProgram(tiles, target);
  observe("tile", () => printTileProgram(tiles));
  const kernels = launchesOf(tiles.steps).map((l) => lowerLaunch(l, target));
  for (const k of kernels) verifyKernel(k, target);
  observe("thread", () => kernels.map(printKernel).join("\n\n"));
  const own = uniformsOf(program, tiles.steps);
  const arenas = arenasFor(program, kernels, own, target);
  const uniforms = [...own, ...arenas.uniforms];
  const title = `${instance.kernel}${instance.name ? ` (${instance.name})` : ""}`;
  const module = emitModule(`${title}, generated by weft`, kernels, uniforms, target, arenas);
  observe("emit", () => module.source);
  const byName = new Map(module.launches.map((l) => [l.entry, l]));
  const artifact: Artifact = {
    kernel: instance.kernel,
    instance: instance.name,
    target: options.target,
    ...placeOf(options.schedule),
    ...(options.exact ? { exact: true } : {}),
    dims: instance.program.dims,
    params: paramsOf(program),
    requires: program.requires.flatMap((r) => {
      const condition = sizeCondition(r);
      return condition ? [{ condition, text: printExpr(r) }] : [];
    }),
    dataRequires: [
      ...program.requires.filter((r) => sizeCondition(r) === undefined).map((r) => printExpr(r)),
      ...program.unique.map((u) => `unique(${u.axes.map((a) => a.name).join(", ")}) ${u.keys.map((k) => printExpr(k)).join(", ")}`),
    ],
    temps: tiles.temps,
    ...(arenas.arenas.length > 0 ? { arenas: arenas.arenas } : {}),
    uniforms,
    steps: stepsOf(tiles.steps, byName),
    source: module.source,
    ...(module.many ? { many: module.many } : {}),
    lines: module.lines,
    weft,
  };
  return { artifact, directives: [...new Set([...streamed, ...spoken(chosen, weft)])], tiles, kernels };
}

/** The target as a schedule sees it, by what it asks of a device. */
function targetFor({ target, schedule }: CompileOptions): Target {
  const features = schedule?.features ?? [];
  if (target === "cuda") return features.includes(eightBitsFeature) ? withEightBits(cuda) : cuda;
  const chosen = features.includes(softwareFeature) ? softwareWgsl : wgsl;
  return withLanes(features.includes(halvesFeature) ? withHalves(chosen) : chosen, lanesOf(features));
}
/** The directives of launches; what is about names that the text does not have is a comment. */
function spoken(chosen: readonly JobDirectives[], weft: string): string[] {
  const names = new Set(weft.match(/\w+/g));
  return chosen.flatMap((d) => {
    const known = [d.name, ...d.tile.keys(), ...d.unroll.keys()].every((n) => names.has(n));
    return printDirectives(d).map((line) => (known || line.startsWith("//") ? line : `// ${line}`));
  });
}
/** What the code of a schedule relies on, of what it asks of the dimensions: that they are multiples. */
const assumedBy = (s: Schedule | undefined): Expr[] => conjuncts(s?.where).filter((c) => multiplesIn([c]).size > 0);
/** What a schedule asks of device and launch. */
function placeOf(s: Schedule | undefined): Pick<Artifact, "schedule" | "arch" | "features" | "when" | "assumes"> {
  const when = s?.where && sizeCondition(s.where);
  if (s?.where && when === undefined)
    throw new Refusal("W606", s.where.span, "a schedule is chosen by dimensions alone", "compare dimensions and numbers");
  const assumed = assumedBy(s);
  return {
    ...(s?.name ? { schedule: s.name } : {}),
    ...(s?.arch ? { arch: s.arch } : {}),
    ...(s?.features.length ? { features: s.features } : {}),
    ...(when ? { when } : {}),
    ...(assumed.length > 0 ? { assumes: assumed.map((c) => ({ condition: sizeCondition(c)!, text: printExpr(c) })) } : {}),
  };
}

interface Front {
  readonly plain: Program;
  readonly program: Program;
  readonly planned: Plan;
  /** Directives about the mathematics that no schedule gave. */
  readonly derived: readonly Directive[];
  readonly freshNames: number;
}
/** A schedule that says something, or whether what the text leaves open may be streamed. */
type FrontKey = Schedule | boolean;
const fronts = new WeakMap<CheckedInstance, { float: Map<FrontKey, Front>; exact: Map<FrontKey, Front> }>();
/** The stages that no target enters, beyond what its profile likes: made once for an instance and its schedule. */
function front(instance: CheckedInstance, weft: string, target: Target, { schedule, exact = false }: CompileOptions): Front {
  const both = fronts.get(instance) ?? { float: new Map(), exact: new Map() };
  fronts.set(instance, both);
  const known = exact ? both.exact : both.float;
  const speaks = schedule !== undefined && schedule.directives.length > 0;
  const key = speaks || assumedBy(schedule).length > 0 ? schedule! : target.profile.streams;
  let made = known.get(key);
  if (made === undefined) {
    continueFreshNames(instance.freshNames);
    const plain = specialize(desugar(instance.program));
    verifyProgram(plain, "desugar", true);
    // After every pass over the mathematics, before anything is placed.
    const derived = !speaks && target.profile.streams ? derivedStreams(plain) : undefined;
    const directives = derived?.directives ?? schedule?.directives ?? [];
    const assumed = assumedBy(schedule);
    const { program: streamed, inside } = derived?.streamed ?? stream(plain, directives);
    const cut = split(streamed, directives, assumed);
    const program = exact ? exactProgram(cut) : cut;
    verifyProgram(program, "split", true);
    const lines = new Lines(weft);
    const named = (kind: "materialize" | "fuse") => new Set(directives.flatMap((d) => (d.kind === kind ? [d.name] : [])));
    const fuse = new Set([...named("fuse"), ...inside]);
    const launched = { ...program, requires: [...program.requires, ...assumed] };
    const planned = plan(launched, { materialize: named("materialize"), fuse, lineOf: (offset) => lines.at(offset) });
    made = { plain, program, planned, derived: derived?.directives ?? [], freshNames: freshNames() };
    known.set(key, made);
  }
  return made;
}

function uniformsOf(p: Program, steps: readonly Step[]): UniformAbi[] {
  const out: UniformAbi[] = p.dims.filter((d) => d.value === undefined).map((d) => ({ name: d.name, kind: "dim", type: "i32" }));
  for (const x of p.params) {
    if (x.axes !== undefined) continue;
    const type = computeOf(x.elem);
    out.push({ name: x.name, kind: "scalar", type: type === "int" || type === "bool" ? "i32" : type });
  }
  const repeats = (list: readonly Step[]): void => {
    for (const s of list) {
      if (s.kind !== "repeat") continue;
      if (!out.some((u) => u.name === s.name)) out.push({ name: s.name, kind: "step", type: "i32" });
      repeats(s.steps);
    }
  };
  repeats(steps);
  return out;
}
/** What shares a binding, with names that nothing has. */
function arenasFor(p: Program, kernels: readonly ThreadKernel[], uniforms: readonly UniformAbi[], target: Target): Arenas {
  const most = target.limits.buffers;
  if (kernels.every((k) => k.buffers.length <= most)) return noArenas;
  const names = new Set([...uniforms.map((u) => u.name), ...kernels.flatMap((k) => printKernel(k).match(/\w+/g) ?? [])]);
  const made = arenasOf(kernels, most, names);
  if (made === undefined)
    throw new Refusal(
      "W702",
      p.span,
      `a launch of \`${p.kernel}\` writes too many tensors, each in another way: ${target.name} binds ${most} buffers`,
      "cut it into kernels that write fewer",
    );
  return made;
}
const stepsOf = (steps: readonly Step[], byName: ReadonlyMap<string, LaunchAbi>): StepAbi[] =>
  steps.map((s) =>
    s.kind === "launch"
      ? { kind: "launch", launch: byName.get(s.launch.name)! }
      : { kind: "repeat", count: s.count, name: s.name, steps: stepsOf(s.steps, byName) },
  );

function refuseTypes(p: Program, target: Target): void {
  if (target.types.f64) return;
  for (const x of [...p.params, ...p.outputs])
    if (x.elem.name === "f64")
      throw new Refusal(
        "W701",
        x.span,
        `${target.name} has no element type f64: \`${x.name}\` cannot be held`,
        "use f32, or build this kernel for cuda alone",
      );
}
