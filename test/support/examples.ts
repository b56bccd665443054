/** The examples of docs/language.md: the corpus that many tests run. */
import fs from "node:fs";

export function examples(): { name: string; text: string }[] {
  const page = fs.readFileSync(new URL("../../docs/language.md", import.meta.url), "utf8");
  return [...page.matchAll(/```weft\n([\s\S]*?)```/g)].map((m) => ({ name: /kernel (\w+)/.exec(m[1]!)?.[1] ?? "?", text: m[1]! }));
}
