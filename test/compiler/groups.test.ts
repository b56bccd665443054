/** Blocks of a product in squares: every tile is somebody's, whatever the number of rows and columns of blocks. */
import { describe, expect, test } from "vitest";
import { prepare } from "../../runtime/call.ts";
import { tensor } from "../../runtime/tensor.ts";
import { runTiles } from "../../verify/levels.ts";
import { compiled } from "../support/levels.ts";

const text = (schedule: string): string => `
kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f32[M, N]) where K % 8 == 0, N % 8 == 0 { c[i, j] = sum(k) a[i, k] * b[k, j] }
schedule f on cuda { ${schedule}tile i: 64, j: 8, k: 16; warps 1 }
`;
const one = 0x3c00;
/** c[i, j] = i's and j's own bits of the operands, which no other element has. */
function run(M: number, N: number): readonly number[] {
  const made = compiled(text(""), "cuda");
  const a = new Uint16Array(M * 16);
  for (let i = 0; i < M; i++) for (let k = 0; k < 11; k++) if ((i >> k) & 1) a[i * 16 + k] = one;
  const b = new Uint16Array(16 * N);
  for (let k = 0; k < 11; k++) b.fill(0x3c00 + k * 0x400, k * N, (k + 1) * N);
  const call = prepare(made.artifact, { a: tensor("f16", [M, 16], a), b: tensor("f16", [16, N], b) });
  return [...(runTiles(made, call).outputs["c"]!.data as Float32Array)];
}
describe("blocks in groups", () => {
  test.each([
    [1, 8],
    [64 * 15, 24],
    [64 * 16, 16],
    [64 * 17, 16],
    [64 * 20 + 1, 24],
    [64 * 31, 8],
  ])("%i rows, %i columns", (M, N) => {
    const c = run(M, N);
    expect(c).toHaveLength(M * N);
    for (let i = 0; i < M; i++) for (let j = 0; j < N; j++) if (c[i * N + j] !== i) expect(c[i * N + j], `row ${i}, column ${j}`).toBe(i);
  });
  test("a schedule that orders the grid is taken at its word", () => {
    const height = "min(((M + 63) >> 6) - ";
    expect(compiled(text(""), "cuda").artifact.source).toContain(height);
    expect(compiled(text("grid i, j; "), "cuda").artifact.source).not.toContain(height);
  });
});
