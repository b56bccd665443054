/** A second compiler of WGSL accepts every module: Naga, apart from Tint, which the devices of these tests use. */
import fs from "node:fs";
import { NagaError, parseWgsl, validate } from "naga-wasm";
import { expect, test } from "vitest";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { seeded } from "../../verify/generate.ts";
import { isCase, makeCase } from "../../verify/random/case.ts";
import { Tape } from "../../verify/random/tape.ts";
import { examples } from "../support/examples.ts";

/** What Naga says against a module; undefined where it accepts it. */
function complaint(wgsl: string): string | undefined {
  try {
    // It knows the operations of subgroups, and not yet the words that turn them on.
    const module = parseWgsl(wgsl.replace("enable subgroups;\nrequires subgroup_id;\n", ""));
    validate(module).free();
    module.free();
    return undefined;
  } catch (e) {
    if (e instanceof NagaError) return e.formatted;
    throw e;
  }
}
const sources = [...Object.values(library).map((f) => fs.readFileSync(f, "utf8")), ...examples().map((e) => e.text)];

test("Naga refuses what is wrong", () => expect(complaint("fn f() -> i32 { return 1u; }")).toContain("error"));
test("the library and the examples, over floats and over the exact algebra", () => {
  let modules = 0;
  let unread = 0;
  for (const text of sources) {
    const checked = check(text);
    for (const i of checked.instances)
      for (const { schedule } of variantsOf(checked, i, "wgsl"))
        for (const exact of [false, true]) {
          const { artifact } = compile(i, text, { target: "wgsl", schedule, exact });
          // Naga gives `bitcast<vec2<f16>>` of a word the type of the word, which has no components.
          if (artifact.source.includes("bitcast<vec2<f16>>")) {
            unread++;
            continue;
          }
          expect(complaint(artifact.source), `${i.kernel} ${i.name}`).toBeUndefined();
          modules++;
        }
  }
  expect(modules).toBeGreaterThan(50);
  if (unread > 0) console.warn(`SKIPPED: ${unread} modules that store halves, which Naga does not know how to make of their bits`);
});
test("300 random programs", () => {
  let accepted = 0;
  for (let seed = 0; accepted < 300; seed++) {
    const made = makeCase(new Tape([], seeded(77_000 + seed)), ["wgsl"]);
    if (!isCase(made)) continue;
    for (const p of [made.floats, made.exact]) expect(complaint(p.compiled.get("wgsl")!.artifact.source), made.text).toBeUndefined();
    accepted++;
  }
});
