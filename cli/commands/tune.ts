/** `weft tune`: chooses from the sets of sizes in a kernel's schedules, by time on a device, or by the cost model where there is none. */
import pc from "picocolors";
import { type Chip, type ChipName, chips } from "../../compiler/cost/chips.ts";
import { rooflineOf } from "../../compiler/cost/roofline.ts";
import { type Choice, chosen, combinations, compile, openSizes, Refusal } from "../../compiler/index.ts";
import { type CheckedInstance, InternalError, type Schedule } from "../../dsl/index.ts";
import { openCuda } from "../../runtime/cuda/index.ts";
import { type Device, prepare } from "../../runtime/index.ts";
import { openWebGpu } from "../../runtime/webgpu/node.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { UserError } from "../fail.ts";
import { headOf, lockOf, writeLock } from "../lock.ts";
import { type Found, load, ownDims, pickInstance, shapeOf, targetOf } from "../workspace.ts";

export interface TuneOptions {
  readonly target: string;
  readonly shape?: string;
  readonly instance?: string;
  readonly model?: boolean;
  readonly chip: ChipName;
  readonly runs: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}
interface Candidate {
  readonly choice: Choice;
  /** Milliseconds, measured or modelled. */
  readonly ms: number;
}
/** More ways to choose than this are too many to try. */
const most = 512;
/** Of a dimension that nobody gives. */
const usual = 256;

export async function tune(name: string, options: TuneOptions): Promise<void> {
  const target = targetOf(options.target);
  const runs = Number(options.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new UserError(`--runs takes a whole number from 1, not \`${options.runs}\``);
  const chip = chips[options.chip];
  const found = load(name, options.json ?? false);
  const dims = shapeOf(options.shape);
  const instance = pickInstance(found, options.instance, dims);
  ownDims(instance, dims);
  const open = found.checked.schedules.filter(
    (s) => s.kernel === found.kernel && s.target === target && Object.keys(openSizes(s)).length > 0,
  );
  if (open.length === 0)
    throw new UserError(`no schedule of ${found.kernel} on ${target} has a set of sizes; write one, as in \`tile i: {32, 64, 128}\``);
  const values = Object.fromEntries(instance.program.dims.map((d) => [d.name, d.value ?? dims[d.name] ?? usual]));
  const shape = Object.entries(values)
    .map(([k, v]) => `${k}=${v}`)
    .join(",");
  const device = options.model ? undefined : await deviceFor(target);
  if (device === undefined && target === "wgsl")
    throw new UserError("the cost model knows the chips of CUDA alone, and WGSL is measured: without --model");
  try {
    for (const s of open) {
      const head = headOf(s, found.text);
      const all = combinations(s);
      if (all.length > most) throw new UserError(`${head} leaves ${all.length} ways to choose; ${most} at most can be tried`);
      const tried = device
        ? await measured(found, instance, s, all, values, device, runs)
        : modelled(found, instance, s, all, values, chip);
      const ranked = tried.sort((a, b) => a.ms - b.ms);
      const [best] = ranked;
      if (best === undefined) throw new UserError(`${head}: none of its ${all.length} choices can be honoured`);
      const how = `${device ? `measured on ${device.name}` : `modelled for ${chip.name}`}, ${shape}, ${new Date().toISOString().slice(0, 10)}`;
      if (!options.dryRun) writeLock(found.file, head, best.choice, how);
      if (options.json)
        console.log(
          JSON.stringify({
            schedule: head,
            target,
            how,
            refused: all.length - tried.length,
            chosen: best.choice,
            ranked,
            written: !options.dryRun,
          }),
        );
      else {
        console.log(`${pc.bold(head)}  ${how}; ${all.length} choices, ${all.length - tried.length} refused`);
        for (const c of ranked.slice(0, 8))
          console.log(`  ${c.ms.toFixed(4)} ms  ${sizesText(c.choice)}${c === best ? "  <- chosen" : ""}`);
        if (!options.dryRun) console.log(`  written to ${lockOf(found.file)}`);
      }
    }
  } finally {
    await device?.[Symbol.asyncDispose]();
  }
}
const sizesText = (c: Choice): string =>
  Object.entries(c)
    .map(([label, size]) => `${label}: ${size}`)
    .join(", ");

async function deviceFor(target: "cuda" | "wgsl"): Promise<Device | undefined> {
  if (target === "wgsl") return openWebGpu();
  try {
    return await openCuda();
  } catch {
    return undefined;
  }
}
function compiledWith(found: Found, instance: CheckedInstance, s: Schedule, choice: Choice): ReturnType<typeof compile> | undefined {
  try {
    return compile(instance, found.text, { target: s.target, schedule: chosen(s, choice) });
  } catch (e) {
    if (e instanceof Refusal) return undefined;
    throw e;
  }
}
function modelled(
  found: Found,
  instance: CheckedInstance,
  s: Schedule,
  all: readonly Choice[],
  values: Readonly<Record<string, number>>,
  chip: Chip,
): Candidate[] {
  return all.flatMap((choice) => {
    const made = compiledWith(found, instance, s, choice);
    if (made === undefined) return [];
    const seconds = made.kernels
      .map((k) => rooflineOf(k, values, chip))
      .reduce((n, r) => n + Math.max(r.computeSeconds, r.memorySeconds), 0);
    return [{ choice, ms: 1000 * seconds }];
  });
}
/** Each choice in turn, round after round; the medians. */
async function measured(
  found: Found,
  instance: CheckedInstance,
  s: Schedule,
  all: readonly Choice[],
  values: Readonly<Record<string, number>>,
  device: Device,
  runs: number,
): Promise<Candidate[]> {
  const made = all.flatMap((choice) => {
    const c = compiledWith(found, instance, s, choice);
    return c ? [{ choice, artifact: c.artifact, times: [] as number[] }] : [];
  });
  const [first] = made;
  if (first === undefined) return [];
  const drawn = generate(first.artifact, seeded(1), { dims: values, filled: true, most: 2 ** 28 });
  if (drawn === undefined)
    throw new UserError(`no data for ${found.kernel} with these sizes meets its preconditions: give others by --shape`);
  // The first round compiles pipelines and is not counted.
  for (let round = -1; round < runs; round++)
    for (const m of made) {
      const { timeMs } = await device.run(prepare(m.artifact, drawn.args, { dims: drawn.dims }));
      if (round >= 0) m.times.push(timeMs);
    }
  return made.map(({ choice, times }) => {
    const ms = times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
    if (ms === undefined) throw new InternalError("nothing was measured");
    return { choice, ms };
  });
}
