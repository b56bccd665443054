/**
 * A thread kernel under bound arithmetic: every value with what its own order of operations may have added to it. What the schedule does,
 * partial sums, trees, repairs, needs no theory here: each operation has a local rule, those of the reference (dsl/interpret).
 *
 * Two readings. `worst`: a bound that every admissible evaluation of this loop nest keeps. `spread`: the root of the sum of squares of the
 * effects of single roundings, for the statistical tests; it takes roundings as reaching a value on one path each.
 */

import { scalarFn } from "../../compiler/scalar.ts";
import { bytesOf, type Expr, type Stmt, type ThreadKernel, unfolded } from "../../compiler/thread/ir.ts";
import { lockstep } from "../../compiler/thread/lockstep.ts";
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import type { Accuracy } from "../../dsl/interpret/accuracy.ts";
import { compileOp } from "../../dsl/interpret/scalar.ts";
import { type Evaluate, state } from "../../dsl/interpret/state.ts";
import type { Op } from "../../dsl/tensor/ir.ts";
import { formats } from "../../dsl/tensor/narrow.ts";
import type { Storage } from "../../dsl/tensor/types.ts";
import { evaluateSize } from "../../runtime/abi.ts";
import { type BoundMemory, type Cells, cells } from "./cells.ts";
import { Certain } from "./certain.ts";
import { type Registers, runFragment, runMultiply } from "./matrix.ts";
import { narrowRule } from "./narrow.ts";
import { decisions, exponentials, fromBits, halves, infinitely, moves, sums } from "./operations.ts";
import { spreadRule } from "./spread.ts";

export type Reading = "worst" | "spread";
/** Runs a launch; `memory` holds what it computes. An element whose value hangs on a decision within its bounds gets an infinite error. */
export function runBounds(
  kernel: ThreadKernel,
  memory: BoundMemory,
  values: Readonly<Record<string, number>>,
  accuracy: Accuracy,
  reading: Reading,
): void {
  new BoundRun(kernel, memory, values, accuracy, reading).run();
}

const open = Number.POSITIVE_INFINITY;
/**
 * What else is known of the operands of the operation at hand: their largest error, for exact types, their longest chain, and whether one is
 * infinite without a doubt, of either sign, or so far below 0 that it may have left the range.
 */
const operands = { error: 0, chain: 0, infinite: false, signless: false, sunk: false };
/** The sum just computed may have left the range below: a number near the lowest, or minus infinity. */
let sunk = false;
/** Longest chain of additions and multiplications behind the value just computed. */
let chain = 0;
/** The thread is where rounding decided that it goes, or at a place that rounding decided: nothing that it writes there is bounded. */
let astray = false;
/** The thread is where rounding may have led it and did not: it writes nothing, and what it would have written is not bounded. */
let shadow = false;

class BoundRun {
  private readonly kernel: ThreadKernel;
  private readonly memory: BoundMemory;
  private readonly values: Readonly<Record<string, number>>;
  private readonly accuracy: Accuracy;
  private readonly reading: Reading;
  /** Three numbers a name: value, error, chain. */
  private readonly slots = new Map<string, number>();
  private shared = new Map<string, Cells>();
  private readonly certain: Certain;

  constructor(kernel: ThreadKernel, memory: BoundMemory, values: Readonly<Record<string, number>>, accuracy: Accuracy, reading: Reading) {
    this.kernel = kernel;
    this.memory = memory;
    this.values = values;
    this.certain = new Certain((name) => this.slot(name), values);
    this.accuracy = accuracy;
    this.reading = reading;
  }
  run(): void {
    const { kernel } = this;
    const [thread, block, stray] = [this.slot(" thread"), this.slot(" block"), this.slot(" stray")];
    const body = lockstep<Float64Array>(kernel.body, {
      alone: (list) => {
        const runs = list.map((s) => this.statement(s));
        return (f) => {
          astray = f[stray] === 1;
          for (const run of runs) run(f);
          f[stray] = Number(astray);
        };
      },
      together: (s) => this.together(s),
      value: (e) => {
        const value = this.decided(e);
        return (f) => {
          astray = f[stray] === 1;
          const v = value(f);
          f[stray] = Number(astray);
          return v;
        };
      },
      assign: (name) => {
        const slot = this.slot(name);
        this.certain.add(name);
        return (f, v) => {
          f[slot] = v;
          f[slot + 1] = f[slot + 2] = 0;
        };
      },
      diverged: () => {
        throw new InternalError("threads meet where not all of them come");
      },
    });
    const blocks = evaluateSize(kernel.blocks, this.values);
    const frames = Array.from({ length: kernel.threads }, () => new Float64Array(this.slots.size * 3));
    for (let b = 0; b < blocks; b++) {
      this.shared = new Map(kernel.shared.map((a) => [a.name, cells(a.count)]));
      frames.forEach((f, t) => {
        f.fill(0);
        f[thread] = t;
        f[block] = b;
      });
      body(frames);
    }
  }
  private slot(name: string): number {
    let s = this.slots.get(name);
    if (s === undefined) {
      s = this.slots.size * 3;
      this.slots.set(name, s);
    }
    return s;
  }

