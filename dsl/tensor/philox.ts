/** Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). */

/** Word n mod 4 at counter (n div 4, stream), key (seed, 0), as u32 (rule 41). */
export function philox(seed: number, stream: number, n: number): number {
  let c0 = Math.floor(n / 4) >>> 0;
  let c1 = 0;
  let c2 = stream >>> 0;
  let c3 = 0;
  let k0 = seed >>> 0;
  let k1 = 0;
  for (let round = 0; round < 10; round++) {
    const [h0, l0] = wide(0xd2511f53, c0);
    const [h1, l1] = wide(0xcd9e8d57, c2);
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c1 = l1;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c3 = l0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3][n & 3]!;
}
/** The high and low words of a 32 x 32 bit product. */
function wide(a: number, b: number): [number, number] {
  const p = BigInt(a) * BigInt(b);
  return [Number(p >> 32n), Number(p & 0xffffffffn)];
}
