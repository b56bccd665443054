/** `weft run`: one kernel on made-up data, on a device, held against the reference. */
import pc from "picocolors";
import { compile } from "../../compiler/index.ts";
import { openCuda } from "../../runtime/cuda/index.ts";
import { call as callKernel, type Device, prepare } from "../../runtime/index.ts";
import { openWebGpu } from "../../runtime/webgpu/node.ts";
import { agree, describe } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor, ReferenceDevice } from "../../verify/reference-device.ts";
import { UserError } from "../fail.ts";
import { load, ownDims, pickInstance, scheduleFor, shapeOf } from "../workspace.ts";

export interface RunOptions {
  readonly target: string;
  readonly shape?: string;
  readonly seed: string;
  readonly instance?: string;
  readonly schedule?: string;
  readonly sample: string;
  readonly json?: boolean;
}
export async function run(name: string, options: RunOptions): Promise<void> {
  const { target } = options;
  if (target !== "reference" && target !== "wgsl" && target !== "cuda")
    throw new UserError(`there is no target \`${target}\`; targets are reference, wgsl and cuda`);
  const seed = Number(options.seed);
  if (!Number.isInteger(seed)) throw new UserError(`--seed takes an integer, found \`${options.seed}\``);
  const sample = Number(options.sample);
  if (!Number.isInteger(sample) || sample < 1) throw new UserError(`--sample takes a number of elements, found \`${options.sample}\``);
  const found = load(name, options.json ?? false);
  const dims = shapeOf(options.shape);
  const instance = pickInstance(found, options.instance, dims);
  ownDims(instance, dims);
  // What the reference runs is compiled for the target that refuses least.
  const emitted = target === "wgsl" ? "wgsl" : "cuda";
  const { artifact } = compile(instance, found.text, { target: emitted, schedule: scheduleFor(found, emitted, options.schedule) });
  const random = seeded(seed);
  const made = generate(artifact, random, { dims, filled: true, most: 2 ** 28 });
  if (made === undefined)
    throw new UserError(
      `no data for ${found.kernel} with ${options.shape ?? "any sizes"} meets its preconditions: ${artifact.requires.map((r) => r.text).join(", ")}`,
    );
  await using device: Device = target === "reference" ? new ReferenceDevice() : target === "wgsl" ? await openWebGpu() : await openCuda();
  const callOptions = { dims: made.dims, checkData: true };
  const prepared = prepare(artifact, made.args, callOptions);
  // Made before the launch: what is updated in place is read as it was.
  // The reference stores its f64 values in the tensors' own types: as accurate as correctly rounded f32.
  const machine = interpreterFor(prepared, target === "reference" ? "cuda" : target);
  const result =
    target === "reference" ? await callKernel(device, [artifact], made.args, callOptions) : await device.run(prepared, callOptions);
  const agreement = agree(prepared, result, machine, { sample, random });
  const ok = agreement.disagreements.length === 0;
  const shape = Object.entries(made.dims)
    .map(([k, v]) => `${k}=${v}`)
    .join(",");
  if (options.json) {
    const { compared, open, errorOverBound, worst } = agreement;
    console.log(
      JSON.stringify({
        kernel: found.kernel,
        instance: instance.name,
        target,
        device: device.name,
        shape,
        seed,
        timeMs: result.timeMs,
        compared,
        open,
        void: agreement.void,
        errorOverBound,
        ok,
        ...(ok ? {} : { worst }),
      }),
    );
  } else {
    console.log(`${pc.bold(found.kernel)}${instance.name ? ` (${instance.name})` : ""} on ${device.name}  ${shape}  seed ${seed}`);
    console.log(
      `  ${result.timeMs.toFixed(1)} ms; ${agreement.compared} elements compared, error / bound at most ${agreement.errorOverBound.toFixed(3)}${agreement.open ? `, ${agreement.open} open` : ""}${agreement.void ? `, ${agreement.void} without a bound` : ""}`,
    );
    for (const [tensor, t] of Object.entries(result.outputs)) console.log(`  ${tensor}: ${t.elem}[${t.shape.join(", ")}]`);
    for (const d of agreement.disagreements.slice(0, 5)) console.log(pc.red(`  ${describe(d)}`));
  }
  if (!ok) throw new UserError(`${agreement.disagreements.length} elements are outside their bound`);
}
