/** What happens before any device is asked: arguments against the signature, dimensions solved, preconditions held, outputs sized. */
import { type Artifact, evaluateSize, holds, type Param, sizeText, type TensorParam } from "./abi.ts";
import { fixedDims, known, solveDims } from "./dims.ts";
import { WeftError } from "./errors.ts";
import { unitsOf, unpack } from "./layout.ts";
import { type HostTensor, tensor, zeros } from "./tensor.ts";

export type Argument = HostTensor | number | boolean;
export type Arguments = Readonly<Record<string, Argument>>;

export interface CallOptions {
  /** A schedule by name; by default the unnamed ones are chosen among. */
  readonly schedule?: string;
  /** Dimensions that no shape determines. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Checks index ranges and offsets in the data before the launch. */
  readonly checkData?: boolean;
  /** Milliseconds until a launch is given up. Default 60000. */
  readonly timeoutMs?: number;
}
/** A call that is ready to launch. */
export interface PreparedCall {
  readonly artifact: Artifact;
  /** Dimensions and scalars by name. */
  readonly values: Readonly<Record<string, number>>;
  /** Inputs as given, outputs fresh. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
}
export interface CallResult {
  /** Outputs, and the new values of inout parameters. */
  readonly outputs: Readonly<Record<string, HostTensor>>;
  /** Milliseconds on the device, launches and waiting included, copies excluded. */
  readonly timeMs: number;
}
/** Anything that can run a kernel. */
export interface Device {
  /** As the driver names it. */
  readonly name: string;
  readonly target: "wgsl" | "cuda" | "reference";
  /** `sm_90`, of a CUDA device. */
  readonly arch?: string;
  /** What schedules may ask for, and this device has. */
  readonly features?: ReadonlySet<string>;
  run(call: PreparedCall, options?: CallOptions): Promise<CallResult>;
  /** Runs calls of one artifact together; results in their order, each with the time of all. */
  runMany?(calls: readonly PreparedCall[], options?: CallOptions): Promise<CallResult[]>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Runs the variant of a kernel that fits the device, the element types and the static dimensions of the arguments; among its schedules the
 * most specific one whose condition holds, or the one that `options.schedule` names.
 */
export async function call(
  device: Device,
  artifacts: readonly Artifact[],
  args: Arguments,
  options: CallOptions = {},
): Promise<CallResult> {
  return device.run(choose(device, artifacts, args, options), options);
}
/**
 * Runs a kernel on many sets of arguments, of any sizes: those of one variant together, in one launch where its code can find its call (CUDA,
 * kernels of one launch), and in one submission on WebGPU.
 * @returns results in the order of the arguments, each with the time of all that ran with it
 * @throws WeftError before anything is launched, where arguments do not fit; the message tells which
 */
export async function callMany(
  device: Device,
  artifacts: readonly Artifact[],
  list: readonly Arguments[],
  options: CallOptions = {},
): Promise<CallResult[]> {
  const calls = list.map((args, k) => {
    try {
      return choose(device, artifacts, args, options);
    } catch (e) {
      throw e instanceof WeftError ? new WeftError(e.code, `call ${k} of ${list.length}: ${e.message.replace(/^R\d+: /, "")}`) : e;
    }
  });
  const results = new Array<CallResult>(calls.length);
  for (const artifact of new Set(calls.map((c) => c.artifact))) {
    const places = calls.flatMap((c, k) => (c.artifact === artifact ? [k] : []));
    const own = places.map((k) => calls[k]!);
    const made = device.runMany ? await device.runMany(own, options) : await oneByOne(device, own, options);
    places.forEach((k, j) => {
      results[k] = made[j]!;
    });
  }
  return results;
}
async function oneByOne(device: Device, calls: readonly PreparedCall[], options: CallOptions): Promise<CallResult[]> {
  const made: CallResult[] = [];
  for (const c of calls) made.push(await device.run(c, options));
  const timeMs = made.reduce((sum, r) => sum + r.timeMs, 0);
  return made.map((r) => ({ ...r, timeMs }));
}
/** The variant for these arguments, and they themselves, checked. */
function choose(device: Device, artifacts: readonly Artifact[], args: Arguments, options: CallOptions): PreparedCall {
  const built = artifacts.filter((a) => device.target === "reference" || a.target === device.target);
  const name = artifacts[0]?.kernel ?? "kernel";
  if (built.length === 0) throw new WeftError("R206", `${name} was not built for ${device.target}`);
  const own = mostSpecific(built.filter((a) => a.schedule === options.schedule && suits(a, device)));
  if (own.length === 0) throw new WeftError("R206", `${name} ${missing(built, device, options.schedule)}`);
  const fitting = own.filter((a) => fits(a, args));
  if (fitting.length === 0) {
    // With one candidate its own complaint says most.
    if (own.length === 1 || device.target === "reference") return prepare(own[0]!, args, options);
    const given = Object.entries(args).flatMap(([k, v]) => (typeof v === "object" ? [`${k}: ${v.elem}[${v.shape.join(", ")}]`] : []));
    const instances = [...new Set(own.map((a) => a.instance || "(one form)"))];
    throw new WeftError("R206", `${name} has no instance for ${given.join(", ")}; there are ${instances.join("; ")}`);
  }
  const { values } = bind(fitting[0]!, args, options);
  const chosen = fitting.find((a) => a.when === undefined || holds(a.when, values));
  if (chosen === undefined) throw new WeftError("R206", `${name}: no schedule was built for these dimensions`);
  return prepare(chosen, args, options);
}
/** Whether the device has what the schedule asks; the reference interpreter runs the text, whatever the schedule. */
function suits(a: Artifact, device: Device): boolean {
  if (device.target === "reference") return true;
  return (a.features ?? []).every((f) => device.features?.has(f)) && runsOn(a, device);
}
/** Whether a chip has the instructions of an architecture: those of `sm_90a` are of that chip alone. */
export function runsOn(code: { readonly arch?: string }, device: Pick<Device, "arch">): boolean {
  if (code.arch === undefined || device.arch === undefined) return true;
  return code.arch.endsWith("a") ? code.arch === `${device.arch}a` : archNumber(code.arch) <= archNumber(device.arch);
}
/** What the code of an artifact uses and a device has not; a variant for software devices runs on any. */
export const lacking = (a: Pick<Artifact, "features">, device: Pick<Device, "features">): string | undefined =>
  (a.features ?? []).find((f) => f !== "software" && !device.features?.has(f));
const archNumber = (arch: string): number => Number(/\d+/.exec(arch)?.[0] ?? 0);
/** Newest architecture first, then most features, then conditions; first in text among equals. */
export function mostSpecific(list: readonly Artifact[]): Artifact[] {
  const rank = (a: Artifact): number[] => [
    archNumber(a.arch ?? ""),
    a.arch?.endsWith("a") ? 1 : 0,
    a.features?.length ?? 0,
    a.when ? 1 : 0,
  ];
  return [...list].sort((x, y) => {
    const [p, q] = [rank(x), rank(y)];
    const k = p.findIndex((v, i) => v !== q[i]);
    return k < 0 ? 0 : q[k]! - p[k]!;
  });
}
function missing(built: readonly Artifact[], device: Device, schedule: string | undefined): string {
  const names = [...new Set(built.flatMap((a) => (a.schedule ? [a.schedule] : [])))];
  if (schedule !== undefined && !names.includes(schedule))
    return `has no schedule \`${schedule}\` for ${device.target}${names.length ? `; there are ${names.join(", ")}` : ""}`;
  return `has no variant for ${device.name}: it was built for ${[...new Set(built.map((a) => [a.arch, ...(a.features ?? [])].filter(Boolean).join(" with ")))].join("; ")}`;
}
function fits(a: Artifact, args: Arguments): boolean {
  const values = fixedDims(a);
  return a.params.every((p) => {
    const arg = args[p.name];
    if (p.kind !== "tensor" || p.role === "out" || typeof arg !== "object") return p.kind !== "tensor" || p.role === "out";
    return (
      arg.elem === p.elem &&
      arg.shape.length === p.shape.length &&
      p.shape.every((e, k) => known(e, values) === undefined || known(e, values) === arg.shape[k])
    );
  });
}
/** Dimensions and scalars of a call, and its inputs; their shapes are checked. */
function bind(
  artifact: Artifact,
  args: Arguments,
  options: CallOptions,
): { readonly values: Record<string, number>; readonly tensors: Map<string, HostTensor> } {
  const { kernel } = artifact;
  const inputs = artifact.params.filter((p) => p.kind === "scalar" || p.role !== "out");
  for (const p of inputs)
    if (args[p.name] === undefined)
      throw new WeftError("R101", `${kernel}: argument \`${p.name}\` is missing; it takes ${inputs.map((x) => x.name).join(", ")}`);
  for (const name of Object.keys(args))
    if (!inputs.some((p) => p.name === name))
      throw new WeftError("R101", `${kernel} has no argument \`${name}\`; it takes ${inputs.map((x) => x.name).join(", ")}`);
  const fixed = fixedDims(artifact);
  for (const [name, n] of Object.entries(options.dims ?? {})) {
    if (!artifact.dims.some((d) => d.name === name))
      throw new WeftError(
        "R101",
        `${kernel} has no dimension \`${name}\`; it has ${artifact.dims.map((d) => d.name).join(", ") || "none"}`,
      );
    if (!Number.isInteger(n) || n < 0) throw new WeftError("R103", `${kernel}: dimension ${name} must be a natural number, found ${n}`);
    if (fixed[name] !== undefined && fixed[name] !== n)
      throw new WeftError("R103", `${kernel}: dimension ${name} is ${fixed[name]} in the instance ${artifact.instance}, found ${n}`);
  }
  const values: Record<string, number> = { ...fixed, ...options.dims };
  for (const p of inputs) {
    if (p.kind !== "scalar") continue;
    const v = args[p.name];
    if (typeof v === "object") throw new WeftError("R107", `${kernel}: \`${p.name}\` is a scalar of type ${p.elem}, found a tensor`);
    const x = Number(v);
    const float = p.elem.startsWith("f") || p.elem === "bf16";
    if (Number.isNaN(x)) throw new WeftError("R107", `${kernel}: scalar \`${p.name}\` is NaN`);
    if (!float && !Number.isInteger(x)) throw new WeftError("R107", `${kernel}: \`${p.name}\` is ${p.elem}, found ${x}`);
    values[p.name] = p.elem === "f32" ? Math.fround(x) : x;
  }
  const tensors = new Map<string, HostTensor>();
  for (const p of inputs) {
    if (p.kind !== "tensor") continue;
    const t = args[p.name];
    if (typeof t !== "object") throw new WeftError("R102", `${kernel}: \`${p.name}\` is a tensor ${shapeText(p)}, found ${typeof t}`);
    if (t.elem !== p.elem) throw new WeftError("R102", `${kernel}: \`${p.name}\` is ${p.elem}, found ${t.elem}`);
    if (t.shape.length !== p.shape.length)
      throw new WeftError("R103", `${kernel}: \`${p.name}\` is ${shapeText(p)}, found ${t.shape.length} axes [${t.shape.join(", ")}]`);
    tensors.set(p.name, t);
  }
  solveDims(artifact, tensors, values);
  for (const d of artifact.dims)
    if (values[d.name] === undefined)
      throw new WeftError("R105", `${kernel}: no argument determines dimension ${d.name}; pass it in \`dims\``);
  for (const [name, t] of tensors) checkShape(artifact, name, t, values);
  return { values, tensors };
}
/**
 * Checks arguments and sizes outputs.
 * @throws WeftError R101 to R107, naming the argument and what was expected of it
 */
export function prepare(artifact: Artifact, args: Arguments, options: CallOptions = {}): PreparedCall {
  const { kernel } = artifact;
  const { values, tensors } = bind(artifact, args, options);
  for (const r of [...artifact.requires, ...(artifact.assumes ?? [])])
    if (!holds(r.condition, values))
      throw new WeftError("R104", `${kernel}: \`where ${r.text}\` does not hold for ${valuesText(r.condition, values)}`);
  for (const p of artifact.params) {
    if (p.kind !== "tensor") continue;
    const count = p.layout ? evaluateSize(p.layout.places, values) : p.shape.reduce<number>((n, e) => n * evaluateSize(e, values), 1);
    if (count >= 2 ** 31) throw new WeftError("R103", `${kernel}: \`${p.name}\` has ${count} elements; positions are 32 bits wide`);
    if (p.role === "out")
      tensors.set(
        p.name,
        tensor(
          p.elem,
          p.shape.map((e) => evaluateSize(e, values)),
          zeros(p.elem, unitsOf(p, values)),
        ),
      );
    else if (options.checkData)
      checkData(artifact, p, p.layout ? unpack(p, tensors.get(p.name)!, values, tensors) : tensors.get(p.name)!, values);
  }
  return { artifact, values, tensors };
}
const shapeText = (p: TensorParam): string => `${p.elem}[${p.shape.map(sizeText).join(", ")}]`;
function valuesText(c: unknown, values: Readonly<Record<string, number>>): string {
  const names = new Set<string>();
  const walk = (x: unknown): void => {
    if (typeof x === "string" && x in values) names.add(x);
    if (Array.isArray(x)) x.forEach(walk);
  };
  walk(c);
  return [...names].map((n) => `${n} = ${values[n]}`).join(", ");
}

function checkShape(artifact: Artifact, name: string, t: HostTensor, values: Readonly<Record<string, number>>): void {
  const p = artifact.params.find((x): x is Extract<Param, { kind: "tensor" }> => x.name === name && x.kind === "tensor")!;
  p.shape.forEach((e, k) => {
    const want = evaluateSize(e, values);
    if (want !== t.shape[k])
      throw new WeftError("R103", `${artifact.kernel}: axis ${k} of \`${name}\` is ${t.shape[k]}, and ${sizeText(e)} is ${want}`);
  });
  const units = unitsOf(p, values);
  if (t.data.length < units)
    throw new WeftError(
      "R103",
      `${artifact.kernel}: \`${name}\` takes ${units} units in layout ${p.layout?.name ?? "row-major"}, the data has ${t.data.length}`,
    );
}
/** Index ranges and offsets, in the host's copy. */
function checkData(artifact: Artifact, p: TensorParam, t: HostTensor, values: Readonly<Record<string, number>>): void {
  if (p.least !== undefined && (p.elem === "f32" || p.elem === "f64" || p.elem === "i32" || p.elem === "u32"))
    for (let i = 0; i < t.data.length; i++)
      if (!(t.data[i]! >= p.least))
        throw new WeftError("R106", `${artifact.kernel}: \`${p.name}\`[${i}] is ${t.data[i]}, and must be at least ${p.least}`);
  if (p.distinct && new Set(t.data as Iterable<number>).size < t.data.length)
    throw new WeftError("R106", `${artifact.kernel}: \`${p.name}\` must be unique, and holds a value twice`);
  if (p.bound === undefined) return;
  const bound = evaluateSize(p.bound, values);
  const fail = (at: number, why: string): never => {
    throw new WeftError("R106", `${artifact.kernel}: \`${p.name}\`[${at}] is ${t.data[at]}, ${why}`);
  };
  const { length } = t.data;
  if (p.elem === "index")
    for (let i = 0; i < length; i++) if (t.data[i]! >= bound) fail(i, `and must be below ${sizeText(p.bound)} = ${bound}`);
  if (p.elem !== "offsets") return;
  if (length > 0 && t.data[0] !== 0) fail(0, "and offsets start at 0");
  for (let i = 1; i < length; i++) if (t.data[i]! < t.data[i - 1]!) fail(i, "less than the one before it");
  if (length > 0 && (p.open ? t.data[length - 1]! > bound : t.data[length - 1] !== bound))
    fail(length - 1, `and must ${p.open ? "be at most" : "be"} ${sizeText(p.bound)} = ${bound}`);
}
