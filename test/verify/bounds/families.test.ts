/**
 * No output of a kernel family leaves its bounds, on any target: 100 000 random elements a family and target with WEFT_CASES=1, a share of
 * them otherwise. How much room the bounds leave is printed: one that grows tenfold is a weaker net.
 */
import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { compile } from "../../../compiler/index.ts";
import { type Accuracy, check, profiles } from "../../../dsl/index.ts";
import { library } from "../../../kernels/index.ts";
import { prepare } from "../../../runtime/index.ts";
import { agree, type Oracle, describe as text } from "../../../verify/agree.ts";
import { planBounds, withPlan } from "../../../verify/bounds/call.ts";
import { roundsToNearest } from "../../../verify/bounds/probe.ts";
import { CpuCudaDevice } from "../../../verify/cuda-cpu/device.ts";
import { generate, seeded } from "../../../verify/generate.ts";
import { deviceLevel, type Level, threadLevel, tileLevel } from "../../../verify/levels.ts";
import { interpreterFor, rememberProgram } from "../../../verify/reference-device.ts";
import { takenBySize } from "../../../verify/taken.ts";
import { scale } from "../../support/campaigns.ts";
import { gxx, webgpu } from "../../support/devices.ts";

const gpu = await webgpu();
const compiler = await gxx();
const rounding = gpu ? await roundsToNearest(gpu) : false;
const emulator = new CpuCudaDevice();
const levels: Level[] = [
  tileLevel("cuda"),
  threadLevel("cuda"),
  threadLevel("wgsl"),
  ...(gpu ? [deviceLevel("wgsl", "wgsl", gpu, rounding ? profiles["wgsl rne"] : undefined)] : []),
  ...(compiler ? [deviceLevel("cuda-cpu", "cuda", emulator, profiles["cuda"])] : []),
];
// An element here costs more than one of a random program: the share of `npm test` is the smaller for it.
const wanted = Math.ceil(100_000 * scale ** 2);

const edges = [1, 2, 3, 5, 9, 17, 33, 65];
/** Whole tiles: more elements for the time. */
const tiles = [1, 2, 32, 64];
describe.each(Object.entries(library))("%s", (family, file) => {
  const source = fs.readFileSync(file, "utf8");
  const checked = check(source);
  const compiled = checked.instances.map((i) => ({
    i,
    of: new Map((["cuda", "wgsl"] as const).map((target) => [target, takenBySize(i, checked.schedules, source, target)])),
    // What is admitted whatever the schedule.
    any: compile(i, source, { target: "cuda" }).artifact,
  }));
  test("stays within its bounds", async () => {
    const tally = levels.map(() => ({ compared: 0, open: 0, void: 0, worst: 0, worstPlan: 0, tight: 0 }));
    for (let run = 0; tally.some((t) => t.compared < wanted); run++) {
      expect(run, "elements keep coming").toBeLessThan(20_000);
      const { i, of, any } = compiled[run % compiled.length]!;
      const made = generate(any, seeded(1000 + run), { sizes: run % 4 === 3 ? tiles : edges, most: 20_000 });
      if (made === undefined) continue;
      const plans = new Map<Accuracy, Oracle>();
      for (const [k, level] of levels.entries()) {
        const { plan } = level;
        const t = tally[k]!;
        if (t.compared >= wanted) continue;
        const own = of.get(level.target)!(made.dims);
        rememberProgram(own.artifact, i.program);
        const call = prepare(own.artifact, structuredClone(made.args), { dims: made.dims, checkData: true });
        const promise = interpreterFor(call, level.target);
        if (plan !== undefined && !plans.has(plan)) plans.set(plan, withPlan(promise, planBounds(own, call, plan)));
        const { result, faults } = await level.run(own, call);
        const at = `${level.name} ${level.target} ${i.name} ${JSON.stringify(made.dims)}`;
        expect(faults, at).toEqual([]);
        const a = agree(call, result, promise);
        expect(a.disagreements.map(text), at).toEqual([]);
        t.compared += a.compared;
        t.open += a.open;
        t.void += a.void;
        t.worst = Math.max(t.worst, a.errorOverBound);
        if (plan === undefined) continue;
        const b = agree(call, result, plans.get(plan)!);
        expect(
          b.disagreements.map((d) => `plan: ${text(d)}`),
          at,
        ).toEqual([]);
        t.worstPlan = Math.max(t.worstPlan, b.errorOverBound);
      }
    }
    levels.forEach((level, k) => {
      const t = tally[k]!;
      const over = (x: number): string => (x === 0 ? "no error" : (1 / x).toPrecision(3));
      console.log(
        `bounds ${family} ${level.name} ${level.target}: ${t.compared} elements, ${t.open} open, ${t.void} void; least bound over error: promise ${over(t.worst)}${level.plan ? `, plan ${over(t.worstPlan)}` : ""}`,
      );
      // Data on which many decisions are open test nothing.
      expect(t.open).toBeLessThan(0.01 * t.compared + 1);
    });
  }, 7_200_000);
});
