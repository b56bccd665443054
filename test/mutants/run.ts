/** Plants each fault in a copy of the sources and runs the tests until one fails: `npm run -s mutants -- [--json] [--only TEXT]`. */
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Command } from "commander";
import { type Mutant, mutants } from "./list.ts";

const root = path.resolve(import.meta.dirname, "../..");
/** From fast to slow; a mutant is caught by the first that fails. */
const stages: readonly { readonly name: string; readonly command: readonly string[]; readonly timeoutMs: number }[] = [
  { name: "random programs", command: ["npx", "tsx", "test/mutants/gate.ts"], timeoutMs: 600_000 },
  { name: "regressions", command: ["npx", "vitest", "run", "--bail", "1", "test/regressions"], timeoutMs: 1_200_000 },
  {
    name: "language, compiler and runtime tests",
    command: [
      ...[
        "npx",
        "vitest",
        "run",
        "--bail",
        "1",
        "test/dsl",
        "test/compiler/miscompiled.test.ts",
        "test/compiler/simulator.test.ts",
        "test/compiler/tile-verifier.test.ts",
        "test/compiler/thread-verifier.test.ts",
        "test/compiler/stream.test.ts",
        "test/compiler/matrix.test.ts",
        "test/compiler/full-tiles.test.ts",
        "test/compiler/exponent.test.ts",
        "test/compiler/assumed.test.ts",
        "test/compiler/rows.test.ts",
        "test/compiler/derive.test.ts",
        "test/compiler/ranges.test.ts",
        "test/compiler/wide.test.ts",
        "test/compiler/contraction.test.ts",
      ],
      ...[
        "test/compiler/refusals.test.ts",
        "test/compiler/naga.test.ts",
        "test/runtime/call.test.ts",
        "test/runtime/layout.test.ts",
        "test/runtime/grid.test.ts",
        "test/kernels",
      ],
      ...["test/runtime/variants.test.ts", "test/verify/laws.test.ts", "test/verify/special.test.ts", "test/verify/bounds/bite.test.ts"],
      ...["test/verify/cuda-cpu", "test/verify/ptx.test.ts"],
    ],
    timeoutMs: 900_000,
  },
  {
    name: "examples and library on every level",
    command: ["npx", "vitest", "run", "--bail", "1", "test/compiler/levels.test.ts", "test/runtime/library.test.ts"],
    timeoutMs: 1_200_000,
  },
  {
    name: "as many random programs as `npm test` runs",
    command: ["npx", "vitest", "run", "--bail", "1", "test/random"],
    timeoutMs: 1_800_000,
  },
];
/** The tests of a fault's own room: tried before the stages, since they are quick. By the start of its path, the first that fits. */
const nearest: readonly (readonly [string, readonly string[]])[] = [
  ["compiler/emit/frames.ts", ["test/compiler/subgroups.test.ts", "test/runtime/many.test.ts"]],
  ["compiler/emit/many.ts", ["test/runtime/many.test.ts"]],
  ["compiler/emit/arenas.ts", ["test/compiler/arenas.test.ts"]],
  [
    "compiler/emit/emit.ts",
    [
      "test/compiler/arenas.test.ts",
      "test/compiler/stream-steps.test.ts",
      "test/compiler/convert.test.ts",
      "test/compiler/naga.test.ts",
      "test/compiler/miscompiled.test.ts",
      "test/regressions",
    ],
  ],
  ["runtime/webgpu/device.ts", ["test/compiler/subgroups.test.ts", "test/compiler/arenas.test.ts"]],
  ["runtime/webgpu/durations.ts", ["test/runtime/durations.test.ts"]],
  [
    "compiler/emit/helpers.ts",
    ["test/verify/ptx.test.ts", "test/compiler/matrix.test.ts", "test/compiler/naga.test.ts", "test/compiler/miscompiled.test.ts"],
  ],
  ["compiler/emit/intrinsics.ts", ["test/verify/ptx.test.ts", "test/verify/cuda-cpu/probes.test.ts"]],
  ["compiler/emit/", ["test/compiler/naga.test.ts", "test/compiler/miscompiled.test.ts"]],
  ["compiler/targets/wgsl.ts", ["test/compiler/halves.test.ts", "test/compiler/naga.test.ts", "test/compiler/miscompiled.test.ts"]],
  ["compiler/targets/", ["test/compiler/naga.test.ts", "test/compiler/miscompiled.test.ts"]],
  ["compiler/stream/", ["test/compiler/stream.test.ts"]],
  ["compiler/layout/", ["test/compiler/convert.test.ts", "test/compiler/layout.test.ts", "test/compiler/across.test.ts"]],
  ["compiler/thread/convert.ts", ["test/compiler/convert.test.ts", "test/compiler/across.test.ts"]],
  ["compiler/tile/across.ts", ["test/compiler/across.test.ts"]],
  ["compiler/schedule/across.ts", ["test/compiler/across.test.ts"]],
  ["compiler/tile/wide.ts", ["test/compiler/convert.test.ts"]],
  ["compiler/tile/indices.ts", ["test/compiler/hoisted.test.ts", "test/compiler/assumed.test.ts", "test/compiler/packed-weights.test.ts"]],
  ["compiler/schedule/fragments.ts", ["test/compiler/shares.test.ts", "test/compiler/matrix.test.ts"]],
  ["compiler/schedule/beside.ts", ["test/compiler/beside.test.ts", "test/compiler/packed-weights.test.ts"]],
  ["compiler/schedule/fill.ts", ["test/compiler/fill.test.ts"]],
  ["compiler/schedule/stream-tiles.ts", ["test/compiler/stream.test.ts", "test/compiler/matrix.test.ts"]],
  ["compiler/schedule/order.ts", ["test/compiler/ordered.test.ts", "test/compiler/packed-weights.test.ts"]],
  [
    "compiler/schedule/products.ts",
    ["test/compiler/products.test.ts", "test/compiler/staged.test.ts", "test/compiler/packed-dots.test.ts"],
  ],
  ["compiler/schedule/operands.ts", ["test/compiler/ordered.test.ts", "test/compiler/staged.test.ts", "test/compiler/packed-dots.test.ts"]],
  [
    "compiler/schedule/shape.ts",
    [
      "test/compiler/ordered.test.ts",
      "test/compiler/staged.test.ts",
      "test/compiler/matrix.test.ts",
      "test/compiler/split-products.test.ts",
    ],
  ],
  ["compiler/tile/staged.ts", ["test/compiler/ordered.test.ts", "test/compiler/staged.test.ts"]],
  ["compiler/tile/ir.ts", ["test/compiler/staged.test.ts", "test/compiler/matrix.test.ts"]],
  ["compiler/tile/hoist.ts", ["test/compiler/hoisted.test.ts"]],
  ["compiler/thread/settle.ts", ["test/compiler/staged.test.ts", "test/compiler/wide.test.ts"]],
  [
    "compiler/thread/memory.ts",
    [
      "test/compiler/halves.test.ts",
      "test/compiler/wide.test.ts",
      "test/compiler/assumed.test.ts",
      "test/compiler/convert.test.ts",
      "test/compiler/miscompiled.test.ts",
    ],
  ],
  [
    "compiler/thread/lower.ts",
    [
      "test/compiler/miscompiled.test.ts",
      "test/compiler/stream-steps.test.ts",
      "test/compiler/launch-bounds.test.ts",
      "test/compiler/staged.test.ts",
      "test/compiler/packed-weights.test.ts",
      "test/compiler/ranges.test.ts",
    ],
  ],
  ["compiler/tile/ahead.ts", ["test/compiler/packed-weights.test.ts"]],
  ["compiler/tile/interpret.ts", ["test/compiler/shares.test.ts", "test/compiler/convert.test.ts"]],
  [
    "compiler/schedule/",
    [
      "test/compiler/vectorize.test.ts",
      "test/compiler/split-products.test.ts",
      "test/compiler/rows.test.ts",
      "test/compiler/derive.test.ts",
      "test/compiler/stream.test.ts",
    ],
  ],
  ["compiler/thread/ahead.ts", ["test/compiler/launch-bounds.test.ts", "test/compiler/packed-weights.test.ts"]],
  ["compiler/scalar.ts", ["test/compiler/scalar.test.ts"]],
  ["compiler/thread/script.ts", ["test/compiler/simulator.test.ts", "test/compiler/wide.test.ts"]],
  ["compiler/thread/simulate.ts", ["test/compiler/simulator.test.ts", "test/compiler/staged.test.ts"]],
  ["compiler/thread/rescale.ts", ["test/compiler/stream-steps.test.ts"]],
  ["compiler/thread/fragments-ahead.ts", ["test/compiler/fragments-ahead.test.ts"]],
  ["compiler/thread/fragments-first.ts", ["test/compiler/stream-steps.test.ts"]],
  ["compiler/thread/dot.ts", ["test/compiler/packed-weights.test.ts", "test/compiler/matrix.test.ts"]],
  [
    "compiler/thread/pairs.ts",
    ["test/compiler/packed-weights.test.ts", "test/compiler/packed-dots.test.ts", "test/compiler/matrix.test.ts"],
  ],
  [
    "compiler/thread/ring.ts",
    ["test/compiler/ordered.test.ts", "test/compiler/beside.test.ts", "test/compiler/matrix.test.ts", "test/compiler/staged.test.ts"],
  ],
  ["dsl/tensor/matrix.ts", ["test/compiler/packed-dots.test.ts", "test/compiler/fill.test.ts", "test/compiler/matrix.test.ts"]],
  ["compiler/compile.ts", ["test/compiler/fill.test.ts"]],
  ["compiler/thread/verify.ts", ["test/compiler/thread-verifier.test.ts"]],
  ["compiler/thread/fragments.ts", ["test/compiler/matrix.test.ts"]],
  [
    "compiler/thread/nodes.ts",
    ["test/compiler/miscompiled.test.ts", "test/compiler/ranges.test.ts", "test/compiler/staged.test.ts", "test/compiler/matrix.test.ts"],
  ],
  [
    "compiler/thread/",
    [
      "test/compiler/accumulators.test.ts",
      "test/compiler/ranges.test.ts",
      "test/compiler/packed-dots.test.ts",
      "test/compiler/subgroups.test.ts",
      "test/compiler/packed-weights.test.ts",
      "test/compiler/wrapping.test.ts",
      "test/compiler/wide.test.ts",
      "test/compiler/assumed.test.ts",
      "test/compiler/contraction.test.ts",
    ],
  ],
  ["compiler/tile/identity.ts", ["test/compiler/stream.test.ts"]],
  ["compiler/tile/stream", ["test/compiler/exponent.test.ts", "test/compiler/matrix.test.ts", "test/compiler/full-tiles.test.ts"]],
  ["compiler/tile/expression.ts", ["test/compiler/hoisted.test.ts"]],
  [
    "compiler/tile/lower.ts",
    [
      "test/compiler/hoisted.test.ts",
      "test/compiler/vectorize.test.ts",
      "test/compiler/assumed.test.ts",
      "test/compiler/packed-weights.test.ts",
    ],
  ],
  [
    "compiler/tile/dot.ts",
    [
      "test/compiler/hoisted.test.ts",
      "test/compiler/fill.test.ts",
      "test/compiler/matrix.test.ts",
      "test/compiler/split-products.test.ts",
      "test/compiler/shares.test.ts",
    ],
  ],
  ["compiler/tile/stage.ts", ["test/compiler/ordered.test.ts", "test/compiler/beside.test.ts", "test/compiler/split-products.test.ts"]],
  ["compiler/variants.ts", ["test/runtime/variants.test.ts"]],
  ["compiler/plan/counts.ts", ["test/compiler/norms.test.ts"]],
  ["compiler/tile/reduce.ts", ["test/compiler/norms.test.ts", "test/compiler/miscompiled.test.ts", "test/compiler/guards.test.ts"]],
  ["compiler/plan/bounds.ts", ["test/compiler/exponent.test.ts", "test/compiler/data-bounds.test.ts"]],
  ["compiler/tile/block-bounds.ts", ["test/compiler/full-tiles.test.ts", "test/compiler/guards.test.ts"]],
  ["compiler/tile/turns.ts", ["test/compiler/full-tiles.test.ts"]],
  ["compiler/tile/builder.ts", ["test/compiler/norms.test.ts", "test/compiler/full-tiles.test.ts", "test/compiler/groups.test.ts"]],
  ["verify/bounds/", ["test/verify/bounds/in-doubt.test.ts", "test/verify/bounds/units.test.ts", "test/verify/bounds/bite.test.ts"]],
  ["verify/work.ts", ["test/verify/work.test.ts"]],
  ["verify/generate.ts", ["test/verify/work.test.ts"]],
  ["compiler/incremental.ts", ["test/compiler/incremental.test.ts"]],
  ["dsl/check/layout-fault.ts", ["test/dsl/wrong-programs.test.ts"]],
  ["dsl/check/evaluate.ts", ["test/dsl/wrong-programs.test.ts"]],
  ["dsl/check/", ["test/dsl"]],
  ["dsl/syntax/", ["test/dsl"]],
  ["dsl/tensor/expr.ts", ["test/dsl", "test/compiler/full-tiles.test.ts"]],
  ["dsl/interpret/integers.ts", ["test/dsl/integers.test.ts", "test/dsl/walk.test.ts"]],
  ["dsl/interpret/walk.ts", ["test/dsl/walk.test.ts"]],
  [
    "dsl/interpret/",
    ["test/dsl/error-rules.test.ts", "test/verify/bounds/units.test.ts", "test/dsl/bounds.test.ts", "test/verify/bounds/bite.test.ts"],
  ],
  ["runtime/webgpu/packed-dots.ts", ["test/compiler/packed-dots.test.ts"]],
  [
    "runtime/",
    [
      "test/compiler/assumed.test.ts",
      "test/runtime/call.test.ts",
      "test/runtime/many.test.ts",
      "test/runtime/layout.test.ts",
      "test/runtime/variants.test.ts",
      "test/runtime/library.test.ts",
    ],
  ],
  ["kernels/", ["test/dsl/meaning.test.ts", "test/kernels"]],
];
const own = (file: string): (typeof stages)[number][] => {
  const tests = nearest.find(([start]) => file.startsWith(start))?.[1];
  return tests ? [{ name: "tests of its own room", command: ["npx", "vitest", "run", "--bail", "1", ...tests], timeoutMs: 600_000 }] : [];
};
interface Result {
  readonly mutant: Mutant;
  readonly caughtBy: string | undefined;
  readonly seconds: number;
}
function copy(): string {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "weft-mutants-"));
  const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" }).trim().split("\n");
  for (const f of files) {
    if (!fs.statSync(path.join(root, f), { throwIfNoEntry: false })?.isFile()) continue;
    fs.mkdirSync(path.dirname(path.join(dir, f)), { recursive: true });
    fs.copyFileSync(path.join(root, f), path.join(dir, f));
  }
  fs.symlinkSync(path.join(root, "node_modules"), path.join(dir, "node_modules"));
  return dir;
}
/** True where the stage fails, or does not end in time. */
function fails(dir: string, command: readonly string[], timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command[0]!, command.slice(1), { cwd: dir, stdio: "ignore", detached: true, env: { ...process.env, CI: "true" } });
    const timer = setTimeout(() => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // it has just ended
      }
    }, timeoutMs);
    child.on("exit", (code) => {
      clearTimeout(timer);
      resolve(code !== 0);
    });
  });
}
async function tryOne(dir: string, m: Mutant): Promise<Result> {
  const file = path.join(dir, m.file);
  const before = fs.readFileSync(file, "utf8");
  const places = before.split(m.find).length - 1;
  if (places !== 1) throw new Error(`${m.file}: \`${m.find.slice(0, 60)}\` stands in ${places} places: ${m.what}`);
  fs.writeFileSync(
    file,
    before.replace(m.find, () => m.replace),
  );
  const started = performance.now();
  let caughtBy: string | undefined;
  try {
    for (const s of [...own(m.file), ...tried])
      if (await fails(dir, s.command, s.timeoutMs)) {
        caughtBy = s.name;
        break;
      }
  } finally {
    fs.writeFileSync(file, before);
  }
  return { mutant: m, caughtBy, seconds: (performance.now() - started) / 1000 };
}