  private statement(s: Stmt): (f: Float64Array) => void {
    switch (s.kind) {
      case "let":
      case "var": {
        const value = this.expr(s.value);
        if (s.kind === "let" && this.certain.has(s.value)) this.certain.add(s.name);
        const slot = this.slot(s.name);
        return (f) => {
          f[slot] = value(f);
          f[slot + 1] = state.error;
          f[slot + 2] = chain;
        };
      }
      case "assign": {
        const value = this.expr(s.value);
        const slot = this.slot(s.name);
        return (f) => {
          const v = value(f);
          f[slot + 1] = astray ? open : state.error;
          if (shadow) return;
          f[slot] = v;
          f[slot + 2] = chain;
        };
      }
      case "for": {
        const [from, to] = [this.decided(s.from), this.decided(s.to)];
        const slot = this.slot(s.name);
        this.certain.add(s.name);
        const body = s.body.map((x) => this.statement(x));
        return (f) => {
          for (let i = from(f); i < to(f); i += s.step) {
            f[slot] = i;
            f[slot + 1] = f[slot + 2] = 0;
            for (const run of body) run(f);
          }
        };
      }
      case "if": {
        const test = this.expr(s.test);
        const body = s.then.map((x) => this.statement(x));
        return (f) => {
          const holds = test(f);
          const doubt = state.error > 0;
          if (!holds && !doubt) return;
          const [before, shadowed] = [astray, shadow];
          astray ||= doubt;
          shadow ||= !holds;
          for (const run of body) run(f);
          astray = before;
          shadow = shadowed;
        };
      }
      case "store":
      case "share": {
        const at = this.decided(s.at);
        const value = this.expr(s.value);
        const find = s.kind === "store" ? () => this.memory.get(s.buffer)! : () => this.shared.get(s.array)!;
        return (f) => {
          const i = at(f);
          const c = find();
          const v = value(f);
          c.errors[i] = astray ? open : state.error;
          if (shadow) return;
          c.values[i] = v;
          c.chains[i] = chain;
        };
      }
      case "merge": {
        const [at, mask] = [this.decided(s.at), this.decided(s.mask)];
        const bits = this.expr(s.bits);
        const c = this.memory.get(s.buffer)!;
        return (f) => {
          const i = at(f);
          const m = mask(f) >>> 0;
          if (shadow) c.errors[i] = open;
          if (shadow) return;
          c.values[i] = ((c.values[i]! & ~m) | (bits(f) & m)) >>> 0;
          c.errors[i] = astray ? open : Math.max(c.errors[i]!, state.error);
          c.chains[i] = Math.max(c.chains[i]!, chain);
        };
      }
      case "loads":
      case "stores":
      case "shares":
      case "takes":
      case "scale": {
        const parts = unfolded(s).map((x) => this.statement(x));
        return (f) => {
          for (const run of parts) run(f);
        };
      }
      case "copy":
        return this.copy(s);
      case "commit":
      case "land":
      case "comment":
        return () => undefined;
      case "barrier":
      case "mma":
      case "fragment":
      case "shuffle":
        throw new InternalError("threads meet inside a condition");
      default:
        return s satisfies never;
    }
  }
  private together(s: Stmt): (frames: readonly Float64Array[]) => void {
    if (s.kind === "fragment")
      return runFragment(
        this.kernel.shared.find((a) => a.name === s.array)!.elem === "u8" ? 2 : 1,
        s.transposed,
        this.decided(s.at),
        s.outs.map((name) => this.slot(name)),
        () => this.shared.get(s.array)!,
      );
    if (s.kind === "shuffle") {
      const value = this.expr(s.value);
      const out = this.slot(s.out);
      return (frames) => {
        const given = frames.map((f) => [value(f), state.error, chain] as const);
        frames.forEach((f, k) => f.set(given[k ^ s.mask]!, out));
      };
    }
    if (s.kind !== "mma") return () => undefined;
    const reader = (list: readonly Expr[]): ((f: Float64Array) => Registers) => {
      const parts = list.map((e) => this.expr(e));
      return (f) => {
        const out: Registers = { values: [], errors: [], chains: [] };
        for (const p of parts) {
          out.values.push(p(f));
          out.errors.push(state.error);
          out.chains.push(chain);
        }
        return out;
      };
    };
    const outs = s.outs.map((name) => this.slot(name));
    return runMultiply(s.form, [reader(s.a), reader(s.b), reader(s.c)], outs, this.reading);
  }
  /** A copy arrives at once here: that none is read too early is the simulator's to see. */
  private copy(s: Extract<Stmt, { kind: "copy" }>): (f: Float64Array) => void {
    const [to, from, valid] = [s.to, s.from, s.valid].map((e) => this.decided(e)) as [Evaluate, Evaluate, Evaluate];
    const width = 16 / bytesOf(this.kernel.shared.find((a) => a.name === s.array)!.elem);
    return (f) => {
      const [at, source, holds] = [to(f), from(f), valid(f)];
      const [into, data] = [this.shared.get(s.array)!, this.memory.get(s.buffer)!];
      for (let k = 0; k < width; k++) {
        into.errors[at + k] = astray ? open : holds ? data.errors[source + k]! : 0;
        if (shadow) continue;
        into.values[at + k] = holds ? data.values[source + k]! : 0;
        into.chains[at + k] = holds ? data.chains[source + k]! : 0;
      }
    };
  }
  /** A value that control or an address hangs on. */
  private decided(e: Expr): Evaluate {
    const value = this.expr(e);
    return (f) => {
      const v = value(f);
      if (state.error > 0) astray = true;
      return v;
    };
  }

