/** For tests of kernels: `await expectKernel(text).toAgree({ runs: 200 })`. Works in any runner, since it throws. */
import { check } from "../dsl/index.ts";
import type { Artifact } from "../runtime/abi.ts";
import { type FuzzOptions, type FuzzReport, fuzz } from "./fuzz.ts";
import { type FuzzTarget, type OpenTarget, openTarget } from "./targets.ts";

export interface AgreeExpectation {
  /** Data sets for each instance, schedule and target. */
  readonly runs?: number;
  readonly seed?: number;
  readonly targets?: readonly FuzzTarget[];
  readonly schedules?: FuzzOptions["schedules"];
  readonly sizes?: readonly number[];
}
/** What did not agree, with the reports. */
export class KernelDisagrees extends Error {
  override readonly name = "KernelDisagrees";
  readonly reports: readonly FuzzReport[];

  constructor(reports: readonly FuzzReport[]) {
    const failures = reports.filter((r) => !r.ok);
    const lines = failures.map((r) => {
      const { dims, detail, seed, sizes } = r.failure!;
      const shape = Object.entries(dims).map(([k, v]) => `${k}=${v}`);
      const again = JSON.stringify({ runs: 1, seed, targets: [r.target], ...(sizes ? { sizes } : {}) });
      return `${[r.kernel, r.instance, `${r.schedule} schedule`, r.target].filter(Boolean).join(", ")}: ${shape.join(", ")}\n  ${detail}\n  again: toAgree(${again})`;
    });
    super(lines.join("\n"));
    this.reports = reports;
  }
}

/**
 * Holds kernels against the reference interpreter.
 * @param what the text of a .weft file, or the `artifacts` that bindings export: every kernel and instance in it
 */
export function expectKernel(what: string | readonly Artifact[]): {
  toAgree: (options?: AgreeExpectation) => Promise<readonly FuzzReport[]>;
} {
  const text = typeof what === "string" ? what : what[0]!.weft;
  const kernels = typeof what === "string" ? undefined : new Set(what.map((a) => a.kernel));
  return {
    /** @throws KernelDisagrees naming shape, element, values and bound; Error where the text does not check */
    async toAgree(options = {}) {
      const wrong = check(text).diagnostics.find((d) => d.severity === "error");
      if (wrong) throw new Error(`${wrong.code}: ${wrong.message}`);
      const open: OpenTarget[] = [];
      const reports: FuzzReport[] = [];
      try {
        for (const t of options.targets ?? (["simulator", "wgsl"] as const)) open.push(await openTarget(t));
        const { runs = 100, seed = 1, schedules = "all", sizes } = options;
        for await (const r of fuzz(text, kernels, open, { runs, seed, schedules, ...(sizes ? { sizes } : {}) })) reports.push(r);
      } finally {
        for (const t of open) await t[Symbol.asyncDispose]();
      }
      if (reports.some((r) => !r.ok)) throw new KernelDisagrees(reports);
      return reports;
    },
  };
}
