import { describe, expect, test } from "vitest";
import { render } from "../../cli/render.ts";
import { check, codes } from "../../dsl/index.ts";
import { wrongPrograms } from "./wrong-programs.ts";

describe("wrong programs", () => {
  test.each(wrongPrograms)("%s: %s", (code, _name, text) => {
    const { diagnostics } = check(text);
    expect(diagnostics.map((d) => d.code)).toContain(code);
    // One mistake, few messages.
    expect(diagnostics.length).toBeLessThanOrEqual(3);
  });
  test("at least eighty", () => expect(wrongPrograms.length).toBeGreaterThanOrEqual(80));
  test("every message, as a person sees it", async () => {
    const text = wrongPrograms
      .map(
        ([code, name, source]) =>
          `# ${code}: ${name}\n${check(source)
            .diagnostics.map((d) => render(d, "f.weft", source, false))
            .join("\n")}`,
      )
      .join("\n\n");
    await expect(text).toMatchFileSnapshot("../golden/messages.txt");
  });
  test("every code of the checker has a wrong program", () => {
    const covered = new Set(wrongPrograms.map(([code]) => code));
    // Reported by the compiler, for a target: test/compiler/refusals.test.ts.
    const elsewhere = ["W606", "W701", "W702"];
    expect(Object.keys(codes).filter((c) => !covered.has(c) && !elsewhere.includes(c))).toEqual([]);
  });
  test("all errors of a file at once, and the same list twice", () => {
    const text =
      "kernel f[N](x: f32[N]) -> (y: f32[N]) {\n  let a[i] = x[i] +\n  let b[i] = zz[i]\n  y[i] = ww\n}\nkernel g[N](x: q32[N]) -> (y: f32[N]) { y[i] = 1.0 }\n";
    const found = check(text).diagnostics.map((d) => d.code);
    expect(found).toEqual(check(text).diagnostics.map((d) => d.code));
    expect(found).toEqual(expect.arrayContaining(["W002", "W101", "W103"]));
  });
});
