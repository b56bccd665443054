/** Conditions that make others readable: nothing is read that they do not allow, on any level. */
import { expect, test } from "vitest";
import { check } from "../../dsl/index.ts";
import { seeded } from "../../verify/generate.ts";
import { randomGuard } from "../../verify/random/guards.ts";
import { Tape } from "../../verify/random/tape.ts";
import { scale, seed } from "../support/campaigns.ts";
import { agreesOnLevels } from "../support/levels.ts";

test("random conditions, some of which make others readable", async () => {
  const cases = Math.max(20, Math.round(500 * scale));
  const tally = { ran: 0, refused: 0, compared: 0 };
  for (let k = 0; tally.ran < cases && k < 2 * cases; k++) {
    const text = randomGuard(new Tape([], seeded(seed * 7919 + k)));
    if (check(text).diagnostics.some((d) => d.severity === "error")) {
      tally.refused++;
      continue;
    }
    tally.compared += await agreesOnLevels(text, 3, k, ["cuda", "wgsl"], [0, 1, 2, 3, 5, 9, 17, 33]);
    tally.ran++;
  }
  console.log(`random guards: seed ${seed}, ${JSON.stringify(tally)}`);
  expect(tally.ran).toBe(cases);
  expect(tally.compared).toBeGreaterThan(20 * cases);
}, 1_200_000);

test.each([
  [
    "a walk that begins past the extent",
    "kernel f[M, N](x: f32[N], t: index<M>[N]) -> (y: f32[M]) { y[i] = sum(j where j >= 1 && j < t[j - 1]) x[j] }\n",
  ],
  [
    "a range that does",
    "kernel f[M, N](x: f32[N], n: i32[M]) -> (y: f32[M]) { y[i] = (max(j in 1..N where n[i] > 3 || x[j - 1] > 0.0) x[j - 1]) else -1.0 }\n",
  ],
])("%s", async (_, text) => {
  expect(await agreesOnLevels(text, 8, 1, ["cuda", "wgsl"], [1, 2, 3])).toBeGreaterThan(40);
});