  private expr(e: Expr): Evaluate {
    if (e.kind === "op" && this.certain.has(e)) {
      const value = this.certain.compile(e);
      return (f) => {
        state.error = chain = 0;
        return value(f);
      };
    }
    switch (e.kind) {
      case "const":
      case "uniform": {
        const v = e.kind === "const" ? Number(e.value) : this.values[e.name];
        invariant(v !== undefined, "a uniform has a value");
        const held = e.elem === "f32" ? Math.fround(v) : v;
        // A scalar is what the call gave; a constant that is no f32 was meant as it is written.
        const lost = e.kind === "const" && held !== v ? Math.abs(held - v) : 0;
        return () => {
          state.error = lost;
          chain = 0;
          return v;
        };
      }
      case "name":
      case "thread":
      case "block": {
        const slot = this.slot(e.kind === "name" ? e.name : ` ${e.kind}`);
        return (f) => {
          state.error = f[slot + 1]!;
          chain = f[slot + 2]!;
          return f[slot]!;
        };
      }
      case "load":
      case "shared": {
        const guard = e.kind === "load" && e.guard ? this.expr(e.guard) : undefined;
        const at = this.expr(e.at);
        const find = e.kind === "load" ? () => this.memory.get(e.buffer)! : () => this.shared.get(e.array)!;
        return (f) => {
          const holds = guard ? guard(f) : 1;
          const doubt = guard ? state.error : 0;
          if (!holds) {
            state.error = doubt > 0 ? open : 0;
            chain = 0;
            return 0;
          }
          const i = at(f);
          const c = find();
          const lost = doubt + state.error > 0 || i < 0 || i >= c.values.length;
          state.error = lost ? open : c.errors[i]!;
          chain = lost ? 0 : c.chains[i]!;
          return lost ? 0 : c.values[i]!;
        };
      }
      case "op":
        return this.op(e);
      default:
        return e satisfies never;
    }
  }
  private op(e: Extract<Expr, { kind: "op" }>): Evaluate {
    const own = e.args.map((a) => ({ certain: this.certain.has(a), value: this.expr(a) }));
    const args = own.map(({ certain, value: a }): Evaluate => {
      if (certain)
        return (f) => {
          sunk = false;
          return a(f);
        };
      return (f) => {
        sunk = false;
        const v = a(f);
        if (sunk) operands.sunk = true;
        if (chain > operands.chain) operands.chain = chain;
        if (state.error > operands.error) operands.error = state.error;
        if (state.error === 0 && Math.abs(v) === Number.POSITIVE_INFINITY) operands.infinite = true;
        else if (state.error > 0 && state.error >= Math.abs(v)) operands.signless = true;
        return v;
      };
    });
    const rule = this.rule(e, args);
    const longer = e.op === "add" || e.op === "sub" || e.op === "mul" ? 1 : 0;
    const floats = e.elem === "f32" || e.elem === "f64";
    const settled = e.op === "select" || e.op.startsWith("encode_") || e.op === "land" || e.op === "lor" || e.op === "lnot";
    const moved = moves.has(e.op);
    // What such an operation makes of floats is certain but where it says so itself.
    const decides = decisions.has(e.op) && (e.args[0]!.elem === "f32" || e.args[0]!.elem === "f64");
    const limits = e.elem === "f32" && infinitely.has(e.op);
    return (f) => {
      const { error, chain: before, infinite, signless, sunk: below } = operands;
      operands.error = operands.chain = 0;
      operands.infinite = operands.signless = operands.sunk = false;
      const v = rule(f);
      const sure = operands.infinite && Number.isFinite(operands.error) && !(e.op === "mul" && operands.signless) && !Number.isNaN(v);
      if (limits && sure) state.error = 0;
      operands.infinite = infinite;
      operands.signless = signless;
      // Of either the exponential is 0.
      if (exponentials.has(e.op) && operands.sunk) state.error = 0;
      sunk = sums.has(e.op) && floats && state.error === open && v < -(2 ** 127) && operands.error < -v / 4;
      operands.sunk = below;
      if (state.open) state.error = open;
      else if (!floats && !settled) state.error = decides || operands.error === 0 ? 0 : moved ? operands.error : open;
      state.open = false;
      chain = operands.chain + longer;
      operands.error = error;
      operands.chain = before;
      return v;
    };
  }
  private rule(e: Extract<Expr, { kind: "op" }>, args: readonly Evaluate[]): Evaluate {
    const [a, b, c] = args as [Evaluate, Evaluate, Evaluate];
    const narrow = /^(round|chop|stochastic|encode|decode)_(\w+)$/.exec(e.op);
    if (narrow) return narrowRule(narrow[1]!, formats[narrow[2] as Storage]!, narrow[0] as typeof e.op, args, this.reading);
    const float = e.elem === "f32" || e.elem === "f64";
    if (e.op === "select")
      return (f) => {
        const holds = a(f);
        const doubt = state.error > 0;
        const x = b(f);
        const ex = state.error;
        const y = c(f);
        const ey = state.error;
        const [v, ev, w, ew] = holds ? [x, ex, y, ey] : [y, ey, x, ex];
        state.error = !doubt ? ev : float ? Math.max(ev, Math.abs(v - w) + ew) : v === w ? Math.max(ev, ew) : open;
        return v;
      };
    if (e.op === "land" || e.op === "lor") {
      const stop = e.op === "lor" ? 1 : 0;
      return (f) => {
        const x = a(f);
        const ex = state.error;
        const y = b(f);
        const ey = state.error;
        state.error = (x === stop && ex === 0) || (y === stop && ey === 0) ? 0 : Math.max(ex, ey);
        return (x !== 0) === (stop === 1) ? x : y;
      };
    }
    if (e.op === "lnot") return (f) => (a(f) === 0 ? 1 : 0);
    if (fromBits.has(e.op)) {
      const g = scalarFn(e.op, e.elem, e.args[0]!.elem, args.length);
      return (f) => {
        const v = g(a(f), b ? b(f) : 0, c ? c(f) : 0);
        if (float || halves.has(e.op)) state.error = operands.error > 0 ? open : 0;
        return v;
      };
    }
    if (this.reading === "spread" && float) {
      const z = spreadRule(e.op, this.accuracy.unit, args);
      if (z) return z;
    }
    const typed = {
      kind: "op",
      op: (e.op === "small_to_f32" ? "to_f32" : e.op) as Op,
      type: e.elem,
      args: e.args.map((x) => ({ type: x.elem })),
    };
    return compileOp(typed as unknown as Parameters<typeof compileOp>[0], args, this.accuracy, () => ({ signs: [], terms: [] }));
  }
}
