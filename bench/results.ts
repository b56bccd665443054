/** Files of results under bench/results: a head that says what they were measured with, then a line each. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

export interface Head {
  readonly date: string;
  readonly device: string;
  readonly command: string;
}
const fileOf = (name: string): string => path.join(import.meta.dirname, "results", `${name}.jsonl`);

/** @param device what measured; the machine's processors by default */
export function saveResults(
  name: string,
  rows: readonly unknown[],
  device = `no GPU; ${os.cpus().length} cores, ${os.cpus()[0]?.model}`,
  command = name,
): void {
  const head: Head = { date: new Date().toISOString().slice(0, 10), device, command: `npm run -s bench -- ${command}` };
  fs.writeFileSync(fileOf(name), `${[head, ...rows].map((r) => JSON.stringify(r)).join("\n")}\n`);
}
/** Names of results that begin so. */
export const resultsNamed = (start: string): string[] =>
  fs
    .readdirSync(path.join(import.meta.dirname, "results"))
    .filter((f) => f.startsWith(start) && f.endsWith(".jsonl"))
    .map((f) => f.slice(0, -".jsonl".length))
    .sort();
export function readResults<T>(name: string): { readonly head: Head; readonly rows: readonly T[] } | undefined {
  if (!fs.existsSync(fileOf(name))) return undefined;
  const [head, ...rows] = fs.readFileSync(fileOf(name), "utf8").trim().split("\n");
  return { head: JSON.parse(head!) as Head, rows: rows.map((r) => JSON.parse(r) as T) };
}
