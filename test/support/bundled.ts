/** The command as it is shipped: bundled, beside the kernels and the emulator's sources. */
import fs from "node:fs";
import path from "node:path";
import { afterAll } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
/** @returns the path of the command; its folder goes when the tests of the file are over */
export async function bundled(): Promise<string> {
  const { bundle } = (await import(path.join(root, "build.mjs"))) as { bundle: (outdir: string) => Promise<void> };
  // Within node_modules, so that what the bundle leaves outside is found.
  const cache = path.join(root, "node_modules/.cache");
  fs.mkdirSync(cache, { recursive: true });
  const folder = fs.mkdtempSync(path.join(cache, "weft-command-"));
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
  for (const name of ["kernels", "verify", "package.json"]) fs.symlinkSync(path.join(root, name), path.join(folder, name));
  await bundle(path.join(folder, "dist"));
  return path.join(folder, "dist/cli/main.js");
}
