/** Tiles of a streamed index that every row of a block has whole: they are walked without a mask, whatever conditions bound the rows. */
import { describe, expect, test } from "vitest";
import { launchesOf, type Op } from "../../compiler/tile/ir.ts";
import { profiles } from "../../dsl/index.ts";
import { prepare } from "../../runtime/index.ts";
import { agree, describe as words } from "../../verify/agree.ts";
import { planBounds, withPlan } from "../../verify/bounds/call.ts";
import { generate, seeded } from "../../verify/generate.ts";
import { runTiles, threadLevel, tileLevel } from "../../verify/levels.ts";
import { interpreterFor } from "../../verify/reference-device.ts";
import { scale, seed } from "../support/campaigns.ts";
import { agreesOnLevels, compiled } from "../support/levels.ts";

const attention = (domain: string, more = "", dims = "", where = "", factor = ""): string => `kernel f[M, N${dims}](
  q: f16[M, 16], k: f16[N, 16], v: f16[N, 16]${more}
) -> (o: f32[M, 16], l: f32[M]) ${where} {
  let s[i, j]${domain === "" ? "" : ` where ${domain}`} = ${factor}(sum(d) q[i, d] * k[j, d])
  let p[i, j] = softmax(j) s[i, j]
  o[i, d] = (sum(j) relax<f16>(p[i, j]) * v[j, d]) else -1.0
  l[i] = logsumexp(j) s[i, j] else 0.0
}
schedule f on cuda { stream j; tile i: 16, j: 16; warps 1 }
`;
/** Of each loop over keys, whether an element may be dropped in it. */
function loops(text: string): boolean[] {
  const [launch] = launchesOf(compiled(text, "cuda").tiles.steps);
  const drops = (o: Op): boolean => o.kind === "map" && o.op === "select" && launch!.tiles[o.out]!.axes.length > 0;
  return launch!.body.flatMap((o) => (o.kind === "loop" ? [o.body.some(drops)] : []));
}

describe("only tiles that some row has in part ask which elements count", () => {
  test.each([
    ["no condition: the tail", attention(""), [false, true]],
    ["no condition, and a size that tiles divide", attention("", "", "", "where N % 16 == 0"), [false]],
    ["causal: the diagonal", attention("j <= i"), [false, true]],
    ["from the diagonal on: there and at the tail, in one loop", attention("j >= i"), [false, true]],
    ["a window: both its ends", attention("j <= i && j + W > i", "", ", W"), [false, true]],
    ["rows that count, and a prefix: what other rows have is dropped after", attention("i >= 3 && j < 2 * i"), [false, true]],
    ["what is no bound is asked of every tile", attention("j <= i && (i + j) % 3 != 0"), [true]],
  ])("%s", (_, text, expected) => expect(loops(text)).toEqual(expected));
});

