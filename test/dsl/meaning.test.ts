/** The interpreter against plain TypeScript: what the library and constructs that are easy to get wrong mean, written down a second time. */
import fs from "node:fs";
import { Float16Array } from "@petamoriken/float16";
import { describe, expect, test } from "vitest";
import { check } from "../../dsl/index.ts";
import { Interpreter } from "../../dsl/interpret/interpreter.ts";
import type { Values } from "../../dsl/interpret/source.ts";
import { formats, roundTo } from "../../dsl/tensor/narrow.ts";
import { library, offsetsOf, planRows } from "../../kernels/index.ts";
import { seeded } from "../../verify/generate.ts";

const random = seeded(8);
const floats = (n: number): number[] => Array.from({ length: n }, () => Math.fround(random() * 2 - 1));
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);

function run(
  text: string,
  kernel: string,
  instance: string,
  dims: Record<string, number>,
  tensors: Record<string, Values>,
  scalars: Record<string, number> = {},
): (name: string) => number[] {
  const checked = check(text);
  expect(checked.diagnostics.filter((d) => d.severity === "error")).toEqual([]);
  const { program } = checked.instances.find((i) => i.kernel === kernel && i.name === instance)!;
  const machine = new Interpreter(program, { dims, scalars, tensors });
  return (name) =>
    range(machine.shapeOf(name).reduce((a, b) => a * b, 1)).map((i) => {
      const e = machine.elementAt(name, i);
      return e.defined ? e.value : Number.NaN;
    });
}
function close(got: readonly number[], want: readonly number[]): void {
  expect(got.length).toBe(want.length);
  got.forEach((x, i) =>
    expect(Math.abs(x - want[i]!), `element ${i}: ${x}, ${want[i]}`).toBeLessThanOrEqual(1e-12 * (1 + Math.abs(want[i]!))),
  );
}
/** One query against keys: the weighted values, and the log of the sum of exponentials. */
function attend(scores: readonly number[], values: readonly (readonly number[])[], width: number): { out: number[]; lse: number } {
  const top = Math.max(...scores);
  const weights = scores.map((s) => Math.exp(s - top));
  const total = sum(weights);
  return { out: range(width).map((d) => sum(weights.map((w, j) => (w / total) * values[j]![d]!))), lse: top + Math.log(total) };
}

