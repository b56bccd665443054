#!/usr/bin/env node
/** The `weft` command. */
import { Command, CommanderError, Option } from "commander";
import { chips } from "../compiler/cost/chips.ts";
import { UserError } from "./fail.ts";
import { version } from "./version.ts";

const program = new Command("weft")
  .version(version)
  .description("Compiles Weft kernels, plain tensor mathematics, to CUDA C++ and WGSL, and holds them against the reference interpreter.")
  .addHelpText(
    "after",
    "\nExit codes: 0 done, 1 an error in what was given, 2 an error of ours.\nExamples:\n  weft check kernels/\n  weft build kernels/ --out generated --target wgsl\n  weft run attention --shape B=1,KV=2,G=4,M=64,N=64,D=64 --target wgsl --seed 7\n  weft explain attention --target cuda --after tile",
  )
  .showSuggestionAfterError()
  .exitOverride();
const json = (): Option => new Option("--json", "print JSON lines instead of text");
const chip = (what: string): Option => new Option("--chip <name>", what).choices(Object.keys(chips)).default("a100");

program
  .command("check")
  .description("type-check files or folders: subscripts in range, outputs defined everywhere, schedules that fit")
  .argument("<paths...>", ".weft files, or folders of them")
  .addOption(json())
  .action(async (paths: string[], o) => (await import("./commands/check.ts")).checkFiles(paths, o));
program
  .command("build")
  .description("write .cu, .wgsl, typed TypeScript bindings and a manifest; unchanged sources are skipped")
  .argument("<paths...>", ".weft files, or folders of them")
  .option("-o, --out <dir>", "output folder", "out")
  .option("-t, --target <target...>", "targets to build: cuda, wgsl", ["cuda", "wgsl"])
  .option("-w, --watch", "build again when a source changes")
  .option("-f, --force", "build unchanged sources too")
  .option("--runtime <module>", "where the bindings import the runtime from", "weft-lang/runtime")
  .addOption(json())
  .action(async (paths: string[], o) => {
    const run = async (): Promise<void> => (await import("./commands/build.ts")).build(paths, o);
    await (o.watch ? (await import("./room.ts")).withRoom(run) : run());
  });
program
  .command("run")
  .description("run a kernel on made-up data and hold a sample of its outputs against the reference, within the derived bound")
  .argument("<kernel>", "a name (looked up in the library, then below this folder), file.weft, or file.weft:name")
  .option("-s, --shape <dims>", "dimensions, M=16,N=32; the others are drawn")
  .addOption(new Option("-t, --target <target>", "where to run: reference, wgsl or cuda").default("wgsl"))
  .option("--seed <n>", "seed of the data", "1")
  .option("--sample <n>", "elements of each output to compare", "1000")
  .option("-i, --instance <name>", "the instance, such as T=f16,D=64")
  .option("--schedule <name>", "a named schedule")
  .addOption(json())
  .action(async (kernel: string, o) => (await import("./commands/run.ts")).run(kernel, o));
program
  .command("explain")
  .description("print the program after each stage of the compiler")
  .argument("<kernel>", "a name (looked up in the library, then below this folder), file.weft, or file.weft:name")
  .requiredOption("-t, --target <target>", "cuda or wgsl")
  .option("-a, --after <stage>", "only this stage: check, desugar, split, plan, tile, thread, emit")
  .option("-b, --bounds", "instead: the bits that are promised of each output on sample data, and those that the schedule itself keeps")
  .option("-r, --roofline", "instead: what bounds each loop on a chip, by counts and the chip's own figures (CUDA)")
  .addOption(chip("for --roofline"))
  .option(
    "-s, --shape <dims>",
    "dimensions for --bounds and --roofline, M=16,N=32; the others are drawn, and 256 for --roofline, which takes the schedule that a call of that shape does",
  )
  .option("-i, --instance <name>", "the instance, such as T=f16,D=64")
  .option("--schedule [name]", "a named schedule; without a name: the derived one, as directives to paste")
  .addOption(json())
  .action(async (kernel: string, o) => (await import("./commands/explain.ts")).explain(kernel, o));
