/** Between the bytes of host tensors and the plain numbers of the reference interpreter. */
import { decode, encode, formats, roundTo } from "../dsl/tensor/narrow.ts";
import { type Storage, storage } from "../dsl/tensor/types.ts";
import { evaluateSize, type TensorParam } from "../runtime/abi.ts";
import { type HostTensor, type TensorData, unitsFor } from "../runtime/tensor.ts";

/** Where element number `flat` of a tensor lies, in element positions: itself, unless a declared layout says otherwise. */
export function positionOf(param: TensorParam | undefined, values: Readonly<Record<string, number>>): (flat: number) => number {
  const layout = param?.layout;
  if (layout === undefined || param === undefined) return (flat) => flat;
  const bits = storage[param.elem].bits;
  const shape = param.shape.map((e) => evaluateSize(e, values));
  return (flat) => {
    const at: Record<string, number> = { ...values };
    let rest = flat;
    for (let k = shape.length - 1; k >= 0; k--) {
      at[layout.indices[k]!] = rest % shape[k]!;
      rest = Math.floor(rest / shape[k]!);
    }
    return evaluateSize(layout.word, at) * (32 / bits) + evaluateSize(layout.bit, at) / bits;
  };
}
/** Element `at` (a position in memory) of the data. */
export function readElement(elem: Storage, data: TensorData, at: number): number {
  const { bits } = storage[elem];
  if (bits < 8) {
    const per = 32 / bits;
    const field = (data[Math.floor(at / per)]! >>> ((at % per) * bits)) & (2 ** bits - 1);
    return elem === "i4" && field > 7 ? field - 16 : field;
  }
  const format = formats[elem];
  return format ? decode(format, data[at]!) : data[at]!;
}
/** Writes a value, rounded to the type, at a position in memory. */
export function writeElement(elem: Storage, data: TensorData, at: number, value: number): void {
  const { bits } = storage[elem];
  const format = formats[elem];
  if (format) data[at] = encode(format, roundTo(format, value));
  else if (bits < 8) {
    const per = 32 / bits;
    const shift = (at % per) * bits;
    const word = Math.floor(at / per);
    const mask = (2 ** bits - 1) << shift;
    data[word] = ((data[word]! & ~mask) | ((value << shift) & mask)) >>> 0;
  } else data[at] = value;
}
/** All elements in logical (row-major) order. */
export function numbersOf(t: HostTensor, param?: TensorParam, values: Readonly<Record<string, number>> = {}): Float64Array {
  const count = t.shape.reduce((a, b) => a * b, 1);
  const position = positionOf(param, values);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) out[i] = readElement(t.elem, t.data, position(i));
  return out;
}
const arrays = {
  f64: Float64Array,
  f32: Float32Array,
  i32: Int32Array,
  i16: Int16Array,
  i8: Int8Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  u16: Uint16Array,
  u8: Uint8Array,
  bool: Uint8Array,
  f8e4m3: Uint8Array,
  f8e5m2: Uint8Array,
} as const;
/** A tensor from numbers in logical order, rounded to the type; `units` more than the count where a layout takes them. */
export function tensorOf(
  elem: Storage,
  shape: readonly number[],
  numbers: ArrayLike<number>,
  layout?: { readonly units: number; readonly position: (flat: number) => number },
): HostTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  const Data = (arrays as Record<string, new (n: number) => TensorData>)[elem] ?? Uint32Array;
  const data = new Data(layout?.units ?? unitsFor(elem, count));
  for (let i = 0; i < count; i++) writeElement(elem, data, layout ? layout.position(i) : i, numbers[i]!);
  return { elem, shape, data };
}
