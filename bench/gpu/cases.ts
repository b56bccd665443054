/** What is measured on a GPU: a kernel at a size, what it must do at least, and the peers that do the same. */
import path from "node:path";
import { library } from "../../kernels/index.ts";

export interface GpuCase {
  readonly name: string;
  readonly file: string;
  readonly kernel: string;
  /** As `T=f16, D=64`; empty where the kernel has one form. */
  readonly instance: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly scalars: Readonly<Record<string, number>>;
  /** The other dimensions of each call, of a case that is many calls. */
  readonly calls?: readonly Readonly<Record<string, number>>[];
  /** Names in peers.py. */
  readonly peers: readonly string[];
  /** Which reference of reference.py the output is held against. */
  readonly reference: string;
  /** Operations that the mathematics asks for (a multiply-add is two), and bytes that it moves at least. */
  readonly flops: number;
  readonly bytes: number;
}
const own = (name: string): string => path.join(import.meta.dirname, "..", "kernels", `${name}.weft`);

function attention(causal: boolean, B: number, KV: number, G: number, M: number, N: number, D: number): GpuCase {
  const peers = ["sdpa flash", "sdpa cudnn", "triton", ...(causal && D === 128 ? ["flex_attention"] : [])];
  const pairs = causal ? M * N - (M * (M - 1)) / 2 : M * N;
  return {
    name: `attention ${causal ? "causal" : "full"} B=${B} heads=${KV * G}/${KV} M=${M} N=${N} D=${D}`,
    file: causal ? library.attention : own("full"),
    kernel: causal ? "attention" : "full",
    instance: `D=${D}, T=f16`,
    dims: { B, KV, G, M, N, D },
    scalars: { scale: 1 / Math.sqrt(D) },
    peers,
    reference: "attention",
    flops: 4 * B * KV * G * pairs * D,
    bytes: 2 * B * KV * D * (2 * G * M + 2 * N),
  };
}
const decode = (B: number, KV: number, G: number, N: number, D: number): GpuCase => ({
  name: `decode B=${B} heads=${KV * G}/${KV} N=${N} D=${D}`,
  file: library.attention,
  kernel: "decode",
  instance: `D=${D}, T=f16`,
  dims: { B, KV, G, N, D },
  scalars: { scale: 1 / Math.sqrt(D) },
  peers: ["sdpa flash", "device copy"],
  reference: "decode",
  flops: 4 * B * KV * G * N * D,
  bytes: 4 * B * KV * D * (N + G),
});
const dense = (n: number): GpuCase => ({
  name: `dense ${n} x ${n} x ${n}`,
  file: own("dense"),
  kernel: "dense",
  instance: "",
  dims: { M: n, N: n, K: n },
  scalars: {},
  peers: ["cublas", "triton"],
  reference: "dense",
  flops: 2 * n ** 3,
  bytes: 6 * n ** 2,
});
const w4a16 = (M: number, N: number, GS = 128): GpuCase => ({
  name: `w4a16 M=${M} N=K=${N} groups of ${GS}`,
  file: library.gemm,
  kernel: "w4a16",
  instance: `GS=${GS}, v1=false`,
  dims: { M, N, NG: N / GS, GS },
  scalars: {},
  peers: ["cublas", "int4pack", ...(M <= 16 ? ["device copy"] : [])],
  reference: "w4a16",
  flops: 2 * M * N * N,
  bytes: N * N * (0.5 + 2.5 / GS) + 4 * M * N,
});
/** The same mathematics with weights in the order of fragments, and no zero points. */
const marlin = (M: number, N: number, GS = 128): GpuCase => ({
  ...w4a16(M, N, GS),
  name: `w4a16_marlin M=${M} N=K=${N} groups of ${GS}`,
  kernel: "w4a16_marlin",
  instance: `GS=${GS}`,
  reference: "w4a16_marlin",
  bytes: N * N * (0.5 + 2 / GS) + 4 * M * N,
});
const w8a8 = (M: number, N: number): GpuCase => ({
  name: `w8a8 M=${M} N=K=${N}`,
  file: library.gemm,
  kernel: "w8a8",
  instance: "",
  dims: { M, N, K: N },
  scalars: {},
  peers: M <= 16 ? ["device copy"] : ["int_mm"],
  reference: "w8a8",
  flops: 2 * M * N * N,
  bytes: N * N + 3 * M * N + 4 * (M + N),
});
/** The same mathematics in floats of 8 bits. */
const eight = (M: number, N: number): GpuCase => ({
  ...w8a8(M, N),
  name: `eight M=${M} N=K=${N}`,
  file: own("eight"),
  kernel: "eight",
  peers: ["scaled_mm", ...(M <= 16 ? ["device copy"] : [])],
});
const transpose = (n: number, halves: boolean): GpuCase => ({
  name: `transpose ${n} x ${n} ${halves ? "f16" : "f32"}`,
  file: own("transpose"),
  kernel: halves ? "transpose_halves" : "transpose",
  instance: "",
  dims: { M: n, N: n },
  scalars: {},
  peers: ["torch", "device copy"],
  reference: "transpose",
  flops: 0,
  bytes: (halves ? 4 : 8) * n ** 2,
});
const adamw = (N: number): GpuCase => ({
  name: `adamw N=${N}`,
  file: library.adamw,
  kernel: "adamw",
  instance: "",
  dims: { N },
  scalars: { lr: 1e-3, b1: 0.9, b2: 0.999, eps: 1e-8, decay: 0.01, c1: 0.1, c2: 0.001 },
  peers: ["fused adamw", "device copy"],
  reference: "adamw",
  flops: 16 * N,
  bytes: 28 * N,
});
/** The parameters of a transformer of `layers` layers: matrices, and vectors for its norms. */
function adamwMany(layers: number, width: number): GpuCase {
  const layer = [4 * width * width, 4 * width * width, 3 * width * width, width * width, width, width].map((N) => ({ N }));
  const calls = Array.from({ length: layers }, () => layer).flat();
  const N = calls.reduce((sum, c) => sum + c.N, 0);
  return {
    ...adamw(N),
    name: `adamw ${calls.length} tensors N=${N}`,
    dims: {},
    calls,
    peers: ["fused adamw", "foreach adamw", "device copy"],
    reference: "adamw_many",
  };
}

export const gpuCases: readonly GpuCase[] = [
  attention(true, 4, 16, 1, 4096, 4096, 64),
  attention(true, 4, 16, 1, 4096, 4096, 128),
  attention(true, 1, 8, 8, 8192, 8192, 128),
  attention(true, 1, 16, 1, 16384, 16384, 128),
  attention(false, 4, 16, 1, 4096, 4096, 64),
  attention(false, 4, 16, 1, 4096, 4096, 128),
  decode(64, 8, 8, 8192, 128),
  decode(1, 8, 8, 32768, 128),
  dense(4096),
  dense(8192),
  ...[1, 16].map((m) => w4a16(m, 20480)),
  ...[1, 16, 64, 128, 2048].map((m) => w4a16(m, 8192)),
  ...[1, 16].map((m) => marlin(m, 20480)),
  ...[1, 16, 64, 2048].map((m) => marlin(m, 8192)),
  ...[16, 2048, 8192].map((m) => w8a8(m, 8192)),
  ...[16, 2048, 8192].map((m) => eight(m, 8192)),
  transpose(16384, false),
  transpose(16384, true),
  adamw(10 ** 9),
  adamwMany(50, 1024),
  adamwMany(50, 128),
];
