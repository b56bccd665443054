/** `weft explain --roofline`: what bounds each loop of each launch on a chip. */

import { type ChipName, chips } from "../../compiler/cost/chips.ts";
import { parts, rooflineOf } from "../../compiler/cost/roofline.ts";
import { compile } from "../../compiler/index.ts";
import { taken } from "../../verify/taken.ts";
import { UserError } from "../fail.ts";
import { type Found, ownDims, pickInstance, scheduleFor, shapeOf } from "../workspace.ts";

export interface RooflineOptions {
  readonly instance?: string;
  readonly schedule?: string;
  readonly shape?: string;
  readonly chip: ChipName;
  readonly json?: boolean;
}
/** Of a dimension that nobody gives. */
const usual = 256;

export function explainRoofline(found: Found, target: string, options: RooflineOptions): void {
  if (target !== "cuda") throw new UserError("--roofline knows the chips of CUDA alone: say --target cuda");
  const chip = chips[options.chip];
  const dims = shapeOf(options.shape);
  const instance = pickInstance(found, options.instance, dims);
  ownDims(instance, dims);
  const values = Object.fromEntries(instance.program.dims.map((d) => [d.name, d.value ?? dims[d.name] ?? usual]));
  const { kernels, directives } =
    options.schedule === undefined
      ? taken(instance, found.checked.schedules, found.text, target, values)
      : compile(instance, found.text, { target, schedule: scheduleFor(found, target, options.schedule) });
  const shape = Object.entries(values).map(([k, v]) => `${k}=${v}`);
  if (!options.json) console.log(`${found.kernel} ${instance.name} on ${chip.name}, ${shape.join(",")}\n${directives.join("; ")}`);
  for (const k of kernels) {
    const r = rooflineOf(k, values, chip);
    if (options.json) {
      console.log(JSON.stringify({ kernel: found.kernel, instance: instance.name, chip: chip.name, dims: values, directives, ...r }));
      continue;
    }
    const us = (s: number): string => `${(s * 1e6).toFixed(1)} us`;
    console.log(
      `\n${r.launch}: ${r.blocks} blocks of ${r.threads} threads; at least ${us(r.computeSeconds)} in its loops, ${us(r.memorySeconds)} in memory`,
    );
    for (const l of r.loops) {
      const name = l.path.length === 0 ? "outside of loops" : l.path.join(" > ");
      const clocks = parts.filter((p) => l.clocks[p] >= 0.5).map((p) => `${p} ${Math.round(l.clocks[p])}`);
      console.log(
        `  ${name.padEnd(24)} ${l.turns.toFixed(l.turns % 1 === 0 ? 0 : 1).padStart(7)} turns, bound by ${l.bound}; clocks a turn: ${clocks.join(", ")}`,
      );
    }
  }
}
