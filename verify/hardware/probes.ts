/**
 * One kernel for each intrinsic that emitted CUDA may use, on seeded inputs: what the emulator, the PTX executor and recorded bits of a real
 * device are held to each other with. A warp runs each; lane l reads its words from `x` and writes its words to `y`.
 */

import { cuda } from "../../compiler/targets/cuda.ts";
import type { Elem } from "../../compiler/tile/ir.ts";
import type { Op } from "../../dsl/tensor/ir.ts";
import type { EightBits } from "../../dsl/tensor/matrix.ts";
import { encode, formats, roundTo } from "../../dsl/tensor/narrow.ts";
import { seeded } from "../generate.ts";
import type { RawKernel } from "./raw.ts";

export interface Probe {
  readonly name: string;
  readonly kernel: RawKernel;
  readonly x: Uint32Array<ArrayBuffer>;
  /** Words of `y`. */
  readonly words: number;
  /** Bits that every device must give; otherwise f32 results that the accuracy table bounds, or a matrix sum that depends on the unit. */
  readonly exact: boolean;
  /** Of a function of one float: the operation. */
  readonly op?: Op;
}
const lanes = 32;
const words = (list: ArrayLike<number>): Uint32Array<ArrayBuffer> => Uint32Array.from(list);
const floatBits = (list: readonly number[]): Uint32Array<ArrayBuffer> => new Uint32Array(Float32Array.from(list).buffer);

