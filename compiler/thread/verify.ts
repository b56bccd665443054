/**
 * What the thread level guarantees to emitters:
 * 1. a name is declared once, before it is used, and used only in its block; only a `var` is assigned, and a matrix instruction overwrites
 *    what another gave;
 * 2. where threads meet (barriers, matrix instructions) stands outside conditions; the loops around have the same bounds for all threads,
 *    which the simulator watches;
 * 3. stores go to buffers that the kernel writes, shared accesses to declared arrays;
 * 4. shared memory and threads are within the target's limits.
 */
import { InternalError, invariant } from "../../dsl/diagnostics.ts";
import { isEightBits } from "../../dsl/tensor/matrix.ts";
import type { Target } from "../targets/target.ts";
import { accumulates, children, type Expr, partsOf, placeShared, type Stmt, type ThreadKernel } from "./ir.ts";

export function verifyKernel(k: ThreadKernel, target: Target): void {
  const where = `thread kernel ${k.name}`;
  const { bytes } = placeShared(k.shared);
  invariant(
    bytes <= target.limits.sharedBytes,
    `${where}: ${bytes} bytes of shared memory, ${target.name} has ${target.limits.sharedBytes}`,
  );
  invariant(k.threads <= target.limits.threads, `${where}: ${k.threads} threads`);
  const buffers = new Map(k.buffers.map((b) => [b.name, b]));
  const arrays = new Set(k.shared.map((s) => s.name));
  /** Whether what is declared somewhere is known here; and what of it is a variable. */
  const [known, variables] = [new Map<string, boolean>(), new Set<string>()];
  const expr = (e: Expr): void => {
    // There are thousands: what is said of one is made up where it is wrong.
    if (e.kind === "name") {
      if (known.get(e.name) !== true) throw new InternalError(`${where}: ${e.name} is used before it is declared or outside its block`);
      return;
    }
    if (e.kind === "load" && !buffers.has(e.buffer)) throw new InternalError(`${where}: no buffer ${e.buffer}`);
    if (e.kind === "shared" && !arrays.has(e.array)) throw new InternalError(`${where}: no shared array ${e.array}`);
    for (const c of children(e)) expr(c);
  };
  /** What matrix instructions gave: another may overwrite it. */
  const accumulators = new Set<string>();
  /** Conditions around the statement at hand. */
  let conditions = 0;
  const block = (list: readonly Stmt[], depth: number, index?: string): void => {
    const here: string[] = [];
    const declare = (name: string): void => {
      if (known.has(name)) throw new InternalError(`${where}: ${name} is declared twice`);
      known.set(name, true);
      here.push(name);
    };
    if (index !== undefined) declare(index);
    for (const s of list) {
      switch (s.kind) {
        case "let":
        case "var":
          expr(s.value);
          declare(s.name);
          if (s.kind === "var") variables.add(s.name);
          break;
        case "assign":
          expr(s.value);
          invariant(variables.has(s.name), `${where}: ${s.name} is assigned and is no variable`);
          break;
        case "for":
          expr(s.from);
          expr(s.to);
          block(s.body, depth + 1, s.name);
          break;
        case "if":
          expr(s.test);
          conditions++;
          block(s.then, depth + 1);
          conditions--;
          break;
        case "store":
        case "stores":
        case "merge": {
          for (const e of partsOf(s)) expr(e);
          const b = buffers.get(s.buffer);
          invariant(b !== undefined && b.access !== "read", `${where}: ${s.buffer} is written and not declared so`);
          break;
        }
        case "share":
          expr(s.at);
          expr(s.value);
          invariant(arrays.has(s.array), `${where}: no shared array ${s.array}`);
          break;
        case "shares":
          for (const e of [s.at, ...s.values]) expr(e);
          invariant(arrays.has(s.array), `${where}: no shared array ${s.array}`);
          break;
        case "takes":
          expr(s.at);
          for (const o of s.outs) if (o !== undefined) declare(o);
          invariant(arrays.has(s.array), `${where}: no shared array ${s.array}`);
          break;
        case "copy":
          for (const e of [s.to, s.from, s.valid]) expr(e);
          invariant(arrays.has(s.array) && buffers.has(s.buffer), `${where}: a copy from ${s.buffer} to ${s.array}`);
          break;
        case "loads":
          for (const e of s.guard ? [s.at, s.guard] : [s.at]) expr(e);
          for (const o of s.outs) if (o !== undefined) declare(o);
          invariant(buffers.has(s.buffer), `${where}: no buffer ${s.buffer}`);
          break;
        case "commit":
        case "land":
          break;
        case "shuffle":
          expr(s.value);
          declare(s.out);
          invariant(conditions === 0, `${where}: a shuffle in control flow that may diverge`);
          invariant(s.mask < target.lanes && k.threads % target.lanes === 0, `${where}: a shuffle beyond the lanes that there are`);
          break;
        case "scale":
          for (const e of [...s.values, ...s.by]) expr(e);
          s.outs.forEach(declare);
          invariant(conditions === 0, `${where}: a warp that scales in control flow that may diverge`);
          break;
        case "fragment":
          expr(s.at);
          s.outs.forEach(declare);
          invariant(arrays.has(s.array), `${where}: no shared array ${s.array}`);
          invariant(conditions === 0, `${where}: a fragment in control flow that may diverge`);
          break;
        case "mma":
          for (const e of [...s.a, ...s.b, ...s.c]) expr(e);
          s.outs.forEach((name, k) => {
            if (!accumulates(s, k)) declare(name);
            else if (!accumulators.has(name)) throw new InternalError(`${where}: ${name} is no result of a matrix instruction`);
            accumulators.add(name);
          });
          if (isEightBits(s.form)) invariant(s.c.every(isZero), `${where}: sums of a unit of 8 bits that do not begin at 0`);
          invariant(conditions === 0, `${where}: a matrix instruction in control flow that may diverge`);
          invariant(k.threads % 32 === 0, `${where}: a matrix instruction in a block that is not whole warps`);
          break;
        case "barrier":
          invariant(conditions === 0, `${where}: a barrier in control flow that may diverge`);
          break;
        case "comment":
          break;
        default:
          s satisfies never;
      }
    }
    for (const name of here) {
      known.set(name, false);
      variables.delete(name);
    }
  };
  block(k.body, 0);
}
const isZero = (e: Expr): boolean => e.kind === "const" && e.value === 0;
