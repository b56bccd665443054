/** Sums of products that the matrix unit takes: layouts of operands, conditions, batches, forms, streamed reductions. */
export const schedule = (body: string): string => `schedule f on cuda { ${body} }`;
const small = schedule("tile i: 32, j: 16, k: 16\n warps 2");

const causal = `kernel f[B, M, N, D: static](q: f16[B, M, D], k: f16[B, N, D], v: f16[B, N, D], x: f32) -> (o: f16[B, M, D], lse: f32[B, M]) where M <= N {
  let s[b, i, j] where j <= i + (N - M) = x * sum(d) q[b, i, d] * k[b, j, d]
  let p[b, i, j] = softmax(j) s[b, i, j]
  o[b, i, d] = sum(j) relax<f16>(p[b, i, j]) * v[b, j, d]
  lse[b, i] = logsumexp(j) s[b, i, j]
}
instance f { D: 16 }
`;
/** Name, program, sizes to run, and whether its operands go through shared memory; "by element" where no instruction reads them as they lie there. */
type Case = readonly [string, string, readonly Record<string, number>[], "staged" | "by element" | "half" | "direct"];

const alongSum = (name: string, elem: string, total: string): Case => [
  name,
  `kernel f[M, N, K](a: ${elem}[M, K], b: ${elem}[N, K], s: f32[N]) -> (c: f32[M, N]) where K % 16 == 0 {
  let total[i, j] = sum(k) a[i, k] * b[j, k]
  c[i, j] = ${total} * s[j]
}\n${schedule("tile i: 32, j: 32, k: 32\n warps 2")}`,
  [
    { M: 33, N: 17, K: 48 },
    { M: 1, N: 40, K: 16 },
    { M: 5, N: 3, K: 0 },
    { M: 32, N: 16, K: 208 },
  ],
  "staged",
];
/** The same for a chip whose unit takes floats of 8 bits as they are, products allowed to be cut. */
const cut = ([name, source, dims, staging]: Case): Case => [
  `${name}, on a unit of 8 bits`,
  source
    .replaceAll(/(sum\([^)]*\)) (\w+\[[^\]]+\] \* (?:f8e\dm\d\([^)]*\)|\w+\[[^\]]+\]))/g, "$1 relax<bf16>($2)")
    .replace("on cuda", "on cuda with f8"),
  dims,
  staging,
];
const eightsMade: Case = [
  "floats of 8 bits that are made on the way, points that do not count",
  `kernel f[M, N, K](a: f8e5m2[M, K], x: f32[N, K]) -> (c: f32[M, N]) where K % 16 == 0 {
  c[i, j] = sum(k where k >= j) a[i, k] * f8e5m2(3.0 * x[j, k])
}\n${schedule("tile i: 16, j: 16, k: 32\n warps 1")}`,
  [
    { M: 18, N: 11, K: 48 },
    { M: 2, N: 3, K: 16 },
  ],
  "half",
];
const oneAcross = (name: string, elem: string, result: string): Case => [
  name,
  `kernel f[M, N, K](a: ${elem}[M, K], b: ${elem}[K, N]) -> (c: ${result}[M, N]) where K % 16 == 0, N % 16 == 0 { c[i, j] = sum(k) a[i, k] * b[k, j] }
${schedule("tile i: 16, j: 32, k: 64\n warps 1\n stage a, b in shared, buffers: 2\n mma c")}`,
  [
    { M: 18, N: 48, K: 80 },
    { M: 1, N: 16, K: 16 },
  ],
  "staged",
];

