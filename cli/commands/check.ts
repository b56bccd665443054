/** `weft check`: all diagnostics of the given files. */
import { check } from "../../dsl/index.ts";
import { UserError } from "../fail.ts";
import { readSource, sourcesOf } from "../files.ts";
import { report } from "../workspace.ts";

export function checkFiles(paths: readonly string[], options: { readonly json?: boolean }): void {
  let failed = 0;
  const files = sourcesOf(paths);
  for (const file of files) {
    const checked = check(readSource(file));
    if (report(checked, file, options.json ?? false)) failed++;
    else if (options.json) console.log(JSON.stringify({ file, ok: true, kernels: [...new Set(checked.instances.map((i) => i.kernel))] }));
    else console.log(`${file}: ok`);
  }
  if (failed > 0)
    throw new UserError(`${failed} of ${files.length} file${files.length === 1 ? "" : "s"} ${failed === 1 ? "has" : "have"} errors`);
}
