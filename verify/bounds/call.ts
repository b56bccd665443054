/** The bounds of one compiled kernel on one call: what its own plan may err by, element by element. */
import type { Compiled } from "../../compiler/index.ts";
import type { ThreadBuffer } from "../../compiler/thread/ir.ts";
import type { Element } from "../../dsl/index.ts";
import type { Accuracy } from "../../dsl/interpret/accuracy.ts";
import { decode, formats } from "../../dsl/tensor/narrow.ts";
import { type Storage, storage } from "../../dsl/tensor/types.ts";
import { evaluateSize, type SizeExpr, type TensorParam, unroll } from "../../runtime/abi.ts";
import type { PreparedCall } from "../../runtime/call.ts";
import { placeOf } from "../../runtime/layout.ts";
import type { Oracle } from "../agree.ts";
import { type Cells, cells, exactCells } from "./cells.ts";
import { type Reading, runBounds } from "./plan.ts";

export interface PlanBounds {
  /** The element as this plan computes it, without rounding, and how far an admissible evaluation of the plan may be from that. */
  readonly elementAt: (tensor: string, flat: number) => Element;
  /** The longest chain of additions and multiplications behind any element: no sum of this plan is longer. */
  readonly depth: number;
}
const units = { f64: Float64Array, f32: Float32Array, i32: Int32Array, u32: Uint32Array, u16: Uint16Array, u8: Uint8Array } as const;

/**
 * Runs the plan of `compiled` on the arguments of a call that has not run yet (nothing of it is changed).
 * @param accuracy of the device; it must regroup nothing (`wgsl rne` rather than `wgsl`), or the order is not the plan's
 */
export function planBounds(compiled: Compiled, call: PreparedCall, accuracy: Accuracy, reading: Reading = "worst"): PlanBounds {
  const tensors = call.artifact.params.filter((p): p is TensorParam => p.kind === "tensor");
  const buffers = new Map<string, ThreadBuffer>();
  for (const k of compiled.kernels) for (const b of k.buffers) buffers.set(b.name, b);
  const memory = new Map<string, Cells>();
  for (const p of tensors) {
    const unit = buffers.get(p.name)?.unit;
    if (unit === undefined) continue;
    const { data } = call.tensors.get(p.name)!;
    const padded = new ArrayBuffer(Math.ceil(data.byteLength / 8) * 8);
    new Uint8Array(padded).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    memory.set(p.name, exactCells(new units[unit](padded)));
  }
  const temporary = (name: string, count: SizeExpr): void => {
    const n = evaluateSize(count, call.values);
    memory.set(name, cells(buffers.has(name) ? Math.max(n, evaluateSize(buffers.get(name)!.units, call.values)) : n));
  };
  for (const t of compiled.tiles.temps) temporary(t.name, t.count);
  const kernels = new Map(compiled.kernels.map((k) => [k.name, k]));
  for (const { launch, steps } of unroll(compiled.artifact.steps, call.values))
    runBounds(kernels.get(launch.entry)!, memory, { ...call.values, ...steps }, accuracy, reading);
  let depth = 0;
  const written = new Map(
    tensors.flatMap((p) => {
      const held = memory.get(p.name);
      if (p.role === "in" || held === undefined) return [];
      for (const c of held.chains) depth = Math.max(depth, c);
      return [[p.name, reader(p.elem, buffers.get(p.name)!, held, placeOf(p, call.values, call.tensors))]];
    }),
  );
  return { elementAt: (tensor, flat) => written.get(tensor)!(flat), depth };
}
/** Elements of a buffer as numbers, out of the units that threads write. */
function reader(elem: Storage, b: ThreadBuffer, held: Cells, place: (flat: number) => number): (flat: number) => Element {
  const { bits } = storage[elem];
  const unitBits = { f64: 64, f32: 32, i32: 32, u32: 32, u16: 16, u8: 8 }[b.unit];
  const format = formats[elem];
  return (flat) => {
    const at = place(flat);
    const cell = bits < unitBits ? Math.floor((at * bits) / unitBits) : at;
    const raw = held.values[cell]!;
    const field = bits < unitBits ? readBits(raw, bits, at) : raw;
    const value = format ? decode(format, field) : signed(elem, bits, field);
    const bound = held.errors[cell]!;
    return { value, bound, defined: true, open: bound === Number.POSITIVE_INFINITY };
  };
}
const readBits = (word: number, bits: number, at: number): number => {
  const per = 32 / bits;
  return (word >>> ((at % per) * bits)) & (2 ** bits - 1);
};
const signed = (elem: Storage, bits: number, v: number): number =>
  elem.startsWith("i") && bits < 32 && v >= 2 ** (bits - 1) ? v - 2 ** bits : v;
/** The reference's element where the plan says nothing finite of it, the plan's otherwise: holes and open choices are the reference's. */
export function withPlan(reference: Oracle, plan: PlanBounds): Oracle {
  return {
    elementAt: (tensor, flat) => {
      const meant = reference.elementAt(tensor, flat);
      if (!meant.defined) return meant;
      const planned = plan.elementAt(tensor, flat);
      return planned.open || Number.isNaN(planned.bound) ? meant : planned;
    },
    choicesAt: (tensor, flat) => reference.choicesAt?.(tensor, flat),
    // A plan makes its own decisions: after those of a machine the reference alone can speak.
    ...(reference.following ? { following: (chosen) => reference.following!(chosen) } : {}),
  };
}
