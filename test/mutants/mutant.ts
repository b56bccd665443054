/** A fault to plant: a place in the text, and what stands there instead. The tests do not know them. */
export interface Mutant {
  readonly what: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Why no test can tell it from the original, where that is so. */
  readonly equivalent?: string;
}
export const fault = (what: string, file: string, find: string, replace: string, equivalent?: string): Mutant => ({
  ...{ what, file, find, replace },
  ...(equivalent ? { equivalent } : {}),
});
