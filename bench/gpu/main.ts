/** `npm run bench:gpu`: Weft and its peers on one NVIDIA GPU, in one process, in turn; ratios of one run. */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { saveResults } from "../results.ts";
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
interface GpuRun {
  /** As torch names it, with the versions of torch and CUDA. */
  readonly device: string;
  readonly rows: readonly GpuRow[];
}
export interface GpuOptions {
  readonly rounds: string;
  readonly only?: string;
  readonly plan?: string;
  readonly rows?: string;
  readonly json?: boolean;
  readonly save?: boolean;
}
const elsewhere =
  "gpu --plan plan.json; python3 bench/gpu/measure.py plan.json > rows.jsonl; npm run -s bench -- gpu --rows rows.jsonl --save";

/** @throws Error where an option is wrong, or the measuring process ends early */
export async function gpu(options: GpuOptions): Promise<void> {
  const rounds = Number(options.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds takes a whole number from 1, not \`${options.rounds}\``);
  if (options.save && options.only !== undefined) throw new Error("--save keeps all cases: leave --only out");
  const cases = (): PlannedCase[] => {
    const found = gpuCases.filter((c) => options.only === undefined || c.name.includes(options.only));
    if (found.length === 0) throw new Error(`no case has \`${options.only}\` in its name`);
    return found.map((c) => planCase(c));
  };
  if (options.plan !== undefined) return fs.writeFileSync(options.plan, JSON.stringify(cases()));
  const say = (r: GpuRow): void => {
    if (!options.json) console.log(`${r.case.padEnd(52)} ${r.contender.padEnd(18)} ${r.error ?? figures(r)}`);
  };
  const { device, rows } =
    options.rows === undefined
      ? await measureGpu(cases(), rounds, say)
      : await readGpu(fs.readFileSync(options.rows, "utf8").trim().split("\n"), say);
  for (const r of rows)
    if (options.json) console.log(JSON.stringify(r));
    else if (r.ratio !== undefined) console.log(`${r.case.padEnd(52)} ${r.contender.padEnd(18)} its time is ${r.ratio} x ours`);
  const name = device.split(";")[0]!.replace(/[^A-Za-z0-9]+/g, "-");
  if (options.save) saveResults(`gpu-${name.toLowerCase()}`, rows, device, options.rows === undefined ? "gpu --save" : elsewhere);
}
const figures = (r: GpuRow): string =>
  `${r.medianMs} ms (${r.p25Ms} to ${r.p75Ms}), ${r.tflops} TFLOP/s, ${r.gbps} GB/s, error ${r.relativeError?.toExponential(1) ?? "-"}`;

/**
 * @param row told of each row as it comes, without its ratio
 * @throws with what the measuring process said, where it ends early
 */
async function measureGpu(cases: readonly PlannedCase[], rounds: number, row: (r: GpuRow) => void): Promise<GpuRun> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "weft-gpu-"));
  try {
    const plan = path.join(folder, "plan.json");
    fs.writeFileSync(plan, JSON.stringify(cases));
    const script = path.join(import.meta.dirname, "measure.py");
    const python = spawn(process.env["PYTHON"] ?? "python3", ["-B", script, plan, "--rounds", String(rounds)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise<number | null>((done, fail) => python.on("error", fail).on("close", done));
    const run = await readGpu(readline.createInterface({ input: python.stdout }), row);
    const code = await ended;
    if (code !== 0) throw new Error(`measure.py ended with ${code}: it needs Python with torch, and an NVIDIA GPU`);
    return run;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
/** What measure.py prints, line by line. */
async function readGpu(lines: AsyncIterable<string> | Iterable<string>, row: (r: GpuRow) => void): Promise<GpuRun> {
  let device = "";
  const rows: GpuRow[] = [];
  for await (const line of lines) {
    const said = JSON.parse(line) as GpuRow & { readonly device?: string; readonly torch?: string; readonly cuda?: string };
    if (said.device !== undefined) {
      device = `${said.device}; torch ${said.torch}, CUDA ${said.cuda}`;
      continue;
    }
    rows.push(said);
    row(said);
  }
  return { device, rows: rows.map((r) => ({ ...r, ...ratioOf(r, rows) })) };
}
function ratioOf(r: GpuRow, rows: readonly GpuRow[]): { ratio?: number } {
  const ours = rows.find((x) => x.case === r.case && x.ours && x.medianMs !== undefined);
  if (ours === undefined || r.ours || r.medianMs === undefined) return {};
  return { ratio: Number((r.medianMs / ours.medianMs!).toFixed(3)) };
}
