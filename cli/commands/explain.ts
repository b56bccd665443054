/** `weft explain`: the program after each stage of the compiler. */
import pc from "picocolors";
import { compile, type Stage, stages } from "../../compiler/index.ts";
import { UserError } from "../fail.ts";
import { load, pickInstance, scheduleFor, targetOf } from "../workspace.ts";
import { explainBounds } from "./bounds.ts";

export interface ExplainOptions {
  readonly target: string;
  readonly after?: string;
  readonly instance?: string;
  readonly schedule?: string;
  readonly json?: boolean;
  readonly bounds?: boolean;
  readonly shape?: string;
}
export function explain(name: string, options: ExplainOptions): void {
  const target = targetOf(options.target);
  const names = Object.keys(stages);
  if (options.after !== undefined && !names.includes(options.after))
    throw new UserError(`there is no stage \`${options.after}\`; stages are ${names.join(", ")}`);
  const found = load(name, options.json ?? false);
  if (options.bounds) return explainBounds(found, target, options);
  const instance = pickInstance(found, options.instance);
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
  compile(instance, found.text, { target, schedule: scheduleFor(found, target, options.schedule), observe });
}
