/** nvcc compiles every generated .cu for sm_80 and sm_90, or the chips that it is for, without a warning and without spills. */
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import type { Artifact } from "../../runtime/abi.ts";
import { featuresOf } from "../../runtime/cuda/device.ts";
import { nvcc } from "../support/devices.ts";
import { examples } from "../support/examples.ts";

const run = promisify(execFile);
const version = nvcc();
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "weft-nvcc-"));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));
/** Variants of every kind, for every chip. */
const eights = `kernel f[M, N, K](a: f8e4m3[M, K], b: f8e4m3[N, K], s: f32[M]) -> (c: bf16[M, N]) {
  c[i, j] = s[i] * (sum(k) relax<bf16>(a[i, k] * b[j, k]))
}`;
const sources = [...Object.values(library).map((f) => fs.readFileSync(f, "utf8")), ...examples().map((e) => e.text), eights];
/** A source beside others in one file: its kernels have names of their own, and so has what it declares. */
const alone = (text: string, k: number): string =>
  `#undef WEFT_SHARED\nnamespace kernel_${k} {\n${text.replaceAll('extern "C" __global__', "__global__")}\n}\n`;

describe.skipIf(version === undefined)("nvcc", () => {
  let artifacts: Artifact[] = [];
  beforeAll(() => {
    artifacts = sources.flatMap((text) => {
      const checked = check(text);
      return checked.instances.flatMap((i) =>
        variantsOf(checked, i, "cuda").map(({ schedule }) => compile(i, text, { target: "cuda", schedule }).artifact),
      );
    });
  });
  test.each(["sm_80", "sm_89", "sm_90", "sm_120"])(
    "%s",
    async (arch) => {
      const own = featuresOf(arch);
      // For the chips with features of their own, what asks for them.
      const asked = artifacts.filter(({ features = [] }) => features.length === own.size && features.every((x) => own.has(x)));
      const texts = asked.map((a) => a.source);
      expect(texts.length).toBeGreaterThan(own.size > 0 ? 5 : 50);
      // A dozen to a file, each in a namespace of its own: the compiler takes as long to start as it does for one of them.
      const files = Array.from({ length: Math.ceil(texts.length / 12) }, (_, n) => {
        const file = path.join(dir, `${arch}-${n}.cu`);
        fs.writeFileSync(
          file,
          texts
            .slice(12 * n, 12 * n + 12)
            .map(alone)
            .join(""),
        );
        return file;
      });
      let functions = 0;
      const queue = [...files];
      const worker = async (): Promise<void> => {
        for (let f = queue.shift(); f !== undefined; f = queue.shift()) {
          const flags = [`-arch=${arch}`, "-cubin", "-Xptxas", "-v", "-Werror", "all-warnings", "-fmad=false"];
          const { stderr } = await run("nvcc", [...flags, "-o", `${f}.cubin`, f], { maxBuffer: 2 ** 26 });
          for (const [, name, stores, loads] of stderr.matchAll(
            /Function properties for (\w+)\s+\d+ bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/g,
          )) {
            functions++;
            expect(`${stores} ${loads}`, name).toBe("0 0");
          }
          expect(stderr, f).not.toMatch(/warning|C75\d\d/);
        }
      };
      await Promise.all([worker(), worker()]);
      expect(functions).toBe(texts.flatMap((t) => [...t.matchAll(/extern "C" __global__/g)]).length);
    },
    400_000,
  );
});
