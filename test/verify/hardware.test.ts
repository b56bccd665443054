/** The emulator against what real devices gave, recorded by `npm run -s hardware`; and the recording against itself, so that it can fail. */
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { prepare, tensor } from "../../runtime/index.ts";
import { CpuCudaDevice, EmulatedLibrary } from "../../verify/cuda-cpu/device.ts";
import { probes } from "../../verify/hardware/probes.ts";
import { rawArtifact } from "../../verify/hardware/raw.ts";
import { deviations, modelOf, type Recording, record, recordedWords } from "../../verify/hardware/record.ts";
import { gxx } from "../support/devices.ts";

const compiler = await gxx();
/** Newer than some recording: the next run of `npm run -s hardware` on that device has them. */
const unrecorded = probes.flatMap((p) => (p.name.startsWith("mma_f8") ? [p.name] : []));
const folder = fileURLToPath(new URL("../../verify/hardware/recorded/", import.meta.url));
const recordings = fs.existsSync(folder)
  ? fs.readdirSync(folder).map((f) => JSON.parse(fs.readFileSync(`${folder}/${f}`, "utf8")) as Recording)
  : [];
if (recordings.length === 0) console.warn("SKIPPED: no device has been recorded yet (npm run -s hardware on a machine with an NVIDIA GPU)");

describe.skipIf(compiler === undefined || recordings.length === 0)("recorded devices", () => {
  test.each(recordings.map((r) => [`${r.device}, ${r.date}`, r] as const))("%s", async (_, r) => {
    const library = await EmulatedLibrary.build(probes.map((p) => rawArtifact(p.kernel)));
    library.setMatrixModel(modelOf(r.arch));
    const missing = probes.filter((p) => recordedWords(r, p.name) === undefined).map((p) => p.name);
    expect(missing.filter((name) => !unrecorded.includes(name))).toEqual([]);
    if (missing.length > 0) console.warn(`SKIPPED: the recording of ${r.device} is older than ${missing.join(", ")}`);
    const found = probes.flatMap((p, k) => {
      const words = recordedWords(r, p.name);
      if (missing.includes(p.name)) return [];
      expect(words, `${p.name} is recorded`).toBeDefined();
      const call = prepare(rawArtifact(p.kernel), { x: tensor("u32", [p.x.length], p.x.slice()) });
      return deviations(p, words!, library.run(k, call, 0).result.outputs["y"]!.data as Uint32Array);
    });
    expect(found).toEqual([]);
  });
});
describe.skipIf(compiler === undefined)("recording", () => {
  test("the emulator agrees with its own recording, and with no other", async () => {
    const device = new CpuCudaDevice();
    const own = await record(device, "2026-01-01", "test");
    expect(Object.keys(own.outputs)).toHaveLength(probes.length);
    for (const p of probes) {
      const words = recordedWords(own, p.name)!;
      expect(deviations(p, words, words)).toEqual([]);
      const other = words.slice();
      other[5] = (other[5]! ^ 0x00800000) >>> 0;
      expect(deviations(p, other, words), p.name).toHaveLength(1);
    }
  });
});
