/** `npm run demo`: the library at realistic sizes on every device there is, a sample of each output held against the reference. */
import fs from "node:fs";
import pc from "picocolors";
import { compile } from "../compiler/index.ts";
import { check } from "../dsl/index.ts";
import { library, offsetsOf, planRows } from "../kernels/index.ts";
import { openCuda } from "../runtime/cuda/index.ts";
import { type Arguments, type Device, prepare, tensor, WeftError } from "../runtime/index.ts";
import { openWebGpu } from "../runtime/webgpu/node.ts";
import { type Agreement, agree, describe } from "../verify/agree.ts";
import { tensorOf } from "../verify/convert.ts";
import { seeded } from "../verify/generate.ts";
import { interpreterFor } from "../verify/reference-device.ts";
import { progress } from "./render.ts";

interface Case {
  readonly file: string;
  readonly kernel: string;
  readonly instance: string;
  readonly shape: string;
  /** One set of arguments for each launch; several launches count as one case. */
  readonly args: (random: () => number) => Arguments[];
  readonly sample: number;
  /** Dimensions that no shape has. */
  readonly dims?: Readonly<Record<string, number>>;
}
const floats = (n: number, random: () => number, scale = 1): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: n }, () => (random() * 2 - 1) * scale);

const cases: readonly Case[] = [
  {
    file: library.attention,
    kernel: "attention",
    instance: "T=f16, D=128",
    shape: "B1 H32 KV8 M512 N512 D128",
    sample: 200,
    args: (r) => [
      {
        q: tensorOf("f16", [1, 32, 512, 128], floats(32 * 512 * 128, r)),
        k: tensorOf("f16", [1, 8, 512, 128], floats(8 * 512 * 128, r)),
        v: tensorOf("f16", [1, 8, 512, 128], floats(8 * 512 * 128, r)),
        scale: 1 / Math.sqrt(128),
      },
    ],
  },
  {
    file: library.gemm,
    kernel: "w4a16",
    instance: "GS=128, v1=false",
    shape: "M16 K4096 N4096 group 128",
    sample: 400,
    args: (r) => [
      {
        x: tensorOf("f16", [16, 4096], floats(16 * 4096, r)),
        w: tensor(
          "u4",
          [4096, 4096],
          Uint32Array.from({ length: 512 * 4096 }, () => Math.floor(r() * 2 ** 32)),
        ),
        z: tensor(
          "u4",
          [32, 4096],
          Uint32Array.from({ length: (32 * 4096) / 8 }, () => Math.floor(r() * 2 ** 32)),
        ),
        s: tensorOf(
          "f16",
          [32, 4096],
          Float32Array.from({ length: 32 * 4096 }, () => 0.01 + 0.01 * r()),
        ),
      },
    ],
  },
  {
    file: library.prepack,
    kernel: "packed_attention",
    instance: "T=f16, D=64",
    shape: "64 prompts of 16 to 512 tokens, KV2 G2 D64",
    sample: 40,
    args: (r) => {
      const lengths = Array.from({ length: 64 }, () => 16 + Math.floor(r() * 497));
      return planRows(lengths, 512).map((row) => ({
        q: tensorOf("f16", [512, 4, 64], floats(512 * 4 * 64, r)),
        k: tensorOf("f16", [512, 2, 64], floats(512 * 2 * 64, r)),
        v: tensorOf("f16", [512, 2, 64], floats(512 * 2 * 64, r)),
        start: tensor("offsets", [row.prompts.length + 1], offsetsOf(row)),
        scale: 1 / 8,
      }));
    },
  },
  {
    file: library.prepack,
    kernel: "tables",
    instance: "",
    shape: "64 prompts of 16 to 512 tokens, rows of 512",
    sample: 200,
    // Tables of a row are padded to the row.
    dims: { C: 512 },
    args: (r) =>
      planRows(
        Array.from({ length: 64 }, () => 16 + Math.floor(r() * 497)),
        512,
      ).map((row) => ({ start: tensor("offsets", [row.prompts.length + 1], offsetsOf(row)) })),
  },
  {
    file: library.adamw,
    kernel: "adamw",
    instance: "",
    shape: "4194304 parameters",
    sample: 2000,
    args: (r) => {
      const n = 4 * 1024 * 1024;
      const w = floats(n, r);
      return [
        {
          p: tensorOf("bf16", [n], w),
          w: tensor("f32", [n], w),
          m: tensor("f32", [n], floats(n, r, 0.1)),
          v: tensor(
            "f32",
            [n],
            Float32Array.from({ length: n }, () => 0.01 * r()),
          ),
          g: tensorOf("bf16", [n], floats(n, r)),
          lr: 1e-3,
          b1: 0.9,
          b2: 0.999,
          eps: 1e-8,
          decay: 0.01,
          c1: 1 - 0.9 ** 10,
          c2: 1 - 0.999 ** 10,
        },
      ];
    },
  },
];

