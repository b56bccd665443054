/** What a schedule says of the mathematics where the text says nothing: which indices are streamed. */
import type { Directive } from "../../dsl/check/schedules.ts";
import { baseName, freeIndices, some, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Define, Program } from "../../dsl/tensor/ir.ts";
import { visitStatement } from "../../dsl/tensor/program.ts";
import { Refusal } from "../refusal.ts";
import { type StreamedProgram, stream } from "../stream/stream.ts";
import { constant } from "./shape.ts";

/** Columns that one thread can hold the sums of. */
const mostColumns = 128;

/** What a schedule would say, and the program that comes of it. */
export interface Derived {
  readonly directives: readonly Directive[];
  readonly streamed: StreamedProgram;
}
/**
 * Streams an index where that saves memory for a reduction at each of its elements (scores), and where who walks the index holds all columns
 * of the result, so that no score is computed twice.
 */
export function derivedStreams(program: Program): Derived {
  let best: Derived = { directives: [], streamed: stream(program, []) };
  for (const index of reducedIndices(program)) {
    const directives: Directive[] = [...best.directives, { kind: "stream", index, span: { start: 0, end: 0 } }];
    const streamed = tried(program, directives);
    if (streamed && streamed.inside.size > best.streamed.inside.size && walkersHoldColumns(streamed)) best = { directives, streamed };
  }
  return best;
}
function tried(program: Program, directives: readonly Directive[]): StreamedProgram | undefined {
  try {
    return stream(program, directives);
  } catch (e) {
    if (e instanceof Refusal) return undefined;
    throw e;
  }
}
function reducedIndices(program: Program): string[] {
  const out = new Set<string>();
  for (const s of program.statements)
    visitStatement(s, (e) => {
      if (e.kind === "reduce" && e.axes.length === 1) out.add(baseName(e.axes[0]!.name));
    });
  return [...out];
}
function walkersHoldColumns({ program, inside }: StreamedProgram): boolean {
  return program.statements.every((s) => s.kind !== "define" || holdsColumns(s, inside));
}
function holdsColumns(d: Define, inside: ReadonlySet<string>): boolean {
  let held = true;
  visit(d.value, (e) => {
    if (e.kind !== "reduce" || e.monoid === undefined) return;
    const scores = e.bodies.filter((b) => some(b, (x) => x.kind === "reduce" || (x.kind === "read" && inside.has(x.tensor))));
    const rows = new Set(scores.flatMap((b) => [...freeIndices(b)]));
    const columns = d.axes.filter((a) => !rows.has(a.name)).map(sizeOf);
    if (scores.length > 0 && columns.reduce((n, c) => n * c, 1) > mostColumns) held = false;
  });
  return held;
}
const sizeOf = (a: Axis): number => constant(a.extent) ?? Number.POSITIVE_INFINITY;
