/** `npm run bench -- report`: the tables of docs/performance.md and its charts, from what lies under bench/results. */
import fs from "node:fs";
import path from "node:path";
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { CompileRow } from "./compile.ts";
import type { GpuRow } from "./gpu/main.ts";
import { type Head, readResults, resultsNamed } from "./results.ts";
import type { StaticRow } from "./static.ts";
import type { VisitsRow } from "./visits.ts";
import type { PlacedRow } from "./web/main.ts";

const docs = path.resolve(import.meta.dirname, "..", "docs");
export const page = path.join(docs, "performance.md");
const charts = path.join(docs, "charts");

interface Section {
  readonly name: string;
  readonly text: string;
  readonly chart?: TopLevelSpec;
}
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((r) => `| ${r.join(" | ")} |`).join("\n");
const measured = ({ date, device, command }: Head): string => `Measured ${date}; device: ${device}; \`${command}\`.`;

function web(): Section | undefined {
  const found = readResults<PlacedRow>("web");
  if (!found) return undefined;
  const rows = found.rows.map((r) => [
    ...[r.op, r.where, r.device ?? "-", r.oursMs ?? "-", r.peer, r.peerMs ?? r.error ?? "-"],
    r.ratio === undefined ? "-" : `${r.ratio} x`,
  ]);
  const values = found.rows.flatMap((r) => (r.ratio === undefined ? [] : [{ ratio: r.ratio, peer: r.peer, op: `${r.op}, ${r.where}` }]));
  return {
    name: "web",
    text: `${measured(found.head)}\n\n${table(["operation", "where", "adapter", "Weft, ms", "peer", "its ms", "peer's time over ours"], rows)}`,
    chart: {
      title: "Time of a peer over Weft's, on a software adapter (1: equal)",
      data: { values },
      layer: [
        {
          mark: { type: "bar" },
          encoding: {
            x: { field: "ratio", type: "quantitative", title: "ratio" },
            y: { field: "op", title: null, axis: { labelLimit: 300 } },
            yOffset: { field: "peer" },
            color: { field: "peer" },
          },
        },
        { mark: { type: "rule", strokeDash: [4, 2] }, encoding: { x: { datum: 1 } } },
      ],
    },
  };
}
function counted(): Section | undefined {
  const found = readResults<StaticRow>("static");
  if (!found) return undefined;
  const rows = found.rows.map((r) => [
    ...[r.kernel, r.instance || "-", r.target, r.bytesOverMinimum, r.operationsOverMinimum ?? "-", r.bankConflicts, r.wideShare],
    ...[r.spillBytes ?? "-", r.registers ?? "-", r.occupancy ?? "-", r.matrixInstructions ?? "-", r.spirvRobustOverPlain ?? "-"],
  ]);
  const head = [
    "kernel",
    "instance",
    "target",
    "bytes over least",
    "operations over products",
    "bank conflicts",
    "16-byte share",
    "spill bytes",
    "registers",
    "occupancy",
    "mma",
    "SPIR-V robust over plain",
  ];
  const values = found.rows.map((r) => ({ kernel: `${r.kernel} ${r.instance}`, target: r.target, bytes: r.bytesOverMinimum }));
  return {
    name: "static",
    text: `${measured(found.head)}\n\n${table(head, rows)}`,
    chart: {
      title: "Bytes that blocks move over the bytes that they need (1: the least)",
      data: { values },
      mark: "bar",
      encoding: {
        x: { field: "bytes", type: "quantitative", title: "ratio" },
        y: { field: "kernel", title: null, axis: { labelLimit: 300 } },
        yOffset: { field: "target" },
        color: { field: "target" },
      },
    },
  };
}
function visits(): Section | undefined {
  const found = readResults<VisitsRow>("visits");
  if (!found) return undefined;
  const rows = found.rows.map((r) => [r.kernel, r.target, r.what, r.visited, r.of, r.ratio, r.most]);
  return {
    name: "visits",
    text: `${measured(found.head)}\n\n${table(["kernel", "target", "case", "tiles visited", "of", "ratio", "goal: at most"], rows)}`,
  };
}
function compileTimes(): Section | undefined {
  const found = readResults<CompileRow>("compile");
  if (!found) return undefined;
  const rows = found.rows.map((r) => [r.kernel, r.medianMs, r.leastMs, r.firstMs, r.incrementalMs, r.plainHeapMs, r.runs]);
  return {
    name: "compile",
    text: `${measured(found.head)}\n\n${table(["kernel", "median, ms", "least, ms", "first, ms", "after an edit elsewhere, median, ms", "with Node's own heap, median, ms", "runs"], rows)}`,
  };
}

/** A peer that takes longer than so many times ours is in the table alone. */
const most = 4;
function gpu(): Section | undefined {
  const found = resultsNamed("gpu-").flatMap((name) => readResults<GpuRow>(name) ?? []);
  if (found.length === 0) return undefined;
  const head = ["case", "contender", "median, ms", "25 to 75 %, ms", "TFLOP/s", "GB/s", "relative error", "its time over ours"];
  const text = found.map((f) => {
    const rows = f.rows.map((r) => [
      ...[r.case, r.contender, r.medianMs ?? r.error ?? "-", r.p25Ms === undefined ? "-" : `${r.p25Ms} to ${r.p75Ms}`],
      ...[r.tflops || "-", r.gbps ?? "-", r.relativeError?.toExponential(1) ?? "-", r.ratio === undefined ? "-" : `${r.ratio} x`],
    ]);
    return `${measured(f.head)}\n\n${table(head, rows)}`;
  });
  const values = found.flatMap((f) =>
    f.rows.flatMap((r) => (r.ratio === undefined || r.ratio > most ? [] : [{ ratio: r.ratio, peer: r.contender, case: r.case }])),
  );
  return {
    name: "gpu",
    text: text.join("\n\n"),
    chart: {
      title: `Time of a peer over Weft's, on ${found.map((f) => f.head.device.split(";")[0]).join(", ")} (1: equal)`,
      data: { values },
      layer: [
        {
          mark: { type: "bar" },
          encoding: {
            x: { field: "ratio", type: "quantitative", title: "ratio" },
            y: { field: "case", title: null, sort: null, axis: { labelLimit: 400 } },
            yOffset: { field: "peer" },
            color: { field: "peer" },
          },
        },
        { mark: { type: "rule", strokeDash: [4, 2] }, encoding: { x: { datum: 1 } } },
      ],
    },
  };
}

/** The page with its sections drawn again; text between `<!-- NAME -->` and `<!-- end -->` is theirs. */
export function reportText(before: string): string {
  return sections().reduce((text, s) => {
    const picture = s.chart ? `![${(s.chart as { title?: string }).title}](charts/${s.name}.svg)\n\n` : "";
    return text.replace(
      new RegExp(`(<!-- ${s.name} -->\n)[\\s\\S]*?(<!-- end -->)`),
      (_, open: string, close: string) => `${open}\n${picture}${s.text}\n\n${close}`,
    );
  }, before);
}
const sections = (): Section[] => [gpu(), web(), counted(), visits(), compileTimes()].filter((s) => s !== undefined);

export async function writeReport(): Promise<void> {
  fs.mkdirSync(charts, { recursive: true });
  for (const s of sections()) {
    if (!s.chart) continue;
    const spec = { width: 480, background: "white", ...s.chart } as TopLevelSpec;
    const view = new View(parse(compile(spec).spec), { renderer: "none" });
    fs.writeFileSync(path.join(charts, `${s.name}.svg`), `${await view.toSVG()}\n`);
  }
  fs.writeFileSync(page, reportText(fs.readFileSync(page, "utf8")));
}
