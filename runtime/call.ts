/** What happens before any device is asked: arguments against the signature, dimensions solved, preconditions held, outputs sized. */
import { type Artifact, evaluateSize, holds, type Param, type SizeExpr, sizeText, type TensorParam } from "./abi.ts";
import { WeftError } from "./errors.ts";
import { type HostTensor, tensor, unitsFor } from "./tensor.ts";

export type Argument = HostTensor | number | boolean;
export type Arguments = Readonly<Record<string, Argument>>;

export interface CallOptions {
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
  run(call: PreparedCall, options?: CallOptions): Promise<CallResult>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Runs the variant of a kernel that fits the device, the element types and the static dimensions of the arguments. */
export async function call(
  device: Device,
  artifacts: readonly Artifact[],
  args: Arguments,
  options: CallOptions = {},
): Promise<CallResult> {
  const own = artifacts.filter((a) => device.target === "reference" || a.target === device.target);
  const name = artifacts[0]?.kernel ?? "kernel";
  if (own.length === 0) throw new WeftError("R206", `${name} was not built for ${device.target}`);
  const fitting = own.filter((a) => fits(a, args));
  if (fitting.length === 0) {
    // With one candidate its own complaint says most.
    if (own.length === 1 || device.target === "reference") return device.run(prepare(own[0]!, args, options), options);
    const given = Object.entries(args).flatMap(([k, v]) => (typeof v === "object" ? [`${k}: ${v.elem}[${v.shape.join(", ")}]`] : []));
    throw new WeftError(
      "R206",
      `${name} has no instance for ${given.join(", ")}; there are ${own.map((a) => a.instance || "(one form)").join("; ")}`,
    );
  }
  return device.run(prepare(fitting[0]!, args, options), options);
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
const fixedDims = (a: Artifact): Record<string, number> =>
  Object.fromEntries(a.dims.flatMap((d) => (d.value === undefined ? [] : [[d.name, d.value]])));
function known(e: SizeExpr, values: Readonly<Record<string, number>>): number | undefined {
  try {
    return evaluateSize(e, values);
  } catch {
    return undefined;
  }
}

/**
 * Checks arguments and sizes outputs.
 * @throws WeftError R101 to R107, naming the argument and what was expected of it
 */
export function prepare(artifact: Artifact, args: Arguments, options: CallOptions = {}): PreparedCall {
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
  for (const r of artifact.requires)
    if (!holds(r.condition, values))
      throw new WeftError("R104", `${kernel}: \`where ${r.text}\` does not hold for ${valuesText(r.condition, values)}`);
  for (const p of artifact.params) {
    if (p.kind !== "tensor") continue;
    const count = p.shape.reduce<number>((n, e) => n * evaluateSize(e, values), 1);
    if (count >= 2 ** 31) throw new WeftError("R103", `${kernel}: \`${p.name}\` has ${count} elements; positions are 32 bits wide`);
    if (p.role === "out")
      tensors.set(
        p.name,
        tensor(
          p.elem,
          p.shape.map((e) => evaluateSize(e, values)),
        ),
      );
    else if (options.checkData) checkData(artifact, p, tensors.get(p.name)!, values);
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

/** A dimension follows where it stands alone in a shape, or is the one unknown of a product or sum, the others solved first (rule 5). */
function solveDims(artifact: Artifact, tensors: ReadonlyMap<string, HostTensor>, values: Record<string, number>): void {
  const equations: { e: SizeExpr; size: number; name: string; axis: number }[] = [];
  for (const p of artifact.params) {
    const t = tensors.get(p.name);
    if (p.kind === "tensor" && t) p.shape.forEach((e, k) => equations.push({ e, size: t.shape[k]!, name: p.name, axis: k }));
  }
  const fail = (q: (typeof equations)[number], why: string): never => {
    throw new WeftError("R103", `${artifact.kernel}: axis ${q.axis} of \`${q.name}\` is ${q.size}, which must be ${sizeText(q.e)}: ${why}`);
  };
  for (let progress = true; progress; ) {
    progress = false;
    for (const q of equations) {
      const unknown = unknowns(q.e, values);
      if (unknown.length !== 1) continue;
      const v = solveFor(q.e, q.size, values);
      if (v === undefined) continue;
      if (!Number.isInteger(v) || v < 0) fail(q, `no whole ${unknown[0]} gives it`);
      values[unknown[0]!] = v;
      progress = true;
    }
  }
}
const unknowns = (e: SizeExpr, values: Readonly<Record<string, number>>): string[] =>
  typeof e === "number"
    ? []
    : typeof e === "string"
      ? values[e] === undefined
        ? [e]
        : []
      : [...new Set([...unknowns(e[1], values), ...unknowns(e[2], values)])];
function solveFor(e: SizeExpr, size: number, values: Readonly<Record<string, number>>): number | undefined {
  if (typeof e === "string") return size;
  if (typeof e === "number") return undefined;
  const [op, a, b] = e;
  const open = unknowns(a, values).length > 0;
  if (open && unknowns(b, values).length > 0) return undefined;
  const other = evaluateSize(open ? b : a, values);
  const inner = open ? a : b;
  if (op === "*") return other === 0 ? (size === 0 ? 1 : Number.NaN) : solveFor(inner, size / other, values);
  if (op === "+") return solveFor(inner, size - other, values);
  if (op === "-") return solveFor(inner, open ? size + other : other - size, values);
  return undefined;
}
function checkShape(artifact: Artifact, name: string, t: HostTensor, values: Readonly<Record<string, number>>): void {
  const p = artifact.params.find((x): x is Extract<Param, { kind: "tensor" }> => x.name === name && x.kind === "tensor")!;
  p.shape.forEach((e, k) => {
    const want = evaluateSize(e, values);
    if (want !== t.shape[k])
      throw new WeftError("R103", `${artifact.kernel}: axis ${k} of \`${name}\` is ${t.shape[k]}, and ${sizeText(e)} is ${want}`);
  });
  const count = t.shape.reduce((a, b) => a * b, 1);
  const units = unitsOfParam(p, count, values);
  if (t.data.length < units)
    throw new WeftError(
      "R103",
      `${artifact.kernel}: \`${name}\` takes ${units} words in layout ${p.layout?.name ?? "row-major"}, the data has ${t.data.length}`,
    );
}
/** Units of a tensor in memory: a declared layout says which word is the last. */
export function unitsOfParam(p: TensorParam, count: number, values: Readonly<Record<string, number>>): number {
  if (p.layout === undefined || count === 0) return unitsFor(p.elem, count);
  const last = { ...values };
  p.layout.indices.forEach((n, k) => {
    last[n] = evaluateSize(p.shape[k]!, values) - 1;
  });
  return Math.max(0, evaluateSize(p.layout.word, last) + 1);
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
