/** What one multiprocessor of a chip does in a clock: the ceilings that loops are held against. */
export interface Chip {
  readonly name: string;
  readonly multiprocessors: number;
  readonly clockHz: number;
  /** Floating-point operations of the matrix unit on 16-bit elements, sums in f32. */
  readonly matrixFlops: number;
  /** Instructions of a warp. */
  readonly issued: number;
  /** Lanes of special functions: exponentials, logarithms, square roots, quotients. */
  readonly special: number;
  readonly sharedBytes: number;
  /** Of the second-level cache, a multiprocessor's share. */
  readonly l2Bytes: number;
  /** Of the whole chip's memory, in a second. */
  readonly memoryBytesPerSecond: number;
}
const a100: Chip = {
  name: "A100 SXM 80 GB",
  multiprocessors: 108,
  clockHz: 1.41e9,
  matrixFlops: 2048,
  issued: 4,
  special: 16,
  sharedBytes: 128,
  l2Bytes: 5120 / 108,
  memoryBytesPerSecond: 2.039e12,
};
const h100: Chip = {
  name: "H100 SXM",
  multiprocessors: 132,
  clockHz: 1.83e9,
  matrixFlops: 4096,
  issued: 4,
  special: 16,
  sharedBytes: 128,
  l2Bytes: 5120 / 132,
  memoryBytesPerSecond: 3.35e12,
};
/** An H100 with other memory. */
const h200: Chip = { ...h100, name: "H200 SXM", memoryBytesPerSecond: 4.8e12 };
/**
 * Figures of the makers' own papers ("NVIDIA A100 Tensor Core GPU Architecture", 2020; "NVIDIA H100 Tensor Core GPU Architecture", 2022; "NVIDIA
 * H200 Tensor Core GPU" data sheet, 2024): dense f16, boost clock. Those of Hopper do not state the bandwidth of the second-level cache: that of
 * the A100 is taken.
 */
export const chips = { a100, h100, h200 };
export type ChipName = keyof typeof chips;
