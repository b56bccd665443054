/** Many random programs in a row: seeds in, a tally out; a failure ends in a short program and the choices that make it. */
import { seeded } from "../generate.ts";
import type { Level } from "../levels.ts";
import { type Case, checkCase, isCase, makeCase, type Outcome, runCase } from "./case.ts";
import { shrink, Tape } from "./tape.ts";

export interface Campaign {
  readonly seed: number;
  /** Cases that compile and run; ill-typed and refused ones are drawn again, and counted. */
  readonly cases: number;
  /** Levels of the k-th case. */
  readonly levels: (k: number) => readonly Level[];
  /** Cases that are made together, for levels that compile many at once. */
  readonly batch?: number;
  readonly before?: (cases: readonly Case[]) => Promise<void>;
  /** Runs while shrinking. */
  readonly shrinkBudget?: number;
}
export interface CampaignResult {
  readonly ran: number;
  readonly illTyped: number;
  readonly refused: number;
  readonly compared: number;
  readonly undecided: number;
  readonly perSecond: number;
  /** The first failure, shrunk. */
  readonly failure?: Outcome & { readonly tape: readonly number[]; readonly seed: number };
}

export async function campaign(c: Campaign): Promise<CampaignResult> {
  const started = performance.now();
  const tally = { ran: 0, illTyped: 0, refused: 0, compared: 0, undecided: 0 };
  const done = (): CampaignResult => ({ ...tally, perSecond: tally.ran / ((performance.now() - started) / 1000) });
  let draw = 0;
  while (tally.ran < c.cases) {
    const group: { made: Case; tape: readonly number[]; seed: number; on: readonly Level[] }[] = [];
    while (group.length < (c.batch ?? 1) && tally.ran + group.length < c.cases) {
      const seed = c.seed * 1_000_003 + draw++;
      const tape = new Tape([], seeded(seed));
      const on = c.levels(draw);
      const made = makeCase(tape, [...new Set(on.map((l) => l.target))]);
      if (isCase(made)) group.push({ made, tape: tape.used, seed, on });
      else if (made.status === "wrong") return { ...done(), failure: await shortest(made, tape.used, seed, on, c) };
      else if (made.status === "ill-typed") tally.illTyped++;
      else tally.refused++;
    }
    await c.before?.(group.map((g) => g.made));
    for (const { made, tape, seed, on } of group) {
      const o = await checkCase(made, on);
      if (o.status !== "ok") return { ...done(), failure: await shortest(o, tape, seed, on, c) };
      tally.ran++;
      tally.compared += o.compared;
      tally.undecided += o.undecided;
    }
  }
  return done();
}
/** What two failures must share to be one fault: where it showed, and the kind of thing that was wrong. */
const kindOf = (o: Outcome): string => o.detail.replace(/\d+(\.\d+)?/g, "#").slice(0, 40);
async function shortest(
  o: Outcome,
  tape: readonly number[],
  seed: number,
  on: readonly Level[],
  c: Campaign,
): Promise<NonNullable<CampaignResult["failure"]>> {
  const same = async (t: readonly number[]): Promise<boolean> => {
    const r = await runCase(new Tape(t), on);
    return r.status === "wrong" && kindOf(r) === kindOf(o);
  };
  const small = await shrink(tape, same, c.shrinkBudget ?? 200);
  const again = await runCase(new Tape(small), on);
  return { ...(again.status === "wrong" ? again : o), tape: small, seed };
}
