/**
 * The second result of an evaluation. Closures return the value as a number; what else is known of it stands here until the caller has
 * read it. A number a call, with no allocation, keeps the reference interpreter fast enough for realistic reductions.
 */
export const state = {
  /** Bound on |machine - value| for every admissible evaluation; 0 for integers and bools. */
  error: 0,
  /** The expression is a hole of a partial tensor here. */
  undefined: false,
  /** A decision on floats lay within its bounds: either result is admissible. */
  open: false,
  /** Where the last argmax or argmin was open: the indices that are admissible. */
  choices: undefined as readonly number[] | undefined,
};
/** Evaluates at the indices and vars held in the frame. */
export type Evaluate = (frame: Float64Array) => number;

export const hole = (): number => {
  state.undefined = true;
  state.error = 0;
  return 0;
};