export const programs: readonly Case[] = [
  [
    "rows times columns, any sizes",
    `kernel f[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f32[M, N]) { c[i, j] = sum(k) a[i, k] * b[k, j] }\n${small}`,
    [
      { M: 1, N: 1, K: 1 },
      { M: 33, N: 17, K: 35 },
      { M: 32, N: 16, K: 0 },
    ],
    "direct",
  ],
  [
    "both contiguous along k",
    `kernel f[M, N, K](a: f16[M, K], b: f16[N, K]) -> (c: f32[M, N]) where K % 8 == 0 { c[i, j] = sum(k) a[i, k] * b[j, k] }\n${small}`,
    [
      { M: 33, N: 17, K: 40 },
      { M: 1, N: 40, K: 8 },
      { M: 5, N: 3, K: 0 },
      { M: 32, N: 16, K: 48 },
    ],
    "staged",
  ],
  [
    "neither contiguous along k, four slots",
    `kernel f[M, N, K](a: bf16[K, M], b: bf16[K, N]) -> (c: f32[M, N]) where M % 8 == 0, N % 8 == 0 { c[i, j] = sum(k) a[k, i] * b[k, j] }
${schedule("tile i: 16, j: 32, k: 32\n warps 1\n stage a, b in shared, buffers: 4\n mma c")}`,
    [
      { M: 24, N: 40, K: 70 },
      { M: 8, N: 8, K: 1 },
    ],
    "staged",
  ],
  [
    "batches, heads that share keys, a scale after the sum",
    `kernel f[B, G, M, N, D: static](q: f16[B, G * 2, M, D], k: f16[B, 2, N, D], x: f32) -> (s: f32[B, G * 2, M, N]) {
  s[b, h, i, j] = x * sum(d) q[b, h, i, d] * k[b, h / G, j, d]
}
instance f { D: 24 }
${schedule("tile i: 16, j: 16, d: 16\n warps 1\n stage q, k in shared, buffers: 2")}`,
    [{ B: 2, G: 2, M: 17, N: 20 }],
    "staged",
  ],
  [
    "a computed operand, beside a stored one",
    `kernel f[M, N, K](a: f32[M, K], w: i8[K, N], s: f16[N], r: f16[M, K]) -> (c: f16[M, N], d: f32[M, N]) where K % 8 == 0 {
  c[i, j] = sum(k) r[i, k] * relax<f16>(f32(w[k, j]) * s[j])
  d[i, j] = sum(k) relax<f16>(a[i, k]) * f16(f32(w[k, j]) * s[j])
}\n${schedule("tile i: 16, j: 8, k: 16\n warps 1")}`,
    [{ M: 18, N: 11, K: 24 }],
    "half",
  ],
  [
    "points that do not count, on either side",
    `kernel f[M, N, K](a: f16[M, K], b: f16[K, N], n: index<K + 1>[M], x: f32[N]) -> (c: f32[M, N]) {
  let p[i, k] where k < n[i] = a[i, k]
  c[i, j] = sum(k where k >= j) p[i, k] * b[k, j] + x[j]
}\n${small}`,
    [
      { M: 20, N: 9, K: 37 },
      { M: 3, N: 2, K: 4 },
    ],
    "direct",
  ],
  [
    "two indices summed, the inner one in shared memory",
    `kernel f[M, N, K, H](a: f16[H, M, K], b: f16[H, K, N]) -> (c: f32[M, N]) where K % 8 == 0, N % 8 == 0 {
  c[i, j] = sum(h, k) a[h, i, k] * b[h, k, j]
}\n${small}`,
    [
      { M: 18, N: 24, K: 40, H: 3 },
      { M: 2, N: 8, K: 8, H: 0 },
    ],
    "staged",
  ],
  alongSum("bytes, contiguous along k", "i8", "f32(total[i, j])"),
  oneAcross("bytes, one factor along its columns", "i8", "i32"),
  [
    "bytes in rows of any length, points that do not count, integers that wrap",
    `kernel f[M, N, K](a: i8[M, K], b: i8[K, N], z: i32[N]) -> (c: i32[M, N]) {
  c[i, j] = z[j] - 65536 * (sum(k where k <= i) a[i, k] * b[k, j])
}\n${schedule("tile i: 16, j: 16, k: 32\n warps 2")}`,
    [
      { M: 18, N: 11, K: 37 },
      { M: 2, N: 3, K: 1 },
    ],
    "direct",
  ],
  [
    "fields of four bits times bytes",
    `kernel f[M, N, K](a: i8[M, K], w: u4[K, N], v: i4[N, K]) -> (c: i32[M, N], d: i32[M, N]) where K % 16 == 0, N % 8 == 0 {
  c[i, j] = sum(k) a[i, k] * w[k, j]
  d[i, j] = sum(k) v[j, k] * a[i, k]
}\n${schedule("tile i: 16, j: 32, k: 32\n warps 1")}`,
    [
      { M: 18, N: 40, K: 48 },
      { M: 2, N: 8, K: 16 },
    ],
    "half",
  ],
  alongSum("floats of 8 bits, contiguous along k", "f8e4m3", "total[i, j]"),
  oneAcross("floats of 8 bits, one factor along its columns", "f8e5m2", "f8e5m2"),
  [
    "floats of 8 bits with halves, and of two types",
    `kernel f[M, N, K](a: f8e5m2[M, K], b: f8e4m3[N, K], h: f16[N, K]) -> (c: f32[M, N], d: f32[M, N]) where K % 16 == 0 {
  c[i, j] = sum(k) h[j, k] * a[i, k]
  d[i, j] = sum(k) a[i, k] * b[j, k]
}\n${schedule("tile i: 16, j: 16, k: 32\n warps 1")}`,
    [
      { M: 18, N: 11, K: 48 },
      { M: 2, N: 3, K: 16 },
    ],
    "staged",
  ],
  eightsMade,
  cut(alongSum("floats of 8 bits, contiguous along k", "f8e4m3", "total[i, j]")),
  cut(oneAcross("floats of 8 bits, one factor along its columns", "f8e5m2", "f8e5m2")),
  cut(eightsMade),
  [
    "floats of 8 bits, a step of which warps share, on a unit of 8 bits",
    `kernel f[M, N, K](a: f8e4m3[M, K], b: f8e4m3[N, K], s: f32[M], t: f32[N]) -> (c: bf16[M, N]) where K % 16 == 0 {
  let sums[i, j] = sum(k) relax<bf16>(a[i, k] * b[j, k])
  c[i, j] = s[i] * t[j] * sums[i, j]
}\nschedule f on cuda with f8 { tile i: 16, j: 16, k: 64; warps 4 }`,
    [
      { M: 18, N: 33, K: 144 },
      { M: 2, N: 3, K: 64 },
    ],
    "staged",
  ],
  [
    "attention over keys and values in 8 bits",
    `kernel f[B, M, N, D: static](q: f16[B, M, D], k: f8e4m3[B, N, D], v: f8e5m2[B, N, D]) -> (o: f16[B, M, D]) where M <= N {
  let s[b, i, j] where j <= i + (N - M) = 0.25 * sum(d) q[b, i, d] * k[b, j, d]
  let p[b, i, j] = softmax(j) s[b, i, j]
  o[b, i, d] = sum(j) relax<f16>(p[b, i, j]) * v[b, j, d]
}
instance f { D: 16 }
${schedule("stream j; tile i: 32, j: 16; warps 2")}`,
    [
      { B: 2, M: 33, N: 50 },
      { B: 1, M: 1, N: 1 },
    ],
    "staged",
  ],
  [
    "attention in 8 bits throughout",
    `kernel f[B, M, N, D: static](q: f8e4m3[B, M, D], k: f8e4m3[B, N, D], v: f8e4m3[B, N, D]) -> (o: f16[B, M, D]) {
  let p[b, i, j] = softmax(j) 0.25 * sum(d) q[b, i, d] * k[b, j, d]
  o[b, i, d] = sum(j) relax<bf16>(p[b, i, j]) * v[b, j, d]
}
instance f { D: 32 }
${schedule("stream j; tile i: 16, j: 32; warps 1")}`,
    [{ B: 2, M: 19, N: 50 }],
    "by element",
  ],
  [
    "causal attention in one pass, and the log-sum-exp of each row",
    `${causal}${schedule("stream j; tile i: 32, j: 16; warps 2")}`,
    [
      { B: 2, M: 33, N: 50 },
      { B: 1, M: 1, N: 1 },
      { B: 1, M: 16, N: 16 },
    ],
    "staged",
  ],
  [
    "causal attention in chunks of keys, and their combine",
    `${causal}${schedule("stream j; split j: 3; tile i: 32, j: 16; warps 2")}`,
    [
      { B: 2, M: 5, N: 90 },
      { B: 1, M: 1, N: 1 },
      { B: 1, M: 20, N: 130 },
    ],
    "staged",
  ],
  [
    "a window, heads that share keys, a bias of the scores",
    `kernel f[G, M, N, W, D: static](q: bf16[G * 2, M, D], k: bf16[2, N, D], v: bf16[2, N, D], z: f32[M, N]) -> (o: f32[G * 2, M, D]) where M <= N, W >= 1 {
  let s[h, i, j] where j <= i && j + W > i = 0.5 * (sum(d) q[h, i, d] * k[h / G, j, d]) - z[i, j]
  let p[h, i, j] = softmax(j) s[h, i, j]
  o[h, i, d] = (sum(j) relax<bf16>(p[h, i, j]) * v[h / G, j, d]) else 0.0
}
instance f { D: 32 }
${schedule("stream j; tile i: 16, j: 32; warps 1")}`,
    [
      { G: 2, M: 37, N: 40, W: 5 },
      { G: 1, M: 3, N: 70, W: 100 },
    ],
    "staged",
  ],
  [
    "rows of keys that end where data say, and rows without any",
    `kernel f[B, M, N, D: static](q: f16[B, M, D], k: f16[B, N, D], v: f16[B, N, D], n: index<N + 1>[B]) -> (o: f32[B, M, D]) {
  let s[b, i, j] where j < n[b] = sum(d) q[b, i, d] * k[b, j, d]
  let p[b, i, j] = softmax(j) s[b, i, j]
  o[b, i, d] = (sum(j) relax<f16>(p[b, i, j]) * v[b, j, d]) else -1.0
}
instance f { D: 16 }
${schedule("stream j; tile i: 16, j: 16; warps 1")}`,
    [
      { B: 3, M: 5, N: 33 },
      { B: 2, M: 17, N: 1 },
    ],
    "staged",
  ],
];
