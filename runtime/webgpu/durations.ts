/** What a run of each text took last, in milliseconds: what the next is expected to take. */
export class Durations {
  private readonly last = new Map<string, number>();

  expected(text: string): number {
    return this.last.get(text) ?? 0;
  }
  /** The first run of a text includes its translation, which says nothing of the next: it is not counted. */
  record(text: string, ms: number): void {
    this.last.set(text, this.last.has(text) ? ms : 0);
  }
}
