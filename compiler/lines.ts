/** Lines of a text by position. */
export class Lines {
  private readonly starts: readonly number[];

  constructor(text: string) {
    this.starts = [0, ...[...text.matchAll(/\n/g)].map((m) => m.index + 1)];
  }
  /** The line that a position is on; the first is 1. */
  at(position: number): number {
    let [low, high] = [1, this.starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.starts[middle]! <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
