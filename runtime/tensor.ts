/** Tensors as bytes: row-major, elements of less than 8 bits lowest first in u32 words. */
import { type ElementType, elementBits } from "./abi.ts";
import { WeftError } from "./errors.ts";

export type TensorData = Float64Array | Float32Array | Int32Array | Uint32Array | Uint16Array | Int16Array | Uint8Array | Int8Array;

/** The typed array that holds each element type. Narrow floats are their bits; packed types are words. */
const arrays = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  f8e4m3: Uint8Array,
  f8e5m2: Uint8Array,
  i32: Int32Array,
  u32: Uint32Array,
  i16: Int16Array,
  u16: Uint16Array,
  i8: Int8Array,
  u8: Uint8Array,
  i4: Uint32Array,
  u4: Uint32Array,
  u3: Uint32Array,
  u2: Uint32Array,
  bool: Uint8Array,
  index: Uint32Array,
  offsets: Uint32Array,
} as const;
export type DataOf<E extends ElementType> = InstanceType<(typeof arrays)[E]>;

/** A tensor on the host. */
export interface HostTensor {
  readonly elem: ElementType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}
/**
 * A tensor whose extents TypeScript knows as literal types where they are literal, so that a call whose dimensions disagree does not
 * type-check. Invariant in `S` on purpose: otherwise two extents would be inferred as their union.
 */
export interface Tensor<E extends ElementType, S extends readonly number[]> extends HostTensor {
  readonly elem: E;
  readonly shape: S;
  readonly __shape?: (shape: S) => S;
}

/** Units (elements, or words of packed ones) that a tensor of `count` elements takes. */
export const unitsFor = (elem: ElementType, count: number): number =>
  elementBits[elem] < 8 ? Math.ceil((count * elementBits[elem]) / 32) : count;

/** Zeros for a number of units, in the array that holds the type. */
export const zeros = <E extends ElementType>(elem: E, units: number): DataOf<E> => new arrays[elem](units) as DataOf<E>;

/**
 * Wraps `data` (or zeros) as a tensor.
 * @throws WeftError R103 if the data does not have as many units as the shape asks; a tensor with a layout may have more
 */
export function tensor<E extends ElementType, const S extends readonly number[]>(elem: E, shape: S, data?: DataOf<E>): Tensor<E, S> {
  for (const n of shape) if (!Number.isInteger(n) || n < 0) throw new WeftError("R103", `an extent must be a natural number, found ${n}`);
  const count = shape.reduce((a, b) => a * b, 1);
  const units = unitsFor(elem, count);
  const held = data ?? zeros(elem, units);
  if (held.length < units)
    throw new WeftError(
      "R103",
      `${elem}[${shape.join(", ")}] takes ${units} ${elementBits[elem] < 8 ? "words" : "elements"}, the data has ${held.length}`,
    );
  if (!(held instanceof arrays[elem]))
    throw new WeftError("R102", `${elem} is held in a ${arrays[elem].name}, found a ${held.constructor.name}`);
  return { elem, shape, data: held };
}
export const bytesOf = (t: HostTensor): Uint8Array => new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength);
