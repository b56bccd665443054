/** Torn and shuffled programs: whatever the text, checking, formatting and compiling end in diagnostics, never in an exception. */
import fs from "node:fs";
import { expect, test } from "vitest";
import { compile, Refusal } from "../../compiler/index.ts";
import { format } from "../../dsl/format.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { seeded } from "../../verify/generate.ts";
import { examples } from "../support/examples.ts";

const sources = [...examples().map((e) => e.text), ...Object.values(library).map((f) => fs.readFileSync(f, "utf8"))];
const tokens = (s: string): string[] => s.match(/\s+|[A-Za-z_]\w*|\d+\.\d+|\d+|[^\s\w]/g)!;

test("600 mutated programs", () => {
  const random = seeded(17);
  const pick = (n: number): number => Math.floor(random() * n);
  let compiled = 0;
  for (let run = 0; run < 600; run++) {
    const list = tokens(sources[pick(sources.length)]!);
    for (let k = 0; k <= pick(3); k++) {
      const [a, b] = [pick(list.length), pick(list.length)];
      const how = random();
      if (how < 0.35) list.splice(a, 1);
      else if (how < 0.7) list[a] = list[b]!;
      else if (how < 0.85) list.splice(a, 0, list[b]!);
      else [list[a], list[b]] = [list[b]!, list[a]!];
    }
    const text = list.join("");
    try {
      const checked = check(text);
      format(text);
      if (!checked.ok) continue;
      for (const i of checked.instances.slice(0, 2))
        for (const target of ["wgsl", "cuda"] as const) {
          try {
            compile(i, text, { target, schedule: checked.schedules.find((s) => s.kernel === i.kernel && s.target === target) });
          } catch (e) {
            if (!(e instanceof Refusal)) throw e;
          }
        }
      compiled++;
    } catch (e) {
      expect.unreachable(`${(e as Error).stack}\n${text}`);
    }
  }
  expect(compiled).toBeGreaterThan(30);
});
