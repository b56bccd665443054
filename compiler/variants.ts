/** The variants of a kernel on one target: one for each of its schedules, and one that fits every device and launch. */
import { halvesFeature, softwareFeature } from "../dsl/check/schedules.ts";
import type { Checked, CheckedInstance, Schedule } from "../dsl/index.ts";
import { holds, UnknownSize } from "../runtime/abi.ts";
import { sizeCondition } from "./plan/size.ts";
import { fillingSchedules } from "./schedule/fill.ts";

export interface Variant {
  /** Undefined: derived. */
  readonly schedule: Schedule | undefined;
  /** Of no schedule in the text. */
  readonly derived: boolean;
  /** Part of a file name: empty for the first unnamed one. */
  readonly label: string;
}

/** Whether a schedule may be for this instance: its condition is not false for the static dimensions alone. */
function mayFit(s: Schedule, instance: CheckedInstance): boolean {
  const when = s.where && sizeCondition(s.where);
  if (when === undefined) return true;
  try {
    return holds(when, Object.fromEntries(instance.program.dims.flatMap((d) => (d.value === undefined ? [] : [[d.name, d.value]]))));
  } catch (e) {
    if (e instanceof UnknownSize) return true;
    throw e;
  }
}
const derivedFor = (kernel: string, features: readonly string[]): Schedule => ({
  ...{ kernel, target: "wgsl", features, directives: [], span: { start: 0, end: 0 } },
});
/**
 * In the order of the text; derived ones last, where the others ask something of the device or the launch.
 * @param of an instance, or the name of a kernel: all that any of its instances may have
 */
export function variantsOf(checked: Pick<Checked, "schedules">, of: CheckedInstance | string, target: "cuda" | "wgsl"): Variant[] {
  const kernel = typeof of === "string" ? of : of.kernel;
  const own = checked.schedules.filter((s) => s.kernel === kernel && s.target === target && (typeof of === "string" || mayFit(s, of)));
  // sm_80 is the least that CUDA sources are written for.
  const general = own.some(
    (s) => s.name === undefined && s.features.length === 0 && s.where === undefined && (s.arch ?? "sm_80") === "sm_80",
  );
  const schedules: (Schedule | undefined)[] = general ? own : [...own, undefined];
  // Halves as elements of memory, where a kernel has some and a device too; both kinds of device.
  const has = (x: CheckedInstance): boolean => [...x.program.params, ...x.program.outputs].some((p) => p.elem.name === "f16");
  const halves = typeof of !== "string" && target === "wgsl" && has(of) && !own.some((s) => s.features.includes(halvesFeature));
  if (!general && halves) schedules.push(derivedFor(kernel, [halvesFeature]), derivedFor(kernel, [softwareFeature, halvesFeature]));
  // Of a product, one for sizes whose tiles would not fill a chip.
  if (own.length === 0 && target === "cuda" && typeof of !== "string")
    schedules.push(...fillingSchedules(kernel, of.program).filter((s) => mayFit(s, of)));
  // A derived schedule for software devices too, which like other tiles than a GPU does.
  if (!general && target === "wgsl" && !own.some((s) => s.features.includes(softwareFeature)))
    schedules.push(derivedFor(kernel, [softwareFeature]));
  const labels = new Set<string>();
  let first = true;
  return schedules.map((schedule) => {
    const parts = schedule?.name
      ? [schedule.name]
      : first
        ? []
        : [schedule?.arch, ...(schedule?.features ?? [])].filter((x) => x !== undefined);
    if (schedule?.name === undefined) first = false;
    const plain = parts.join("-") || (labels.has("") ? "any" : "");
    let label = plain;
    for (let k = 2; labels.has(label); k++) label = `${plain}-${k}`;
    labels.add(label);
    return { schedule, label, derived: schedule === undefined || !own.includes(schedule) };
  });
}
