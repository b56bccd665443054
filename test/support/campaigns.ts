/** Random-program campaigns as tests: sizes from the environment, rates printed, a failure left as a .weft file. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { expect } from "vitest";
import { type Level, threadLevel, tileLevel } from "../../verify/levels.ts";
import { type Campaign, type CampaignResult, campaign } from "../../verify/random/campaign.ts";

/** `WEFT_SEED` draws other programs; a seed is printed with every result. */
export const seed = Number(process.env["WEFT_SEED"] ?? 1);
/** `WEFT_CASES` multiplies the number of cases: 1 is all of them, and `npm test` takes a share that leaves time for the rest. */
export const scale = Number(process.env["WEFT_CASES"] ?? 0.06);

/** Time for a campaign, with room for a busy machine: 20 minutes for a share of it, the more for all. */
export const budgetMs = 1_200_000 * Math.max(1, 8 * scale);

/** The two interpreters of one target, the targets in turn; every third case is held against the bound of its own plan too. */
export function interpreters(k: number): readonly Level[] {
  const target = k % 2 === 0 ? "wgsl" : "cuda";
  return [tileLevel(target), { ...threadLevel(target), ...(k % 3 === 0 ? {} : { plan: undefined }) }];
}

export async function runCampaign(name: string, c: Omit<Campaign, "seed"> & { readonly shard?: number }): Promise<CampaignResult> {
  const cases = Math.max(1, Math.round(c.cases * scale));
  const result = await campaign({ ...c, cases, seed: seed * 16 + (c.shard ?? 0) });
  const { ran, illTyped, refused, compared, undecided, perSecond } = result;
  console.log(
    `${name}: seed ${seed}, ${ran} cases, ${perSecond.toFixed(1)} a second; ${compared} elements compared, ${undecided} undecided; ${illTyped} ill-typed and ${refused} refused draws`,
  );
  const { failure } = result;
  if (failure) {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "weft-random-")), "case.weft");
    fs.writeFileSync(file, failure.text);
    expect.fail(
      `${failure.detail}\n${failure.text}\nWritten to ${file}. See it again: npm run -s weft -- fuzz ${file} --targets simulator,wgsl,cuda-cpu\n(seed ${failure.seed}, choices ${failure.tape.join(",")}). Once mended, keep it in test/regressions.`,
    );
  }
  expect(ran).toBe(cases);
  return result;
}
