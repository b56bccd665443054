/**
 * What the thread level guarantees to emitters:
 * 1. a name is declared once, before it is used, and used only in its block; only a `var` is assigned, and a matrix instruction overwrites
 *    what another gave;
 * 2. where threads meet (barriers, matrix instructions) stands outside conditions; the loops around have the same bounds for all threads,
 *    which the simulator watches;
 * 3. stores go to buffers that the kernel writes, shared accesses to declared arrays;
 * 4. shared memory and threads are within the target's limits.
 */
import { InternalError } from "../../dsl/diagnostics.ts";
import { isEightBits } from "../../dsl/tensor/matrix.ts";
import type { Target } from "../targets/target.ts";
import { accumulates, children, type Expr, partsOf, placeShared, type Stmt, type ThreadKernel } from "./ir.ts";

export function verifyKernel(k: ThreadKernel, target: Target): void {
  const fail = (text: string): never => {
    throw new InternalError(`thread kernel ${k.name}: ${text}`);
  };
  const { bytes } = placeShared(k.shared);
  if (bytes > target.limits.sharedBytes) fail(`${bytes} bytes of shared memory, ${target.name} has ${target.limits.sharedBytes}`);
  if (k.threads > target.limits.threads) fail(`${k.threads} threads`);
  const buffers = new Map(k.buffers.map((b) => [b.name, b]));
  const arrays = new Set(k.shared.map((s) => s.name));
  const array = (name: string): void => {
    if (!arrays.has(name)) fail(`no shared array ${name}`);
  };
  /** Whether what is declared somewhere is known here; and what of it is a variable. */
  const [known, variables] = [new Map<string, boolean>(), new Set<string>()];
  const expr = (e: Expr): void => {
    // There are thousands: what is said of one is made up where it is wrong.
    if (e.kind === "name") {
      if (known.get(e.name) !== true) fail(`${e.name} is used before it is declared or outside its block`);
      return;
    }
    if (e.kind === "load" && !buffers.has(e.buffer)) fail(`no buffer ${e.buffer}`);
    if (e.kind === "shared") array(e.array);
    for (const c of children(e)) expr(c);
  };
  /** What matrix instructions gave: another may overwrite it. */
  const accumulators = new Set<string>();
  /** Conditions around the statement at hand. */
  let conditions = 0;
  const together = (what: string): void => {
    if (conditions > 0) fail(`${what} in control flow that may diverge`);
  };
  const block = (list: readonly Stmt[], index?: string): void => {
    const here: string[] = [];
    const declare = (name: string): void => {
      if (known.has(name)) fail(`${name} is declared twice`);
      known.set(name, true);
      here.push(name);
    };
    if (index !== undefined) declare(index);
    for (const s of list) {
      for (const e of partsOf(s)) expr(e);
      switch (s.kind) {
        case "let":
        case "var":
          declare(s.name);
          if (s.kind === "var") variables.add(s.name);
          break;
        case "assign":
          if (!variables.has(s.name)) fail(`${s.name} is assigned and is no variable`);
          break;
        case "for":
          block(s.body, s.name);
          break;
        case "if":
          conditions++;
          block(s.then);
          conditions--;
          break;
        case "store":
        case "stores":
        case "merge":
          if ((buffers.get(s.buffer)?.access ?? "read") === "read") fail(`${s.buffer} is written and not declared so`);
          break;
        case "share":
        case "shares":
          array(s.array);
          break;
        case "takes":
          for (const o of s.outs) if (o !== undefined) declare(o);
          array(s.array);
          break;
        case "copy":
          if (!arrays.has(s.array) || !buffers.has(s.buffer)) fail(`a copy from ${s.buffer} to ${s.array}`);
          break;
        case "loads":
          for (const o of s.outs) if (o !== undefined) declare(o);
          if (!buffers.has(s.buffer)) fail(`no buffer ${s.buffer}`);
          break;
        case "commit":
        case "land":
          break;
        case "shuffle":
          declare(s.out);
          together("a shuffle");
          if (s.mask >= target.lanes || k.threads % target.lanes !== 0) fail("a shuffle beyond the lanes that there are");
          break;
        case "scale":
          for (const o of s.outs) declare(o);
          together("a warp that scales");
          break;
        case "fragment":
          for (const o of s.outs) declare(o);
          array(s.array);
          together("a fragment");
          break;
        case "mma":
          s.outs.forEach((name, k) => {
            if (!accumulates(s, k)) declare(name);
            else if (!accumulators.has(name)) fail(`${name} is no result of a matrix instruction`);
            accumulators.add(name);
          });
          if (isEightBits(s.form) && !s.c.every(isZero)) fail("sums of a unit of 8 bits that do not begin at 0");
          together("a matrix instruction");
          if (k.threads % 32 !== 0) fail("a matrix instruction in a block that is not whole warps");
          break;
        case "barrier":
          together("a barrier");
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
  block(k.body);
}
const isZero = (e: Expr): boolean => e.kind === "const" && e.value === 0;