async function devices(): Promise<{ target: "wgsl" | "cuda"; device: Device | undefined; why: string }[]> {
  const open = async (
    target: "wgsl" | "cuda",
    f: () => Promise<Device>,
  ): Promise<{ target: "wgsl" | "cuda"; device: Device | undefined; why: string }> => {
    try {
      return { target, device: await f(), why: "" };
    } catch (e) {
      if (e instanceof WeftError) return { target, device: undefined, why: e.message };
      throw e;
    }
  };
  return [await open("wgsl", () => openWebGpu()), await open("cuda", () => openCuda())];
}

async function runCase(c: Case, target: "wgsl" | "cuda", device: Device): Promise<{ timeMs: number; result: Agreement }> {
  const text = fs.readFileSync(c.file, "utf8");
  const checked = check(text);
  const instance = checked.instances.find((i) => i.kernel === c.kernel && i.name === c.instance);
  if (instance === undefined) throw new Error(`${c.kernel} has no instance ${c.instance}`);
  const { artifact } = compile(instance, text, { target });
  const random = seeded(20_26);
  let timeMs = 0;
  const all: Agreement[] = [];
  for (const args of c.args(random)) {
    const call = prepare(artifact, args, c.dims ? { dims: c.dims } : {});
    const machine = interpreterFor(call, target);
    const result = await device.run(call, { timeoutMs: 100_000 });
    timeMs += result.timeMs;
    all.push(agree(call, result, machine, { sample: c.sample, random }));
  }
  const worst = all.reduce((a, b) => (b.errorOverBound > a.errorOverBound ? b : a));
  return {
    timeMs,
    result: { ...worst, compared: all.reduce((n, a) => n + a.compared, 0), disagreements: all.flatMap((a) => a.disagreements) },
  };
}

const json = process.argv.includes("--json");
let failed = false;
for (const { target, device, why } of await devices()) {
  if (device === undefined) {
    if (!json) console.log(pc.yellow(`skipped ${target}: ${why}`));
    continue;
  }
  for (const c of cases) {
    if (!json) progress(`running ${c.kernel} on ${device.name} and holding it against the reference …`);
    const outcome = await runCase(c, target, device).catch((e: unknown) => {
      if (e instanceof WeftError) return e;
      throw e;
    });
    progress("");
    if (outcome instanceof WeftError) {
      failed = true;
      const { kernel, shape } = c;
      if (json)
        console.log(
          JSON.stringify({ kernel, target, device: device.name, shape, errorOverBound: null, ok: false, error: outcome.message }),
        );
      else console.log(`${pc.red("FAIL")}  ${kernel.padEnd(17)} ${target.padEnd(5)} ${device.name}  ${outcome.message}`);
      continue;
    }
    const { timeMs, result } = outcome;
    const ok = result.disagreements.length === 0 && result.compared > 0;
    failed ||= !ok;
    if (json)
      console.log(
        JSON.stringify({
          kernel: c.kernel,
          target,
          device: device.name,
          shape: c.shape,
          timeMs: Number(timeMs.toFixed(1)),
          compared: result.compared,
          errorOverBound: result.errorOverBound,
          ok,
        }),
      );
    else {
      console.log(
        `${ok ? pc.green("pass") : pc.red("FAIL")}  ${c.kernel.padEnd(17)} ${target.padEnd(5)} ${device.name}  ${c.shape}  ${timeMs.toFixed(0)} ms  error/bound ${result.errorOverBound.toFixed(3)} over ${result.compared} elements`,
      );
      for (const d of result.disagreements.slice(0, 3)) console.log(`      ${describe(d)}`);
    }
  }
  await device[Symbol.asyncDispose]();
}
process.exit(failed ? 1 : 0);
