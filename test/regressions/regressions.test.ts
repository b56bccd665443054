/** Programs that were once compiled wrongly, or whose planted fault no other test saw: on every level, over the exact algebra and over floats. */
import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { expectKernel } from "../../verify/expect.ts";
import { gxx, webgpu } from "../support/devices.ts";

const files = fs.readdirSync(import.meta.dirname).filter((f) => f.endsWith(".weft"));
const targets = ["simulator", ...((await webgpu()) ? ["wgsl"] : []), ...((await gxx()) ? ["cuda-cpu"] : [])] as const;

test("there are some", () => expect(files.length).toBeGreaterThan(10));
test.each(files)("%s", async (file) => {
  const text = fs.readFileSync(path.join(import.meta.dirname, file), "utf8");
  const reports = await expectKernel(text).toAgree({ runs: 4, targets: targets as never, sizes: [1, 2, 3, 5, 9] });
  expect(reports.reduce((n, r) => n + r.compared, 0)).toBeGreaterThan(0);
});
