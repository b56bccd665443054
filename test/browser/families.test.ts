/** The kernel families and the regressions in a real browser, through the same runtime: over the exact algebra, then over floats. */
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { compile, type Variant, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { lacking } from "../../runtime/call.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as text } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { browserPage } from "../support/browser.ts";

const page = await browserPage();
/** Features that some variant is for, and this adapter has not. */
const unasked = new Set<string>();
afterAll(async () => {
  for (const f of unasked) console.warn(`SKIPPED: variants with ${f}, which ${page!.name} has not`);
  await page?.[Symbol.asyncDispose]();
});
const regressions = fileURLToPath(new URL("../regressions/", import.meta.url));
const sources = [
  ...Object.entries(library),
  ...fs
    .readdirSync(regressions)
    .filter((f) => f.endsWith(".weft"))
    .map((f) => [f, path.join(regressions, f)] as const),
];
/**
 * Of the library what a software adapter, as a page's is, takes: what is for GPUs makes shaders that it translates for minutes, and runs on another
 * software device in test/compiler/levels.test.ts. The regressions are small, and have all that is derived for them here.
 */
function offered(variants: readonly Variant[], small: boolean): readonly Variant[] {
  const own = variants.filter((v) => !(small && v.derived) && v.schedule?.features.includes("software"));
  return own.length > 0 ? own : variants;
}
describe.skipIf(page === undefined)(page?.name ?? "no browser", () => {
  test.each(sources)("%s", { timeout: 300_000 }, async (_, file) => {
    const source = fs.readFileSync(file, "utf8");
    const checked = check(source);
    const small = file.startsWith(regressions);
    // Over the exact algebra the library runs on Dawn in Node (test/verify/exact.test.ts), which makes the same shaders of it.
    for (const i of checked.instances)
      for (const { schedule, label } of offered(variantsOf(checked, i, "wgsl"), small))
        for (const exact of small ? [true, false] : [false]) {
          const { artifact } = compile(i, source, { target: "wgsl", schedule, exact });
          const feature = lacking(artifact, page!);
          if (feature !== undefined) {
            unasked.add(feature);
            continue;
          }
          const random = seeded(4);
          let compared = 0;
          for (let run = 0; run < 2 || (compared === 0 && run < 30); run++) {
            const made = generate(artifact, random, {
              sizes: [1, 1, 2, 3, 5, 8, 9, 16, 17, 33],
              most: 6000,
              style: exact ? "bits" : "plain",
            });
            // Sizes that do not meet the preconditions; that some do is asked below.
            if (made === undefined) continue;
            const call = prepare(artifact, structuredClone(made.args), { dims: made.dims });
            const machine = interpreterFor(call, "wgsl");
            const result = await page!.run(artifact, made.args, made.dims);
            const a = agree(call, result, machine);
            expect(a.disagreements.map(text), `${i.kernel} ${i.name} ${label} ${JSON.stringify(made.dims)}`).toEqual([]);
            compared += a.compared;
          }
          expect(compared, `${i.kernel} ${i.name}`).toBeGreaterThan(0);
        }
  });
});
