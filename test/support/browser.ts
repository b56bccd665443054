/** Headless Chromium with WebGPU on its software device, the runtime loaded in a page. */
import http from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import type { Arguments, CallResult } from "../../runtime/call.ts";
import type { Artifact } from "../../runtime/index.ts";
import { launchChromium } from "../../verify/chromium.ts";
import { fromWire, type PageApi, toWire, type WireCall } from "../browser/page.ts";
import { missing } from "./devices.ts";

export interface BrowserPage extends AsyncDisposable {
  readonly name: string;
  readonly features: ReadonlySet<string>;
  run(artifact: Artifact, args: Arguments, dims: Readonly<Record<string, number>>): Promise<CallResult>;
}
/** A page with a WebGPU device, or a visible skip. */
export async function browserPage(): Promise<BrowserPage | undefined> {
  try {
    return await open();
  } catch (e) {
    return missing("browser", (e as Error).message.split("\n")[0]!);
  }
}
async function open(): Promise<BrowserPage> {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL("../browser/page.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    // The part of the runtime that is for Node alone is never loaded here.
    external: ["./node.ts", "node:*"],
  });
  const script = bundle.outputFiles[0]!.text;
  const server = http.createServer((request, response) => {
    const page = request.url === "/page.js" ? script : '<!doctype html><title>weft</title><script type="module" src="/page.js"></script>';
    response.writeHead(200, { "content-type": request.url === "/page.js" ? "text/javascript" : "text/html" }).end(page);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  let browser: Browser | undefined;
  try {
    browser = await launchChromium();
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/`);
    const adapter = await page.evaluate(() => (globalThis as unknown as { weft: PageApi }).weft.open());
    const version = browser.version();
    const close = browser.close.bind(browser);
    return {
      name: `Chromium ${version}, ${adapter.name}`,
      features: new Set(adapter.features),
      run: async (artifact, args, dims) => {
        const wire: WireCall = {
          artifact,
          dims,
          args: Object.fromEntries(Object.entries(args).map(([n, a]) => [n, typeof a === "object" ? toWire(a) : a])),
        };
        const started = performance.now();
        const outputs = await page.evaluate(
          (text) => (globalThis as unknown as { weft: PageApi }).weft.run(JSON.parse(text)),
          JSON.stringify(wire),
        );
        return {
          outputs: Object.fromEntries(Object.entries(outputs).map(([n, t]) => [n, fromWire(t)])),
          timeMs: performance.now() - started,
        };
      },
      [Symbol.asyncDispose]: async () => {
        await close();
        server.close();
      },
    };
  } catch (e) {
    await browser?.close();
    server.close();
    throw e;
  }
}
