// Bundles the package into dist/ (the parser library with it) and writes its type declarations.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = import.meta.dirname;
/** The JavaScript of the package. It finds the kernels and the emulator's sources two folders above its files. */
export async function bundle(outdir) {
  await build({
    absWorkingDir: root,
    entryPoints: [
      "dsl/index.ts",
      "compiler/index.ts",
      "runtime/index.ts",
      "runtime/webgpu/index.ts",
      "runtime/cuda/index.ts",
      "verify/index.ts",
      "kernels/index.ts",
      "cli/main.ts",
    ],
    outdir,
    outbase: ".",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    chunkNames: "chunks/[name]-[hash]",
    external: ["webgpu", "koffi", "ts-morph", "handlebars", "commander", "picocolors", "@babel/code-frame", "@sparticuz/chromium"],
    logLevel: "warning",
  });
  // The command starts with a shebang and can be run.
  const cli = path.join(outdir, "cli/main.js");
  const text = fs.readFileSync(cli, "utf8");
  fs.writeFileSync(cli, text.startsWith("#!") ? text : `#!/usr/bin/env node\n${text}`);
  fs.chmodSync(cli, 0o755);
}
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const dist = path.join(root, "dist");
  fs.rmSync(dist, { recursive: true, force: true });
  await bundle(dist);
  execFileSync(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", path.join(root, "tsconfig.build.json")], {
    stdio: "inherit",
  });
}
