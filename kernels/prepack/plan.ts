/** Which prompts share a row: first-fit decreasing. */

export interface Placement {
  /** Position of the prompt in the list that was planned. */
  readonly prompt: number;
  /** First token of the prompt within its row. */
  readonly offset: number;
  readonly length: number;
}
export interface Row {
  readonly prompts: readonly Placement[];
  /** Tokens that are not padding. */
  readonly used: number;
}

/**
 * Packs prompts into rows of `capacity` tokens: longest first, each into the first row that still has room (first-fit decreasing, at most
 * 11/9 of the best number of rows plus 6/9; Dosa 2007). Empty prompts take no room and stay in the first row.
 *
 * @param lengths tokens of each prompt, natural numbers
 * @param capacity tokens of a row; default: the longest prompt
 * @throws RangeError if a length is not a natural number or exceeds the capacity
 */
export function planRows(lengths: readonly number[], capacity = Math.max(0, ...lengths)): Row[] {
  lengths.forEach((n, k) => {
    if (!Number.isInteger(n) || n < 0) throw new RangeError(`prompt ${k} has length ${n}, which is no natural number`);
    if (n > capacity) throw new RangeError(`prompt ${k} has ${n} tokens, a row holds ${capacity}`);
  });
  const order = lengths.map((_, k) => k).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const rows: { prompts: Placement[]; used: number }[] = [];
  for (const prompt of order) {
    const length = lengths[prompt]!;
    let row = rows.find((r) => r.used + length <= capacity);
    if (row === undefined) {
      row = { prompts: [], used: 0 };
      rows.push(row);
    }
    row.prompts.push({ prompt, offset: row.used, length });
    row.used += length;
  }
  return rows;
}
/** Offsets of a row's prompts, as `restarts` computes them from the lengths. */
export const offsetsOf = (row: Row): Uint32Array<ArrayBuffer> => Uint32Array.from([...row.prompts.map((p) => p.offset), row.used]);
