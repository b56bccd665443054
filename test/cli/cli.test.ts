/** The command as a user meets it: exit codes, one clear message, no stack traces, nothing half written. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { bundled } from "../support/bundled.ts";

const command = await bundled();
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "weft-cli-"));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));
const weft = (...args: string[]) => {
  const r = spawnSync(process.execPath, [command, ...args], {
    encoding: "utf8",
    cwd: dir,
    env: { ...process.env, NO_COLOR: "1" },
  });
  expect(r.stderr).not.toMatch(/\n\s+at /);
  return { code: r.status, out: r.stdout, err: r.stderr };
};
const file = (name: string, text: string): string => {
  fs.writeFileSync(path.join(dir, name), text);
  return name;
};
const good = file("good.weft", "kernel good[N](x: f32[N]) -> (y: f32[N]) {\n  y[i] = 2.0 * x[i]\n}\n");
const bad = file("bad.weft", "kernel bad[N](x: f32[N]) -> (y: f32[N]) {\n  y[i] = x[i - 1]\n}\n");

describe("weft", () => {
  test("--help names every command and the exit codes", () => {
    const { code, out } = weft("--help");
    expect(code).toBe(0);
    for (const word of ["check", "build", "run", "explain", "fmt", "Exit codes"]) expect(out).toContain(word);
  });
  test("an unknown command or option is the user's error", () => {
    expect(weft("biuld")).toMatchObject({ code: 1, err: expect.stringContaining("Did you mean build?") });
    expect(weft("check", "--jsn", good).code).toBe(1);
  });
  test("check", () => {
    expect(weft("check", good)).toMatchObject({ code: 0, out: "good.weft: ok\n" });
    const r = weft("check", bad, good);
    expect(r.code).toBe(1);
    expect(r.err).toContain("bad.weft:2:12: error W303: `x[i - 1]`: the first subscript may be negative");
    expect(r.err).toContain("for example  i = 0  gives -1");
    const json = weft("check", "--json", bad)
      .out.trim()
      .split("\n")
      .map((l) => JSON.parse(l) as { code: string; line: number });
    expect(json[0]).toMatchObject({ code: "W303", line: 2, column: 12, file: "bad.weft" });
  });
  test("a missing file, an empty folder", () => {
    expect(weft("check", "nope.weft")).toMatchObject({ code: 1, err: "weft: cannot read nope.weft: no such file or folder\n" });
    fs.mkdirSync(path.join(dir, "empty"), { recursive: true });
    expect(weft("check", "empty")).toMatchObject({ code: 1, err: "weft: no .weft files in empty\n" });
  });
  test("build writes both sources, bindings and a manifest; the second run finds nothing to do", () => {
    expect(weft("build", good, "-o", "made").code).toBe(0);
    expect(fs.readdirSync(path.join(dir, "made")).sort()).toEqual(["good.cu", "good.many.cu", "good.ts", "good.wgsl", "manifest.json"]);
    const before = fs.readFileSync(path.join(dir, "made/good.cu"), "utf8");
    expect(weft("build", good, "-o", "made").out).toContain("up to date");
    fs.rmSync(path.join(dir, "made/good.cu"));
    expect(weft("build", good, "-o", "made").out).toContain("built");
    expect(fs.readFileSync(path.join(dir, "made/good.cu"), "utf8")).toBe(before);
  });
  test.each(["SIGTERM", "SIGKILL"] as const)(
    "build --watch builds what is edited, keeps what does not check, and ends at %s",
    async (signal) => {
      const name = file("watched.weft", fs.readFileSync(path.join(dir, good), "utf8"));
      const watcher = spawn(process.execPath, [command, "build", name, "-o", signal, "--watch"], {
        cwd: dir,
        env: { ...process.env, NO_COLOR: "1" },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let said = "";
      for (const stream of [watcher.stdout, watcher.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said += text));
      const hears = async (text: string): Promise<void> => {
        await vi.waitUntil(() => said.includes(text), { timeout: 100_000 });
        said = "";
      };
      const made = (): string => fs.readFileSync(path.join(dir, signal, "good.cu"), "utf8");
      await hears("watching 1 file; stop with Ctrl-C");
      const first = made();
      file(name, "kernel good[N](x: f32[N]) -> (y: f32[N]) {\n  y[i] = x[i - 1]\n}\n");
      await hears("error W303");
      expect(made()).toBe(first);
      file(name, "kernel good[N](x: f32[N]) -> (y: f32[N]) {\n  y[i] = 3.0 * x[i]\n}\n");
      await hears("watched.weft: built");
      expect(made()).not.toBe(first);
      // Nothing is left behind that holds its output open.
      const closed = once(watcher, "close");
      watcher.kill(signal);
      await closed;
    },
  );
  test("two sources that would write the same file, and a kernel that is gone", () => {
    const twin = file("twin.weft", "kernel good[N](x: f32[N]) -> (y: f32[N]) {\n  y[i] = 3.0 * x[i]\n}\n");
    const r = weft("build", good, twin, "-o", "twins");
    expect(r.code).toBe(1);
    expect(r.err).toContain("already makes good.cu, good.many.cu, good.wgsl, good.ts");
    expect(fs.readFileSync(path.join(dir, "twins/good.wgsl"), "utf8")).toContain("2.0");
    const moving = file("moving.weft", "kernel first[N](x: f32[N]) -> (y: f32[N]) {\n  y[i] = x[i]\n}\n");
    expect(weft("build", moving, "-o", "moved").code).toBe(0);
    file("moving.weft", "kernel second[N](x: f32[N]) -> (y: f32[N]) {\n  y[i] = x[i]\n}\n");
    expect(weft("build", moving, "-o", "moved").code).toBe(0);
    expect(fs.readdirSync(path.join(dir, "moved")).sort()).toEqual([
      "manifest.json",
      "second.cu",
      "second.many.cu",
      "second.ts",
      "second.wgsl",
    ]);
    expect(fs.readFileSync(path.join(dir, "moved/manifest.json"), "utf8")).not.toContain("first");
  });
  test("f64 runs on the reference", () => {
    const wide = file("wide.weft", "kernel wide[N](x: f64[N]) -> (y: f64[N]) {\n  y[i] = 2.0 * x[i]\n}\n");
    expect(weft("run", wide, "--target", "reference", "--shape", "N=4").code).toBe(0);
    expect(weft("run", wide, "--target", "wgsl", "--shape", "N=4")).toMatchObject({ code: 1, err: expect.stringContaining("W701") });
  });
  test("build with errors writes nothing of that file", () => {
    const r = weft("build", bad, "-o", "none");
    expect(r.code).toBe(1);
    expect(fs.existsSync(path.join(dir, "none"))).toBe(false);
  });
  test("a folder that cannot be written", () => {
    const r = weft("build", good, "-o", "good.weft/out");
    expect(r).toMatchObject({ code: 1, err: expect.stringContaining("cannot write") });
    expect(fs.readFileSync(path.join(dir, "good.weft"), "utf8")).toContain("kernel good");
  });
  test("run on the reference, and bad shapes", () => {
    expect(JSON.parse(weft("run", good, "--target", "reference", "--shape", "N=5", "--json").out)).toMatchObject({
      kernel: "good",
      target: "reference",
      shape: "N=5",
      compared: 5,
      ok: true,
    });
    expect(weft("run", good, "--target", "reference", "--shape", "N=x")).toMatchObject({
      code: 1,
      err: expect.stringContaining("--shape takes dimensions"),
    });
    expect(weft("run", good, "--target", "reference", "--shape", "Q=3")).toMatchObject({
      code: 1,
      err: expect.stringContaining("no dimension Q"),
    });
    expect(weft("run", "nothing_of_that_name")).toMatchObject({ code: 1, err: expect.stringContaining("there is no kernel") });
    expect(weft("run", good, "--target", "tpu")).toMatchObject({ code: 1, err: expect.stringContaining("there is no target `tpu`") });
  });
  test("explain prints every stage, or one", () => {
    const all = weft("explain", good, "--target", "wgsl").out;
    for (const s of ["check", "desugar", "split", "plan", "tile", "thread", "emit"]) expect(all).toContain(`== ${s}`);
    expect(weft("explain", good, "--target", "cuda", "--after", "emit").out).toContain("__global__");
    expect(weft("explain", good, "--target", "cuda", "--after", "magic")).toMatchObject({
      code: 1,
      err: expect.stringContaining("there is no stage"),
    });
  });
  test("explain prints the derived schedule as directives, and what bounds each loop", () => {
    const { code, out } = weft("explain", "packed_attention", "--target", "cuda", "-i", "T=f16,D=64", "--schedule");
    expect(code).toBe(0);
    expect(out).toMatch(/^schedule packed_attention on cuda \{\n {2}stream j\n/);
    expect(weft("explain", good, "--target", "cuda", "--schedule", "--bounds").code).toBe(1);
    const line = weft("explain", "attention", "-t", "cuda", "-i", "T=f16,D=64", "--roofline", "--shape", "M=512,N=512", "--json").out;
    const { loops, chip } = JSON.parse(line) as { chip: string; loops: { path: string[]; bound: string }[] };
    expect(chip).toContain("A100");
    expect(loops.map((l) => l.path.join())).toContain("j");
    const few = (shape: string): string => weft("explain", "w4a16", "-t", "cuda", "-i", "GS=128,v1=false", "--roofline", "-s", shape).out;
    expect(few("M=16,N=8192,NG=64")).toContain("w4a16_y_part");
    expect(few("M=2048,N=8192,NG=64")).not.toContain("w4a16_y_part");
    expect(weft("explain", good, "--target", "wgsl", "--roofline").err).toContain("CUDA alone");
    expect(weft("explain", good, "--target", "cuda", "--roofline", "--chip", "tpu").err).toContain("Allowed choices are a100, h100, h200.");
  });
  test("tune chooses from sets of sizes by the cost model, and what follows uses the choice", () => {
    const text = `kernel t[M, N, K](a: f32[M, K], b: f32[K, N]) -> (c: f32[M, N]) {
  c[i, j] = sum(k) a[i, k] * b[k, j]
}
schedule t on cuda { tile i: {8, 32}, j: {8, 32} }
schedule t on wgsl { tile i: 16 }
`;
    file("tuned.weft", text);
    const lock = path.join(dir, "tuned.weft-lock");
    const tiles = (): string => /tile .*/.exec(weft("explain", "tuned.weft", "-t", "cuda", "--after", "plan").out)![0];
    expect(tiles()).toBe("tile c.i: 8, c.j: 8");
    const dry = weft("tune", "tuned.weft", "-t", "cuda", "--model", "--shape", "M=512,N=512,K=512", "--dry-run", "--json");
    const { ranked, written, chosen } = JSON.parse(dry.out) as {
      ranked: { ms: number }[];
      written: boolean;
      chosen: Record<string, number>;
    };
    expect(ranked.map((r) => r.ms)).toEqual(ranked.map((r) => r.ms).toSorted((a, b) => a - b));
    expect([ranked.length, written, fs.existsSync(lock)]).toEqual([4, false, false]);
    // Larger tiles load less for each product.
    expect(chosen).toEqual({ "tile i": 32, "tile j": 32 });
    const build = (): string => weft("build", "tuned.weft", "-o", "tuned").out;
    expect(build()).toContain("built");
    expect(build()).toContain("up to date");
    expect(weft("tune", "tuned.weft", "-t", "cuda", "--model", "--shape", "M=512,N=512,K=512").code).toBe(0);
    expect(build()).toContain("built");
    expect(build()).toContain("up to date");
    expect(fs.readFileSync(lock, "utf8")).toContain("schedule t on cuda: tile i 32, tile j 32 // modelled for A100");
    expect(tiles()).toBe("tile c.i: 32, c.j: 32");
    // The second run replaces the line; other lines stay.
    fs.appendFileSync(lock, "nonsense\n");
    expect(weft("tune", "tuned.weft", "-t", "cuda", "--model", "--chip", "h100").err).toContain("no choice of sizes: `nonsense`");
    const lines = fs.readFileSync(lock, "utf8").trim().split("\n");
    expect(lines.filter((l) => l.startsWith("schedule t on cuda"))).toEqual([expect.stringContaining("H100")]);
    expect(lines.at(-1)).toBe("nonsense");
    file("tuned.weft", text.replace("i: {8, 32}", "i: {16, 64}"));
    expect(weft("explain", "tuned.weft", "-t", "cuda", "--after", "plan").err).toContain("is not among the sizes");
    expect(tiles()).toMatch(/c\.i: 16, c\.j: (8|32)$/);
    expect(weft("tune", "tuned.weft", "-t", "wgsl")).toMatchObject({ code: 1, err: expect.stringContaining("has a set of sizes") });
  });
  test("fmt", () => {
    file("ugly.weft", "kernel u[N](x:f32[N])->(y:f32[N]) {\ny[i]=x[i]\n}\n");
    expect(weft("fmt", "--check", "ugly.weft").code).toBe(1);
    expect(weft("fmt", "ugly.weft").code).toBe(0);
    expect(fs.readFileSync(path.join(dir, "ugly.weft"), "utf8")).toBe("kernel u[N](x: f32[N]) -> (y: f32[N]) {\n  y[i] = x[i]\n}\n");
    expect(weft("fmt", "--check", "ugly.weft").code).toBe(0);
    file("torn.weft", "kernel u[N](");
    expect(weft("fmt", "torn.weft").code).toBe(1);
    expect(fs.readFileSync(path.join(dir, "torn.weft"), "utf8")).toBe("kernel u[N](");
  });
});
