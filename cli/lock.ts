/**
 * What `weft tune` chose: a text file beside the kernel, a line for each schedule that has sets of sizes. People read, merge and commit it.
 * A line is the head of the schedule, a colon, and sizes; what follows `//` says how they were found.
 */
import fs from "node:fs";
import pc from "picocolors";
import { type Choice, chosen, openSizes } from "../compiler/index.ts";
import type { Checked, Schedule } from "../dsl/index.ts";

export const lockOf = (file: string): string => file.replace(/\.weft$/, ".weft-lock");
const title =
  "// Sizes that `weft tune` chose for the sets of sizes in the file beside this one. A line for each schedule; to be committed.";

export const lockText = (file: string): string => (fs.existsSync(lockOf(file)) ? fs.readFileSync(lockOf(file), "utf8") : "");
export const noteLock = (text: string): void => console.error(pc.yellow(`note: ${text}`));
/** The head of a schedule as it stands in the text, blanks made one. */
export function headOf(s: Schedule, text: string): string {
  const whole = text.slice(s.span.start, s.span.end);
  return whole.slice(0, whole.indexOf("{")).replace(/\s+/g, " ").trim();
}
function parse(line: string): { readonly head: string; readonly choice: Choice } | undefined {
  const m = /^(schedule [^:]*): (.*?)(?:\s*\/\/.*)?$/.exec(line);
  if (!m) return undefined;
  const sizes = m[2]!.split(",").map((p) => /^\s*(\w+ [\w.]+) (\d+)\s*$/.exec(p));
  if (sizes.some((x) => x === null)) return undefined;
  return { head: m[1]!, choice: Object.fromEntries(sizes.map((x) => [x![1]!, Number(x![2])])) };
}
/** @param warn told of lines that fit nothing any more */
export function withLock(checked: Checked, file: string, warn: (text: string) => void): Checked {
  const lock = lockOf(file);
  if (!fs.existsSync(lock)) return checked;
  const choices = new Map<string, Choice>();
  fs.readFileSync(lock, "utf8")
    .split("\n")
    .forEach((line, k) => {
      if (line.trim() === "" || line.startsWith("//")) return;
      const found = parse(line);
      if (found) choices.set(found.head, found.choice);
      else warn(`${lock}:${k + 1}: no choice of sizes: \`${line}\``);
    });
  const used = new Set<string>();
  const schedules = checked.schedules.map((s) => {
    const head = headOf(s, checked.text);
    const choice = choices.get(head);
    if (choice === undefined) return s;
    used.add(head);
    const open = openSizes(s);
    const stale = Object.entries(choice).filter(([label, size]) => !open[label]?.includes(size));
    for (const [label, size] of stale) warn(`${lock}: \`${label} ${size}\` is not among the sizes of \`${head}\`; run weft tune again`);
    return chosen(s, Object.fromEntries(Object.entries(choice).filter(([label]) => !stale.some(([l]) => l === label))));
  });
  for (const head of choices.keys()) if (!used.has(head)) warn(`${lock}: there is no \`${head}\` any more`);
  return { ...checked, schedules };
}
/** Puts a schedule's choice in the file, in place of a former one; the other lines stay as they are. */
export function writeLock(file: string, head: string, choice: Choice, how: string): void {
  const lock = lockOf(file);
  const before = fs.existsSync(lock) ? fs.readFileSync(lock, "utf8").trimEnd().split("\n") : [title];
  const line = `${head}: ${Object.entries(choice)
    .map(([label, size]) => `${label} ${size}`)
    .join(", ")} // ${how}`;
  const at = before.findIndex((l) => parse(l)?.head === head);
  const lines = at < 0 ? [...before, line] : before.with(at, line);
  const half = `${lock}.part`;
  fs.writeFileSync(half, `${lines.join("\n")}\n`);
  fs.renameSync(half, lock);
}
