/** What the simulator remembers of the units of a buffer or a shared array. */

/** Who touched each unit last: owner is block * threads + thread + 1, epoch counts barriers of the launch. */
export class Shadow {
  readonly writer: Int32Array;
  readonly writeEpoch: Int32Array;
  readonly reader: Int32Array;
  readonly readEpoch: Int32Array;
  /** A second reader, not ordered with the first: whoever writes, one of the two is another thread. */
  readonly other: Int32Array;
  readonly otherEpoch: Int32Array;
  /** Bits of the word that merges have written. */
  readonly merged: Uint32Array;

  constructor(size: number) {
    this.writer = new Int32Array(size);
    this.writeEpoch = new Int32Array(size);
    this.reader = new Int32Array(size);
    this.readEpoch = new Int32Array(size);
    this.other = new Int32Array(size);
    this.otherEpoch = new Int32Array(size);
    this.merged = new Uint32Array(size);
  }
  /** Nobody has touched anything. */
  clear(): void {
    for (const marks of [this.writer, this.writeEpoch, this.reader, this.readEpoch, this.other, this.otherEpoch, this.merged])
      marks.fill(0);
  }
}
