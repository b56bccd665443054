/** `npm run -s hardware`: records on an NVIDIA GPU what every intrinsic gives, for test/verify/hardware.test.ts to hold the emulator to. */
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { openCuda } from "../../runtime/cuda/index.ts";
import { record } from "./record.ts";

const folder = fileURLToPath(new URL("./recorded/", import.meta.url));
try {
  const device = await openCuda();
  const date = new Date().toISOString().slice(0, 10);
  const recording = await record(device, date, "npm run -s hardware");
  const file = path.join(folder, `${device.name.replace(/[^A-Za-z0-9]+/g, "-").toLowerCase()}.json`);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(`${file}.part`, `${JSON.stringify(recording, null, 1)}\n`);
  fs.renameSync(`${file}.part`, file);
  console.log(`${Object.keys(recording.outputs).length} probes of ${device.name} written to ${file}`);
  await device[Symbol.asyncDispose]();
} catch (e) {
  console.error(`hardware: ${(e as Error).message}`);
  process.exitCode = 1;
}
