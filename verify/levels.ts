/** The levels of the compiler as devices: the tile interpreter and the thread simulator run a compiled kernel on the CPU. */
import type { Compiled } from "../compiler/index.ts";
import type { ThreadKernel } from "../compiler/thread/ir.ts";
import { type Memory, simulate } from "../compiler/thread/simulate.ts";
import type { Fault, Watch } from "../compiler/thread/watch.ts";
import { interpretLaunch, type OnLoop, type TileMemory } from "../compiler/tile/interpret.ts";
import { launchesOf } from "../compiler/tile/ir.ts";
import { type Accuracy, profiles } from "../dsl/index.ts";
import { type Storage, storage } from "../dsl/tensor/types.ts";
import { type Artifact, evaluateSize, type SizeExpr, type TensorParam, unroll } from "../runtime/abi.ts";
import { type CallResult, type Device, lacking, type PreparedCall } from "../runtime/call.ts";
import { readElement, writeElement } from "./convert.ts";

/** Something that runs a compiled kernel; faults are what it did besides computing. */
export interface Level {
  readonly name: string;
  readonly target: "cuda" | "wgsl";
  /** The accuracy under which it evaluates in the plan's own order; undefined where only the promise holds. */
  readonly plan?: Accuracy | undefined;
  /** What code that was made for other devices would need here. */
  readonly lacks?: (artifact: Artifact) => string | undefined;
  readonly run: (compiled: Compiled, call: PreparedCall) => Promise<{ result: CallResult; faults: readonly string[] }>;
}
export const tileLevel = (target: Level["target"]): Level => ({
  name: "tile",
  target,
  run: async (c, call) => ({ result: runTiles(c, call), faults: [] }),
});
export const threadLevel = (target: Level["target"]): Level => ({
  name: "thread",
  target,
  plan: profiles[target === "wgsl" ? "wgsl rne" : target],
  run: async (c, call) => {
    const { result, faults } = runThreads(c, call);
    return { result, faults: faults.map((f) => f.text) };
  },
});
/** A device as a level. */
export const deviceLevel = (name: string, target: Level["target"], device: Pick<Device, "run" | "features">, plan?: Accuracy): Level => ({
  name,
  target,
  plan,
  lacks: (artifact) => lacking(artifact, device),
  run: async (_, call) => ({ result: await device.run(call), faults: [] }),
});

const tensors = (call: PreparedCall): TensorParam[] => call.artifact.params.filter((p): p is TensorParam => p.kind === "tensor");
const outputs = (call: PreparedCall): CallResult => ({
  outputs: Object.fromEntries(tensors(call).flatMap((p) => (p.role === "in" ? [] : [[p.name, call.tensors.get(p.name)!]]))),
  timeMs: 0,
});

/** Runs the tile level. Positions outside a buffer are an InternalError. */
export function runTiles(compiled: Pick<Compiled, "tiles" | "artifact">, call: PreparedCall, onLoop?: OnLoop): CallResult {
  const memory: TileMemory = new Map();
  for (const p of tensors(call)) {
    const t = call.tensors.get(p.name)!;
    const count = storage[p.elem].bits < 8 ? t.data.length * (32 / storage[p.elem].bits) : t.data.length;
    memory.set(
      p.name,
      Float64Array.from({ length: count }, (_, i) => readElement(p.elem, t.data, i)),
    );
  }
  for (const t of compiled.tiles.temps) memory.set(t.name, new Float64Array(evaluateSize(t.count, call.values)).fill(Number.NaN));
  const launches = new Map(launchesOf(compiled.tiles.steps).map((l) => [l.name, l]));
  for (const { launch, steps } of unroll(compiled.artifact.steps, call.values))
    interpretLaunch(launches.get(launch.entry)!, memory, { ...call.values, ...steps }, onLoop);
  for (const p of tensors(call))
    if (p.role !== "in") memory.get(p.name)!.forEach((v, i) => writeElement(p.elem, call.tensors.get(p.name)!.data, i, v));
  return outputs(call);
}

const units = { f64: Float64Array, f32: Float32Array, i32: Int32Array, u32: Uint32Array, u16: Uint16Array, u8: Uint8Array } as const;
/** Runs the thread level, on the very bytes that a device would see. */
export function runThreads(
  compiled: Compiled,
  call: PreparedCall,
  watch?: (kernel: ThreadKernel) => Watch,
): { result: CallResult; faults: Fault[] } {
  const bytes = new Map<string, ArrayBuffer>();
  const allocate = (name: string, elem: Storage, count: SizeExpr): void => {
    bytes.set(name, new ArrayBuffer(evaluateSize(count, call.values) * (elem === "f64" ? 8 : 4)));
  };
  for (const t of compiled.tiles.temps) allocate(t.name, t.elem, t.count);
  for (const p of tensors(call)) {
    const { data } = call.tensors.get(p.name)!;
    const padded = new ArrayBuffer(Math.ceil(data.byteLength / 4) * 4);
    new Uint8Array(padded).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    bytes.set(p.name, padded);
  }
  const kernels = new Map(compiled.kernels.map((k) => [k.name, k]));
  const faults: Fault[] = [];
  for (const { launch, steps } of unroll(compiled.artifact.steps, call.values)) {
    const k = kernels.get(launch.entry)!;
    const memory: Memory = new Map(k.buffers.map((b) => [b.name, new units[b.unit](bytes.get(b.name)!)]));
    faults.push(...simulate(k, memory, { ...call.values, ...steps }, watch?.(k)));
  }
  for (const p of tensors(call)) {
    if (p.role === "in") continue;
    const { data } = call.tensors.get(p.name)!;
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength).set(new Uint8Array(bytes.get(p.name)!, 0, data.byteLength));
  }
  return { result: outputs(call), faults };
}
