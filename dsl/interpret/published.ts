/**
 * Decisions on floats that a machine has published: an index, a rank or a truth value among its outputs. Where more than one result is
 * admissible, what is computed from it is held against the machine's own choice, once that is found to be among them.
 */
import type { Source } from "./source.ts";
import { state } from "./state.ts";

export class Published {
  private readonly originals = new Map<string, Source>();
  private readonly chosen: (tensor: string, flat: number) => number | undefined;

  /** @param chosen what the machine gave; undefined for what is no output of it */
  constructor(chosen: (tensor: string, flat: number) => number | undefined) {
    this.chosen = chosen;
  }
  /** The source as those see it who compute from it. */
  follow(tensor: string, source: Source, admits: (flat: number, value: number) => boolean): Source {
    this.originals.set(tensor, source);
    return {
      ...source,
      at: (flat) => {
        const before = state.open;
        state.open = false;
        const value = source.at(flat);
        const theirs = state.open ? this.chosen(tensor, flat) : undefined;
        if (theirs === undefined || !admits(flat, theirs)) {
          state.open ||= before;
          return value;
        }
        state.open = before;
        state.error = 0;
        return theirs;
      },
    };
  }
  /** The source as the text means it. */
  original(tensor: string): Source | undefined {
    return this.originals.get(tensor);
  }
}
