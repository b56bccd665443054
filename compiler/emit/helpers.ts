/** Functions that generated code calls, written once for each target; a file contains those it needs. */

export interface Helper {
  readonly name: string;
  readonly text: string;
}

/** Bits of a narrow float: significand bits, exponent bias, code of the largest finite value, code beyond it. */
const formats = [
  { name: "f16", mantissa: 10, bias: 15, top: 0x7bff, over: 0x7c00, nan: 0x7e00, sign: 15 },
  { name: "f8e4m3", mantissa: 3, bias: 7, top: 0x7e, over: 0x7e, nan: 0x7f, sign: 7 },
  { name: "f8e5m2", mantissa: 2, bias: 15, top: 0x7b, over: 0x7c, nan: 0x7e, sign: 7 },
  { name: "bf16", mantissa: 7, bias: 127, top: 0x7f7f, over: 0x7f80, nan: 0x7fc0, sign: 15 },
] as const;

/** Encoders, rounders and decoders of every format, over a `narrow` function of the target. `u` spells u32 literals. */
function codecs(
  fn: (name: string, params: string, result: string, body: string) => string,
  u: string,
  decode: Record<string, string>,
  types: { f32: string; u32: string },
  /** Around the body of an encoder: an instruction of the target's own, where it has one. */
  native: (format: string, body: string) => string = (_, body) => body,
): Helper[] {
  const out: Helper[] = [];
  const add = (name: string, text: string) => out.push({ name, text });
  for (const f of formats) {
    const args = (mode: string, bits: string, over: number) =>
      `weft_narrow(x, ${f.mantissa}${u}, ${f.bias}, ${f.top}${u}, ${over}${u}, ${f.nan}${u}, ${f.sign}${u}, ${mode}${u}, ${bits})`;
    add(
      `weft_encode_${f.name}`,
      fn(`weft_encode_${f.name}`, `x: ${types.f32}`, types.u32, native(f.name, `return ${args("0", `0${u}`, f.over)};`)),
    );
    add(`weft_decode_${f.name}`, fn(`weft_decode_${f.name}`, `b: ${types.u32}`, types.f32, decode[f.name]!));
    add(
      `weft_round_${f.name}`,
      fn(`weft_round_${f.name}`, `x: ${types.f32}`, types.f32, `return weft_decode_${f.name}(weft_encode_${f.name}(x));`),
    );
    add(
      `weft_chop_${f.name}`,
      fn(`weft_chop_${f.name}`, `x: ${types.f32}`, types.f32, `return weft_decode_${f.name}(${args("1", `0${u}`, f.top)});`),
    );
    add(
      `weft_stochastic_${f.name}`,
      fn(
        `weft_stochastic_${f.name}`,
        `x: ${types.f32}, r: ${types.u32}`,
        types.f32,
        `return weft_decode_${f.name}(${args("2", "r", f.over)});`,
      ),
    );
  }
  return out;
}

const narrowComment =
  "// The code of the value nearest to x (mode 0: ties to even, 1: toward zero, 2: away where the cut part exceeds r / 2^32).";
