/** Who reads what, and from where. */
import { axesParts, visit } from "../../dsl/tensor/expr.ts";
import type { Axis, Expr, Statement } from "../../dsl/tensor/ir.ts";
import { visitStatement } from "../../dsl/tensor/program.ts";

export interface Use {
  readonly reader: string;
  /** Axes over which the read is repeated. */
  readonly axes: readonly Axis[];
  /** At the reader's own point, outside any reduction. */
  readonly identity: boolean;
  readonly inReduction: boolean;
}

export class Uses {
  private readonly byName = new Map<string, Use[]>();

  of(name: string): readonly Use[] {
    return this.byName.get(name) ?? [];
  }
  /** @param repeated by the host: a write in a fold is no use at its reader's own point */
  collect(s: Statement, repeated: boolean): void {
    switch (s.kind) {
      case "define":
        this.note(s.name, s.axes, s.value, true);
        for (const e of axesParts(s.axes)) this.note(s.name, s.axes, e, false);
        if (s.where) this.note(s.name, s.axes, s.where, false);
        return;
      case "write":
        for (const e of [s.value, ...s.subscripts, ...(s.where ? [s.where] : [])])
          this.note(s.tensor, s.axes, e, e === s.value && !repeated);
        return;
      default:
        visitStatement(s, (e) => {
          if (e.kind === "read") this.add(e.tensor, { reader: s.kind, axes: [], identity: false, inReduction: true });
          if (e.kind === "segment") this.add(e.table, { reader: s.kind, axes: [], identity: false, inReduction: true });
        });
    }
  }
  private note(reader: string, axes: readonly Axis[], e: Expr, root: boolean): void {
    visit(e, (x) => {
      if (x.kind === "read") this.add(x.tensor, { reader, axes, identity: root && identical(x.subscripts, axes), inReduction: false });
      if (x.kind === "segment") this.add(x.table, { reader, axes, identity: false, inReduction: true });
      if (x.kind === "reduce" || x.kind === "sweep") {
        const extra = x.kind === "reduce" ? x.axes : x.over;
        for (const b of [...x.bodies, ...(x.where ? [x.where] : [])])
          visit(b, (y) => {
            if (y.kind === "read") this.add(y.tensor, { reader, axes: [...axes, ...extra], identity: false, inReduction: true });
          });
      }
    });
  }
  private add(name: string, use: Use): void {
    this.byName.set(name, [...this.of(name), use]);
  }
}
const identical = (subscripts: readonly Expr[], axes: readonly Axis[]): boolean =>
  subscripts.length === axes.length && subscripts.every((s, k) => s.kind === "index" && s.name === axes[k]!.name);
