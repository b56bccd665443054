/** Compiling a text again after an edit: an instance that means the same under the same schedule, on the same lines, is not compiled again. */
import { InternalError } from "../dsl/diagnostics.ts";
import type { CheckedInstance, Span } from "../dsl/index.ts";
import type { Program } from "../dsl/tensor/ir.ts";
import { type Compiled, type CompileOptions, compile } from "./compile.ts";
import { Lines } from "./lines.ts";

/**
 * Options of Node for a process that compiles again and again. Nearly all that a compilation makes is garbage at its end. A young generation that holds it
 * until then (Node's own is 16 MB a half) copies little and lets little grow old.
 */
export const heapOptions: readonly string[] = ["--max-semi-space-size=64"];

/** Kept at most: a session of edits makes many that are never asked for again. */
const most = 1000;

export class IncrementalCompiler {
  private readonly known = new Map<string, Compiled>();

  /** As `compile`, which it calls for what it does not know. An observer is told nothing of what is known. */
  compile(instance: CheckedInstance, weft: string, options: CompileOptions): Compiled {
    const key = keyOf(instance, weft, options);
    let made = this.known.get(key);
    if (made === undefined) {
      made = compile(instance, weft, options);
      if (this.known.size >= most) this.known.clear();
      this.known.set(key, made);
    }
    // The text around it may have changed.
    return made.artifact.weft === weft ? made : { ...made, artifact: { ...made.artifact, weft } };
  }
}
/** All that a compilation hangs on: the program and the schedule, with lines for places, since sources refer to them. */
function keyOf({ kernel, name, complete, program }: CheckedInstance, weft: string, { target, schedule, exact }: CompileOptions): string {
  const lines = new Lines(weft);
  let known = printed.get(program);
  if (known?.weft !== weft) {
    known = { weft, text: textOf(program, lines) };
    printed.set(program, known);
  }
  const own = `${known.text} ${textOf([kernel, name, complete, target, schedule, exact ?? false], lines)}`;
  // Directives are printed about names that the text has.
  const quoted = new Set(own.match(/"\w+"/g));
  const names = [...new Set(weft.match(/\w+/g))].filter((n) => quoted.has(`"${n}"`));
  return `${own} ${names.sort().join()}`;
}
/** Programs as text: one is compiled for several targets. */
const printed = new WeakMap<Program, { readonly weft: string; readonly text: string }>();
const textOf = (value: unknown, lines: Lines): string =>
  JSON.stringify(value, (field, v: unknown) => {
    if (field === "span") return lines.at((v as Span).start);
    if (v instanceof Map || v instanceof Set)
      throw new InternalError(`a program holds a collection in \`${field}\`, which its text would leave out`);
    return typeof v === "bigint" ? `${v}n` : v;
  });