function probe(
  name: string,
  x: Uint32Array<ArrayBuffer>,
  out: number,
  body: readonly string[],
  options: Partial<Probe & RawKernel> = {},
): Probe {
  return {
    name,
    x,
    words: out * lanes,
    exact: options.exact ?? true,
    ...(options.op ? { op: options.op } : {}),
    kernel: {
      name: `probe_${name}`,
      body,
      threads: lanes,
      ...(options.arch ? { arch: options.arch } : {}),
      sharedBytes: options.sharedBytes ?? 0,
      buffers: [
        { name: "x", role: "in", words: x.length },
        { name: "y", role: "out", words: out * lanes },
      ],
    },
  };
}
/** Words of narrow floats of magnitudes around 1, some zeros and subnormals among them; `whole`: small integers. */
function narrowWords(count: number, format: "f16" | "bf16" | EightBits, seed: number, whole = false): Uint32Array<ArrayBuffer> {
  const random = seeded(seed);
  const f = formats[format]!;
  const draw = (): number => {
    const r = random();
    const v = whole
      ? Math.floor(random() * 9) - 4
      : r < 0.03
        ? 0
        : r < 0.06
          ? (random() - 0.5) * 2 ** (1 - f.bias)
          : (random() * 2 - 1) * 2 ** Math.floor(random() * 8 - 4);
    return encode(f, roundTo(f, v));
  };
  const shifts = Array.from({ length: 32 / f.bits }, (_, k) => k * f.bits);
  return Uint32Array.from({ length: count }, () => shifts.reduce((word, by) => word | (draw() << by), 0) >>> 0);
}
/** A code of f16; infinities for NaN, whose payload is nobody's promise. */
const halfCode = (k: number): number => ((k & 0x7c00) === 0x7c00 ? k & 0xfc00 : k & 0xffff);
const randomWords = (count: number, seed: number): Uint32Array<ArrayBuffer> => {
  const random = seeded(seed);
  return Uint32Array.from({ length: count }, () => Math.floor(random() * 2 ** 32));
};
const bytesOf = (list: readonly number[]): Uint32Array<ArrayBuffer> => new Uint32Array(Uint8Array.from(list).buffer);
/** a 4, b 2, c 4 words to a lane; without c, sums begin at 0. */
function multiply(
  name: string,
  intrinsic: string,
  d: "float" | "int",
  a: Uint32Array<ArrayBuffer>,
  c: Uint32Array<ArrayBuffer> | undefined,
  exact: boolean,
): Probe {
  const x = new Uint32Array(lanes * 10);
  for (let l = 0; l < lanes; l++) {
    x.set(a.subarray(l * 6, l * 6 + 6), l * 10);
    if (c) x.set(c.subarray(l * 4, l * 4 + 4), l * 10 + 6);
  }
  const [to, from] = d === "float" ? ["__uint_as_float", "__float_as_uint"] : ["(int)", "(unsigned)"];
  return probe(
    name,
    x,
    4,
    [
      ...[0, 1, 2, 3].map((k) => `${d} d${k}${c ? ` = ${to}(x[thread * 10 + ${6 + k}])` : ""};`),
      `${intrinsic}(d0, d1, d2, d3, x[thread * 10], x[thread * 10 + 1], x[thread * 10 + 2], x[thread * 10 + 3], x[thread * 10 + 4], x[thread * 10 + 5]);`,
      ...[0, 1, 2, 3].map((k) => `y[thread * 4 + ${k}] = ${from}(d${k});`),
    ],
    { exact, ...(intrinsic.includes("_f8") ? { arch: "sm_89" } : {}) },
  );
}
function loadMatrix(count: 2 | 4, trans: boolean): Probe {
  const registers = Array.from({ length: count }, (_, k) => `r${k}`);
  return probe(
    `ldmatrix_x${count}${trans ? "_trans" : ""}`,
    randomWords(lanes * 4, 7),
    count,
    [
      "WEFT_SHARED(unsigned, rows, 128, 0);",
      "for (int k = 0; k < 4; k++) rows[thread * 4 + k] = x[thread * 4 + k];",
      "__syncwarp();",
      `unsigned ${registers.join(", ")};`,
      // Rows in an order of their own: a fault in which lane names which row would show.
      "const int row = (thread * 5 + 3) % 32;",
      `weft_ldmatrix_x${count}${trans ? "_trans" : ""}(${registers.join(", ")}, rows + row * 4);`,
      ...registers.map((r, k) => `y[thread * ${count} + ${k}] = ${r};`),
    ],
    { sharedBytes: 512 },
  );
}
function copyAsync(bytes: 4 | 16): Probe {
  const n = bytes / 4;
  return probe(
    `copy_async_${bytes}`,
    randomWords(lanes * n * 2, 9),
    n * 2,
    [
      `WEFT_SHARED(unsigned, stage, ${lanes * n * 2}, 0);`,
      `weft_copy_async_${bytes}(stage + thread * ${n}, x + thread * ${n}, true);`,
      "weft_copy_async_commit();",
      // Every third lane copies nothing, and gets zeros.
      `weft_copy_async_${bytes}(stage + (${lanes} + thread) * ${n}, x + (${lanes} + thread) * ${n}, thread % 3 != 0);`,
      "weft_copy_async_commit();",
      "weft_copy_async_wait<1>();",
      "__syncwarp();",
      // Another lane's first copy.
      `for (int k = 0; k < ${n}; k++) y[thread * ${n} + k] = stage[(thread ^ 1) * ${n} + k];`,
      "weft_copy_async_wait<0>();",
      "__syncwarp();",
      `for (int k = 0; k < ${n}; k++) y[(${lanes} + thread) * ${n} + k] = stage[(${lanes} + (thread ^ 2)) * ${n} + k];`,
    ],
    { sharedBytes: lanes * bytes * 2 },
  );
}
/** An operation on one f32, 8 values to a lane. */
function unary(op: Op, values: (r: () => number) => number): Probe {
  const random = seeded(31);
  const list = Array.from({ length: lanes * 8 }, () => Math.fround(values(random)));
  const text = cuda.op(op, "f32" as Elem, [{ text: "__uint_as_float(x[thread * 8 + k])", level: 20 }], "f32" as Elem).text;
  return probe(`f32_${op}`, floatBits(list), 8, [`for (int k = 0; k < 8; k++) y[thread * 8 + k] = __float_as_uint(${text});`], {
    exact: op === "sqrt" || op === "floor" || op === "round",
    op,
  });
}
const wide = (r: () => number): number => (r() * 2 - 1) * 2 ** Math.floor(r() * 12 - 6);
const positive = (r: () => number): number => Math.abs(wide(r)) + 2 ** -20;

