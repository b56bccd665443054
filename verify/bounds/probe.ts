/** Whether a WebGPU device adds and multiplies f32 to nearest, and in the order of the text: what the profile `wgsl rne` takes for granted. */
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { type Device, prepare } from "../../runtime/call.ts";
import { tensor } from "../../runtime/tensor.ts";
import { seeded } from "../generate.ts";

const text = `kernel probe[N](a: f32[N], b: f32[N], c: f32[N]) -> (added: f32[N], less: f32[N], times: f32[N], chained: f32[N]) {
  added[i] = a[i] + b[i]
  less[i] = a[i] - b[i]
  times[i] = a[i] * b[i]
  chained[i] = (a[i] + b[i]) + c[i]
}
`;
/** Bit for bit on 4096 triples of magnitudes 2^-20 to 2^20. */
export async function roundsToNearest(device: Device): Promise<boolean> {
  const random = seeded(20);
  const n = 4096;
  const draw = (): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length: n }, () => (random() * 2 - 1) * 2 ** Math.floor(random() * 41 - 20));
  const [a, b, c] = [draw(), draw(), draw()];
  const { artifact } = compile(check(text).instances[0]!, text, { target: "wgsl" });
  const { outputs } = await device.run(prepare(artifact, { a: tensor("f32", [n], a), b: tensor("f32", [n], b), c: tensor("f32", [n], c) }));
  const add = (x: number, y: number): number => Math.fround(x + y);
  const expected: Record<string, (k: number) => number> = {
    added: (k) => add(a[k]!, b[k]!),
    less: (k) => add(a[k]!, -b[k]!),
    times: (k) => Math.fround(a[k]! * b[k]!),
    chained: (k) => add(add(a[k]!, b[k]!), c[k]!),
  };
  return Object.entries(expected).every(([name, f]) => (outputs[name]!.data as Float32Array).every((x, k) => x === f(k)));
}
