/** `weft build`: CUDA, WGSL, bindings and a manifest for every kernel of the given files. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import pc from "picocolors";
import { bindingsFor } from "../../compiler/bindings/bindings.ts";
import { IncrementalCompiler, packKernels, Refusal, variantsOf } from "../../compiler/index.ts";
import { type Checked, check, InternalError, type TargetName } from "../../dsl/index.ts";
import type { Artifact } from "../../runtime/abi.ts";
import { UserError } from "../fail.ts";
import { readSource, sourcesOf, writeWhole } from "../files.ts";
import { lockOf, lockText, noteLock, withLock } from "../lock.ts";
import { asJson, progress, render } from "../render.ts";
import { version } from "../version.ts";
import { report, targetOf } from "../workspace.ts";

export interface BuildOptions {
  readonly out: string;
  readonly target: readonly string[];
  readonly watch?: boolean;
  readonly json?: boolean;
  readonly force?: boolean;
  readonly runtime: string;
}
/** What was made of a source, and what its kernels take. */
interface ManifestEntry {
  readonly hash: string;
  readonly files: readonly string[];
  readonly kernels: Record<string, readonly object[]>;
}
interface Manifest {
  readonly weft: string;
  /** By path, from the output folder. */
  readonly sources: Record<string, ManifestEntry>;
}

export async function build(paths: readonly string[], options: BuildOptions): Promise<void> {
  const targets = options.target.map(targetOf);
  const files = sourcesOf(paths);
  const compiler = new IncrementalCompiler();
  // Watched before they are read: an edit during the first build is seen after it.
  if (options.watch) watch(files, (file) => buildOnce([file], targets, options, compiler));
  const failed = buildOnce(files, targets, options, compiler);
  if (!options.watch) {
    if (failed) throw new UserError("nothing was written for the files with errors");
    return;
  }
  if (!options.json) console.error(`watching ${files.length} file${files.length === 1 ? "" : "s"}; stop with Ctrl-C`);
  await new Promise(() => undefined);
}
/** Calls for a file after it, or what was tuned for it, has changed. */
function watch(files: readonly string[], changed: (file: string) => void): void {
  for (const f of files) {
    let timer: NodeJS.Timeout | undefined;
    // Editors replace files: the folder is watched, not the file.
    fs.watch(path.dirname(f), (_event, name) => {
      if (name !== path.basename(f) && name !== path.basename(lockOf(f))) return;
      clearTimeout(timer);
      timer = setTimeout(() => {
        try {
          changed(f);
        } catch (e) {
          console.error(`weft: ${(e as Error).message}`);
        }
      }, 50);
    });
  }
}

/** @returns whether some file had errors; the outputs of the others are written */
function buildOnce(
  files: readonly string[],
  targets: readonly TargetName[],
  options: BuildOptions,
  compiler: IncrementalCompiler,
): boolean {
  const manifestFile = path.join(options.out, "manifest.json");
  const manifest = readManifest(manifestFile);
  let failed = false;
  let changed = false;
  files.forEach((file, k) => {
    progress(`weft: ${k + 1}/${files.length} ${file}`);
    const text = readSource(file);
    const key = path.relative(options.out, file);
    const hash = createHash("sha256")
      .update(`${version} ${targets.join()} ${options.runtime}\n${text}\n${lockText(file)}`)
      .digest("hex")
      .slice(0, 16);
    const old = manifest.sources[key];
    if (!options.force && old?.hash === hash && old.files.every((f) => fs.existsSync(path.join(options.out, f)))) {
      say(options, { file, status: "up to date", files: [] });
      return;
    }
    const made = compileFile(file, text, targets, options, compiler);
    if (made === undefined) {
      failed = true;
      return;
    }
    const rival = Object.entries(manifest.sources).find(([other, e]) => other !== key && e.files.some((f) => made.files.has(f)));
    if (rival) {
      const both = rival[1].files.filter((f) => made.files.has(f)).join(", ");
      console.error(
        `weft: ${file}: ${path.join(options.out, rival[0])} already makes ${both} in ${options.out}; build them into folders of their own`,
      );
      failed = true;
      return;
    }
    for (const [name, content] of made.files) writeWhole(path.join(options.out, name), content);
    for (const stale of old?.files ?? []) if (!made.files.has(stale)) fs.rmSync(path.join(options.out, stale), { force: true });
    manifest.sources[key] = { hash, files: [...made.files.keys()], kernels: made.kernels };
    changed = true;
    say(options, { file, status: "built", files: [...made.files.keys()] });
  });
  progress("");
  if (changed) writeWhole(manifestFile, `${JSON.stringify({ ...manifest, weft: version }, null, 2)}\n`);
  return failed;
}
function say(options: BuildOptions, line: { file: string; status: string; files: readonly string[] }): void {
  if (options.json) console.log(JSON.stringify(line));
  else console.log(`${pc.bold(line.file)}: ${line.status}${line.files.length ? ` (${line.files.length} files in ${options.out})` : ""}`);
}
function readManifest(file: string): Manifest {
  try {
    const m = JSON.parse(fs.readFileSync(file, "utf8")) as Manifest;
    if (m.weft === version) return m;
  } catch {
    // none yet, or not ours: everything is built anew
  }
  return { weft: version, sources: {} };
}

