/** `weft explain`: the program after each stage of the compiler. */
import pc from "picocolors";
import type { ChipName } from "../../compiler/cost/chips.ts";
import { compile, type Stage, stages } from "../../compiler/index.ts";
import { UserError } from "../fail.ts";
import { load, pickInstance, scheduleFor, targetOf } from "../workspace.ts";
import { explainBounds } from "./bounds.ts";
import { explainRoofline } from "./roofline.ts";

export interface ExplainOptions {
  readonly target: string;
  readonly after?: string;
  readonly instance?: string;
  /** A name; true for the derived schedule itself, as text. */
  readonly schedule?: string | true;
  readonly json?: boolean;
  readonly bounds?: boolean;
  readonly shape?: string;
  readonly roofline?: boolean;
  readonly chip: ChipName;
}
export function explain(name: string, options: ExplainOptions): void {
  const target = targetOf(options.target);
  const names = Object.keys(stages);
  if (options.after !== undefined && !names.includes(options.after))
    throw new UserError(`there is no stage \`${options.after}\`; stages are ${names.join(", ")}`);
  const found = load(name, options.json ?? false);
  const { schedule, ...rest } = options;
  if (schedule === true && (options.bounds || options.roofline || options.after !== undefined))
    throw new UserError("--schedule without a name prints the derived schedule alone: leave --bounds, --roofline and --after out");
  const named = typeof schedule === "string" ? { schedule } : {};
  if (options.roofline) return explainRoofline(found, target, { ...rest, ...named });
  if (options.bounds) return explainBounds(found, target, { ...rest, ...named });
  const instance = pickInstance(found, options.instance);
  if (schedule === true) {
    const { directives } = compile(instance, found.text, { target });
    const text = `schedule ${found.kernel} on ${target} {\n${directives.map((l) => `  ${l}\n`).join("")}}`;
    console.log(options.json ? JSON.stringify({ kernel: found.kernel, instance: instance.name, target, schedule: text }) : text);
    return;
  }
  let before = "";
  const observe = (stage: Stage, text: () => string): void => {
    const now = text();
    const same = now === before;
    before = now;
    if (options.after !== undefined && options.after !== stage) return;
    if (options.json) console.log(JSON.stringify({ kernel: found.kernel, instance: instance.name, target, stage, text: now }));
    else if (options.after !== undefined) console.log(now);
    else console.log(`${pc.bold(`== ${stage}`)}  ${pc.dim(stages[stage])}\n${same ? "(unchanged)" : now}\n`);
  };
  compile(instance, found.text, { target, schedule: scheduleFor(found, target, named.schedule), observe });
}