describe("a key is compared with the ends of its row, or asked fewer conditions", () => {
  /** Comparisons of keys, and conditions joined, in loops over keys. */
  const ofKeys = (text: string): readonly [compared: number, joined: number] => {
    const [launch] = launchesOf(compiled(text, "cuda").tiles.steps);
    const within = launch!.body.flatMap((o) => (o.kind === "loop" ? o.body : []));
    const asked = within.flatMap((o) => (o.kind === "map" && launch!.tiles[o.out]!.axes.includes("j.tile") ? [o.op] : []));
    return [asked.filter((op) => ["lt", "le", "gt", "ge"].includes(op)).length, asked.filter((op) => op === "land").length];
  };
  const [segments, tables] = [", off: offsets<M>[B + 1]", ", B"];
  test.each([
    ["causal, where the last row has all keys", attention("j <= i + (N - M)", "", "", "where M <= N"), [1, 0]],
    ["a window of that", attention("j <= i + (N - M) && j + W > i", "", ", W", "where M <= N"), [2, 1]],
    ["causal, where rows may be more than keys: with the lesser end", attention("j <= i"), [1, 0]],
    ["from the diagonal on, in one loop with the tail", attention("j >= i"), [2, 1]],
    ["a condition that reads", attention("j < n[i]", ", n: i32[M]"), [1, 0]],
    ["a window and a prefix", attention("j <= i && j + W > i && j < n[i]", ", n: i32[M]", ", W"), [2, 1]],
    ["segments, of rows of which some have none", attention("j >= off[segment(off, i)] && j <= i && i % 3 != 0", segments, tables), [2, 1]],
    ["rows alone: once a row", attention("j <= i && i >= 3"), [1, 0]],
    ["what is read for rows that count", attention("i + 1 < M && j < n[i + 1] && (i + j) % 3 != 0", ", n: i32[M]"), [2, 2]],
    ["a row's condition, read where it has keys alone", attention("j < i && n[i - 1] > 3", ", n: i32[M]"), [3, 2]],
    ["a row's end, read where it has keys alone", attention("j < i && j < n[i - 1]", ", n: i32[M]"), [3, 2]],
    ["what is no bound: element by element", attention("j <= i && j < n[i] && (i + j) % 3 != 0", ", n: i32[M]"), [3, 3]],
  ])("%s", async (_, text, count) => {
    expect(ofKeys(text)).toEqual(count);
    expect(await agreesOnLevels(text, 5, 12, ["cuda"], [0, 1, 7, 16, 17, 33, 40])).toBeGreaterThan(100);
  });
});

describe("tiles in part are one loop, round past the end of the walk", () => {
  test.each([
    ["a window", attention("j <= i && j + W > i", "", ", W")],
    ["rows begin past the end of all", attention("j >= 3 * i && j < 9")],
    ["rows end before others begin", attention("j >= i && j < 2 * i + 2")],
    ["from somewhere on, in a size that tiles divide", attention("j >= i + 20", "", "", "where N % 16 == 0")],
  ])("%s", async (_, text) => {
    expect(loops(text)).toEqual([false, true]);
    expect(await agreesOnLevels(text, 7, 12, ["cuda"], [0, 1, 7, 16, 17, 33, 48, 80])).toBeGreaterThan(100);
  });
});

describe("blocks that walk furthest come first", () => {
  test.each([
    ["causal", attention("j <= i"), [5, 4, 3, 2, 1]],
    ["all alike", attention(""), [5, 5, 5, 5, 5]],
    ["a window: none walks further", attention("j <= i && j + 20 > i"), [1, 2, 3, 3, 3]],
    ["what shrinks with a row is in order already", attention("j >= i"), [5, 4, 3, 2, 1]],
  ])("%s", (_, text, expected) => {
    const made = compiled(text, "cuda");
    const drawn = generate(made.artifact, seeded(1), { dims: { M: 80, N: 80 } })!;
    const turns: number[] = [];
    // A block's loops over keys follow each other: those of the next one begin where as many have been told of as the kernel has.
    runTiles(made, prepare(made.artifact, drawn.args, { dims: drawn.dims }), (index, n) => {
      if (index?.startsWith("j")) turns.push(n);
    });
    const parts = loops(text).length;
    const blocks = expected.map((_n, k) => turns.slice(k * parts, (k + 1) * parts).reduce((x, y) => x + y, 0));
    expect(turns.length).toBe(parts * expected.length);
    expect(blocks).toEqual(expected);
  });
});

