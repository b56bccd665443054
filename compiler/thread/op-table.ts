/** Nodes by what they compute: an operation and up to three operands, as numbers. */
export class OpTable {
  private places: number;
  /** Five numbers an entry: operation, operands and node, each but the node one more than it is, so that 0 is none. */
  private entries: Int32Array;
  private count = 0;

  /** @param places a power of 2, at least twice as many as most tables of its kind have entries */
  constructor(places: number) {
    this.places = places;
    this.entries = new Int32Array(5 * places);
  }
  get(op: number, a: number, b: number, c: number): number | undefined {
    const at = this.find(op, a, b, c);
    return this.entries[at] === 0 ? undefined : this.entries[at + 4];
  }
  /** Of what has no node yet. */
  set(op: number, a: number, b: number, c: number, node: number): void {
    if (2 * ++this.count > this.places) this.grow();
    const at = this.find(op, a, b, c);
    this.entries[at] = op + 1;
    this.entries[at + 1] = a + 1;
    this.entries[at + 2] = b + 1;
    this.entries[at + 3] = c + 1;
    this.entries[at + 4] = node;
  }
  /** Where an entry is, or would be: the first free place from its own on. */
  private find(op: number, a: number, b: number, c: number): number {
    const { entries, places } = this;
    let hash = Math.imul(Math.imul(Math.imul(op, 31) + a, 0x9e3779b1) + b, 0x85ebca6b) + c;
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
    for (let place = (hash ^ (hash >>> 13)) & (places - 1); ; place = (place + 1) & (places - 1)) {
      const at = 5 * place;
      if (entries[at] === 0) return at;
      if (entries[at] === op + 1 && entries[at + 1] === a + 1 && entries[at + 2] === b + 1 && entries[at + 3] === c + 1) return at;
    }
  }
  private grow(): void {
    const old = this.entries;
    this.places *= 2;
    this.entries = new Int32Array(5 * this.places);
    for (let at = 0; at < old.length; at += 5) {
      if (old[at] === 0) continue;
      const to = this.find(old[at]! - 1, old[at + 1]! - 1, old[at + 2]! - 1, old[at + 3]! - 1);
      for (let k = 0; k < 5; k++) this.entries[to + k] = old[at + k]!;
    }
  }
}
