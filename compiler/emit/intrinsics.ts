/**
 * Machine instructions that CUDA C++ has no word for, as functions of inline PTX. Each is a line of its own in the text, and takes named
 * scalars. `WEFT_ON_CPU` leaves them out where an emulation of the device supplies them (verify/cuda-cpu). Source: PTX ISA 8, sections of
 * each instruction.
 */

import { listOf } from "../lists.ts";
import type { Helper } from "./helpers.ts";

const asm = (name: string, note: string, params: string, body: string): Helper => ({
  name,
  text: `#ifndef WEFT_ON_CPU\n// ${note}\n__device__ __forceinline__ void ${name}(${params}) {\n  ${body}\n}\n#endif`,
});
const address = "(unsigned)__cvta_generic_to_shared(";
const registers = (n: number, type = "unsigned&", letter = "r"): string => listOf(n, (k) => `${type} ${letter}${k}`).join(", ");
const outs = (n: number): string => listOf(n, (k) => `"=r"(r${k})`).join(", ");
const places = (from: number, n: number): string => `{${listOf(n, (k) => `%${from + k}`).join(", ")}}`;

function loadMatrix(count: 2 | 4, transposed: boolean): Helper {
  const trans = transposed ? ".trans" : "";
  return asm(
    `weft_ldmatrix_x${count}${transposed ? "_trans" : ""}`,
    `${count} 8x8 matrices of 16-bit elements${transposed ? ", transposed" : ""}: lane 8 m + r names row r of matrix m, in shared memory.`,
    `${registers(count)}, const void* row`,
    `asm volatile("ldmatrix.sync.aligned.m8n8.x${count}${trans}.shared.b16 ${places(0, count)}, [%${count}];" : ${outs(count)} : "r"(${address}row)) : "memory");`,
  );
}
/** @param adds to what the registers of the result hold; otherwise to 0 */
function multiply(name: string, shape: string, types: string, d: "float" | "int", adds = true): Helper {
  const constraint = d === "float" ? "f" : "r";
  const changed = listOf(4, (k) => `"${adds ? "+" : "="}${constraint}"(d${k})`).join(", ");
  const zero = adds ? [] : [`"${constraint}"(0.0f)`];
  const given = [...["a0", "a1", "a2", "a3", "b0", "b1"].map((r) => `"r"(${r})`), ...zero].join(", ");
  const c = adds ? places(0, 4) : "{%10, %10, %10, %10}";
  return asm(
    name,
    `D = A B${adds ? " + D" : ""}, ${shape}, ${types}: fragments as the PTX ISA lays them out.`,
    `${registers(4, `${d}&`, "d")}, ${registers(4, "unsigned", "a")}, ${registers(2, "unsigned", "b")}`,
    `asm volatile("mma.sync.aligned.${shape}.row.col.${types} ${places(0, 4)}, ${places(4, 4)}, ${places(8, 2)}, ${c};" : ${changed} : ${given});`,
  );
}
const copy = (bytes: 4 | 16): Helper =>
  asm(
    `weft_copy_async_${bytes}`,
    `${bytes} bytes to shared memory beside the thread; zeros where not \`valid\`.`,
    "void* to, const void* from, bool valid",
    `asm volatile("cp.async.${bytes === 16 ? "cg" : "ca"}.shared.global [%0], [%1], ${bytes}, %2;" :: "r"(${address}to)), "l"(__cvta_generic_to_global(from)), "r"(valid ? ${bytes} : 0) : "memory");`,
  );

/** The exact algebra's matrix instruction: the fragments are those of m16n8k16, one whole element a register, read from the lanes that hold them. */
const multiplyExact: Helper = {
  name: "weft_mma_exact",
  text: `static __device__ void weft_mma_exact(${registers(4, "int&", "d")}, ${registers(8, "int", "a")}, ${registers(4, "int", "b")}) {
  const int lane = threadIdx.x & 31, row = lane & 28, column = (lane & 3) * 8;
  const int a[8] = {a0, a1, a2, a3, a4, a5, a6, a7}, b[4] = {b0, b1, b2, b3};
  unsigned d[4] = {(unsigned)d0, (unsigned)d1, (unsigned)d2, (unsigned)d3};
#pragma unroll
  for (int k = 0; k < 16; k++) {
    const int at = (k >> 1) & 3, high = k >> 3, odd = k & 1;
    const unsigned upper = __shfl_sync(0xffffffffu, a[4 * high + odd], row + at);
    const unsigned lower = __shfl_sync(0xffffffffu, a[4 * high + 2 + odd], row + at);
    const unsigned left = __shfl_sync(0xffffffffu, b[2 * high + odd], column + at);
    const unsigned right = __shfl_sync(0xffffffffu, b[2 * high + odd], column + 4 + at);
    d[0] += upper * left;
    d[1] += upper * right;
    d[2] += lower * left;
    d[3] += lower * right;
  }
  d0 = (int)d[0];
  d1 = (int)d[1];
  d2 = (int)d[2];
  d3 = (int)d[3];
}`,
};

export const intrinsics: readonly Helper[] = [
  multiplyExact,
  loadMatrix(2, false),
  loadMatrix(2, true),
  loadMatrix(4, false),
  loadMatrix(4, true),
  multiply("weft_mma_f16", "m16n8k16", "f32.f16.f16.f32", "float"),
  multiply("weft_mma_bf16", "m16n8k16", "f32.bf16.bf16.f32", "float"),
  multiply("weft_mma_s8", "m16n8k32", "s32.s8.s8.s32", "int"),
  multiply("weft_mma_f8e4m3", "m16n8k32", "f32.e4m3.e4m3.f32", "float", false),
  multiply("weft_mma_f8e5m2", "m16n8k32", "f32.e5m2.e5m2.f32", "float", false),
  copy(4),
  copy(16),
  asm(
    "weft_copy_async_commit",
    "The copies issued since the last one are a group.",
    "",
    'asm volatile("cp.async.commit_group;" ::: "memory");',
  ),
  {
    name: "weft_copy_async_wait",
    text: '#ifndef WEFT_ON_CPU\n// All groups but the newest N have arrived.\ntemplate <int N>\n__device__ __forceinline__ void weft_copy_async_wait() {\n  asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");\n}\n#endif',
  },
];
