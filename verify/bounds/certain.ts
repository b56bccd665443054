/** What a thread computes from its index, its block, counters and sizes alone: integers without an error, whatever rounding does elsewhere. */
import { scalarFn, scalarText } from "../../compiler/scalar.ts";
import type { Expr } from "../../compiler/thread/ir.ts";
import { callText, expressionText } from "../../compiler/thread/script.ts";
import { InternalError, invariant } from "../../dsl/diagnostics.ts";

export class Certain {
  private readonly names = new Set<string>();
  private readonly slot: (name: string) => number;
  private readonly values: Readonly<Record<string, number>>;

  /** @param slot of a name, " thread" and " block" in a frame */
  constructor(slot: (name: string) => number, values: Readonly<Record<string, number>>) {
    this.slot = slot;
    this.values = values;
  }
  /** A counter, or a name whose value is such an expression. */
  add(name: string): void {
    this.names.add(name);
  }
  has(e: Expr): boolean {
    if (e.kind === "name") return this.names.has(e.name);
    if (e.elem === "f32" || e.elem === "f64" || e.kind === "load" || e.kind === "shared") return false;
    return e.kind !== "op" || e.args.every((a) => this.has(a));
  }
  /** Such an expression as one function of a frame. */
  compile(e: Expr): (f: Float64Array) => number {
    const held: unknown[] = [];
    const text = expressionText(e, {
      slot: this.slot,
      uniform: (name) => {
        const v = this.values[name];
        invariant(v !== undefined, "a uniform has a value");
        return v;
      },
      thread: `v[${this.slot(" thread")}]`,
      block: `v[${this.slot(" block")}]`,
      operation: (x, args) =>
        scalarText(x.op, x.elem, args[0]!, args[1]!) ??
        callText(`h[${held.push(scalarFn(x.op, x.elem, x.args[0]!.elem, x.args.length)) - 1}]`, args),
      read: () => {
        throw new InternalError("what is read may have an error");
      },
    });
    return new Function("h", `return (v) => ${text};`)(held);
  }
}
