/**
 * All threads of a block through the statements of a kernel: each thread runs on its own up to where threads meet (a barrier, a matrix
 * instruction), and loops in which they meet run for all at once. Two interpreters of the thread level share it: the simulator, and the one
 * that carries error bounds.
 */
import type { Expr, Stmt } from "./ir.ts";

export interface Steps<F> {
  /** Statements in which threads do not meet. */
  readonly alone: (list: readonly Stmt[]) => (f: F) => void;
  readonly together: (s: Stmt) => (frames: readonly F[]) => void;
  readonly value: (e: Expr) => (f: F) => number;
  readonly assign: (name: string) => (f: F, value: number) => void;
  /** Threads meet where not all of them come. */
  readonly diverged: () => void;
}
/** Whether threads meet in it. */
export function meets(s: Stmt): boolean {
  if (s.kind === "for") return s.body.some(meets);
  if (s.kind === "if") return s.then.some(meets);
  return s.kind === "barrier" || s.kind === "mma" || s.kind === "fragment" || s.kind === "shuffle";
}
export function lockstep<F>(body: readonly Stmt[], steps: Steps<F>): (frames: readonly F[]) => void {
  const parts: ((frames: readonly F[]) => void)[] = [];
  let plain: Stmt[] = [];
  const flush = (): void => {
    if (plain.length === 0) return;
    const run = steps.alone(plain);
    plain = [];
    parts.push((frames) => {
      for (const f of frames) run(f);
    });
  };
  for (const s of body) {
    if (!meets(s)) {
      plain.push(s);
      continue;
    }
    flush();
    if (s.kind === "for") parts.push(loop(s, steps));
    else if (s.kind === "if") parts.push(steps.diverged);
    else parts.push(steps.together(s));
  }
  flush();
  return (frames) => {
    for (const p of parts) p(frames);
  };
}
function loop<F>(s: Extract<Stmt, { kind: "for" }>, steps: Steps<F>): (frames: readonly F[]) => void {
  const [from, to] = [steps.value(s.from), steps.value(s.to)];
  const assign = steps.assign(s.name);
  const body = lockstep(s.body, steps);
  return (frames) => {
    const same = (value: (f: F) => number): number => {
      const first = value(frames[0]!);
      for (const f of frames) if (value(f) !== first) steps.diverged();
      return first;
    };
    for (let i = same(from); i < same(to); i += s.step) {
      for (const f of frames) assign(f, i);
      body(frames);
    }
  };
}
