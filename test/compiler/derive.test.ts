/** The schedule that is derived where a text has none: what it streams, and that it says as directives what it does. */
import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check, type TargetName } from "../../dsl/index.ts";
import { library } from "../../kernels/index.ts";
import { examples } from "../support/examples.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const attention = (columns: string): string => `kernel f[M, N, D${columns}](q: f32[M, D], k: f32[N, D], v: f32[N, D]) -> (o: f32[M, D]) {
  let s[i, j] where j <= i = sum(d) q[i, d] * k[j, d]
  let p[i, j] = softmax(j) s[i, j]
  o[i, d] = (sum(j) p[i, j] * v[j, d]) else 0.0
}
`;
const instance = "instance f { D: 8 }\n";
describe("an index is streamed", () => {
  test("where scores would be stored, and one thread holds the columns", async () => {
    const text = `${attention(": static")}${instance}`;
    for (const target of ["cuda", "wgsl"] as const) {
      const c = compiled(text, target);
      expect(c.directives[0]).toBe("stream j");
      expect(c.artifact.temps).toEqual([]);
    }
    expect(await agreesOnLevels(text, 6, 5)).toBeGreaterThan(50);
  });
  test("not on a software device, which has a cache for them", () => {
    const c = compiled(`${attention(": static")}${instance}schedule f on wgsl with software { }\n`, "wgsl");
    expect(c.directives.filter((d) => d.startsWith("stream"))).toEqual([]);
    expect(c.artifact.temps.map((t) => t.name)).toContain("s");
  });
  test("not where columns are many, and each would compute the scores again", () => {
    for (const text of [attention(""), `${attention(": static")}instance f { D: 256 }\n`])
      expect(compiled(text, "cuda").directives.filter((d) => d.startsWith("stream"))).toEqual([]);
  });
  test("not where nothing is stored either way", () => {
    const text = "kernel f[M, N](x: f32[M, N]) -> (o: f32[M]) { o[i] = logsumexp(j) x[i, j] else 0.0 }\n";
    expect(compiled(text, "cuda").directives.filter((d) => d.startsWith("stream"))).toEqual([]);
  });
  test("not where no law takes the sum apart", () => {
    const text = attention(": static").replace("softmax(j) s[i, j]", "round(s[i, j] / ((max(m: N where m <= i) s[i, m]) else 1.0))");
    expect(compiled(`${text}${instance}`, "cuda").directives.filter((d) => d.startsWith("stream"))).toEqual([]);
  });
});

const texts = [
  ...Object.entries(library).map(([name, file]) => [`library: ${name}`, fs.readFileSync(file, "utf8")] as const),
  ...examples().map(({ name, text }) => [name, text] as const),
];
test.each(texts)("%s: as directives, the derived schedule makes the same source", (_, text) => {
  const bare = text.replace(/^schedule [^{]*\{[^}]*\}\n?/gm, (s) => s.replace(/[^\n]/g, " "));
  const { instances } = check(bare);
  for (const target of ["cuda", "wgsl"] as const satisfies TargetName[])
    for (const { kernel, name } of instances) {
      const find = (checked: ReturnType<typeof check>) => checked.instances.find((i) => i.kernel === kernel && i.name === name)!;
      const derived = compile(find(check(bare)), bare, { target });
      const pasted = `${bare}\nschedule ${kernel} on ${target} {\n${derived.directives.map((d) => `  ${d}\n`).join("")}}\n`;
      const again = check(pasted);
      expect(
        again.diagnostics.filter((d) => d.severity === "error").map((d) => d.message),
        pasted,
      ).toEqual([]);
      const schedule = again.schedules.find((s) => s.kernel === kernel && s.target === target);
      expect(compile(find(again), pasted, { target, schedule }).artifact.source, `${kernel} ${name} ${target}`).toBe(
        derived.artifact.source,
      );
    }
});
