// Bundles the package into dist/ (the parser library with it) and writes its type declarations.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { build } from "esbuild";

fs.rmSync("dist", { recursive: true, force: true });
await build({
  entryPoints: ["dsl/index.ts", "compiler/index.ts", "runtime/index.ts", "runtime/webgpu/index.ts", "runtime/cuda/index.ts", "verify/index.ts", "kernels/index.ts", "cli/main.ts"],
  outdir: "dist",
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
const cli = "dist/cli/main.js";
const text = fs.readFileSync(cli, "utf8");
fs.writeFileSync(cli, text.startsWith("#!") ? text : `#!/usr/bin/env node\n${text}`);
fs.chmodSync(cli, 0o755);
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], { stdio: "inherit" });