program
  .command("tune")
  .description(
    "choose from the sets of sizes in schedules (`tile i: {32, 64}`), by time on a device or by the cost model; writes FILE.weft-lock",
  )
  .argument("<kernel>", "a name (looked up in the library, then below this folder), file.weft, or file.weft:name")
  .requiredOption("-t, --target <target>", "cuda or wgsl")
  .option("-s, --shape <dims>", "dimensions, M=16,N=32; 256 where not given")
  .option("-i, --instance <name>", "the instance, such as T=f16,D=64")
  .option("--model", "by the cost model, even where there is a device (CUDA)")
  .addOption(chip("for the cost model"))
  .option("--runs <n>", "measured runs of each choice, in turn", "9")
  .option("--dry-run", "print, and write nothing")
  .addOption(json())
  .action(async (kernel: string, o) => (await import("./commands/tune.ts")).tune(kernel, o));
program
  .command("fuzz")
  .description("run kernels on many shapes, data and schedules, and hold every output against the reference, within the derived bound")
  .argument("<paths...>", ".weft files, folders of them, or file.weft:name")
  .option("-r, --runs <n>", "data sets for each kernel, instance, schedule and target", "100")
  .option("--seed <n>", "run k draws from seed + k: the same seed, the same runs", "1")
  .option("-t, --targets <list>", "where to run, of reference, simulator, wgsl, cuda-cpu, cuda", "reference,simulator,wgsl")
  .option(
    "--schedules <which>",
    "all: those of the text and the derived one; derived: that alone; random: eight more, the same for every seed",
    "all",
  )
  .option("--schedule <label>", "only this schedule")
  .option("-i, --instance <name>", "only this instance, such as T=f16,D=64")
  .option("--sizes <list>", "extents to draw dimensions from, 1,2,17; around tile edges by default")
  .addOption(json())
  .addHelpText(
    "after",
    "\nA failure names shape, element, what was got and expected, the bound, and the command that shows it again.\nExamples:\n  weft fuzz kernels/ --runs 500 --seed 7 --targets reference,wgsl,cuda-cpu --schedules all\n  weft fuzz my.weft:softmax --targets simulator --schedules random",
  )
  .action(async (paths: string[], o) => (await import("./commands/fuzz.ts")).fuzzPaths(paths, o));
program
  .command("fmt")
  .description("format files in place")
  .argument("<paths...>", ".weft files, or folders of them")
  .option("-c, --check", "change nothing; exit 1 if a file is not formatted")
  .addOption(json())
  .action(async (paths: string[], o) => (await import("./commands/fmt.ts")).formatFiles(paths, o));
for (const c of program.commands) c.exitOverride().showSuggestionAfterError();

try {
  await program.parseAsync();
  process.exitCode ??= 0;
} catch (e) {
  process.exitCode = await ending(e);
}
// Devices keep handles that would hold the process.
process.exit();

async function ending(e: unknown): Promise<number> {
  if (e instanceof CommanderError) return e.exitCode === 0 ? 0 : 1;
  if (e instanceof UserError) {
    console.error(`weft: ${e.message}`);
    return 1;
  }
  const { WeftError } = await import("../runtime/index.ts");
  if (e instanceof WeftError) {
    console.error(`weft: ${e.message}`);
    return 1;
  }
  const { Refusal } = await import("../compiler/index.ts");
  if (e instanceof Refusal) {
    console.error(`weft: ${e.code}: ${e.message}${e.help ? `; ${e.help}` : ""}`);
    return 1;
  }
  console.error(
    `weft: this is a mistake of the compiler, not yours: ${(e as Error).message}\nPlease report it with the source that led to it.${process.env["WEFT_DEBUG"] ? `\n${(e as Error).stack}` : ""}`,
  );
  return 2;
}