export const wgslHelpers: readonly Helper[] = [
  {
    name: "weft_narrow",
    text: `${narrowComment}
fn weft_narrow(x: f32, mantissa: u32, bias: i32, top: u32, over: u32, nan: u32, sign_at: u32, mode: u32, r: u32) -> u32 {
  let b = bitcast<u32>(x);
  let sign = (b >> 31u) << sign_at;
  let a = b & 0x7fffffffu;
  if (a > 0x7f800000u) { return sign | nan; }
  if (a == 0x7f800000u) { return sign | over; }
  let field = a >> 23u;
  let e = select(i32(field) - 127, -126, field == 0u);
  let m = (a & 0x7fffffu) | select(0x800000u, 0u, field == 0u);
  let least = 1 - bias;
  let cut = u32(i32(23u - mantissa) + max(least - e, 0));
  var q = 0u;
  var rest = 0u;
  if (cut == 0u) { q = m; }
  else if (cut < 32u) { q = m >> cut; rest = m << (32u - cut); }
  else if (cut < 56u) { rest = m >> (cut - 32u); }
  var up = false;
  if (mode == 0u) { up = rest > 0x80000000u || (rest == 0x80000000u && (q & 1u) == 1u && cut < 32u); }
  if (mode == 2u) { up = rest > r; }
  if (up) { q = q + 1u; }
  var code = q;
  if (e >= least) { code = (u32(e + bias) << mantissa) + q - (1u << mantissa); }
  if (code > top) { code = over; }
  return sign | code;
}`,
  },
  ...codecs(
    (name, params, result, body) => `fn ${name}(${params}) -> ${result} { ${body} }`,
    "u",
    {
      f16: "return unpack2x16float(b & 0xffffu).x;",
      bf16: "return bitcast<f32>(b << 16u);",
      f8e5m2: "return unpack2x16float((b & 0xffu) << 8u).x;",
      f8e4m3:
        "if ((b & 0x7fu) == 0x7fu) { return bitcast<f32>(b | 0x7fc00000u); } let m = b & 7u; let e = (b >> 3u) & 15u; let s = select(1.0f, -1.0f, (b & 0x80u) != 0u); if (e == 0u) { return s * f32(m) * 0.001953125f; } return s * bitcast<f32>(((e + 120u) << 23u) | (m << 20u));",
    },
    { f32: "f32", u32: "u32" },
  ),
  {
    name: "weft_floordiv",
    text: "fn weft_floordiv(a: i32, b: i32) -> i32 {\n  let q = a / b;\n  return select(q, q - 1, (a % b != 0) && ((a < 0) != (b < 0)));\n}",
  },
  {
    name: "weft_floormod",
    text: "fn weft_floormod(a: i32, b: i32) -> i32 {\n  let r = a % b;\n  return select(r, r + b, (r != 0) && ((r < 0) != (b < 0)));\n}",
  },
  { name: "weft_fmod", text: "fn weft_fmod(a: f32, b: f32) -> f32 { return a - b * floor(a / b); }" },
  {
    name: "weft_tanh",
    text: "fn weft_tanh(x: f32) -> f32 {\n  let t = 1f - 2f / (exp(2f * min(abs(x), 20f)) + 1f);\n  return select(t, -t, x < 0f);\n}",
  },
  { name: "weft_sigmoid", text: "fn weft_sigmoid(x: f32) -> f32 { return 1f / (1f + exp(min(-x, 87f))); }" },
  {
    name: "weft_erf",
    text: "// Abramowitz and Stegun 7.1.26, |error| <= 1.5e-7.\nfn weft_erf(x: f32) -> f32 {\n  let a = min(abs(x), 9f);\n  let t = 1f / (1f + 0.3275911f * a);\n  let p = ((((1.0614054f * t - 1.4531521f) * t + 1.4214138f) * t - 0.28449672f) * t + 0.2548296f) * t;\n  let y = 1f - p * exp(-a * a);\n  return select(y, -y, x < 0f);\n}",
  },
  {
    name: "weft_pow",
    text: "fn weft_pow(x: f32, y: f32) -> f32 {\n  if (y == 0f || x == 1f) { return 1f; }\n  if (x == 0f) { return select(bitcast<f32>(0x7f7fffffu), 0f, y > 0f); }\n  let p = exp2(y * log2(abs(x)));\n  let odd = y - 2f * floor(y * 0.5f) == 1f;\n  return select(p, -p, x < 0f && odd);\n}",
  },
  { name: "weft_expm1", text: "fn weft_expm1(x: f32) -> f32 { return exp(x) - 1f; }" },
  { name: "weft_log1p", text: "fn weft_log1p(x: f32) -> f32 { return log(1f + x); }" },
  { name: "weft_isfinite", text: "fn weft_isfinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }" },
  {
    name: "weft_random",
    text: `// Philox 4x32-10 (Salmon et al., SC 2011).
fn weft_mulhi(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let low = al * bl; let m1 = ah * bl + (low >> 16u); let m2 = al * bh + (m1 & 0xffffu);
  return ah * bh + (m1 >> 16u) + (m2 >> 16u);
}
fn weft_random(seed: u32, stream: u32, n: u32) -> u32 {
  var c = vec4<u32>(n / 4u, 0u, stream, 0u);
  var k = vec2<u32>(seed, 0u);
  for (var i = 0u; i < 10u; i++) {
    let h0 = weft_mulhi(0xd2511f53u, c.x); let l0 = 0xd2511f53u * c.x;
    let h1 = weft_mulhi(0xcd9e8d57u, c.z); let l1 = 0xcd9e8d57u * c.z;
    c = vec4<u32>(h1 ^ c.y ^ k.x, l1, h0 ^ c.w ^ k.y, l0);
    k = k + vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c[n & 3u];
}`,
  },
  {
    name: "weft_uniform",
    text: "fn weft_uniform(seed: u32, stream: u32, n: u32) -> f32 { return f32(weft_random(seed, stream, n) >> 8u) * 0x1p-24f; }",
  },
  {
    name: "weft_normal",
    text: "// Box-Muller; the angle is taken to [-pi, pi], where sin and cos are bounded.\nfn weft_normal(seed: u32, stream: u32, n: u32) -> f32 {\n  let u1 = f32((weft_random(seed, stream, n) >> 8u) + 1u) * 0x1p-24f;\n  let u2 = f32(weft_random(seed, stream, n ^ 1u) >> 8u) * 0x1p-24f;\n  let t = 6.2831855f * select(u2, u2 - 1f, u2 > 0.5f);\n  return sqrt(-2f * log(u1)) * select(cos(t), sin(t), (n & 1u) == 1u);\n}",
  },
];

