/** All faults, planted one at a time. */
import { around } from "./faults/around.ts";
import { language } from "./faults/language.ts";
import { layouts } from "./faults/layouts.ts";
import { staged } from "./faults/staged.ts";
import { thread } from "./faults/thread.ts";
import { tile } from "./faults/tile.ts";
import { units } from "./faults/units.ts";
import { walks } from "./faults/walks.ts";
import type { Mutant } from "./mutant.ts";

export type { Mutant } from "./mutant.ts";
export const mutants: readonly Mutant[] = [...language, ...tile, ...walks, ...staged, ...thread, ...layouts, ...units, ...around];
