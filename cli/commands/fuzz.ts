/** `weft fuzz`: kernels under many shapes, data and schedules, against the reference. */
import pc from "picocolors";
import { check } from "../../dsl/index.ts";
import { type FuzzOptions, type FuzzReport, fuzz } from "../../verify/fuzz.ts";
import { type FuzzTarget, fuzzTargets, type OpenTarget, openTarget } from "../../verify/targets.ts";
import { UserError } from "../fail.ts";
import { readSource, sourcesOf } from "../files.ts";
import { progress } from "../render.ts";
import { findKernel, report } from "../workspace.ts";

export interface FuzzArguments {
  readonly runs: string;
  readonly seed: string;
  readonly targets: string;
  readonly schedules: string;
  readonly schedule?: string;
  readonly instance?: string;
  readonly sizes?: string;
  readonly json?: boolean;
}
export async function fuzzPaths(paths: readonly string[], args: FuzzArguments): Promise<void> {
  const options = optionsOf(args);
  const names = args.targets.split(",").map((t) => t.trim());
  for (const t of names)
    if (!(fuzzTargets as readonly string[]).includes(t))
      throw new UserError(`there is no target \`${t}\`; targets are ${fuzzTargets.join(", ")}`);
  const sources = paths.flatMap((p): { file: string; kernels: ReadonlySet<string> | undefined }[] => {
    const named = /\.weft:\w+$/.test(p) ? findKernel(p) : undefined;
    return named ? [{ file: named.file, kernels: new Set([named.kernel!]) }] : sourcesOf([p]).map((file) => ({ file, kernels: undefined }));
  });
  const open: OpenTarget[] = [];
  let failed = 0;
  let done = 0;
  try {
    for (const t of names) open.push(await openTarget(t as FuzzTarget));
    for (const { file, kernels } of sources) {
      const text = readSource(file);
      if (report(check(text), file, args.json ?? false)) throw new UserError(`${file} has errors`);
      for await (const r of fuzz(text, kernels, open, { ...options, ...(args.json ? {} : { progress }) })) {
        progress("");
        say(r, file, args);
        if (r.skipped === undefined) done++;
        if (!r.ok) failed++;
      }
    }
  } finally {
    for (const t of open) await t[Symbol.asyncDispose]();
  }
  if (done === 0) throw new UserError("nothing was run: no kernel, instance or schedule of that name");
  if (failed > 0) throw new UserError(`${failed} of ${done} failed`);
}
function optionsOf(args: FuzzArguments): FuzzOptions {
  const whole = (text: string, what: string, least: number): number => {
    const n = Number(text);
    if (!Number.isInteger(n) || n < least) throw new UserError(`${what} takes a whole number from ${least}, found \`${text}\``);
    return n;
  };
  const { schedules } = args;
  if (schedules !== "all" && schedules !== "derived" && schedules !== "random")
    throw new UserError(`--schedules takes all, derived or random, found \`${schedules}\``);
  return {
    runs: whole(args.runs, "--runs", 1),
    seed: whole(args.seed, "--seed", 0),
    schedules,
    ...(args.schedule ? { only: args.schedule } : {}),
    ...(args.instance ? { instance: args.instance } : {}),
    ...(args.sizes ? { sizes: args.sizes.split(",").map((s) => whole(s, "--sizes", 0)) } : {}),
  };
}
/** The command that shows one failure again. */
function replay(r: FuzzReport, file: string, args: FuzzArguments): string {
  const { failure } = r;
  return [
    `weft fuzz ${file}:${r.kernel}`,
    `--targets ${r.target} --seed ${failure!.seed} --runs 1`,
    `--schedules ${args.schedules} --schedule '${r.schedule}'`,
    ...(r.instance ? [`--instance '${r.instance}'`] : []),
    ...(failure!.sizes ? [`--sizes ${failure!.sizes.join(",")}`] : []),
  ].join(" ");
}
function say(r: FuzzReport, file: string, args: FuzzArguments): void {
  const { kernel, instance, schedule, target, runs, ok, skipped, failure } = r;
  if (args.json) {
    const { device, compared, open, errorOverBound, planErrorOverBound } = r;
    const wrong = failure ? { dims: failure.dims, detail: failure.detail, ...failure.element, replay: replay(r, file, args) } : {};
    console.log(
      JSON.stringify({
        kernel,
        instance,
        schedule,
        target,
        device,
        runs,
        compared,
        open,
        void: r.void,
        errorOverBound,
        planErrorOverBound,
        ok,
        ...(skipped ? { skipped } : {}),
        ...wrong,
      }),
    );
    return;
  }
  const name = `${pc.bold(kernel)}${instance ? ` (${instance})` : ""}, ${schedule} schedule, on ${target}`;
  if (skipped) {
    console.log(`${pc.yellow("skip")} ${name}: ${skipped}`);
    return;
  }
  if (ok) {
    const room = (x: number): string => (1 / x).toPrecision(3);
    const plan = r.planErrorOverBound > 0 ? `, the plan's ${room(r.planErrorOverBound)}` : "";
    const ratio = r.errorOverBound > 0 ? `, bound at least ${room(r.errorOverBound)} times the error${plan}` : "";
    console.log(
      `${pc.green("ok")}   ${name}: ${runs} runs, ${r.compared} elements${ratio}${r.open ? `, ${r.open} open` : ""}${r.void ? `, ${r.void} without a bound` : ""}`,
    );
    return;
  }
  const shape = Object.entries(failure!.dims)
    .map(([k, v]) => `${k}=${v}`)
    .join(", ");
  console.log(`${pc.red("FAIL")} ${name}: ${shape}\n     ${failure!.detail}\n     replay: ${replay(r, file, args)}`);
}
