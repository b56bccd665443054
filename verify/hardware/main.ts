/**
 * `npm run -s hardware`: records on an NVIDIA GPU what every intrinsic gives, for test/verify/hardware.test.ts to hold the emulator to.
 * `npm run -s hardware -- random` runs random programs under random schedules there, against the reference.
 */
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { profiles } from "../../dsl/index.ts";
import { type CudaDevice, openCuda } from "../../runtime/cuda/index.ts";
import { deviceLevel } from "../levels.ts";
import { campaign } from "../random/campaign.ts";
import { record } from "./record.ts";

const folder = fileURLToPath(new URL("./recorded/", import.meta.url));

/** A device for as long as the work takes. */
async function withDevice(work: (device: CudaDevice) => Promise<void>): Promise<void> {
  const device = await openCuda();
  try {
    await work(device);
  } finally {
    await device[Symbol.asyncDispose]();
  }
}
async function recordDevice(device: CudaDevice): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  const recording = await record(device, date, "npm run -s hardware");
  const file = path.join(folder, `${device.name.replace(/[^A-Za-z0-9]+/g, "-").toLowerCase()}.json`);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(`${file}.part`, `${JSON.stringify(recording, null, 2)}\n`);
  fs.renameSync(`${file}.part`, file);
  console.log(`${Object.keys(recording.outputs).length} probes of ${device.name} written to ${file}`);
}
/** Programs that share a device before the next one is opened: it keeps the modules that it loaded. */
const together = 100;

async function randomPrograms(options: { readonly cases: number; readonly seed: number }): Promise<void> {
  for (let done = 0; done < options.cases; done += together)
    await withDevice(async (device) => {
      const level = deviceLevel("cuda", "cuda", device, profiles["cuda"]);
      const cases = Math.min(together, options.cases - done);
      const seed = options.seed + done / together;
      const { ran, compared, undecided, illTyped, refused, perSecond, failure } = await campaign({
        seed,
        cases,
        levels: () => [level],
        shrinkBudget: 60,
      });
      console.log(JSON.stringify({ device: device.name, seed, ran, compared, undecided, illTyped, refused, perSecond, ok: !failure }));
      if (failure) throw new Error(`${failure.detail}\n${failure.text}\n(seed ${failure.seed}, choices ${failure.tape.join(",")})`);
    });
}
const natural = (text: string): number => {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("It takes a whole number from 1.");
  return n;
};
const program = new Command("hardware").description("What an NVIDIA GPU does with what we emit.");
program
  .command("record", { isDefault: true })
  .description("the output bits of every intrinsic, written to verify/hardware/recorded")
  .action(() => withDevice(recordDevice));
program
  .command("random")
  .description("random programs under random schedules, over the exact algebra and over floats, against the reference")
  .option("--cases <n>", "programs", natural, 200)
  .option("--seed <n>", "of the first hundred; the next hundred has the next", natural, 1)
  .action(randomPrograms);
try {
  await program.parseAsync();
} catch (e) {
  console.error(`hardware: ${(e as Error).message}`);
  process.exitCode = 1;
}
