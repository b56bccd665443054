/** Diagnostics for people: a code frame, what was found, an example, a remedy. */
import { codeFrameColumns } from "@babel/code-frame";
import pc from "picocolors";
import type { Diagnostic, Span } from "../dsl/index.ts";

interface Position {
  readonly line: number;
  readonly column: number;
}
export function positionOf(text: string, offset: number): Position {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: before.at(-1)!.length + 1 };
}
function frame(text: string, span: Span, color: boolean): string {
  const start = positionOf(text, Math.min(span.start, text.length));
  let end = positionOf(text, Math.min(Math.max(span.end, span.start + 1), Math.max(text.length, 1)));
  // A span of many lines is shown by its first.
  if (end.line > start.line) end = { line: start.line, column: (text.split("\n")[start.line - 1]?.length ?? 0) + 1 };
  return codeFrameColumns(text, { start, end }, { linesAbove: 0, linesBelow: 0, highlightCode: false, forceColor: color })
    .split("\n")
    .map((l) => `  ${l}`)
    .join("\n");
}
/** `file:line:column: error W303: text`, then the frame, notes and help. */
export function render(d: Diagnostic, file: string, text: string, color = pc.isColorSupported): string {
  const c = pc.createColors(color);
  const at = positionOf(text, d.span.start);
  const kind = d.severity === "error" ? c.red(`error ${d.code}`) : c.yellow(`warning ${d.code}`);
  const lines = [`${c.bold(`${file}:${at.line}:${at.column}`)}: ${kind}: ${d.message}`, frame(text, d.span, color)];
  for (const n of d.notes) {
    lines.push(`  ${n.text}`);
    if (n.span) lines.push(frame(text, n.span, color));
  }
  if (d.help) lines.push(`  ${c.cyan("help:")} ${d.help}`);
  return lines.join("\n");
}
/** The same as one JSON object. */
export const asJson = (d: Diagnostic, file: string, text: string): string => {
  const at = positionOf(text, d.span.start);
  return JSON.stringify({
    file,
    line: at.line,
    column: at.column,
    severity: d.severity,
    code: d.code,
    message: d.message,
    notes: d.notes.map((n) => n.text),
    ...(d.help ? { help: d.help } : {}),
  });
};
/** One line that replaces itself, for a person who watches; nothing otherwise. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}
