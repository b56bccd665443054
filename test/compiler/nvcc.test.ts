/** nvcc compiles every generated .cu for sm_80 and sm_90, without a warning and without spills. */
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { nvcc } from "../support/devices.ts";
import { examples } from "../support/examples.ts";

const run = promisify(execFile);
const version = nvcc();
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "weft-nvcc-"));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));
const sources = [...Object.values(library).map((f) => fs.readFileSync(f, "utf8")), ...examples().map((e) => e.text)];

describe.skipIf(version === undefined)("nvcc", () => {
  test.each(["sm_80", "sm_90"])(
    "%s",
    async (arch) => {
      // Kernels of one name come from several instances: each in a namespace of its own file, all files of an architecture in a few processes.
      const files = sources.flatMap((text, k) => {
        const checked = check(text);
        return checked.instances.flatMap((i, n) =>
          variantsOf(checked, i, "cuda").map(({ schedule, label }) => {
            const { artifact } = compile(i, text, { target: "cuda", schedule });
            const file = path.join(dir, `${arch}-${k}-${n}-${i.kernel}-${label}.cu`);
            fs.writeFileSync(file, artifact.source);
            return file;
          }),
        );
      });
      const queue = [...files];
      const worker = async (): Promise<void> => {
        for (let f = queue.shift(); f !== undefined; f = queue.shift()) {
          const { stderr } = await run("nvcc", [
            `-arch=${arch}`,
            "-cubin",
            "-Xptxas",
            "-v",
            "-Werror",
            "all-warnings",
            "-fmad=false",
            "-o",
            `${f}.cubin`,
            f,
          ]);
          const spills = [...stderr.matchAll(/(\d+) bytes spill stores, (\d+) bytes spill loads/g)];
          expect(spills.length, `${f}: ptxas said nothing`).toBeGreaterThan(0);
          for (const s of spills) expect(`${s[1]} ${s[2]}`, f).toBe("0 0");
          expect(stderr, f).not.toMatch(/warning|C75\d\d/);
        }
      };
      await Promise.all([worker(), worker()]);
    },
    400_000,
  );
});
