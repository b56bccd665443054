/** `npm run bench:gpu`: Weft and its peers on one NVIDIA GPU, in one process, in turn; ratios of one run. */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { gpuCases } from "./cases.ts";
import { type PlannedCase, planCase } from "./plan.ts";

export interface GpuRow {
  readonly case: string;
  readonly contender: string;
  readonly ours: boolean;
  readonly medianMs?: number;
  readonly p25Ms?: number;
  readonly p75Ms?: number;
  readonly tflops?: number;
  readonly gbps?: number;
  /** Against a reference in f32 or f64, over the rows that were looked at. */
  readonly relativeError?: number;
  /** Its time over ours. */
  readonly ratio?: number;
  readonly note?: string;
  readonly error?: string;
  readonly samplesMs?: readonly number[];
}
export interface GpuRun {
  /** As torch names it, with the versions of torch and CUDA. */
  readonly device: string;
  readonly rows: readonly GpuRow[];
}
export const plannedCases = (only: string | undefined): PlannedCase[] =>
  gpuCases.filter((c) => only === undefined || c.name.includes(only)).map((c) => planCase(c));

/**
 * @param row told of each row as it comes, without its ratio
 * @throws with what the measuring process said, where it ends early
 */
export async function measureGpu(cases: readonly PlannedCase[], rounds: number, row: (r: GpuRow) => void): Promise<GpuRun> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "weft-gpu-"));
  try {
    const plan = path.join(folder, "plan.json");
    fs.writeFileSync(plan, JSON.stringify(cases));
    const script = path.join(import.meta.dirname, "measure.py");
    const python = spawn(process.env["PYTHON"] ?? "python3", ["-B", script, plan, "--rounds", String(rounds)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise<number | null>((done, fail) => python.on("error", fail).on("close", done));
    let device = "";
    const rows: GpuRow[] = [];
    for await (const line of readline.createInterface({ input: python.stdout })) {
      const said = JSON.parse(line) as GpuRow & { readonly device?: string; readonly torch?: string; readonly cuda?: string };
      if (said.device !== undefined) {
        device = `${said.device}; torch ${said.torch}, CUDA ${said.cuda}`;
        continue;
      }
      rows.push(said);
      row(said);
    }
    const code = await ended;
    if (code !== 0) throw new Error(`measure.py ended with ${code}: it needs Python with torch, and an NVIDIA GPU`);
    return { device, rows: rows.map((r) => ({ ...r, ...ratioOf(r, rows) })) };
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
function ratioOf(r: GpuRow, rows: readonly GpuRow[]): { ratio?: number } {
  const ours = rows.find((x) => x.case === r.case && x.ours && x.medianMs !== undefined);
  if (ours === undefined || r.ours || r.medianMs === undefined) return {};
  return { ratio: Number((r.medianMs / ours.medianMs!).toFixed(3)) };
}