/** All outputs of one file, or undefined where it has errors: then nothing of it is written. */
function compileFile(
  file: string,
  text: string,
  targets: readonly TargetName[],
  options: BuildOptions,
  compiler: IncrementalCompiler,
): { files: Map<string, string>; kernels: Record<string, object[]> } | undefined {
  const checked = withLock(check(text), file, noteLock);
  if (report(checked, file, options.json ?? false)) return undefined;
  const made = compileAll(checked, file, text, targets, options, compiler);
  // Parameters with a layout get a kernel that brings them there.
  const packing = packKernels(text);
  const laid = made && packing !== undefined ? check(packing) : undefined;
  if (laid && !laid.ok) throw new InternalError(`the pack kernels of ${file} do not check: ${laid.diagnostics[0]!.message}`);
  const more = laid && packing !== undefined ? compileAll(laid, file, packing, targets, options, compiler) : undefined;
  if (made === undefined || (packing !== undefined && more === undefined)) return undefined;
  return { files: new Map([...made.files, ...(more?.files ?? [])]), kernels: { ...made.kernels, ...more?.kernels } };
}
function compileAll(
  checked: Checked,
  file: string,
  text: string,
  targets: readonly TargetName[],
  options: BuildOptions,
  compiler: IncrementalCompiler,
): { files: Map<string, string>; kernels: Record<string, object[]> } | undefined {
  const files = new Map<string, string>();
  const kernels: Record<string, object[]> = {};
  const byKernel = new Map<string, Artifact[]>();
  let refused = false;
  for (const instance of checked.instances) {
    for (const target of targets) {
      for (const { schedule, label, derived } of variantsOf(checked, instance, target))
        try {
          const { artifact } = compiler.compile(instance, text, { target, schedule });
          // A derived one for some devices that comes to the same as the one for all is never needed.
          const general = (a: Artifact): boolean => a.instance === artifact.instance && a.target === target && a.features === undefined;
          const known = byKernel.get(instance.kernel)?.some((a) => general(a) && a.source === artifact.source && !a.when && !a.schedule);
          if (derived && artifact.features && known) continue;
          const name = `${instance.kernel}${suffix(instance.name)}${label && `-${label}`}.${target === "cuda" ? "cu" : "wgsl"}`;
          files.set(name, artifact.source);
          const many = artifact.many && { file: name.replace(/\.cu$/, ".many.cu"), entry: artifact.many.entry };
          if (many) files.set(many.file, artifact.many!.source);
          byKernel.set(instance.kernel, [...(byKernel.get(instance.kernel) ?? []), artifact]);
          const { source: _, weft: __, many: ___, ...description } = artifact;
          kernels[instance.kernel] = [...(kernels[instance.kernel] ?? []), { file: name, ...description, ...(many ? { many } : {}) }];
        } catch (e) {
          if (!(e instanceof Refusal)) throw e;
          const d = {
            code: e.code,
            severity: "error" as const,
            span: e.span,
            message: e.message,
            notes: [],
            ...(e.help ? { help: e.help } : {}),
          };
          if (options.json) console.log(asJson(d, file, text));
          else console.error(render(d, file, text));
          refused = true;
        }
    }
  }
  if (refused) return undefined;
  for (const [kernel, artifacts] of byKernel) files.set(`${kernel}.ts`, bindingsFor(artifacts, options.runtime));
  return { files, kernels };
}
/** `T=f16, D=64` -> `-f16-64` */
const suffix = (instance: string): string =>
  instance === ""
    ? ""
    : `-${instance
        .split(", ")
        .map((p) => p.split("=")[1])
        .join("-")}`;
