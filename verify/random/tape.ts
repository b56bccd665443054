/** Choices: what a generator draws from, what is remembered of a run, and what shrinking edits. The choice 0 is the simplest everywhere. */

export class Tape {
  /** What was drawn so far. */
  readonly used: number[] = [];
  private readonly given: readonly number[];
  private readonly random: (() => number) | undefined;

  /** @param given is drawn first @param random draws what comes after; without it, zeros */
  constructor(given: readonly number[], random?: () => number) {
    this.given = given;
    this.random = random;
  }
  /** A number in 0 .. count - 1. */
  draw(count: number): number {
    const at = this.used.length;
    const v = at < this.given.length ? this.given[at]! % count : this.random ? Math.floor(this.random() * count) : 0;
    this.used.push(v);
    return v;
  }
  /** True in `percent` of a hundred draws. */
  chance(percent: number): boolean {
    return this.draw(100) >= 100 - percent;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.draw(list.length)]!;
  }
}

/**
 * A shorter and smaller tape that still fails: stretches are cut out, then choices lowered, until nothing helps.
 * @param budget runs of `fails` at most
 */
export async function shrink(
  tape: readonly number[],
  fails: (tape: readonly number[]) => Promise<boolean>,
  budget = 400,
): Promise<number[]> {
  let best = [...tape];
  let left = budget;
  const attempt = async (next: number[]): Promise<boolean> => {
    if (left-- <= 0 || !(await fails(next))) return false;
    best = next;
    return true;
  };
  for (let progress = true; progress && left > 0; ) {
    progress = false;
    for (let size = Math.max(1, best.length >> 1); size >= 1; size = Math.floor(size / 2))
      for (let at = 0; at + size <= best.length && left > 0; )
        if (await attempt([...best.slice(0, at), ...best.slice(at + size)])) progress = true;
        else at += size;
    for (let at = 0; at < best.length && left > 0; at++)
      for (const lower of [0, best[at]! >> 1, best[at]! - 1])
        if (lower >= 0 && lower < best[at]! && (await attempt(best.with(at, lower)))) {
          progress = true;
          break;
        }
  }
  return best;
}
