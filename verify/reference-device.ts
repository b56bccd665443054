/** The reference interpreter as a device: the same call, the meaning of the text. */
import { type Accuracy, check, InternalError, Interpreter, profiles } from "../dsl/index.ts";
import { desugar } from "../dsl/tensor/desugar.ts";
import { exactProgram } from "../dsl/tensor/exact.ts";
import type { Program } from "../dsl/tensor/ir.ts";
import type { Artifact, TensorParam } from "../runtime/abi.ts";
import type { CallResult, Device, PreparedCall } from "../runtime/call.ts";
import { placeOf } from "../runtime/layout.ts";
import { readElement, writeElement } from "./convert.ts";

const programs = new WeakMap<Artifact, Program>();
/** The typed program that an artifact was made from. */
export function programOf(a: Artifact): Program {
  let p = programs.get(a);
  if (p === undefined) {
    p = check(a.weft).instances.find((i) => i.kernel === a.kernel && i.name === a.instance)?.program;
    if (p === undefined) throw new InternalError(`the text of ${a.kernel} has no instance ${a.instance}`);
    if (a.exact) p = exactProgram(desugar(p));
    programs.set(a, p);
  }
  return p;
}
/** Spares checking the text again, where the program is at hand. */
export function rememberProgram(a: Artifact, p: Program): void {
  programs.set(a, a.exact ? exactProgram(desugar(p)) : p);
}
/** An interpreter on the arguments of a call, with the accuracy of a target ("ideal" for none), or one of its own. */
export function interpreterFor(call: PreparedCall, profile: string | Accuracy = "ideal"): Interpreter {
  const { artifact, values, tensors } = call;
  const program = programOf(artifact);
  const inputs = Object.fromEntries(
    artifact.params.flatMap((p) => {
      if (p.kind !== "tensor" || p.role === "out") return [];
      const t = tensors.get(p.name)!;
      // What the call updates in place is kept as it was.
      const data = p.role === "inout" ? t.data.slice() : t.data;
      const position = placeOf(p, values, tensors);
      return [[p.name, { shape: t.shape, values: (flat: number) => readElement(p.elem, data, position(flat)) }]];
    }),
  );
  return new Interpreter(
    program,
    { dims: values, scalars: values, tensors: inputs },
    typeof profile === "string" ? profiles[profile] : profile,
  );
}

export class ReferenceDevice implements Device {
  readonly name = "reference interpreter (f64)";
  readonly target = "reference" as const;

  async run(call: PreparedCall): Promise<CallResult> {
    const started = performance.now();
    const machine = interpreterFor(call);
    const made = call.artifact.params.filter((p): p is TensorParam => p.kind === "tensor" && p.role !== "in");
    // All new values are computed from the old ones before any is written.
    const results = made.map((p) => {
      const t = call.tensors.get(p.name)!;
      const count = t.shape.reduce((a, b) => a * b, 1);
      return { p, t, elements: Array.from({ length: count }, (_, i) => machine.elementAt(p.name, i)) };
    });
    const outputs: CallResult["outputs"] = Object.fromEntries(
      results.map(({ p, t, elements }) => {
        const position = placeOf(p, call.values, call.tensors);
        elements.forEach((e, i) => {
          if (e.defined) writeElement(p.elem, t.data, position(i), e.value);
        });
        return [p.name, t];
      }),
    );
    return { outputs, timeMs: performance.now() - started };
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}
