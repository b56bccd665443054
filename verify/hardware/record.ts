/** The output bits of every probe, as a device gave them: a file that says which device and when, and what is held against it. */
import { scalarFn } from "../../compiler/scalar.ts";
import { profiles } from "../../dsl/interpret/accuracy.ts";
import { type Device, prepare, runsOn } from "../../runtime/call.ts";
import { tensor } from "../../runtime/tensor.ts";
import { type Probe, probes } from "./probes.ts";
import { rawArtifact } from "./raw.ts";

export interface Recording {
  /** As the driver names it. */
  readonly device: string;
  /** `sm_90` */
  readonly arch: string;
  readonly date: string;
  readonly command: string;
  /** Output words of each probe, base 64, lowest byte first. */
  readonly outputs: Readonly<Record<string, string>>;
}
/** Runs a probe on anything that runs artifacts. */
export async function runProbe(p: Probe, device: Pick<Device, "run">): Promise<Uint32Array> {
  const { outputs } = await device.run(prepare(rawArtifact(p.kernel), { x: tensor("u32", [p.x.length], p.x.slice()) }));
  return outputs["y"]!.data as Uint32Array;
}
export async function record(device: Pick<Device, "run" | "name" | "arch">, date: string, command: string): Promise<Recording> {
  const outputs: Record<string, string> = {};
  for (const p of probes) {
    if (!runsOn(p.kernel, device)) continue;
    const y = await runProbe(p, device);
    outputs[p.name] = Buffer.from(y.buffer, y.byteOffset, y.byteLength).toString("base64");
  }
  return { device: device.name, arch: device.arch ?? "", date, command, outputs };
}
export function recordedWords(r: Recording, probe: string): Uint32Array | undefined {
  const text = r.outputs[probe];
  if (text === undefined) return undefined;
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  return new Uint32Array(bytes.buffer);
}
/** Where `got` is not what the recording allows: bit for bit, or for functions of a float within CUDA's table. */
export function deviations(p: Probe, recorded: Uint32Array, got: Uint32Array): string[] {
  if (p.op === undefined || p.exact)
    return [...got].flatMap((w, k) => (w === recorded[k] ? [] : [`${p.name}[${k}]: ${hex(w)}, the device gave ${hex(recorded[k]!)}`]));
  const f = scalarFn(p.op, "f64", "f64", 1);
  const rule = profiles["cuda"]!.functions[p.op]!;
  const [xs, ys] = [p.x, recorded].map((w) => new Float32Array(w.buffer, w.byteOffset, w.length)) as [Float32Array, Float32Array];
  return [...ys].flatMap((y, k) => {
    const z = f(xs[k]!, 0, 0);
    return Math.abs(y - z) <= rule(xs[k]!, 0, Math.abs(z)) + 2 ** -149
      ? []
      : [`${p.op}(${xs[k]}) is ${y} on the device, outside CUDA's table`];
  });
}
const hex = (w: number): string => `0x${w.toString(16).padStart(8, "0")}`;
/** How the matrix unit of an architecture adds. */
export const modelOf = (arch: string): "hopper" | "ampere" => (Number(/\d+/.exec(arch)?.[0] ?? 0) >= 90 ? "hopper" : "ampere");
