/** The operations that are measured: inputs, what each result must be, and how far one may be off. */
export interface WebOp {
  readonly name: string;
  /** Kernel of bench/kernels/web.weft. */
  readonly kernel: string;
  readonly inputs: Readonly<Record<string, { readonly shape: readonly number[]; readonly data: Float32Array }>>;
  readonly output: { readonly name: string; readonly shape: readonly number[] };
  /** Largest error of a result against f64. */
  readonly error: (got: Float32Array) => number;
}
/** Numbers in [-1, 1) from a seed (mulberry32). */
function numbers(count: number, seed: number): Float32Array {
  let s = seed;
  return Float32Array.from({ length: count }, () => {
    s = (s + 0x6d2b79f5) | 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
}
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const input = (shape: readonly number[], seed: number) => ({ shape, data: numbers(sizeOf(shape), seed) });
const worst = (got: Float32Array, wanted: (at: number) => number, step = 1): number => {
  let most = 0;
  for (let at = 0; at < got.length; at += step) most = Math.max(most, Math.abs(got[at]! - wanted(at)));
  return most;
};
function softmaxRow(score: (j: number) => number, n: number): number[] {
  const s = Array.from({ length: n }, (_, j) => score(j));
  const top = Math.max(...s);
  const e = s.map((x) => Math.exp(x - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
}
function matmul(n: number): WebOp {
  const [a, b] = [input([n, n], 1), input([n, n], 2)];
  const element = (at: number): number => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a.data[Math.floor(at / n) * n + k]! * b.data[k * n + (at % n)]!;
    return sum;
  };
  const error = (got: Float32Array): number => worst(got, element, 1009);
  return { name: `matmul ${n}`, kernel: "matmul", inputs: { a, b }, output: { name: "c", shape: [n, n] }, error };
}
function softmax(shape: readonly [number, number, number, number]): WebOp {
  const x = input(shape, 3);
  const n = shape[3];
  const error = (got: Float32Array): number => {
    let most = 0;
    for (let row = 0; row < got.length; row += n) {
      const wanted = softmaxRow((j) => x.data[row + j]!, n);
      most = Math.max(
        most,
        worst(got.subarray(row, row + n), (j) => wanted[j]!),
      );
    }
    return most;
  };
  return { name: `softmax ${shape.join("x")}`, kernel: "softmaxes", inputs: { x }, output: { name: "y", shape }, error };
}
function attention([b, h, n, d]: readonly [number, number, number, number]): WebOp {
  const shape = [b, h, n, d];
  const [q, k, v] = [input(shape, 4), input(shape, 5), input(shape, 6)];
  const error = (got: Float32Array): number => {
    let most = 0;
    for (let row = 0; row < b * h * n; row += 7) {
      const head = Math.floor(row / n) * n * d;
      const dot = (j: number): number => {
        let sum = 0;
        for (let e = 0; e < d; e++) sum += q.data[row * d + e]! * k.data[head + j * d + e]!;
        return sum / Math.sqrt(d);
      };
      const p = softmaxRow(dot, n);
      const wanted = (e: number): number => p.reduce((sum, w, j) => sum + w * v.data[head + j * d + e]!, 0);
      most = Math.max(most, worst(got.subarray(row * d, row * d + d), wanted));
    }
    return most;
  };
  return {
    name: `attention ${shape.join("x")}`,
    kernel: "dot_product_attention",
    inputs: { q, k, v },
    output: { name: "out", shape },
    error,
  };
}
/** f32 sums of 512 products in any order stay well within this. */
export const tolerance = 1e-4;
export const ops: readonly WebOp[] = [matmul(512), softmax([1, 4, 256, 256]), attention([1, 4, 256, 64])];
