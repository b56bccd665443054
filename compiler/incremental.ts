/** Compiling a text again after an edit: an instance that means the same under the same schedule, on the same lines, is not compiled again. */
import { InternalError } from "../dsl/diagnostics.ts";
import type { CheckedInstance, Span } from "../dsl/index.ts";
import { type Compiled, type CompileOptions, compile } from "./compile.ts";

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
  const ends = [...weft.matchAll(/\n/g)].map((m) => m.index);
  const line = (at: number): number => {
    const k = ends.findIndex((e) => e >= at);
    return k < 0 ? ends.length : k;
  };
  const own = JSON.stringify([kernel, name, complete, program, target, schedule, exact ?? false], (field, v: unknown) => {
    if (field === "span") return line((v as Span).start);
    if (v instanceof Map || v instanceof Set)
      throw new InternalError(`a program holds a collection in \`${field}\`, which its text would leave out`);
    return typeof v === "bigint" ? `${v}n` : v;
  });
  // Directives are printed about names that the text has.
  const names = [...new Set(weft.match(/\w+/g))].filter((n) => own.includes(`"${n}"`));
  return `${own} ${names.sort().join()}`;
}
