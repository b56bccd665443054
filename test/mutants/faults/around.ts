// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are pieces of source text
/** Faults of the runtime, the library, and verification itself. */
import { fault, type Mutant } from "../mutant.ts";

export const around: readonly Mutant[] = [
  fault(
    "an integer that was read is certain",
    "verify/bounds/certain.ts",
    "return this.names.has(e.name);",
    'return e.elem === "i32" || this.names.has(e.name);',
  ),
  fault("a branch in doubt that is not taken is certain", "verify/bounds/plan.ts", "if (!holds && !doubt) return;", "if (!holds) return;"),
  fault("a branch in doubt that is taken is certain", "verify/bounds/plan.ts", "astray ||= doubt;", "astray ||= false;"),
  fault(
    "code that relies on multiples runs on any size",
    "runtime/call.ts",
    "[...artifact.requires, ...(artifact.assumes ?? [])])",
    "[...artifact.requires])",
  ),
  fault("shapes that disagree are taken", "runtime/call.ts", "if (want !== t.shape[k])", "if (want < 0)"),
  fault(
    "preconditions are not checked",
    "runtime/call.ts",
    "if (!holds(r.condition, values))",
    'if (!holds(r.condition, values) && values[""] === 0)',
  ),
  fault(
    "a dimension is solved by multiplying",
    "runtime/dims.ts",
    "solveFor(inner, size / other, values)",
    "solveFor(inner, size * other, values)",
  ),
  fault(
    "ceiling division rounds down",
    "runtime/abi.ts",
    "ceildiv: (a, b) => (b === 0 ? 0 : Math.ceil(a / b)),",
    "ceildiv: (a, b) => (b === 0 ? 0 : Math.floor(a / b)),",
  ),
  fault(
    "a layout's place is that of the element before",
    "runtime/layout.ts",
    "at[k] = rest % shape[k]!;",
    "at[k] = (rest - 1) % shape[k]!;",
  ),
  fault("a page is taken for the first", "runtime/layout.ts", "at[shape.length] = page;", "at[shape.length] = 0;"),
  fault("every step of a repeat is the first", "runtime/abi.ts", "{ ...counters, [s.name]: k }", "{ ...counters, [s.name]: 0 }"),
  fault(
    "packed fields are written highest first",
    "runtime/layout.ts",
    "const shift = (at % per) * bits;",
    "const shift = (per - 1 - (at % per)) * bits;",
  ),
  fault("falling offsets are taken", "runtime/call.ts", "if (t.data[i]! < t.data[i - 1]!)", "if (t.data[i]! < 0)"),
  fault(
    "an older architecture's schedule wins",
    "runtime/call.ts",
    "return k < 0 ? 0 : q[k]! - p[k]!;",
    "return k < 0 ? 0 : p[k]! - q[k]!;",
  ),
  fault(
    "a function for packed dots loses the sign",
    "runtime/webgpu/packed-dots.ts",
    "bitcast<i32>(${word} << ${24 - s}u) >> 24u",
    "i32((${word} >> ${s}u) & 255u)",
  ),
  fault("any subgroup is wide enough", "runtime/webgpu/device.ts", "lanes <= (info.subgroupMinSize ?? 0)", "lanes <= 64"),
  fault("a variant runs where its features are missing", "runtime/call.ts", 'f !== "software" && !device', 'f === "software" && !device'),
  fault("rows are filled past their capacity", "kernels/prepack/plan.ts", "r.used + length <= capacity", "r.used <= capacity"),
  fault("prompts of a row overlap", "kernels/prepack/plan.ts", "row.used += length;", "row.used = length;"),
  fault("uniforms of a call are not aligned", "runtime/many.ts", "const at = alignedUp(size, sizes[u.type]);", "const at = size;"),
  fault(
    "results of many calls come in the order of their variants",
    "runtime/call.ts",
    "results[k] = made[j]!;",
    "results[places.length - 1 - j] = made[j]!;",
  ),
  fault("calls of nothing have a place in the table", "runtime/many.ts", "(counts[k]! > 0 ? [k] : [])", "[k]"),
  fault("a first run is a measure of the next", "runtime/webgpu/durations.ts", "this.last.has(text) ? ms : 0", "ms"),
  fault("sums in sums count one by one", "verify/work.ts", "points(e.axes) * Math.max(1, own)", "points(e.axes) + own"),
  fault("sizes that are too much are drawn", "verify/generate.ts", "if (options.admits?.(values) === false) continue;", ""),
];