describe("the library", () => {
  test("attention", () => {
    const text = fs.readFileSync(library.attention, "utf8");
    const [KV, G, M, N, D] = [2, 3, 4, 6, 32];
    const [q, k, v] = [floats(KV * G * M * D), floats(KV * N * D), floats(KV * N * D)];
    const scale = 0.25;
    const get = run(
      text,
      "attention",
      "T=f32, D=32",
      { B: 1, KV, G, M, N, D },
      { q: { shape: [1, KV * G, M, D], values: q }, k: { shape: [1, KV, N, D], values: k }, v: { shape: [1, KV, N, D], values: v } },
      { scale },
    );
    const rows = range(KV * G).flatMap((h) =>
      range(M).map((i) => {
        const kv = Math.floor(h / G);
        const keys = range(i + (N - M) + 1);
        const row = (x: readonly number[], j: number): number[] => x.slice((kv * N + j) * D, (kv * N + j + 1) * D);
        const own = q.slice((h * M + i) * D, (h * M + i + 1) * D);
        return attend(
          keys.map((j) => scale * sum(row(k, j).map((x, d) => x * own[d]!))),
          keys.map((j) => row(v, j)),
          D,
        );
      }),
    );
    close(
      get("out"),
      rows.flatMap((r) => r.out),
    );
    close(
      get("lse"),
      rows.map((r) => r.lse),
    );
  });
  test("prepacking: positions, segments, and attention that stays within a prompt", () => {
    const text = fs.readFileSync(library.prepack, "utf8");
    const [C, KV, G, D] = [12, 1, 2, 32];
    const row = planRows([3, 5, 0, 2], C)[0]!;
    const start = [...offsetsOf(row)];
    const R = row.prompts.length;
    const promptOf = (t: number): number => range(R).find((r) => start[r]! <= t && t < start[r + 1]!) ?? -1;
    const tables = run(text, "tables", "", { R, C }, { start: { shape: [R + 1], values: start } });
    expect(tables("seg")).toEqual(range(C).map(promptOf));
    expect(tables("pos")).toEqual(range(C).map((t) => (promptOf(t) < 0 ? 0 : t - start[promptOf(t)]!)));
    expect(tables("first")).toEqual(range(C).map((t) => (promptOf(t) < 0 ? -1 : start[promptOf(t)]!)));
    const lengths = row.prompts.map((p) => p.length);
    expect(run(text, "restarts", "", { R, C }, { len: { shape: [R], values: lengths } })("start")).toEqual(start);
    const [q, k, v] = [floats(C * KV * G * D), floats(C * KV * D), floats(C * KV * D)];
    const get = run(
      text,
      "packed_attention",
      "T=f32, D=32",
      { R, C, KV, G, D },
      {
        q: { shape: [C, KV * G, D], values: q },
        k: { shape: [C, KV, D], values: k },
        v: { shape: [C, KV, D], values: v },
        start: { shape: [R + 1], values: start },
      },
      { scale: 0.5 },
    );
    const rows = range(C).flatMap((t) =>
      range(KV * G).map((h) => {
        const keys = range(C).filter((j) => promptOf(t) >= 0 && promptOf(j) === promptOf(t) && j <= t);
        if (keys.length === 0) return { out: range(D).map(() => 0), lse: Math.fround(-3e38) };
        const own = q.slice((t * KV * G + h) * D, (t * KV * G + h + 1) * D);
        const at = (x: readonly number[], j: number): number[] => x.slice(j * D, (j + 1) * D);
        return attend(
          keys.map((j) => 0.5 * sum(at(k, j).map((x, d) => x * own[d]!))),
          keys.map((j) => at(v, j)),
          D,
        );
      }),
    );
    close(
      get("out"),
      rows.flatMap((r) => r.out),
    );
    close(
      get("lse"),
      rows.map((r) => r.lse),
    );
  });
  test.each([true, false])("w4a16, v1 = %s", (v1) => {
    const text = fs.readFileSync(library.gemm, "utf8");
    const [M, N, NG, GS] = [2, 3, 2, 128];
    const K = NG * GS;
    const half = (n: number, f: () => number): number[] => [...new Float16Array(Array.from({ length: n }, f))];
    const x = half(M * K, () => random() * 2 - 1);
    const s = half(NG * N, () => 0.01 + random() * 0.01);
    const codes = (n: number): number[] => Array.from({ length: n }, () => Math.floor(random() * 16));
    const [w, z] = [codes(K * N), codes(NG * N)];
    const get = run(
      text,
      "w4a16",
      `GS=128, v1=${v1}`,
      { M, N, NG, GS },
      {
        x: { shape: [M, K], values: x },
        w: { shape: [K, N], values: w },
        z: { shape: [NG, N], values: z },
        s: { shape: [NG, N], values: s },
      },
    );
    const want = range(M).flatMap((m) =>
      range(N).map((n) =>
        sum(
          range(K).map((k) => {
            const g = Math.floor(k / GS);
            return x[m * K + k]! * (w[k * N + n]! - z[g * N + n]! - (v1 ? 1 : 0)) * s[g * N + n]!;
          }),
        ),
      ),
    );
    expect(get("y")).toEqual([...new Float16Array(want)]);
  });
  test("w4a16_marlin", () => {
    const [M, N, NG, GS] = [2, 64, 1, 128];
    const half = (n: number, f: () => number): number[] => [...new Float16Array(Array.from({ length: n }, f))];
    const x = half(M * GS, () => random() * 2 - 1);
    const s = half(N, () => 0.01 + random() * 0.01);
    const w = Array.from({ length: GS * N }, () => Math.floor(random() * 16));
    const get = run(
      fs.readFileSync(library.gemm, "utf8"),
      "w4a16_marlin",
      "GS=128",
      { M, N, NG, GS },
      {
        x: { shape: [M, GS], values: x },
        w: { shape: [GS, N], values: w },
        s: { shape: [NG, N], values: s },
      },
    );
    const want = range(M).flatMap((m) => range(N).map((n) => sum(range(GS).map((k) => x[m * GS + k]! * (w[k * N + n]! - 8) * s[n]!))));
    expect(get("y")).toEqual([...new Float16Array(want)]);
  });
  test("w8a8", () => {
    const [M, N, K] = [2, 3, 32];
    const bytes = (n: number): number[] => Array.from({ length: n }, () => Math.floor(random() * 256) - 128);
    const scales = (n: number): number[] => [...Float32Array.from({ length: n }, () => random() / 4096)];
    const [x, w, sx, sw] = [bytes(M * K), bytes(N * K), scales(M), scales(N)];
    const get = run(
      fs.readFileSync(library.gemm, "utf8"),
      "w8a8",
      "",
      { M, N, K },
      {
        x: { shape: [M, K], values: x },
        w: { shape: [N, K], values: w },
        sx: { shape: [M], values: sx },
        sw: { shape: [N], values: sw },
      },
    );
    const want = range(M).flatMap((m) => range(N).map((n) => sum(range(K).map((k) => x[m * K + k]! * w[n * K + k]!)) * sx[m]! * sw[n]!));
    expect(get("y")).toEqual([...new Float16Array(want)]);
  });
  test("adamw", () => {
    const text = fs.readFileSync(library.adamw, "utf8");
    const n = 40;
    const bf16 = (x: number): number => roundTo(formats.bf16!, x);
    const [w, m, g] = [floats(n), floats(n), floats(n).map(bf16)];
    const v = floats(n).map(Math.abs);
    const s = { lr: 1e-3, b1: 0.9, b2: 0.999, eps: 1e-8, decay: 0.01, c1: 0.5, c2: 0.25 };
    const tensor = (values: readonly number[]): Values => ({ shape: [n], values });
    const get = run(text, "adamw", "", { N: n }, { p: tensor(w.map(bf16)), w: tensor(w), m: tensor(m), v: tensor(v), g: tensor(g) }, s);
    const m1 = m.map((x, i) => s.b1 * x + (1 - s.b1) * g[i]!);
    const v1 = v.map((x, i) => s.b2 * x + (1 - s.b2) * g[i]! ** 2);
    const w1 = w.map((x, i) => x - s.lr * (m1[i]! / s.c1 / (Math.sqrt(v1[i]! / s.c2) + s.eps) + s.decay * x));
    close(get("m"), m1);
    close(get("v"), v1);
    close(get("w"), w1);
    expect(get("p")).toEqual(w1.map(bf16));
  });
});

