/** Programs that were once compiled wrongly, or not at all: on the tile level and on all threads, against the reference. */
import { expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { check } from "../../dsl/index.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe } from "../../verify/agree.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runThreads, runTiles } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";

const least = (): number => (random() < 0.3 ? -(2 ** 31) : Math.floor(random() * 5));
const random = seeded(6);
const programs: [name: string, text: string, data?: () => number][] = [
  ["argmin of u32, 0 among them", "kernel f[M, N](x: u32[M, N]) -> (y: index<N>[M]) where N >= 1 { y[i] = argmin(j) x[i, j] }\n"],
  [
    "argmin of i32, the least one among them",
    "kernel f[M, N](x: i32[M, N]) -> (y: index<N>[M]) where N >= 1 { y[i] = argmin(j) x[i, j] }\n",
    least,
  ],
  [
    "an output with the name of the copy that an update in place needs",
    "kernel f[N](inout x: f32[N]) -> (x_new: f32[N]) {\n  x_new[i] = 3.0\n  x[i] := x[N - 1 - i]\n}\n",
  ],
  [
    "an output with the name of the parts of a sum",
    "kernel f[N](x: f32[N]) -> (y: f32[], y_part: f32[3]) {\n  y = sum(i) x[i]\n  y_part[i] = 1.0\n}\n",
  ],
  [
    "a definition with the name of the next state of a fold",
    "kernel f[N, K: static](x: f32[N]) -> (y: f32[N], u_next: f32[N]) {\n  fold s: K {\n    state u[i] = x[i]\n    next u[i] = 0.5 * u[i]\n  }\n  y[i] = u[i]\n  u_next[i] = x[i]\n}\ninstance f { K: 3 }\n",
  ],
  [
    "one element under the conditions of several rows",
    "kernel f[M, N](x: f32[N], n: index<N>[M]) -> (y: f32[M, N]) { y[i, j] = if j > n[i] then x[j - 1] else 7.0 }\nschedule f on cuda { tile i: 16, j: 64 }\nschedule f on wgsl { tile i: 16, j: 64 }\n",
  ],
  [
    "a value bound around a reduction, different for each element",
    "kernel f[N](x: f32[N], w: f32[N]) -> (y: f32[N]) { y[i] = let a = w[i] * 2.0 in sum(j) x[j] * a }\n",
  ],
  [
    "a definition fused into a fn that reduces by an index of the same name",
    "fn total[N](v: f32[N]) -> f32 = sum(k) v[k] * 2.0\nkernel f[A, M, N](x: f32[M, N]) -> (y: f32[A]) {\n  let d[i] = sum(k) x[i, k]\n  y[a] = total(d)\n}\nschedule f on cuda { fuse d }\nschedule f on wgsl { fuse d }\n",
  ],
  [
    "a split of a reduction that stands in a fn",
    "fn total[N](v: f32[N]) -> f32 = sum(k) v[k]\nkernel f[M, N](x: f32[M, N]) -> (y: f32[M]) { y[k] = total(x[k, _]) }\nschedule f on cuda { split y.k: 3 }\nschedule f on wgsl { split y.k: 3 }\n",
  ],
  [
    "updates in place around a reduction over lanes",
    "kernel f[N, M](x: f32[N, M], inout y: f32[N], inout z: f32[N]) { y[i] := z[i] + sum(j) x[i, j]\n z[i] := y[i] * 2.0 }\nschedule f on cuda { tile i: 2, j: 16 }\nschedule f on wgsl { tile i: 1, j: 64 }\n",
  ],
  [
    "an element updated in place and read inside the reduction that makes its new value",
    "kernel f[N](x: f32[N], inout y: f32[]) { y := y + sum(j) x[j] * y }\n",
  ],
  [
    "an update in place that another one, after one over other axes, reads",
    "kernel f[N, M](inout a: f32[N], inout c: f32[M], inout b: f32[N]) { a[i] := 2.0 * a[i]\n c[j] := c[j] + 1.0\n b[i] := a[i] }\n",
  ],
  [
    "a condition on a tensor that the same kernel overwrites with a reduction",
    "kernel f[N, M](x: f32[N, M], inout a: f32[N], inout b: f32[N]) { a[i] := sum(j) x[i, j]\n b[i] where a[i] > 0.0 := 1.0 }\n",
  ],
  ...[
    "j < i && j < n[i - 1]",
    "j < i && j >= n[i - 1]",
    "j < i && j == n[i - 1]",
    "i >= 1 && j < n[i - 1]",
    "j < i && n[i - 1] > 3 && j < n[i - 1] + 2",
    "i > 2 && j < i && j < n[i - 2]",
    "i % 3 != 0 && j <= i",
    "i % 3 != 0 && j >= n[i]",
  ].map((condition): [string, string] => [
    `a condition that bounds a sum, of rows of which some have nothing: ${condition}`,
    `kernel f[M, N](x: f32[N], n: index<N + 1>[M]) -> (y: f32[M]) { y[i] = sum(j where ${condition}) x[j] }\n`,
  ]),
  [
    "rows that are ruled out beside others in a thread",
    "kernel f[M, N, K](x: f32[M, K], z: f32[K, N]) -> (y: f32[M, N]) { y[i, j] = sum(k where i % 3 != 0) x[i, k] * z[k, j] }\n",
  ],
  [
    "rows with ends of their own beside others in a thread",
    "kernel f[M, N, K](x: f32[M, K], z: f32[K, N]) -> (y: f32[M, N]) { y[i, j] = sum(k where k >= i && k < 2 * i) x[i, k] * z[k, j] }\n",
  ],
  ["two tensors that swap", "kernel f[N](inout a: f32[N], inout b: f32[N]) { a[i] := b[i]\n b[i] := a[i] }\n"],
  ["two tensors that swap, one backwards", "kernel f[N](inout a: f32[N], inout b: f32[N]) { a[i] := b[N - 1 - i]\n b[i] := a[i] }\n"],
  [
    "a chain of updates over different axes",
    "kernel f[N, M](inout a: f32[N], inout b: f32[N, M], inout c: f32[N]) { a[i] := 2.0 * c[i]\n b[i, j] := b[i, j] + a[i]\n c[i] := a[i] }\n",
  ],
  [
    "a condition read backwards from the tensor that it guards",
    "kernel f[N](inout a: f32[N], inout b: f32[N]) { a[i] where a[N - 1 - i] > 0.0 := b[i]\n b[i] := 1.0 }\n",
  ],
  [
    "a write at a place that the kernel moves on",
    "kernel f[N, S](k: f32[N], inout head: index<S>[N], inout c: f32[S]) where unique(i) head[i], S >= 1 { c[head[i]] := k[i]\n head[i] := index<S>((head[i] + 1) % S) }\n",
  ],
  [
    "the same, the place moved first",
    "kernel f[N, S](k: f32[N], inout head: index<S>[N], inout c: f32[S]) where unique(i) head[i], S >= 1 { head[i] := index<S>((head[i] + 1) % S)\n c[head[i]] where c[head[i]] > k[i] := k[i] + c[head[i]] }\n",
  ],
  [
    "an accumulation at a place that the kernel moves on",
    "kernel f[N, S](k: f32[N], inout head: index<S>[N], inout c: f32[S]) where S >= 1 { head[i] := index<S>((head[i] + 1) % S)\n c[head[i]] += k[i] }\n",
  ],
  [
    "an accumulation under a condition that the kernel changes",
    "kernel f[N, S](k: f32[N], inout head: f32[N], ix: index<S>[N], inout c: f32[S]) where S >= 1 { head[i] := head[i] * 2.0\n c[ix[i]] where head[i] > 0.0 += k[i] }\n",
  ],
];
test.each(programs.flatMap(([name, text, data]) => (["cuda", "wgsl"] as const).map((target) => ({ name, text, data, target }))))(
  "$name, $target",
  ({ text, data, target }) => {
    const checked = check(text);
    expect(checked.diagnostics.filter((d) => d.severity === "error")).toEqual([]);
    const schedule = checked.schedules.find((s) => s.target === target);
    const compiled = compile(checked.instances[0]!, text, { target, schedule });
    const numbers = seeded(3);
    let compared = 0;
    for (const level of ["tile", "thread"] as const)
      for (let k = 0; k < 6; k++) {
        const options = data
          ? { data: { x: (shape: readonly number[]) => Array.from({ length: shape.reduce((a, b) => a * b, 1) }, data) } }
          : {};
        const made = generate(compiled.artifact, numbers, { sizes: [1, 2, 3, 5, 9, 17], most: 5000, ...options })!;
        const call = prepare(compiled.artifact, made.args, { dims: made.dims });
        const machine = interpreterFor(call, target);
        const { result, faults } = level === "tile" ? { result: runTiles(compiled, call), faults: [] } : runThreads(compiled, call);
        expect(faults).toEqual([]);
        const a = agree(call, result, machine);
        expect(a.disagreements.map(describe), `${level} ${JSON.stringify(made.dims)}`).toEqual([]);
        compared += a.compared;
      }
    expect(compared).toBeGreaterThan(10);
  },
);
