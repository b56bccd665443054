/** Tensors as the interpreter sees them: what it is given, what can be asked for, and what it answers. */

/** A tensor as plain numbers, row-major; integers and bools (0, 1) are exact. */
export interface Values {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number> | ((flat: number) => number);
}
export interface Inputs {
  readonly dims: Readonly<Record<string, number>>;
  readonly scalars: Readonly<Record<string, number>>;
  readonly tensors: Readonly<Record<string, Values>>;
}
export interface Element {
  /** The value of the text in exact arithmetic, up to f64. */
  readonly value: number;
  /** Every admissible evaluation lies within this of `value`; infinite where nothing is promised. */
  readonly bound: number;
  readonly defined: boolean;
  /** A decision on floats was within its bounds: another result is admissible too. */
  readonly open: boolean;
}

/** A tensor whose elements can be asked for. */
export interface Source {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly at: (flat: number) => number;
}
export const stridesOf = (shape: readonly number[]): number[] => {
  const strides = new Array<number>(shape.length).fill(1);
  for (let k = shape.length - 2; k >= 0; k--) strides[k] = strides[k + 1]! * shape[k + 1]!;
  return strides;
};
export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
