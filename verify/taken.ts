/** The variants of a kernel that calls take, on a device without features. */
import { type Compiled, compile, variantsOf } from "../compiler/index.ts";
import type { CheckedInstance, Schedule } from "../dsl/index.ts";
import { holds } from "../runtime/abi.ts";
import { mostSpecific } from "../runtime/call.ts";
import { fixedDims } from "../runtime/dims.ts";

/** What a call of some sizes takes; each variant is compiled once. */
export function takenBySize(
  instance: CheckedInstance,
  schedules: readonly Schedule[],
  text: string,
  target: "cuda" | "wgsl",
): (values: Readonly<Record<string, number>>) => Compiled {
  const all = variantsOf({ schedules }, instance, target).map(({ schedule }) => compile(instance, text, { target, schedule }));
  const plain = mostSpecific(all.map((c) => c.artifact).filter((a) => (a.features ?? []).length === 0));
  return (values) => {
    const own = plain.find((a) => a.when === undefined || holds(a.when, { ...values, ...fixedDims(a) }));
    return all.find((c) => c.artifact === own)!;
  };
}
/** The variant that a call of some sizes takes. */
export const taken = (
  instance: CheckedInstance,
  schedules: readonly Schedule[],
  text: string,
  target: "cuda" | "wgsl",
  values: Readonly<Record<string, number>>,
): Compiled => takenBySize(instance, schedules, text, target)(values);