const program = new Command("mutants")
  .description("plants faults in a copy of the sources, one at a time, and runs the tests")
  .option("--json", "a line a mutant, then planted, caught and survivors")
  .option("--only <text>", "mutants whose description or file contains this")
  .option("--jobs <n>", "copies at work at once", "2")
  .option("--quick", "the first stage alone: what survives it may be caught by the others")
  .option("--from <n>", "leave out the first n mutants", "0")
  .option("--resume <file>", "leave out what the lines of a former --json run say was caught")
  .option("--skip <n>", "leave out the first n stages, which a former run has shown to let it through", "0")
  .option("--check", "only look whether every place is found");
program.parse();
const options = program.opts<{
  json?: boolean;
  only?: string;
  jobs: string;
  check?: boolean;
  quick?: boolean;
  from: string;
  resume?: string;
  skip: string;
}>();
const tried = options.quick ? stages.slice(0, 1) : stages.slice(Number(options.skip));
const named = (m: { readonly what: string; readonly file: string }): string => `${m.file}: ${m.what}`;
const formerly = new Set(
  (options.resume === undefined ? [] : fs.readFileSync(options.resume, "utf8").trim().split("\n"))
    .map((line) => JSON.parse(line) as { what?: string; file?: string; caughtBy?: string | null })
    .flatMap(({ what, file, caughtBy }) => (what && file && caughtBy ? [named({ what, file })] : [])),
);
const chosen = mutants
  .filter((m) => !formerly.has(named(m)))
  .slice(Number(options.from))
  .filter((m) => options.only === undefined || `${m.what} ${m.file}`.includes(options.only));
