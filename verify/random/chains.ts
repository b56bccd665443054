/** Random chains of dependent reductions over one index, to be streamed: each reduces what may hang on those before it. */
import type { Tape } from "./tape.ts";

/** The text of a kernel `f` with a `stream j` for both targets. Choices of 0 give the simplest. */
export function randomChain(tape: Tape): string {
  const domain = tape.pick(["", " where j <= i", " where j % 3 != 1", " where j < i * 2 + 1"]);
  const scores = tape.pick([
    "x[i, j]",
    "x[i, j] + y[i, j]",
    "sum(k) w[i, k] * z[j, k]",
    "0.5 * (sum(k) w[i, k] * z[j, k]) - y[i, j]",
    "x[i, j] * y[i, j]",
  ]);
  const lines = [`let s[i, j]${domain} = ${scores}`];
  /** Totals that later ones may read: those that are at least 1, and any. */
  const weights: string[] = [];
  const sums: string[] = [];
  const maxima: string[] = [];
  const element = (): string => tape.pick(["s[i, j]", "s[i, j] * y[i, j]", "(s[i, j] + 1.0)", "(if j % 2 == 0 then s[i, j] else 0.5)"]);
  const exponential = (): string => {
    const shape = tape.draw(4);
    const m = tape.pick(maxima);
    if (shape === 1 && weights.length > 0) return `exp(s[i, j] - ${m}[i]) / ${tape.pick(weights)}[i]`;
    if (shape === 2 && weights.length > 0) return `exp(s[i, j] - ${m}[i] - log(${tape.pick(weights)}[i]))`;
    return shape === 3 ? `exp(s[i, j] - ${m}[i]) * ${element()}` : `exp(s[i, j] - ${m}[i])`;
  };
  lines.push("let m0[i] = max(j) s[i, j]");
  maxima.push("m0");
  const count = 1 + tape.draw(4);
  for (let k = 1; k <= count; k++) {
    const name = `r${k}`;
    const shape = tape.draw(8);
    if (shape >= 6 && sums.length > 0) {
      const t = tape.pick(sums);
      const shift = `(s[i, j] - ${t}[i])`;
      const weight = tape.pick(["", "s[i, j] * ", "(y[i, j] + 0.0 * s[i, j]) * "]);
      lines.push(`let ${name}[i] = sum(j) ${weight}${shift}${shape === 7 ? ` * ${shift}` : ""}`);
    } else if (shape >= 5) {
      lines.push(`let ${name}[i] = max(j) ${element()}`);
      maxima.push("m0");
      sums.push(name);
    } else if (shape === 4 && sums.length > 0) lines.push(`let ${name}[i] = sum(j) ${element()} * ${tape.pick(sums)}[i]`);
    else if (shape === 3) lines.push(`let ${name}[i] = sum(j) ${element()}`);
    else {
      const body = exponential();
      lines.push(`let ${name}[i] = sum(j) ${body}`);
      // exp(s - m) alone: the largest term is 1.
      if (body === "exp(s[i, j] - m0[i])") weights.push(name);
    }
    sums.push(name);
  }
  const last = `r${count}`;
  lines.push(`o[i] = ${last}[i] else -3.0`);
  const columns = tape.chance(50);
  if (columns) lines.push(`p[i, k] = (sum(j) ${exponential()} * z[j, k]) else 7.0`);
  const results = columns ? "o: f32[M], p: f32[M, K]" : "o: f32[M]";
  return `kernel f[M, N, K](x: f32[M, N], y: f32[M, N], w: f32[M, K], z: f32[N, K]) -> (${results}) {\n  ${lines.join("\n  ")}\n}\nschedule f on cuda { stream j }\nschedule f on wgsl { stream j }\n`;
}
