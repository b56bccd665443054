#!/usr/bin/env node
// Packs the package, installs it in an empty folder, and uses it there under this Node, Node 22 and Node 24 (which npm provides).
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const { devDependencies: versions } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
const app = fs.mkdtempSync(path.join(os.tmpdir(), "weft-smoke-"));
const run = (command, args, cwd = app) => execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const expect = (what, holds) => {
  if (!holds) throw new Error(what);
};

try {
  const tarball = run("npm", ["pack", "--silent", "--pack-destination", app], root).trim().split("\n").at(-1);
  fs.writeFileSync(path.join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  const binary = `npm:node-${process.platform}-${process.arch}`;
  run("npm", [
    ...["install", "--no-audit", "--no-fund", "--loglevel", "error", path.join(app, tarball)],
    ...["webgpu", "@webgpu/types", "@types/node", "@sparticuz/chromium"].map((name) => `${name}@${versions[name]}`),
    ...[`node22@${binary}@22`, `node24@${binary}@24`],
  ]);
  fs.writeFileSync(path.join(app, "double.weft"), "kernel double[N](x: f32[N]) -> (y: f32[N]) { y[i] = x[i] + x[i] }\n");
  fs.writeFileSync(
    path.join(app, "use.ts"),
    `import { tensor } from "weft-lang/runtime";
import { openWebGpu } from "weft-lang/runtime/webgpu";
import { ReferenceDevice } from "weft-lang/verify";
import { double } from "./out/double.ts";

await using gpu = await openWebGpu();
for (const device of [gpu, new ReferenceDevice()]) {
  const { y } = await double(device, { x: tensor("f32", [3], Float32Array.of(1, 2, 4)) });
  if (String([...y.data]) !== "2,4,8") throw new Error(\`\${device.name}: \${y.data}\`);
}
console.log("doubled");
`,
  );
  const weft = path.join(app, "node_modules/weft-lang/dist/cli/main.js");
  for (const node of [process.execPath, path.join(app, "node_modules/node22/bin/node"), path.join(app, "node_modules/node24/bin/node")]) {
    const version = run(node, ["--version"]).trim();
    const cli = (...args) => run(node, [weft, ...args]);
    expect("--version", /^\d/.test(cli("--version")));
    cli("check", "double.weft", "node_modules/weft-lang/kernels");
    cli("build", "double.weft", "-o", "out");
    for (const target of ["reference", "wgsl"]) {
      const line = JSON.parse(cli("run", "double", "--shape", "N=1000", "--target", target, "--json").trim().split("\n").at(-1));
      expect(`run on ${target}: ${JSON.stringify(line)}`, line.ok === true);
    }
    if (node === process.execPath)
      run(node, [
        ...[path.join(root, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--allowImportingTsExtensions", "--skipLibCheck"],
        ...["--module", "nodenext", "--target", "es2022", "--lib", "es2022,esnext.disposable", "--types", "node,@webgpu/types", "use.ts"],
      ]);
    run(path.join(root, "node_modules/.bin/esbuild"), [
      "use.ts",
      "--outfile=use.mjs",
      "--bundle",
      "--packages=external",
      "--format=esm",
      "--target=node20",
      "--platform=node",
      "--log-level=error",
    ]);
    expect("the bindings", run(node, ["use.mjs"]).includes("doubled"));
    console.log(`node ${version}: check, build, run, bindings: ok`);
  }
} catch (e) {
  console.error(`smoke test: ${e.message}\n${e.stdout ?? ""}${e.stderr ?? ""}`);
  process.exitCode = 1;
} finally {
  fs.rmSync(app, { recursive: true, force: true });
}