for (const m of chosen) {
  const places = fs.readFileSync(path.join(root, m.file), "utf8").split(m.find).length - 1;
  if (places !== 1) program.error(`${m.file}: \`${m.find.slice(0, 80)}\` stands in ${places} places: ${m.what}`);
}
if (options.check) {
  console.log(`${chosen.length} places found`);
  process.exit(0);
}
// A suite that fails on the sources as they are would catch anything.
const control = copy();
for (const s of tried)
  if (await fails(control, s.command, s.timeoutMs)) {
    fs.rmSync(control, { recursive: true, force: true });
    program.error(`the stage "${s.name}" fails without a mutant: mend that first`);
  }
fs.rmSync(control, { recursive: true, force: true });
const queue = [...chosen];
const results: Result[] = [];
const worker = async (): Promise<void> => {
  const dir = copy();
  try {
    for (let m = queue.shift(); m !== undefined; m = queue.shift()) {
      const r = await tryOne(dir, m);
      results.push(r);
      const { what, file, equivalent } = m;
      if (options.json)
        console.log(
          JSON.stringify({
            what,
            file,
            caughtBy: r.caughtBy ?? null,
            seconds: Number(r.seconds.toFixed(1)),
            ...(equivalent ? { equivalent } : {}),
          }),
        );
      else console.log(`${r.caughtBy ? `caught by ${r.caughtBy}` : "SURVIVED"} (${r.seconds.toFixed(0)} s): ${what} [${file}]`);
    }
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
};
await Promise.all(Array.from({ length: Number(options.jobs) }, worker));
const survivors = results
  .filter((r) => r.caughtBy === undefined)
  .map((r) => ({ what: r.mutant.what, reason: r.mutant.equivalent ?? "a missing test" }));
const summary = { planted: results.length, caught: results.length - survivors.length, survivors };
if (options.json) console.log(JSON.stringify(summary));
else console.log(`${summary.planted} planted, ${summary.caught} caught, ${survivors.length} survived`);
process.exitCode = survivors.some((s) => s.reason === "a missing test") ? 1 : 0;
