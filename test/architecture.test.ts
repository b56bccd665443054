/** Imports run one way; the compiler knows no kernel by name; the language does no I/O. */
import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";

const root = path.resolve(import.meta.dirname, "..");
/** Folder -> what it may import besides itself. */
const mayImport: Record<string, readonly string[]> = {
  dsl: [],
  runtime: [],
  compiler: ["dsl", "runtime/abi.ts"],
  kernels: [],
  verify: ["dsl", "compiler", "runtime"],
  cli: ["dsl", "compiler", "runtime", "kernels", "verify"],
  bench: ["dsl", "compiler", "runtime", "kernels", "verify"],
};
const files = (dir: string): string[] =>
  fs
    .readdirSync(dir, { withFileTypes: true })
    .flatMap((e) => (e.isDirectory() ? files(path.join(dir, e.name)) : e.name.endsWith(".ts") ? [path.join(dir, e.name)] : []));
const importsOf = (file: string): string[] =>
  [...fs.readFileSync(file, "utf8").matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map((m) => m[1]!);

describe.each(Object.keys(mayImport))("%s", (folder) => {
  const own = files(path.join(root, folder));
  test("imports only what it may", () => {
    const wrong = own.flatMap((file) =>
      importsOf(file)
        .filter((i) => i.startsWith("."))
        .map((i) => path.relative(root, path.resolve(path.dirname(file), i)))
        .filter(
          (target) =>
            !target.startsWith(`${folder}/`) &&
            target !== "package.json" &&
            !mayImport[folder]!.some((m) => target === m || target.startsWith(`${m}/`)),
        )
        .map((target) => `${path.relative(root, file)} -> ${target}`),
    );
    expect(wrong).toEqual([]);
  });
  test("no file has grown past one subject", () => {
    const long = own
      .map((f) => [path.relative(root, f), fs.readFileSync(f, "utf8").trimEnd().split("\n").length] as const)
      .filter(([, n]) => n > 450);
    expect(long).toEqual([]);
  });
});
test("the language touches neither files nor network, and neither clock nor chance decides what it says", () => {
  const impure = files(path.join(root, "dsl")).filter(
    (f) =>
      importsOf(f).some((i) => i.startsWith("node:")) ||
      /performance\.now|Date\.now|new Date|Math\.random|fetch\(|process\./.test(fs.readFileSync(f, "utf8")),
  );
  expect(impure).toEqual([]);
});
test("the compiler and the runtime name no kernel", () => {
  const named = ["compiler", "runtime"]
    .flatMap((d) => files(path.join(root, d)))
    .filter((f) => /attention|gemm|w4a16|adamw|prepack|gptq/i.test(fs.readFileSync(f, "utf8")));
  expect(named).toEqual([]);
});
