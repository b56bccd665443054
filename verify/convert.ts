/** Between the bytes of host tensors and the plain numbers of the reference interpreter. */
import { decode, encode, formats, roundTo } from "../dsl/tensor/narrow.ts";
import { type Storage, storage } from "../dsl/tensor/types.ts";
import { readField, writeField } from "../runtime/layout.ts";
import { type HostTensor, type TensorData, unitsFor } from "../runtime/tensor.ts";

/** Element `at` (a position in memory) of the data. */
export function readElement(elem: Storage, data: TensorData, at: number): number {
  const field = readField(data, storage[elem].bits, at);
  if (elem === "i4" && field > 7) return field - 16;
  const format = formats[elem];
  return format ? decode(format, field) : field;
}
/** Writes a value, rounded to the type, at a position in memory. */
export function writeElement(elem: Storage, data: TensorData, at: number, value: number): void {
  const format = formats[elem];
  writeField(data, storage[elem].bits, at, format ? encode(format, roundTo(format, value)) : value);
}
/** All elements of a row-major tensor. */
export function numbersOf(t: HostTensor): Float64Array {
  const count = t.shape.reduce((a, b) => a * b, 1);
  return Float64Array.from({ length: count }, (_, i) => readElement(t.elem, t.data, i));
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
/** A row-major tensor from numbers, rounded to the type. */
export function tensorOf(elem: Storage, shape: readonly number[], numbers: ArrayLike<number>): HostTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  const Data = (arrays as Record<string, new (n: number) => TensorData>)[elem] ?? Uint32Array;
  const data = new Data(unitsFor(elem, count));
  for (let i = 0; i < count; i++) writeElement(elem, data, i, numbers[i]!);
  return { elem, shape, data };
}
