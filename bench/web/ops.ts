/** The operations that are measured: a kernel of bench/kernels/web.weft each, and its inputs. */
import { type HostTensor, tensor } from "../../runtime/tensor.ts";
import { seeded } from "../../verify/generate.ts";

export interface WebOp {
  readonly name: string;
  readonly kernel: string;
  /** f32 in [-1, 1), in the order of the kernel's parameters. */
  readonly inputs: Readonly<Record<string, HostTensor & { readonly data: Float32Array<ArrayBuffer> }>>;
  readonly output: { readonly name: string; readonly shape: readonly number[] };
}
function input(shape: readonly number[], seed: number): WebOp["inputs"][string] {
  const random = seeded(seed);
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 2 * random() - 1);
  return { ...(tensor("f32", shape, data) as HostTensor), data };
}
const square = [512, 512];
const rows = [1, 4, 256, 256];
const heads = [1, 4, 256, 64];
export const ops: readonly WebOp[] = [
  {
    name: `matmul ${square.join("x")}x${square[0]}`,
    kernel: "matmul",
    inputs: { a: input(square, 1), b: input(square, 2) },
    output: { name: "c", shape: square },
  },
  { name: `softmax ${rows.join("x")}`, kernel: "softmaxes", inputs: { x: input(rows, 3) }, output: { name: "y", shape: rows } },
  {
    name: `attention ${heads.join("x")}`,
    kernel: "dot_product_attention",
    inputs: { q: input(heads, 4), k: input(heads, 5), v: input(heads, 6) },
    output: { name: "out", shape: heads },
  },
];
