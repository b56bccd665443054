/**
 * The summand of a sum that a matrix unit may do. A unit aligns what it adds to the largest exponent, and takes for that of a product the sum of
 * those of its factors, where a subnormal has the exponent of the least normal number (MMA-Sim): what is cut off beside such a product is as
 * much as beside a larger one.
 */
import type { Expr } from "../tensor/ir.ts";
import { type MatrixFactors, type MatrixForm, matrixFactors } from "../tensor/matrix.ts";
import { leastNormal } from "../tensor/narrow.ts";
import type { Interpreter } from "./interpreter.ts";
import { compileOp, compileRelax } from "./scalar.ts";
import { type Evaluate, state } from "./state.ts";

type Reduce = Extract<Expr, { kind: "reduce" }>;
/** Of the last summand: how large a unit may take it for. */
export const counted = { size: 0 };

/** What a matrix unit of the target may do of a sum of floats. */
function productOf(machine: Interpreter, e: Reduce): (MatrixFactors & { readonly form: Exclude<MatrixForm, "s8"> }) | undefined {
  if (!machine.accuracy.matrix || e.type !== "f32") return undefined;
  const found = matrixFactors(e, (tensor) => {
    const p = machine.program.params.find((x) => x.name === tensor);
    const d = machine.program.statements.find((s) => s.kind === "define" && s.name === tensor);
    return { elem: p?.elem ?? (d?.kind === "define" ? d.storage : undefined), value: d?.kind === "define" ? d.value : undefined };
  });
  const form = found?.form;
  return form === undefined || form === "s8" ? undefined : { ...found!, form };
}
/** The summand, which says how large it counts; undefined where no unit may do the sum. */
export function unitSummand(machine: Interpreter, e: Reduce): Evaluate | undefined {
  const found = productOf(machine, e);
  if (found === undefined) return undefined;
  const { cut } = found;
  const least = leastNormal(found.form);
  const [left, right] = found.factors.map((x) => machine.compile(x)) as [Evaluate, Evaluate];
  let [a, ea, b, eb] = [0, 0, 0, 0];
  const given = (value: () => number, error: () => number): Evaluate => {
    return () => {
      state.error = error();
      return value();
    };
  };
  const held = [
    given(
      () => a,
      () => ea,
    ),
    given(
      () => b,
      () => eb,
    ),
  ];
  const body = e.bodies[0]!;
  const product = (body.kind === "relax" ? body.arg : body) as Extract<Expr, { kind: "op" }>;
  const multiply = compileOp(product, held, machine.accuracy, () => ({ signs: [], terms: [] }));
  const whole = body.kind === "relax" ? compileRelax(body, multiply, machine.accuracy) : multiply;
  const size = (v: number, error: number): number => (v === 0 && error === 0 ? 0 : Math.max(Math.abs(v) + error, least));
  return (f) => {
    a = left(f);
    ea = state.error;
    if (state.undefined) return 0;
    b = right(f);
    eb = state.error;
    if (state.undefined) return 0;
    const x = whole(f);
    const plain = Math.abs(x);
    counted.size = Math.max(plain, size(a, ea) * size(b, eb));
    // Cut once more, where the text allows it: what stands beside a rounding of the product to bf16.
    if (cut) state.error += 2 ** -8 * (counted.size - plain);
    return x;
  };
}
