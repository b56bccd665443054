/** Emitted CUDA text, unchanged, compiled by g++ against the emulator: several kernels in one shared library. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Artifact, StepAbi } from "../../runtime/abi.ts";
import { WeftError } from "../../runtime/errors.ts";

const run = promisify(execFile);
/** The emulator's sources; from `dist`, they lie beside it. */
const here = fileURLToPath(new URL(import.meta.url.includes("/dist/") ? "../../verify/cuda-cpu/" : "./", import.meta.url));
/**
 * Not optimised: texts are long and run for milliseconds.
 * -fsanitize=thread makes g++ call a function at every access; the emulator has that function, and of libraries only what is named here is linked.
 * So for signed integers that leave their bits, of which C++ says nothing. Nothing is contracted, as nvcc has it with -fmad=false.
 */
const watched = "-fsanitize=thread,alignment,bounds,signed-integer-overflow";
const libraries = ["-nodefaultlibs", "-lstdc++", "-lm", "-lgcc_s", "-lc"];
const kernelFlags = ["-O0", "-fPIC", "-std=gnu++17", "-w", "-ffp-contract=off", watched];

let asked: Promise<string | undefined> | undefined;
/** What g++ is called, for messages; undefined where there is none. Asked once: a process that holds much takes long to start another. */
export function compilerVersion(): Promise<string | undefined> {
  asked ??= run("g++", ["-dumpfullversion", "-dumpversion"]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
  return asked;
}
export const entriesOf = (steps: readonly StepAbi[]): string[] =>
  steps.flatMap((s) => (s.kind === "launch" ? [s.launch.entry] : entriesOf(s.steps)));
/** The name of an entry of the k-th artifact in its library. */
export const entryName = (k: number, entry: string): string => `w${k}_${entry}`;

const parts = ["emulator", "memory", "warp", "matrix"];
const emulatorFlags = ["-O2", "-c", "-fPIC", "-std=gnu++17"];
/** The emulator compiled: its objects, and a folder with the header as a kernel wants it. */
interface Emulator {
  readonly objects: readonly string[];
  readonly header: string;
}
let emulator: Promise<Emulator> | undefined;
/** Kept for other processes by what it is made of. */
async function compiledEmulator(version: string): Promise<Emulator> {
  const hash = createHash("sha256").update(`${version} ${emulatorFlags} ${kernelFlags}`);
  for (const file of [...parts.map((p) => `${p}.cpp`), "machine.h", "place.h", "emulator.h"])
    hash.update(fs.readFileSync(path.join(here, file)));
  const kept = path.join(cacheFolder() ?? workFolder(), `emulator-${hash.digest("hex").slice(0, 16)}`);
  if (!fs.existsSync(kept)) {
    const made = fs.mkdtempSync(`${kept}-`);
    try {
      await Promise.all([
        ...parts.map((p) => run("g++", [...emulatorFlags, path.join(here, `${p}.cpp`), "-o", path.join(made, `${p}.o`)])),
        // Read from the text, the header takes longer than a small kernel.
        run("g++", [...kernelFlags, "-x", "c++-header", path.join(here, "emulator.h"), "-o", path.join(made, "emulator.h.gch")]),
      ]);
      fs.renameSync(made, kept);
    } catch (e) {
      fs.rmSync(made, { recursive: true, force: true });
      // Another process may have been faster.
      if (!fs.existsSync(kept)) throw e;
    }
  }
  return { objects: parts.map((p) => path.join(kept, `${p}.o`)), header: kept };
}
/** `node_modules/.cache/weft` of the project that this package is part of or installed in; undefined where nothing can be written there. */
function cacheFolder(): string | undefined {
  for (let at = here, up = path.dirname(at); at !== up; at = up, up = path.dirname(at)) {
    const modules = path.basename(at) === "node_modules" ? at : path.join(at, "node_modules");
    if (!fs.existsSync(modules)) continue;
    const folder = path.join(modules, ".cache", "weft");
    try {
      fs.mkdirSync(folder, { recursive: true });
      fs.accessSync(folder, fs.constants.W_OK);
      return folder;
    } catch {
      return undefined;
    }
  }
  return undefined;
}
let folder: string | undefined;
function workFolder(): string {
  if (folder === undefined) {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "weft-cuda-cpu-"));
    const made = folder;
    process.once("exit", () => fs.rmSync(made, { recursive: true, force: true }));
  }
  return folder;
}

/**
 * Compiles artifacts into one shared library.
 * @returns its path
 * @throws WeftError R201 without g++, R204 with the compiler's words where it refuses the text
 */
export async function buildLibrary(artifacts: readonly Artifact[]): Promise<string> {
  const version = await compilerVersion();
  if (version === undefined) throw new WeftError("R201", "running CUDA text on the CPU needs g++");
  const dir = workFolder();
  emulator ??= compiledEmulator(version);
  const { objects, header } = await emulator;
  const kernels = artifacts.map((a, k) => {
    const entries = [...new Set(entriesOf(a.steps))];
    // Kernels of one name come from several artifacts: each has names and a namespace of its own.
    const file = path.join(dir, `${createHash("sha256").update(a.source).digest("hex").slice(0, 16)}.cu`);
    fs.writeFileSync(file, a.source);
    return [
      ...entries.map((e) => `#define ${e} ${entryName(k, e)}`),
      `namespace w${k} {`,
      `#include "${file}"`,
      "}",
      ...entries.map((e) => `#undef ${e}`),
      ...entries.map((e) => `WEFT_ENTRY(w${k}, ${entryName(k, e)})`),
    ].join("\n");
  });
  const text = `#include "emulator.h"\n${kernels.join("\n")}\n`;
  const base = path.join(dir, createHash("sha256").update(text).digest("hex").slice(0, 16));
  if (fs.existsSync(`${base}.so`)) return `${base}.so`;
  fs.writeFileSync(`${base}.cpp`, text);
  try {
    const flags = [...kernelFlags, "-shared", `-I${header}`, `-I${here}`];
    await run("g++", [...flags, `${base}.cpp`, ...objects, ...libraries, "-o", `${base}.so`], { maxBuffer: 2 ** 24 });
  } catch (e) {
    const said = String((e as { stderr?: string }).stderr ?? e);
    throw new WeftError("R204", `${artifacts[0]!.kernel}: ${said.split("\n").find((l) => l.includes("error")) ?? said.slice(0, 300)}`);
  }
  return `${base}.so`;
}