describe("fns keep their indices to themselves", () => {
  const N = 4;
  const x = floats(N * N);
  const w = floats(N);
  const at = (i: number, j: number): number => x[i * N + j]!;
  const rowSums = range(N).map((i) => sum(range(N).map((j) => at(i, j))));
  const colSums = range(N).map((j) => sum(range(N).map((i) => at(i, j))));
  const cases: [name: string, text: string, want: number[]][] = [
    [
      "a reduction in a fn over an index that the caller uses too",
      "fn total[N](v: f32[N]) -> f32 = sum(i) v[i]\nkernel f[N](x: f32[N, N], w: f32[N]) -> (y: f32[N]) { y[i] = total(x[i, _]) + 0.0 * w[i] }\n",
      rowSums,
    ],
    [
      "along the other axis",
      "fn total[N](v: f32[N]) -> f32 = sum(k) v[k]\nkernel f[N](x: f32[N, N], w: f32[N]) -> (y: f32[N]) { y[k] = total(x[_, k]) + 0.0 * w[k] }\n",
      colSums,
    ],
    [
      "a tensor that a fn defines",
      "fn twice[D](v: f32[D]) -> f32 {\n  let d[i] = v[i] * 2.0\n  return sum(i) d[i]\n}\nkernel f[N](x: f32[N, N], w: f32[N]) -> (y: f32[N]) { y[i] = twice(x[i, _]) + 0.0 * w[i] }\n",
      rowSums.map((s) => 2 * s),
    ],
    [
      "a scalar argument that depends on the caller's index",
      "fn scaled[N](v: f32[N], a: f32) -> f32 = sum(i) v[i] * a\nkernel f[N](x: f32[N, N], w: f32[N]) -> (y: f32[N]) { y[i] = scaled(w, x[i, i]) }\n",
      range(N).map((i) => sum(w) * at(i, i)),
    ],
    [
      "a fn in a fn",
      "fn one[N](v: f32[N]) -> f32 = sum(i) v[i]\nfn all_of[N](m: f32[N, N]) -> f32 = sum(i) one(m[i, _])\nkernel f[N](x: f32[N, N], w: f32[N]) -> (y: f32[N]) { y[i] = w[i] * all_of(x) }\n",
      w.map((a) => a * sum(x)),
    ],
    [
      "a name that a fn makes is left to the kernel",
      "fn g[D](v: f32[D]) -> f32 {\n  let d[i] = v[i]\n  return sum(i) d[i]\n}\nkernel f[N](x: f32[N, N], w: f32[N]) -> (y: f32[N]) {\n  let g_d[i] = w[i] + 1.0\n  y[i] = g(x[i, _]) * g_d[i]\n}\n",
      rowSums.map((s, i) => s * (w[i]! + 1)),
    ],
  ];
  test.each(cases)("%s", (_name, text, want) => {
    close(run(text, "f", "", { N }, { x: { shape: [N, N], values: x }, w: { shape: [N], values: w } })("y"), want);
  });
});
