/** Sources as the command line names them, and files that are replaced whole. */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "./fail.ts";

const reasons: Record<string, string> = {
  ENOENT: "no such file or folder",
  EACCES: "permission denied",
  EISDIR: "it is a folder",
  ENOTDIR: "part of the path is not a folder",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left",
};
const reasonOf = (e: unknown): string => reasons[(e as NodeJS.ErrnoException).code ?? ""] ?? (e as Error).message;

export function readSource(file: string): string {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (e) {
    throw new UserError(`cannot read ${file}: ${reasonOf(e)}`);
  }
}
/** Files as given; folders stand for the `.weft` files below them. */
export function sourcesOf(paths: readonly string[]): string[] {
  const out: string[] = [];
  for (const p of paths) {
    let stat: fs.Stats;
    try {
      stat = fs.statSync(p);
    } catch (e) {
      throw new UserError(`cannot read ${p}: ${reasonOf(e)}`);
    }
    if (!stat.isDirectory()) out.push(p);
    else {
      const found = walk(p);
      if (found.length === 0) throw new UserError(`no .weft files in ${p}`);
      out.push(...found);
    }
  }
  return out;
}
export function walk(dir: string, depth = 6): string[] {
  if (depth < 0) return [];
  return fs
    .readdirSync(dir, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((e) => {
      const p = path.join(dir, e.name);
      if (e.isDirectory()) return e.name === "node_modules" || e.name.startsWith(".") ? [] : walk(p, depth - 1);
      return e.name.endsWith(".weft") ? [p] : [];
    });
}
/** Replaces a file whole: a reader sees the old text or the new, never half of either. */
export function writeWhole(file: string, text: string): void {
  const fresh = `${file}.${process.pid}.tmp`;
  try {
    makeFolder(path.dirname(file));
    fs.writeFileSync(fresh, text);
    fs.renameSync(fresh, file);
  } catch (e) {
    try {
      fs.rmSync(fresh, { force: true });
    } catch {
      // the place it would be in does not exist
    }
    throw new UserError(`cannot write ${file}: ${reasonOf(e)}`);
  }
}
/** Folders one by one: in a file system that refuses them, Node's recursive form may try for ever. */
function makeFolder(dir: string): void {
  if (fs.existsSync(dir)) return;
  makeFolder(path.dirname(dir));
  fs.mkdirSync(dir);
}
