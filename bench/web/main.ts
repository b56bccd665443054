/** `npm run bench -- web`: Weft and its web peers on one software device, in headless Chromium and in Node; ratios of one run. */
import { execFile, execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { compile, variantsOf } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { prepare } from "../../runtime/call.ts";
import { launchChromium } from "../../verify/chromium.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import type { WebRow } from "./measure.ts";
import { models } from "./models.ts";
import { ops } from "./ops.ts";
import { type Given, type PeerName, peerNames } from "./systems.ts";

export interface PlacedRow extends WebRow {
  readonly where: "node" | "chromium";
}
const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, "..", "..");
const cache = path.join(root, "node_modules", ".cache", "weft", "web-peers");

/** The peers, in a folder of their own: nobody else needs them. */
function installPeers(): void {
  fs.mkdirSync(cache, { recursive: true });
  const wanted = fs.readFileSync(path.join(import.meta.dirname, "package.json"), "utf8");
  const file = path.join(cache, "package.json");
  if (fs.existsSync(file) && fs.readFileSync(file, "utf8") === wanted && fs.existsSync(path.join(cache, "node_modules"))) return;
  fs.writeFileSync(file, wanted);
  console.error("installing the peers (onnxruntime-web, tfjs, jax-js) ...");
  execFileSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"], {
    cwd: cache,
    stdio: ["ignore", 2, 2],
  });
}
function artifacts(): Given["artifacts"] {
  const text = fs.readFileSync(path.join(import.meta.dirname, "..", "kernels", "web.weft"), "utf8");
  const checked = check(text);
  const made = checked.instances.map((i) => {
    const all = variantsOf(checked, i, "wgsl").map(({ schedule }) => compile(i, text, { target: "wgsl", schedule }).artifact);
    return [i.kernel, all] as const;
  });
  return Object.fromEntries(made);
}
/** Elements that are looked at: enough for every kind of place in a tile. */
const looked = 512;
function expected(made: Given["artifacts"]): Given["expected"] {
  return Object.fromEntries(
    ops.map((op) => {
      const machine = interpreterFor(prepare(made[op.kernel]![0]!, op.inputs), "wgsl");
      const count = op.output.shape.reduce((a, b) => a * b, 1);
      const places = Array.from({ length: looked }, (_, k) => Math.floor((k * (count - 1)) / (looked - 1)));
      const elements = places.map((at) => {
        const { value, bound } = machine.elementAt(op.output.name, at);
        return { at, value, bound };
      });
      return [op.name, elements];
    }),
  );
}
async function bundled(platform: "browser" | "node"): Promise<string> {
  const outfile = path.join(cache, `${platform}.mjs`);
  await build({
    entryPoints: [path.join(import.meta.dirname, "measure.ts")],
    outfile,
    bundle: true,
    format: "esm",
    platform,
    mainFields: ["module", "main"],
    banner:
      platform === "node" ? { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' } : {},
    external: ["./node.ts", "node:*"],
    nodePaths: [path.join(cache, "node_modules")],
    logLevel: "error",
  });
  return outfile;
}
const ortModule = path.join(cache, "node_modules", "onnxruntime-web", "dist", "ort.webgpu.bundle.min.mjs");

async function inNode(script: string, given: Omit<Given, "ort">, peer: PeerName, rounds: number): Promise<WebRow[]> {
  const file = path.join(cache, "given.json");
  fs.writeFileSync(file, JSON.stringify({ ...given, ort: pathToFileURL(ortModule).href }));
  const child = path.join(import.meta.dirname, "node.mjs");
  const { stdout } = await run(process.execPath, [child, script, file, peer, String(rounds)], { maxBuffer: 2 ** 28, cwd: root });
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}
async function inChromium(script: string, given: Omit<Given, "ort">, peer: PeerName, rounds: number): Promise<WebRow[]> {
  const types: Record<string, string> = { ".mjs": "text/javascript", ".wasm": "application/wasm" };
  const folders = [path.dirname(script), path.dirname(ortModule)];
  const server = http.createServer((request, response) => {
    const name = path.basename(request.url!.split("?")[0]!);
    const file = folders.map((f) => path.join(f, name)).find((f) => name !== "" && fs.existsSync(f) && fs.statSync(f).isFile());
    if (file === undefined) response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>bench</title>");
    else response.writeHead(200, { "content-type": types[path.extname(file)] ?? "application/octet-stream" }).end(fs.readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(600_000);
    await page.goto(url);
    const input = { given: { ...given, ort: `${url}/${path.basename(ortModule)}` }, peer, rounds };
    await page.addScriptTag({ url: `${url}/${path.basename(script)}`, type: "module" });
    await page.waitForFunction(() => "weftMeasure" in globalThis);
    const rows = await page.evaluate(async (text) => {
      const { given, peer, rounds } = JSON.parse(text);
      return JSON.stringify(
        await (globalThis as unknown as { weftMeasure: (g: unknown, p: unknown, n: number) => unknown }).weftMeasure(given, peer, rounds),
      );
    }, JSON.stringify(input));
    return JSON.parse(rows);
  } finally {
    await browser.close();
    server.close();
  }
}
export async function webRows(rounds: number, where: readonly PlacedRow["where"][]): Promise<PlacedRow[]> {
  installPeers();
  const made = artifacts();
  const given = { artifacts: made, expected: expected(made), models: await models(cache) };
  const rows: PlacedRow[] = [];
  for (const place of where) {
    const script = await bundled(place === "node" ? "node" : "browser");
    for (const peer of peerNames)
      try {
        const measured = await (place === "node" ? inNode : inChromium)(script, given, peer, rounds);
        rows.push(...measured.map((row): PlacedRow => ({ where: place, ...row })));
      } catch (e) {
        const { signal, message } = e as { signal?: string; message: string };
        rows.push({ where: place, op: "all", peer, error: signal ? `the process ended by ${signal}` : message.split("\n")[0]! });
      }
  }
  return rows;
}
