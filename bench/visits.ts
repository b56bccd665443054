/**
 * How many tiles a streamed kernel visits, of those there are: the loop bounds of every block, computed as the kernel computes them, without
 * what happens inside of the loops.
 */
import fs from "node:fs";
import { type Compiled, compile, variantsOf } from "../compiler/index.ts";
import { argsOf, launchesOf, type Op, outsOf, type Step, type TileProgram, type Value } from "../compiler/tile/ir.ts";
import { check } from "../dsl/index.ts";
import { library, offsetsOf, planRows } from "../kernels/index.ts";
import { type Arguments, prepare } from "../runtime/call.ts";
import { tensor } from "../runtime/tensor.ts";
import { generate, seeded } from "../verify/generate.ts";
import { runTiles } from "../verify/levels.ts";

export interface VisitsRow {
  readonly kernel: string;
  readonly what: string;
  readonly target: "cuda" | "wgsl";
  /** Tiles of rows by keys that blocks visit, and what they are compared with. */
  readonly visited: number;
  readonly of: number;
  readonly ratio: number;
  /** What the ratio may be. */
  readonly most: number;
}
export function* visitsRows(): Generator<VisitsRow> {
  for (const target of ["cuda", "wgsl"] as const) {
    const [attention, packed] = [made("attention", target), made("packed_attention", target)];
    const alone = (n: number): number => visits(attention, { B: 1, KV: 1, G: 1, M: n, N: n });
    const n = 2048;
    const { rows, keys } = tileOf(attention);
    yield row(
      "attention",
      `causal, ${n} queries and keys, of all tiles`,
      target,
      alone(n),
      (n / rows) * (n / keys),
      (n / 2 + Math.max(rows, keys)) / n,
    );
    // 64 prompts of 16 to 512 tokens, in rows of 2048.
    const random = seeded(1);
    const lengths = Array.from({ length: 64 }, () => 16 + Math.floor(random() * 497));
    const capacity = 2048;
    const together = planRows(lengths, capacity).reduce((sum, r) => {
      const dims = { R: r.prompts.length, C: capacity, KV: 1, G: 1 };
      return sum + visits(packed, dims, { start: tensor("offsets", [r.prompts.length + 1], offsetsOf(r)) });
    }, 0);
    const separate = lengths.reduce((sum, length) => sum + alone(length), 0);
    yield row("packed_attention", `64 prompts of 16 to 512 tokens, of each alone`, target, together, separate, 1.15);
  }
}
const row = (kernel: string, what: string, target: VisitsRow["target"], visited: number, of: number, most: number): VisitsRow => ({
  ...{ kernel, what, target, visited, of },
  ratio: Number((visited / of).toFixed(4)),
  most: Number(most.toFixed(4)),
});
/** The first instance of a kernel of the library, with no more than its loop bounds. */
function made(kernel: string, target: VisitsRow["target"]): Pick<Compiled, "artifact" | "tiles"> {
  const file = Object.values(library).find((f) => new RegExp(`^kernel ${kernel}\\b`, "m").test(fs.readFileSync(f, "utf8")))!;
  const text = fs.readFileSync(file, "utf8");
  const checked = check(text);
  const instance = checked.instances.find((i) => i.kernel === kernel)!;
  const { artifact, tiles } = compile(instance, text, { target, schedule: variantsOf(checked, instance, target)[0]!.schedule });
  return { artifact, tiles: boundsOnly(tiles) };
}
function visits(c: Pick<Compiled, "artifact" | "tiles">, dims: Readonly<Record<string, number>>, args: Arguments = {}): number {
  const drawn = generate(c.artifact, seeded(2), { dims, most: 1e9 })!;
  let sum = 0;
  const call = prepare(c.artifact, { ...drawn.args, ...args }, { dims: drawn.dims, checkData: true });
  runTiles(c, call, (index, turns) => {
    if (index === streamed) sum += turns;
  });
  return sum;
}
/** The streamed index of the library's attention. */
const streamed = "j";
function tileOf(c: Pick<Compiled, "tiles">): { rows: number; keys: number } {
  for (const l of launchesOf(c.tiles.steps))
    for (const o of l.body)
      if (o.kind === "loop" && l.tiles[o.index]!.name === streamed)
        return { rows: l.axes.find((a) => l.grid.some((g) => g.axis === a.name))!.extent, keys: o.step };
  throw new Error(`no loop over ${streamed}`);
}

/** The program with nothing but what decides how often its outermost loops turn, and what later launches need for that. */
function boundsOnly(p: TileProgram): TileProgram {
  const step = (s: Step): Step => {
    if (s.kind === "repeat") return { ...s, steps: s.steps.map(step) };
    const floats = new Set(s.launch.buffers.filter((b) => /^f|^bf/.test(b.elem)).map((b) => b.name));
    const temps = new Set(p.temps.map((t) => t.name));
    const needed = new Set<Value>();
    const kept: Op[] = [];
    for (const o of [...s.launch.body].reverse()) {
      const wanted = o.kind === "store" ? temps.has(o.buffer) && !floats.has(o.buffer) : outsOf(o).some((v) => needed.has(v));
      if (o.kind === "loop" && !wanted) {
        kept.push({ ...o, carried: [], body: [] });
        needed.add(o.from).add(o.to);
      } else if (wanted) {
        kept.push(o);
        for (const v of inside(o)) needed.add(v);
      }
    }
    return { ...s, launch: { ...s.launch, body: kept.reverse() } };
  };
  return { ...p, steps: p.steps.map(step) };
}
/** All values that an operation, or what is inside of it, takes. */
const inside = (o: Op): Value[] => [
  ...argsOf(o),
  ...(o.kind === "loop" ? [...o.carried.flatMap((c) => [c.init, c.next]), ...o.body.flatMap(inside)] : []),
];