/** Conditions on a row i and a key j; with the sizes and tables that they need. */
const parts: readonly (readonly [string, string, string])[] = [
  ["j <= i", "", ""],
  ["j >= i", "", ""],
  ["j + W > i", "", ", W"],
  ["j < i + W", "", ", W"],
  ["i + j < N", "", ""],
  ["j >= 5", "", ""],
  ["j <= 2 * i", "", ""],
  ["j >= 3 * i", "", ""],
  ["j < n[i]", ", n: index<N + 1>[M]", ""],
  ["i >= 4", "", ""],
  ["j < i && j < n[i - 1]", ", n: index<N + 1>[M]", ""],
  ["j < i && n[i - 1] > 3", ", n: index<N + 1>[M]", ""],
  ["i < W", "", ", W"],
  ["(i + j) % 3 != 0", "", ""],
  ["j / 8 == i / 8", "", ""],
  ["j == i", "", ""],
  ["j >= off[segment(off, i)]", ", off: offsets<M>[B + 1]", ", B"],
];
test("random domains of rows and keys", async () => {
  const cases = Math.max(12, Math.round(120 * scale));
  let compared = 0;
  let split = 0;
  for (let c = 0; c < cases; c++) {
    const random = seeded(seed * 6151 + c);
    const picked = parts.filter((p) => p[0] !== "" && random() < 2.2 / parts.length);
    const unique = (k: 1 | 2): string => [...new Set(picked.map((p) => p[k]))].join("");
    const [more, factor] = c % 2 === 0 ? [`${unique(1)}, x: f32`, "x * "] : [unique(1), ""];
    const text = attention(picked.map((p) => p[0]).join(" && "), more, unique(2), c % 4 === 0 ? "where N % 16 == 0" : "", factor);
    if (loops(text).length > 1) split++;
    for (const exact of [true, false]) {
      const made = compiled(text, "cuda", exact);
      for (let run = 0; run < 2; run++) {
        const drawn = generate(made.artifact, random, {
          sizes: [0, 1, 7, 16, 17, 31, 32, 48, 65, 80],
          most: 4000,
          style: exact ? "bits" : "plain",
        });
        if (drawn === undefined) continue;
        for (const level of [tileLevel("cuda"), threadLevel("cuda")]) {
          const fresh = () => prepare(made.artifact, structuredClone(drawn.args), { dims: drawn.dims });
          const call = fresh();
          const machine = interpreterFor(call, "cuda");
          const { result, faults } = await level.run(made, call);
          const title = `${exact ? "exact " : ""}${level.name} ${JSON.stringify(drawn.dims)}\n${text}`;
          expect(faults, title).toEqual([]);
          const a = agree(call, result, machine);
          expect(a.disagreements.map(words), title).toEqual([]);
          compared += a.compared;
          if (exact || level.plan === undefined) continue;
          const own = agree(call, result, withPlan(machine, planBounds(made, fresh(), profiles.cuda!)));
          expect(own.disagreements.map(words), title).toEqual([]);
          expect(own.void, title).toBeLessThanOrEqual(a.void);
        }
      }
    }
  }
  console.log(
    `domains of rows and keys: seed ${seed}, ${cases} programs, ${split} with tiles that ask nothing, ${compared} elements compared`,
  );
  expect(split).toBeGreaterThan(cases / 3);
  expect(compared).toBeGreaterThan(100 * cases);
}, 600_000);

test("a row that is ruled out has no bounds to read: tokens of no prompt, where there is none", async () => {
  const text = `kernel f[R, C](q: f16[C, 16], k: f16[C, 16], v: f16[C, 16], start: offsets<..C>[R + 1]) -> (o: f32[C, 16]) {
  let r[t] = segment(start, t)
  let s[t, j in start[r[t]]..start[r[t] + 1]] where j <= t = sum(d) q[t, d] * k[j, d]
  o[t, d] = (sum(j) relax<f16>(softmax(j) s[t, j]) * v[j, d]) else -1.0
}
schedule f on cuda { stream j; tile t: 16, j: 16; warps 1 }
`;
  const made = compiled(text, "cuda");
  for (const dims of [
    { R: 0, C: 3 },
    { R: 2, C: 20 },
  ]) {
    const drawn = generate(made.artifact, seeded(5), { dims })!;
    for (const level of [tileLevel("cuda"), threadLevel("cuda")]) {
      const call = prepare(made.artifact, structuredClone(drawn.args), { dims: drawn.dims });
      const { result, faults } = await level.run(made, call);
      expect(faults).toEqual([]);
      const a = agree(call, result, interpreterFor(call, "cuda"));
      expect(a.disagreements.map(words)).toEqual([]);
      expect(a.compared).toBe(dims.C * 16);
    }
  }
});
