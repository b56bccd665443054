/** Random programs under random schedules: tile level and threads, against the reference and against what the generator says they mean. */
import { expect, test } from "vitest";
import { budgetMs, interpreters, runCampaign } from "../support/campaigns.ts";

test(
  "random programs on the interpreters, part 1",
  async () => {
    const { compared } = await runCampaign("interpreters 1", {
      cases: 5000,
      shard: 1,
      levels: interpreters,
    });
    expect(compared).toBeGreaterThan(0);
  },
  budgetMs,
);
