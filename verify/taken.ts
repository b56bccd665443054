/** The variant of a kernel that a call of some sizes takes, on a device without features. */
import { type Compiled, compile, variantsOf } from "../compiler/index.ts";
import type { CheckedInstance, Schedule } from "../dsl/index.ts";
import { holds } from "../runtime/abi.ts";
import { mostSpecific } from "../runtime/call.ts";
import { fixedDims } from "../runtime/dims.ts";

export function taken(
  instance: CheckedInstance,
  schedules: readonly Schedule[],
  text: string,
  target: "cuda" | "wgsl",
  values: Readonly<Record<string, number>>,
): Compiled {
  const all = variantsOf({ schedules }, instance, target).map(({ schedule }) => compile(instance, text, { target, schedule }));
  const plain = all.map((c) => c.artifact).filter((a) => (a.features ?? []).length === 0);
  const own = mostSpecific(plain).find((a) => a.when === undefined || holds(a.when, { ...values, ...fixedDims(a) }));
  return all.find((c) => c.artifact === own)!;
}
