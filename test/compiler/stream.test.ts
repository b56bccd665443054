/**
 * `stream j`: dependent reductions in one pass. Every program runs over the exact algebra, bit for bit against the text, and over floats within
 * the bound, on tiles and on all threads of both targets. What the launches store and how often they walk the index is looked at.
 */
import { describe, expect, test } from "vitest";
import { type Compiled, Refusal } from "../../compiler/index.ts";
import { launchesOf, type Op } from "../../compiler/tile/ir.ts";
import { prepare } from "../../runtime/index.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { threadLevel } from "../../verify/levels.ts";
import { randomChain } from "../../verify/random/chains.ts";
import { Tape } from "../../verify/random/tape.ts";
import { scale, seed } from "../support/campaigns.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const both = "schedule f on cuda { stream j }\nschedule f on wgsl { stream j }\n";
/** The text with its streamed index cut into chunks. */
const cut = (text: string, chunks: number): string => text.replaceAll("{ stream j }", `{ stream j; split j: ${chunks} }`);
/** Loops over an index in all launches. */
function loopsOver(c: Compiled, index: string): number {
  const count = (ops: readonly Op[], names: readonly { readonly name?: string }[]): number =>
    ops.reduce((n, o) => n + (o.kind === "loop" ? (names[o.index]!.name === index ? 1 : 0) + count(o.body, names) : 0), 0);
  return launchesOf(c.tiles.steps).reduce((n, l) => n + count(l.body, l.tiles), 0);
}
const attention = (domain: string, extra = ""): string =>
  `kernel f[M, N, D: static](q: f32[M, D], k: f32[N, D], v: f32[N, D], t: f32) -> (o: f32[M, D]${extra ? ", lse: f32[M]" : ""}) {
  let s[i, j]${domain} = t * sum(d) q[i, d] * k[j, d]
  let p[i, j] = softmax(j) s[i, j]
  o[i, d] = sum(j) p[i, j] * v[j, d]
  ${extra}
}
instance f { D: 8 }
${both}`;
/** A text, and the number of walks over j that it takes: one for each output. */
const programs: readonly (readonly [name: string, text: string, walks: number])[] = [
  ["softmax attention", attention(""), 1],
  ["causal attention", attention(" where j <= i"), 1],
  ["windowed attention with its logsumexp", attention(" where j <= i && j + 3 > i", "lse[i] = logsumexp(j) s[i, j] else -1.0"), 1],
  ["relaxed weights", attention("").replace("p[i, j] * v", "relax<f16>(p[i, j]) * v"), 1],
  ["logsumexp", `kernel f[M, N](x: f32[M, N]) -> (o: f32[M]) { o[i] = logsumexp(j) x[i, j] else 0.0 }\n${both}`, 1],
  [
    "cross-entropy",
    `kernel f[M, N](x: f32[M, N], t: index<N>[M]) -> (o: f32[M]) where N >= 1 { o[i] = logsumexp(j) x[i, j] - x[i, t[i]] }\n${both}`,
    1,
  ],
  [
    "contrastive loss of a row against all others",
    `kernel f[M, N, D](a: f32[M, D], b: f32[N, D], t: f32) -> (o: f32[M]) where M <= N {
  let s[i, j] = t * sum(d) a[i, d] * b[j, d]
  o[i] = logsumexp(j) s[i, j] - s[i, i]
}\n${both}`,
    1,
  ],
  [
    "a second sum through the logsumexp",
    `kernel f[M, N](x: f32[M, N], y: f32[M, N]) -> (o: f32[M]) {
  let l[i] = logsumexp(j) x[i, j]
  o[i] = (sum(j) exp(x[i, j] - l[i]) * y[i, j]) else 0.0
}\n${both}`,
    1,
  ],
  [
    "a sum weighed by a norm",
    `kernel f[M, N](x: f32[M, N], y: f32[N]) -> (o: f32[M]) {
  let n[i] = sum(j) x[i, j] * x[i, j]
  o[i] = sum(j) x[i, j] / sqrt(n[i] + 1.0) * y[j]
}\n${both}`,
    1,
  ],
  [
    "absmax scale, then dot",
    `kernel f[M, N](x: f32[M, N], y: f32[N]) -> (o: f32[M]) {
  let a[i] = max(j) abs(x[i, j])
  o[i] = sum(j) x[i, j] / (a[i] + 1.0) * y[j]
}\n${both}`,
    1,
  ],
  [
    "layer norm statistics, then a weighted sum",
    `kernel f[M, N](x: f32[M, N]) -> (o: f32[M], v: f32[M]) where N >= 1 {
  let mu[i] = (sum(j) x[i, j]) / f32(N)
  v[i] = (sum(j) (x[i, j] - mu[i]) * (x[i, j] - mu[i])) / f32(N)
  o[i] = sum(j) (x[i, j] - mu[i]) * x[i, j]
}\n${both}`,
    2,
  ],
  [
    "weighted variance about a mean of its own",
    `kernel f[M, N](x: f32[M, N], w: f32[M, N]) -> (o: f32[M]) {
  let t[i] = sum(j) w[i, j] * w[i, j] + 0.5
  let mu[i] = (sum(j) (w[i, j] * w[i, j] + 0.5) * x[i, j]) / t[i]
  o[i] = (sum(j) (w[i, j] * w[i, j] + 0.5) * (x[i, j] - mu[i]) * (x[i, j] - mu[i])) / (t[i] + 1.0)
}\n${both}`,
    1,
  ],
  [
    "ragged rows",
    `kernel f[M, N, T](start: offsets<T>[M + 1], x: f32[T], y: f32[T]) -> (o: f32[M]) {
  let m[i] = max(j in start[i]..start[i + 1]) x[j]
  let l[i] = sum(j in start[i]..start[i + 1]) exp(x[j] - m[i])
  o[i] = sum(j in start[i]..start[i + 1]) exp(x[j] - m[i]) / l[i] * y[j]
}\n${both}`,
    1,
  ],
];
describe("one pass", () => {
  test.each(programs)("%s", async (_, text, walks) => {
    for (const target of ["cuda", "wgsl"] as const) {
      const c = compiled(text, target);
      expect(loopsOver(c, "j"), "walks over the index").toBe(walks);
      expect(c.artifact.temps, "nothing is stored on the way").toEqual([]);
    }
    expect(await agreesOnLevels(text, 10, 7)).toBeGreaterThan(50);
  });
  test.each(programs)("%s, in chunks of blocks of their own, and their combine", async (_, text, walks) => {
    for (const target of ["cuda", "wgsl"] as const) {
      const c = compiled(cut(text, 3), target);
      expect(loopsOver(c, "j"), "walks over the index").toBe(walks);
      expect(loopsOver(c, "j_chunk"), "walks over the chunks").toBeGreaterThan(0);
      const chunks = c.artifact.temps.filter((t) => !JSON.stringify(t.count).includes('"N"'));
      expect(c.artifact.temps, "what is stored has no place for an element of the index").toEqual(chunks);
    }
    expect(await agreesOnLevels(cut(text, 3), 4, 8)).toBeGreaterThan(30);
  });
  test("fields of a monoid in chunks, of which one is defined for some elements alone", async () => {
    const text = `monoid pair(a: f32, b: f32) commutative {
  identity (0.0, 0.0)
  combine(x, y) = (x.a + y.a, x.b + y.b)
}
kernel f[M, N](x: f32[M, N], y: f32[N]) -> (a: f32[M], b: f32[M]) {
  let d[i: M, j: N] where j <= i = x[i, j]
  (a[i], b[i]) = monoid pair(j) (y[j], d[i, j])
}
schedule f on cuda { split j: 3 }
schedule f on wgsl { split j: 2 }
`;
    expect(await agreesOnLevels(text, 8, 9)).toBeGreaterThan(50);
  });
  test("a field varies with what it is made from, through other fields too", async () => {
    // Sums over i < j < k of u v w: `c` reads `b`, which reads `v`, and only `v` has columns.
    const text = `monoid ordered(a: i32, v: i32, w: i32, b: i32, d: i32, c: i32) {
  identity (0, 0, 0, 0, 0, 0)
  combine(x, y) = (x.a + y.a, x.v + y.v, x.w + y.w, x.b + y.b + x.a * y.v, x.d + y.d + x.v * y.w, x.c + y.c + x.b * y.w + x.a * y.d)
}
kernel f[M, N, K](u: i32[M, N], v: i32[N, K], w: i32[M, N]) -> (
  a: i32[M, K], e: i32[M, K], g: i32[M, K], b: i32[M, K], d: i32[M, K], c: i32[M, K]
) {
  (a[i, k], e[i, k], g[i, k], b[i, k], d[i, k], c[i, k]) = monoid ordered(j) (u[i, j], v[j, k], w[i, j], i32(0), i32(0), i32(0))
}
schedule f on cuda { tile i: 8, k: 8; warps 1 }
schedule f on wgsl { tile i: 8, k: 8 }
`;
    expect(await agreesOnLevels(text, 8, 9)).toBeGreaterThan(50);
  });
  test("a large score overflows nowhere: the exponent is never above 0", () => {
    const text = attention("");
    const c = compiled(text, "cuda");
    const made = generate(c.artifact, seeded(2), { dims: { M: 5, N: 40 }, sizes: [5], most: 4000 })!;
    const call = prepare(c.artifact, { ...made.args, t: 20_000 }, { dims: made.dims });
    return threadLevel("cuda")
      .run(c, call)
      .then(({ result }) => {
        const { data } = result.outputs["o"]!;
        expect([...data].every(Number.isFinite)).toBe(true);
      });
  });
});
describe("what no law takes apart is refused, with the factor", () => {
  const refusal = (body: string, more = ""): string => {
    const text = `kernel f[M, N](x: f32[M, N]) -> (o: f32[M]) {\n  let a[i] = max(j) abs(x[i, j])\n${more}  o[i] = (${body}) else 0.0\n}\n${both}`;
    try {
      compiled(text, "cuda");
    } catch (e) {
      expect(e).toBeInstanceOf(Refusal);
      expect((e as Refusal).code).toBe("W606");
      return (e as Refusal).message;
    }
    throw new Error("nothing was refused");
  };
  test.each([
    ["rounding", "sum(j) round(x[i, j] / (a[i] + 1.0))", /round\(.*mixes the element with an unfinished reduction/],
    ["an exponent with an unfinished factor", "sum(j) exp(x[i, j] / (a[i] + 1.0))", /stands in an exponent and multiplies/],
    ["a maximum of a mix", "max(j) x[i, j] * a[i]", /stands in a max and mixes/],
    ["an absolute deviation", "sum(j) abs(x[i, j] - a[i])", /mixes the element/],
    ["a decision", "if any(j) x[i, j] > a[i] then 1.0 else 0.0", /stands in a any and mixes/],
  ])("%s", (_, body, message) => expect(refusal(body)).toMatch(message));
  test("nothing to stream", () =>
    expect(refusal("sum(j) x[i, j]").replace(/.*nothing/, "nothing")).toMatch(/nothing here has reductions over `j`/));
});
test("random chains of dependent reductions", async () => {
  const cases = Math.max(20, Math.round(600 * scale));
  let derived = 0;
  let refused = 0;
  let compared = 0;
  for (let k = 0; derived < cases; k++) {
    const chain = randomChain(new Tape([], seeded(seed * 7919 + k)));
    const text = k % 3 === 0 ? cut(chain, 2 + (k % 4)) : chain;
    try {
      compared += await agreesOnLevels(text, 2, k);
      derived++;
    } catch (e) {
      if (!(e instanceof Refusal)) throw e;
      refused++;
    }
    expect(k, "most chains are derived").toBeLessThan(4 * cases);
  }
  console.log(`streamed chains: seed ${seed}, ${derived} derived, ${refused} refused, ${compared} elements compared`);
}, 600_000);
