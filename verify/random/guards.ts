/** Random conditions of which some make others, or the element, readable: without them a subscript may lie outside its tensor. */
import type { Tape } from "./tape.ts";

/** What may be read where a condition holds: integers of rows, and floats. */
interface Maker {
  readonly condition: string;
  readonly integers: readonly string[];
  readonly floats: readonly string[];
}
/** What is made of the conditions: statements, and directives to draw from. */
interface Form {
  readonly text: string;
  /** Of `y`; a number a row unless it is given. */
  readonly result?: string;
  readonly params?: string;
  readonly dims?: string;
  readonly directives: readonly string[];
  /** Those for CUDA, where they are others. */
  readonly cuda?: readonly string[];
}
const makers: readonly Maker[] = [
  { condition: "i >= 1", integers: ["n[i - 1]"], floats: ["x[i - 1, j]"] },
  { condition: "i + 1 < M", integers: ["n[i + 1]"], floats: ["x[i + 1, j]"] },
  { condition: "2 * i < M", integers: ["n[2 * i]"], floats: [] },
  { condition: "j < i", integers: ["n[i - 1]", "n[i - j - 1]"], floats: ["x[i - 1, j]"] },
  { condition: "j >= 1", integers: ["t[j - 1]"], floats: ["z[j - 1]", "x[i, j - 1]"] },
  { condition: "j + 2 < N", integers: ["t[j + 2]"], floats: ["z[j + 2]"] },
  { condition: "i < N", integers: ["t[i]"], floats: ["z[i]"] },
  { condition: "n[i] >= 0 && n[i] < N", integers: ["t[n[i]]"], floats: ["z[n[i]]", "x[i, n[i]]"] },
  { condition: "t[j] > i", integers: ["n[t[j] - 1]", "n[i + 1]"], floats: ["x[t[j] - 1, j]"] },
];
const always: Maker = { condition: "", integers: ["n[i]", "t[j]"], floats: ["z[j]", "x[i, j]"] };

/** The text of a kernel `f` with schedules for both targets. Choices of 0 give the simplest. */
export function randomGuard(tape: Tape): string {
  const conditions: string[] = [];
  const known: Maker[] = [always];
  const integer = (): string => tape.pick(tape.pick(known).integers);
  const float = (): string => tape.pick(known.flatMap((m) => m.floats));
  /** A condition that reads what those before it allow. */
  const reader = (): string =>
    tape.pick([
      () => `j < ${integer()}`,
      () => `j >= ${integer()}`,
      () => `${integer()} > 3`,
      () => `j + ${integer()} > i`,
      () => `j <= i + ${integer()}`,
      () => `${float()} > 0.0`,
      () => `${integer()} < ${integer()}`,
    ])();
  // A range says of its elements what a condition would.
  const range = tape.pick(["j: N", "j: N", "j in 1..N", "j in min(i, N)..N", "j in 0..N / 2", "j in N / 2..N"]);
  if (range === "j in 1..N") known.push(makers.find((m) => m.condition === "j >= 1")!);
  const count = 1 + tape.draw(4);
  for (let k = 0; k < count; k++) {
    const shape = tape.draw(6);
    if (shape === 5) conditions.push(tape.pick(["j <= i", "j % 3 != 1", "i >= 3", "j + W > i"]));
    else if (shape === 4) conditions.push(`(i < 1 || ${tape.pick(["n[i - 1] > 2", "j < n[i - 1]", "x[i - 1, j] > 0.0"])})`);
    else if (shape >= 2) conditions.push(reader());
    else {
      const maker = tape.pick(makers);
      conditions.push(maker.condition);
      known.push(maker);
    }
  }
  const all = conditions.join(" && ");
  const body = tape.pick([() => float(), () => `${float()} * ${float()}`, () => `(f32(${integer()}) + ${float()})`])();
  const guarded = `let s[i, ${range.replace(": N", "")}] where ${all}`;
  const rows = ["", "tile i: 8, j: 16", "tile i: 1, j: 64"];
  const streams = ["stream j", "stream j; tile i: 16, j: 16", ""];
  const forms: readonly (() => Form)[] = [
    () => ({ text: `y[i] = sum(${range} where ${all}) ${body}`, directives: [...rows, "split y.j: 3"] }),
    () => ({ text: `y[i] = (max(${range} where ${all}) ${body}) else -1.0`, directives: rows }),
    () => ({ text: `y[i] = sum(${range}, h: M where ${all} && h <= i) x[h, j] * ${body}`, directives: ["", "tile i: 1, h: 64"] }),
    () => ({ text: `y[i] = sum(h: M, ${range} where h >= i && ${all}) x[h, j] * ${body}`, directives: rows }),
    () => ({ text: `y[i] = if any(${range} where ${all}) ${body} > 0.5 then 1.0 else 0.0`, directives: rows }),
    () => ({
      text: `y[i, j] = if ${range === "j in 1..N" ? "j >= 1 && " : ""}${all} then x[i, j] + ${body} else 7.0`,
      result: "f32[M, N]",
      directives: ["", "tile i: 8, j: 16", "tile i: 16, j: 64"],
    }),
    () => ({ text: `${guarded} = x[i, j] + ${body}\n  y[i] = sum(j) s[i, j] * z[j]`, directives: [...rows, "fuse s"] }),
    () => ({ text: `${guarded} = x[i, j] + ${body}\n  y[i] = logsumexp(j) s[i, j] else 0.0`, directives: streams }),
    () => ({
      text: `${guarded} = x[i, j] + ${body}\n  let p[i, j] = softmax(j) s[i, j]\n  y[i] = (sum(j) p[i, j] * z[j]) else -1.0`,
      directives: streams,
    }),
    () => ({
      text: `y[i, c] = sum(${range} where ${all}) ${tape.pick(["a[i, j]", "relax<f16>(x[i, j])"])} * b[j, c]`,
      result: "f32[M, C]",
      params: ", a: f16[M, N], b: f16[N, C]",
      dims: ", C",
      directives: ["", "tile i: 16, c: 16"],
      cuda: ["tile i: 16, c: 16, j: 16; warps 1", "tile i: 32, c: 16, j: 32; warps 2"],
    }),
    () => ({
      text: `${guarded} = sum(d) q[i, d] * k[j, d]\n  let p[i, j] = softmax(j) s[i, j]\n  y[i, d] = (sum(j) relax<f16>(p[i, j]) * v[j, d]) else -1.0`,
      result: "f32[M, 16]",
      params: ", q: f16[M, 16], k: f16[N, 16], v: f16[N, 16]",
      directives: ["", "stream j"],
      cuda: ["stream j; tile i: 16, j: 16; warps 1", "stream j; tile i: 32, j: 16; warps 2"],
    }),
  ];
  const form = tape.pick(forms)();
  const schedule = (target: string, list: readonly string[]): string => {
    const directives = tape.pick(list);
    return directives === "" ? "" : `schedule f on ${target} { ${directives} }\n`;
  };
  const dims = `M, N${form.dims ?? ""}${all.includes("W") ? ", W" : ""}`;
  const params = `x: f32[M, N], z: f32[N], n: i32[M], t: index<M>[N]${form.params ?? ""}`;
  const schedules = schedule("cuda", form.cuda ?? form.directives) + schedule("wgsl", form.directives);
  return `kernel f[${dims}](${params}) -> (y: ${form.result ?? "f32[M]"}) {\n  ${form.text}\n}\n${schedules}`;
}