/** Floats of every size, a third of them half-way between two values of a narrow format; infinities, no NaN. */
function roundable(count: number): number[] {
  const random = seeded(77);
  return Array.from({ length: count }, (_, k) => {
    const x = (random() * 2 - 1) * 2 ** Math.floor(random() * 60 - 32);
    if (k % 16 === 7) return k % 32 === 7 ? Number.POSITIVE_INFINITY : 65_520;
    if (k % 3 > 0) return x;
    const step = 2 ** (Math.floor(Math.log2(Math.abs(x) || 1)) - (k % 2 ? 11 : 8));
    return (Math.floor(x / step) + 0.5) * step;
  });
}

export const probes: readonly Probe[] = [
  probe("shuffle", randomWords(lanes, 1), 1, ["y[thread] = __shfl_sync(0xffffffffu, x[thread], (thread * 7 + 3) % 32);"]),
  probe("shuffle_xor", randomWords(lanes, 2), 5, [
    "unsigned v = x[thread];",
    ...[1, 2, 4, 8, 16].map((b, k) => `v = v * 3u + __shfl_xor_sync(0xffffffffu, v, ${b});\n  y[thread * 5 + ${k}] = v;`),
  ]),
  probe("shuffle_down", randomWords(lanes, 3), 1, ["y[thread] = __shfl_down_sync(0xffffffffu, x[thread], 3, 16);"]),
  probe("shuffle_up", randomWords(lanes, 4), 1, ["y[thread] = __shfl_up_sync(0xffffffffu, x[thread], 5, 16);"]),
  probe("votes", randomWords(lanes, 5), 3, [
    "const int odd = x[thread] & 1u;",
    "y[thread * 3] = __ballot_sync(0xffffffffu, odd);",
    "y[thread * 3 + 1] = __any_sync(0xffffffffu, odd);",
    "y[thread * 3 + 2] = __all_sync(0xffffffffu, odd);",
  ]),
  loadMatrix(2, false),
  loadMatrix(2, true),
  loadMatrix(4, false),
  loadMatrix(4, true),
  multiply(
    "mma_f16_whole",
    "weft_mma_f16",
    "float",
    narrowWords(lanes * 6, "f16", 11, true),
    floatBits(Array.from({ length: lanes * 4 }, (_, k) => (k % 17) - 8)),
    true,
  ),
  multiply(
    "mma_bf16_whole",
    "weft_mma_bf16",
    "float",
    narrowWords(lanes * 6, "bf16", 12, true),
    floatBits(Array.from({ length: lanes * 4 }, (_, k) => (k % 13) - 6)),
    true,
  ),
  ...(["f8e4m3", "f8e5m2"] as const).map((format, k) =>
    multiply(`mma_${format}_whole`, `weft_mma_${format}`, "float", narrowWords(lanes * 6, format, 17 + k, true), undefined, true),
  ),
  multiply("mma_s8", "weft_mma_s8", "int", randomWords(lanes * 6, 13), randomWords(lanes * 4, 14), true),
  ...[0, 1, 2, 3].flatMap((k) => {
    const random = seeded(40 + k);
    const c = floatBits(Array.from({ length: lanes * 4 }, () => (random() * 2 - 1) * 2 ** Math.floor(random() * 12 - 6)));
    return [
      multiply(`mma_f16_${k}`, "weft_mma_f16", "float", narrowWords(lanes * 6, "f16", 20 + k), c, false),
      multiply(`mma_bf16_${k}`, "weft_mma_bf16", "float", narrowWords(lanes * 6, "bf16", 30 + k), c, false),
      multiply(`mma_f8e4m3_${k}`, "weft_mma_f8e4m3", "float", narrowWords(lanes * 6, "f8e4m3", 50 + k), undefined, false),
      multiply(`mma_f8e5m2_${k}`, "weft_mma_f8e5m2", "float", narrowWords(lanes * 6, "f8e5m2", 60 + k), undefined, false),
    ];
  }),
  copyAsync(4),
  copyAsync(16),
  probe("half_to_float", words(Array.from({ length: lanes * 8 }, (_, k) => halfCode(k * 257))), 8, [
    "for (int k = 0; k < 8; k++) y[thread * 8 + k] = __float_as_uint(weft_half_to_float((unsigned short)x[thread * 8 + k]));",
  ]),
  ...(["f16", "bf16"] as const).map((format) =>
    probe(`encode_${format}`, floatBits(roundable(lanes * 8)), 8, [
      `for (int k = 0; k < 8; k++) y[thread * 8 + k] = weft_encode_${format}(__uint_as_float(x[thread * 8 + k]));`,
    ]),
  ),
  ...(["f16", "bf16"] as const).map((format) =>
    probe(`pair_${format}`, floatBits(roundable(lanes * 8)), 4, [
      `for (int k = 0; k < 4; k++) y[thread * 4 + k] = weft_pair_${format}(__uint_as_float(x[thread * 8 + 2 * k]), __uint_as_float(x[thread * 8 + 2 * k + 1]));`,
    ]),
  ),
  probe("fields_f16", randomWords(lanes * 2, 16), 8, [
    "for (int k = 0; k < 8; k++) y[thread * 8 + k] = weft_fields_f16(x[thread * 2 + (k & 1)], 4u * ((thread + k) % 4), (thread * 7 + k * 5) % 64);",
  ]),
  probe("nibbles_f16", randomWords(lanes * 2, 15), 8, [
    "for (int k = 0; k < 8; k++) y[thread * 8 + k] = weft_nibbles_f16(x[thread * 2 + (k & 1)], 8u * ((thread + k) % 4), (thread * 7 + k * 5) % 64);",
  ]),
  ...(["f8e4m3", "f8e5m2"] as const).map((format) =>
    // Every code, each beside another than its own neighbour; of what is no number, its payload is nobody's promise.
    probe(`widen_${format}`, bytesOf(Array.from({ length: lanes * 8 }, (_, k) => (k * 37) & 255)), 4, [
      "for (int k = 0; k < 4; k++) {",
      `  const unsigned h = weft_widen_${format}(x[thread * 2 + (k >> 1)], 16u * (k & 1)), low = h & 0x7fffu, high = (h >> 16) & 0x7fffu;`,
      "  y[thread * 4 + k] = (low > 0x7c00u ? 0x7e00u : h & 0xffffu) | (high > 0x7c00u ? 0x7e000000u : h & 0xffff0000u);",
      "}",
    ]),
  ),
  probe("multiply_f16x2", narrowWords(lanes * 16, "f16", 16), 8, [
    "for (int k = 0; k < 8; k++) y[thread * 8 + k] = weft_multiply_f16x2(x[thread * 16 + k], x[thread * 16 + 8 + k]);",
  ]),
  probe(
    "small_to_float",
    words(Array.from({ length: lanes * 8 }, (_, k) => (k % 2 ? 4194303 - k * 16_411 : k * 16_411 - 4194303) >>> 0)),
    8,
    ["for (int k = 0; k < 8; k++) y[thread * 8 + k] = __float_as_uint(weft_small_to_float((int)x[thread * 8 + k]));"],
  ),
  probe("bit_length", randomWords(lanes, 6), 1, ["y[thread] = 32 - __clz((int)(x[thread] >> (thread % 32)));"]),
  probe(
    "saturating",
    floatBits(Array.from({ length: lanes }, (_, k) => [1e20, -1e20, Number.NaN, 2.5, -2.5, 4e9, -1, 0][k % 8]! * (1 + k / 64))),
    2,
    [
      "y[thread * 2] = (unsigned)__float2int_rz(__uint_as_float(x[thread]));",
      "y[thread * 2 + 1] = __float2uint_rz(__uint_as_float(x[thread]));",
    ],
  ),
  probe(
    "vector_16",
    randomWords(lanes * 4, 8),
    4,
    [
      "WEFT_SHARED(float, stage, 128, 0);",
      "reinterpret_cast<uint4*>(stage)[thread] = reinterpret_cast<const uint4*>(x)[thread];",
      "__syncthreads();",
      "reinterpret_cast<uint4*>(y)[thread] = reinterpret_cast<const uint4*>(stage)[31 - thread];",
    ],
    { sharedBytes: 512 },
  ),
  unary("exp", (r) => wide(r) % 60),
  unary("exp2", (r) => wide(r) % 60),
  unary("log", positive),
  unary("log2", positive),
  unary("log1p", positive),
  unary("expm1", (r) => wide(r) % 30),
  unary("sqrt", positive),
  unary("rsqrt", positive),
  unary("tanh", wide),
  unary("sin", wide),
  unary("cos", wide),
  unary("erf", wide),
  unary("floor", wide),
  unary("round", wide),
];