const c = (name: string, params: string, result: string, body: string): string => {
  const list = params.split(", ").map((p) => p.split(": ").reverse().join(" "));
  return `[[maybe_unused]] static __device__ __forceinline__ ${result} ${name}(${list.join(", ")}) { ${body} }`;
};
export const cudaHelpers: readonly Helper[] = [
  {
    name: "WEFT_SHARED",
    text: "#ifndef WEFT_SHARED\n// Each shared array of a kernel is a part of the one that the launch gives a size.\nextern __shared__ __align__(16) unsigned char weft_shared[];\n#define WEFT_SHARED(type, name, count, offset) type* const name = reinterpret_cast<type*>(weft_shared + (offset))\n#endif",
  },
  {
    name: "weft_half_to_float",
    text: '#ifndef WEFT_ON_CPU\n[[maybe_unused]] static __device__ __forceinline__ float weft_half_to_float(unsigned short h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }\n#endif',
  },
  {
    name: "weft_relaxed_load",
    // A word in which other threads change fields of their own.
    text: "#ifdef __CUDACC__\nstatic __device__ __forceinline__ unsigned weft_relaxed_load(const unsigned* p) { return *(const volatile unsigned*)p; }\n#endif",
  },
  { name: "weft_infinity", text: "static __device__ __forceinline__ float weft_infinity() { return __int_as_float(0x7f800000); }" },
  {
    name: "weft_narrow",
    text: `${narrowComment}
[[maybe_unused]] static __device__ __forceinline__ unsigned weft_narrow(float x, unsigned mantissa, int bias, unsigned top, unsigned over, unsigned nan, unsigned sign_at, unsigned mode, unsigned r) {
  const unsigned b = __float_as_uint(x);
  const unsigned sign = (b >> 31) << sign_at;
  const unsigned a = b & 0x7fffffffu;
  if (a > 0x7f800000u) return sign | nan;
  if (a == 0x7f800000u) return sign | over;
  const unsigned field = a >> 23;
  const int e = field == 0 ? -126 : int(field) - 127;
  const unsigned m = (a & 0x7fffffu) | (field == 0 ? 0u : 0x800000u);
  const int least = 1 - bias;
  const unsigned cut = 23 - mantissa + unsigned(max(least - e, 0));
  unsigned q = 0, rest = 0;
  if (cut == 0) q = m;
  else if (cut < 32) { q = m >> cut; rest = m << (32 - cut); }
  else if (cut < 56) rest = m >> (cut - 32);
  bool up = false;
  if (mode == 0) up = rest > 0x80000000u || (rest == 0x80000000u && (q & 1) == 1 && cut < 32);
  if (mode == 2) up = rest > r;
  if (up) q++;
  unsigned code = q;
  if (e >= least) code = (unsigned(e + bias) << mantissa) + q - (1u << mantissa);
  if (code > top) code = over;
  return sign | code;
}`,
  },
  ...codecs(
    c,
    "u",
    {
      f16: "return weft_half_to_float((unsigned short)b);",
      bf16: "return __uint_as_float(b << 16);",
      f8e5m2: "return weft_half_to_float((unsigned short)(b << 8));",
      f8e4m3:
        "const unsigned m = b & 7, e = (b >> 3) & 15; const float s = (b & 0x80) ? -1.0f : 1.0f; if ((b & 0x7f) == 0x7f) return __int_as_float(0x7fc00000); if (e == 0) return s * float(m) * 0.001953125f; return s * __uint_as_float(((e + 120) << 23) | (m << 20));",
    },
    { f32: "float", u32: "unsigned" },
    (format, body) =>
      format === "f16" || format === "bf16"
        ? `\n#ifdef WEFT_ON_CPU\n  ${body}\n#else\n  unsigned short h;\n  asm("cvt.rn.${format}.f32 %0, %1;" : "=h"(h) : "f"(x));\n  return h;\n#endif\n`
        : body,
  ),
  ...(["f16", "bf16"] as const).map((format) => ({
    name: `weft_pair_${format}`,
    text: `[[maybe_unused]] static __device__ __forceinline__ unsigned weft_pair_${format}(float low, float high) {
#ifdef WEFT_ON_CPU
  return weft_encode_${format}(low) | (weft_encode_${format}(high) << 16);
#else
  unsigned h;
  asm("cvt.rn.${format}x2.f32 %0, %1, %2;" : "=r"(h) : "f"(high), "f"(low));
  return h;
#endif
}`,
  })),
  {
    name: "weft_again",
    text: `// x, of which the compiler knows nothing: it keeps no register for what follows from an earlier one.
static __device__ __forceinline__ int weft_again(int x) {
#ifndef WEFT_ON_CPU
  asm volatile("" : "+r"(x));
#endif
  return x;
}`,
  },
  {
    name: "weft_nibbles_f16",
    text: `// The fields of 4 bits from \`at\` (a multiple of 8) and above it, each less \`zero\`: bits of 1024 + a and 1024 + 16 b, and one exact sum.
static __device__ __forceinline__ unsigned weft_nibbles_f16(unsigned word, unsigned at, int zero) {
#ifdef WEFT_ON_CPU
  return weft_pair_f16(float(int((word >> at) & 15u) - zero), float(int((word >> (at + 4u)) & 15u) - zero));
#else
  const unsigned both = (__byte_perm(word, 0u, (at >> 3) * 0x0101u + 0x4040u) & 0x00f0000fu) | 0x64006400u;
  unsigned h;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(h) : "r"(both), "r"(0x2c003c00u), "r"(0xd400e400u + unsigned(zero) * 0x00100001u));
  return h;
#endif
}`,
  },
  {
    name: "weft_fields_f16",
    text: `// The fields of 4 bits from \`at\` (0, 4, 8 or 12) and 16 above it, each less \`zero\`: bits of 1024 + a, or of 1024 + 16 a, and one exact sum.
static __device__ __forceinline__ unsigned weft_fields_f16(unsigned word, unsigned at, int zero) {
#ifdef WEFT_ON_CPU
  return weft_pair_f16(float(int((word >> at) & 15u) - zero), float(int((word >> (at + 16u)) & 15u) - zero));
#else
  const bool high = (at & 4u) != 0u;
  const unsigned less = high ? 0xd400d400u + unsigned(zero) * 0x00100010u : 0xe400e400u + unsigned(zero) * 0x00010001u;
  unsigned both, h;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(both) : "r"(word >> (at & 8u)), "r"(high ? 0x00f000f0u : 0x000f000fu), "r"(0x64006400u));
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(h) : "r"(both), "r"(high ? 0x2c002c00u : 0x3c003c00u), "r"(less));
  return h;
#endif
}`,
  },
  {
    name: "weft_widen_f8e5m2",
    text: `// The two floats of 8 bits from \`at\` (0 or 16) on as halves, of which they are the upper bytes.
static __device__ __forceinline__ unsigned weft_widen_f8e5m2(unsigned word, unsigned at) {
  return ((word >> at) & 0xff00u) << 16 | ((word >> at) & 0xffu) << 8;
}`,
  },
  {
    name: "weft_widen_f8e4m3",
    text: `// The two floats of 8 bits from \`at\` (0 or 16) on as halves. Without an instruction for it: bits of 2^-8 of each, and of what would be 480, which is
// no number there, a product that overflows; 0 times that is no number either.
static __device__ __forceinline__ unsigned weft_widen_f8e4m3(unsigned word, unsigned at) {
#ifdef WEFT_ON_CPU
  return weft_pair_f16(weft_decode_f8e4m3((word >> at) & 255u), weft_decode_f8e4m3((word >> (at + 8u)) & 255u));
#else
  unsigned h;
#if __CUDA_ARCH__ >= 890
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(h) : "h"((unsigned short)(word >> at)));
#else
  const unsigned both = __byte_perm(word, 0u, at == 0u ? 0x1404u : 0x3424u), small = (both & 0x80008000u) | ((both >> 1) & 0x3f803f80u);
  unsigned large;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(h) : "r"(small), "r"(0x5c005c00u));
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(large) : "r"(small), "r"(0x78807880u));
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(h) : "r"(large), "r"(0u), "r"(h));
#endif
  return h;
#endif
}`,
  },
  {
    name: "weft_multiply_f16x2",
    text: `static __device__ __forceinline__ unsigned weft_multiply_f16x2(unsigned a, unsigned b) {
#ifdef WEFT_ON_CPU
  const auto half = [](unsigned word) { return weft_half_to_float((unsigned short)(word & 0xffffu)); };
  return weft_pair_f16(half(a) * half(b), half(a >> 16) * half(b >> 16));
#else
  unsigned h;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(h) : "r"(a), "r"(b));
  return h;
#endif
}`,
  },
  {
    name: "weft_small_to_float",
    text: `// float(x) for |x| < 2^22, without the slow instruction: the sum is exact.
static __device__ __forceinline__ float weft_small_to_float(int x) { return __int_as_float(x + 0x4b400000) - 12582912.0f; }`,
  },
  {
    name: "weft_floordiv",
    text: "static __device__ __forceinline__ int weft_floordiv(int a, int b) { const int q = a / b; return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q; }",
  },
  {
    name: "weft_floormod",
    text: "static __device__ __forceinline__ int weft_floormod(int a, int b) { const int r = a % b; return (r != 0 && (r < 0) != (b < 0)) ? r + b : r; }",
  },
  {
    name: "weft_fmod",
    text: "template <class T> static __device__ __forceinline__ T weft_fmod(T a, T b) { return a - b * floor(a / b); }",
  },
  {
    name: "weft_abs",
    text: "static __device__ __forceinline__ int weft_abs(int x) { return x < 0 ? int(0u - unsigned(x)) : x; }",
  },
  {
    name: "weft_sign",
    text: "template <class T> static __device__ __forceinline__ T weft_sign(T x) { return T((x > T(0)) - (x < T(0))); }",
  },
  {
    name: "weft_exp2",
    text: `// 2^x, to 2 ulp; 0 below 2^-126 (PTX ISA, ex2).
static __device__ __forceinline__ float weft_exp2(float x) {
#ifdef WEFT_ON_CPU
  const float y = exp2f(x);
  return y < 0x1p-126f ? 0.0f : y;
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}`,
  },
  { name: "weft_exp", text: "static __device__ __forceinline__ float weft_exp(float x) { return weft_exp2(x * 1.44269502f); }" },
  {
    name: "weft_sigmoid",
    text: "static __device__ __forceinline__ float weft_sigmoid(float x) { return 1.0f / (1.0f + weft_exp(-x)); }\nstatic __device__ __forceinline__ double weft_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }",
  },
  { name: "weft_isfinite", text: "static __device__ __forceinline__ bool weft_isfinite(double x) { return x - x == 0.0; }" },
  {
    name: "weft_random",
    text: `// Philox 4x32-10 (Salmon et al., SC 2011).
static __device__ __forceinline__ unsigned weft_random(unsigned seed, unsigned stream, unsigned n) {
  unsigned c0 = n / 4, c1 = 0, c2 = stream, c3 = 0, k0 = seed, k1 = 0;
  for (int i = 0; i < 10; i++) {
    const unsigned h0 = __umulhi(0xd2511f53u, c0), l0 = 0xd2511f53u * c0, h1 = __umulhi(0xcd9e8d57u, c2), l1 = 0xcd9e8d57u * c2;
    c0 = h1 ^ c1 ^ k0; c1 = l1; c2 = h0 ^ c3 ^ k1; c3 = l0;
    k0 += 0x9e3779b9u; k1 += 0xbb67ae85u;
  }
  return (n & 3) == 0 ? c0 : (n & 3) == 1 ? c1 : (n & 3) == 2 ? c2 : c3;
}`,
  },
  {
    name: "weft_uniform",
    text: "static __device__ __forceinline__ float weft_uniform(unsigned seed, unsigned stream, unsigned n) { return float(weft_random(seed, stream, n) >> 8) * 0x1p-24f; }",
  },
  {
    name: "weft_normal",
    text: "// Box-Muller.\nstatic __device__ __forceinline__ float weft_normal(unsigned seed, unsigned stream, unsigned n) {\n  const float u1 = float((weft_random(seed, stream, n) >> 8) + 1) * 0x1p-24f, u2 = float(weft_random(seed, stream, n ^ 1) >> 8) * 0x1p-24f;\n  const float t = 6.2831855f * (u2 > 0.5f ? u2 - 1.0f : u2);\n  return sqrtf(-2.0f * logf(u1)) * ((n & 1) ? sinf(t) : cosf(t));\n}",
  },
];

/** The helpers that `text` calls, those that they call first. */
export function neededHelpers(text: string, all: readonly Helper[]): Helper[] {
  const known = new Map(all.map((h) => [h.name, h]));
  const need = new Set<string>();
  const look = (t: string): void => {
    for (const name of new Set(t.match(/\bweft_\w+|\bWEFT_\w+/g))) {
      const h = known.get(name);
      if (h === undefined || need.has(name)) continue;
      need.add(name);
      look(h.text);
    }
  };
  look(text);
  return all.filter((h) => need.has(h.name));
}
