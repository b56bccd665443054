/** `weft fmt`: rewrites files in the one style, or says which are not in it. */
import pc from "picocolors";
import { format } from "../../dsl/format.ts";
import { check } from "../../dsl/index.ts";
import { UserError } from "../fail.ts";
import { readSource, sourcesOf, writeWhole } from "../files.ts";
import { report } from "../workspace.ts";

export function formatFiles(paths: readonly string[], options: { readonly check?: boolean; readonly json?: boolean }): void {
  let wrong = 0;
  for (const file of sourcesOf(paths)) {
    const text = readSource(file);
    const formatted = format(text);
    if (formatted === undefined) {
      report(check(text), file, options.json ?? false);
      throw new UserError(`${file} does not parse; it was left as it is`);
    }
    const changed = formatted !== text;
    if (changed && options.check) wrong++;
    if (changed && !options.check) writeWhole(file, formatted);
    if (options.json) console.log(JSON.stringify({ file, changed }));
    else if (changed) console.log(`${pc.bold(file)}: ${options.check ? "not formatted" : "formatted"}`);
  }
  if (wrong > 0) throw new UserError(`${wrong} file${wrong === 1 ? " is" : "s are"} not formatted; run weft fmt`);
}
