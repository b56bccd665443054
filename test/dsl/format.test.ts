import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { format } from "../../dsl/format.ts";
import { parse } from "../../dsl/syntax/parser.ts";
import { library } from "../../kernels/index.ts";
import { examples } from "../support/examples.ts";
import { wrongPrograms } from "./wrong-programs.ts";

const sources = [...Object.values(library).map((f) => fs.readFileSync(f, "utf8")), ...examples().map((e) => e.text)];
const tree = (text: string): string => JSON.stringify(parse(text).file, (k, v) => (k === "span" || k === "doc" ? undefined : v));

describe("format", () => {
  test.each(sources)("keeps the program and its comments, and is idempotent %#", (text) => {
    const once = format(text)!;
    expect(format(once)).toBe(once);
    expect(tree(once)).toBe(tree(text));
    const comments = (t: string) => parse(t).comments.map((c) => c.text.replace(/\s+/g, " ").trim());
    expect(comments(once)).toEqual(comments(text));
  });
  test("the library is formatted", () => {
    for (const f of Object.values(library)) expect(format(fs.readFileSync(f, "utf8"))).toBe(fs.readFileSync(f, "utf8"));
  });
  test("one spelling", () => {
    const ugly = "kernel  f <T:float> [ N ] ( x:T[N] ,s :f32)->( y : T [ N ] ){\n//note\n   y[ i ]=x[i]*- 1.0+s // end\n}\n";
    expect(format(ugly)).toBe("kernel f<T: float>[N](x: T[N], s: f32) -> (y: T[N]) {\n  // note\n  y[i] = x[i] * -1.0 + s // end\n}\n");
  });
  test("what does not parse is refused, not mangled", () => {
    for (const [code, , text] of wrongPrograms) if (code === "W002") expect(format(text)).toBeUndefined();
  });
  test("an empty file stays empty", () => expect(format("\n\n")).toBe(""));
});
