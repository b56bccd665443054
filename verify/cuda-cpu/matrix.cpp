// mma.sync: fragments to matrices (PTX ISA, "Matrix Fragments for mma.m16n8k16" and ".m16n8k32"), and how the unit adds. What a unit does
// with the bits is a fact about chips that NVIDIA does not state: the models follow published measurements (MMA-Sim), and recorded bits of a
// device decide (test/verify/oracle).
#include <algorithm>
#include <cmath>
#include "machine.h"

static float half_to_float(unsigned h) {
  const unsigned e = (h >> 10) & 31, m = h & 1023;
  const float sign = h & 0x8000 ? -1.0f : 1.0f;
  if (e == 31) return m ? NAN : sign * INFINITY;
  return sign * (e == 0 ? float(m) * 0x1p-24f : std::ldexp(float(m | 1024), int(e) - 25));
}
static float bfloat_to_float(unsigned b) {
  const uint32_t word = b << 16;
  float x;
  memcpy(&x, &word, 4);
  return x;
}
static float e4m3_to_float(unsigned b) {
  const unsigned e = (b >> 3) & 15, m = b & 7;
  const float sign = b & 0x80 ? -1.0f : 1.0f;
  if (e == 15 && m == 7) return NAN;
  return sign * (e == 0 ? float(m) * 0x1p-9f : std::ldexp(float(m | 8), int(e) - 10));
}
// The upper half of a half.
static float e5m2_to_float(unsigned b) { return half_to_float(b << 8); }
/** The exponent of a finite factor; those of subnormals are not normalised. */
static int exponent(float x, int least) { return x == 0 ? least : std::max(std::ilogb(x), least); }
/** c + the products, as one step of a unit does it: aligned to the largest exponent, each cut at `bits` below it, added exactly, cut to `kept` bits. */
static float step(float c, const float* a, const float* b, int n, int bits, int least, int kept = 24) {
  double plain = c;
  for (int k = 0; k < n; k++) plain += double(a[k]) * b[k];
  if (!std::isfinite(plain)) return float(plain);
  int top = exponent(c, -126);
  for (int k = 0; k < n; k++)
    if (a[k] != 0 && b[k] != 0) top = std::max(top, exponent(a[k], least) + exponent(b[k], least));
  // Products are at most 2^(top + 2), units 2^(top - bits): the sum is exact in 64 bits.
  const double unit = std::ldexp(1.0, top - bits);
  int64_t sum = int64_t(std::trunc(c / unit));
  for (int k = 0; k < n; k++) sum += int64_t(std::trunc(double(a[k]) * b[k] / unit));
  if (sum == 0) return 0.0f;
  uint64_t size = sum < 0 ? uint64_t(-sum) : uint64_t(sum);
  int shift = 0;
  while (size >> shift >= (1u << kept)) shift++;
  return float((sum < 0 ? -1.0 : 1.0) * double(size >> shift << shift) * unit);
}
/** A form of narrow floats: how many a word holds, what one means, the exponent of its least normal number. */
struct Form {
  int in_word;
  float (*to_float)(unsigned);
  int least;
};
static float add_up(float c, const float* a, const float* b, const Form& form) {
  const int depth = 8 * form.in_word;
  if (matrix_model == 0) {
    double sum = c;
    for (int k = 0; k < depth; k++) sum += double(a[k]) * b[k];
    return float(sum);
  }
  if (matrix_model == 2) {
    if (form.in_word == 2) return step(c, a, b, 16, 25, form.least);
    // There is no unit for these: two products of halves, and a sum.
    return c + step(step(0.0f, a, b, 16, 25, -14), a + 16, b + 16, 16, 25, -14);
  }
  if (matrix_model == 3) {
    // The chips of this model that have an instruction for floats of 8 bits (sm_89) do 32 at once.
    if (form.in_word == 4) return step(c, a, b, 32, 13, form.least, 14);
    return step(step(c, a, b, 8, 24, form.least), a + 8, b + 8, 8, 24, form.least);
  }
  for (int k = 0; k < depth; k++) c += a[k] * b[k];
  return c;
}
static void multiply_floats(Lane* const lanes[32], const Form& form) {
  static float a[16][32], b[8][32], d[16][8];
  const int n = form.in_word, bits = 32 / n;
  const auto element = [&](unsigned word, int k) { return form.to_float(word >> k * bits & ((1u << bits) - 1)); };
  for (int l = 0; l < 32; l++) {
    const int group = l >> 2, first = (l & 3) * n;
    for (int w = 0; w < 4; w++)
      for (int k = 0; k < n; k++) a[group + (w & 1) * 8][first + k + (w >> 1) * 4 * n] = element(lanes[l]->in[w], k);
    for (int w = 0; w < 2; w++)
      for (int k = 0; k < n; k++) b[group][first + k + w * 4 * n] = element(lanes[l]->in[4 + w], k);
    for (int i = 0; i < 4; i++) memcpy(&d[group + (i >> 1) * 8][(l & 3) * 2 + (i & 1)], &lanes[l]->in[6 + i], 4);
  }
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 8; c++) d[r][c] = add_up(d[r][c], a[r], b[c], form);
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) memcpy(&lanes[l]->out[i], &d[(l >> 2) + (i >> 1) * 8][(l & 3) * 2 + (i & 1)], 4);
}
static void multiply_bytes(Lane* const lanes[32]) {
  static int8_t a[16][32], b[8][32];
  static int32_t d[16][8];
  for (int l = 0; l < 32; l++) {
    const int group = l >> 2, four = (l & 3) * 4;
    for (int i = 0; i < 16; i++) a[group + (i >> 2 & 1) * 8][four + (i & 3) + (i >> 3) * 16] = int8_t(lanes[l]->in[i / 4] >> (i & 3) * 8);
    for (int i = 0; i < 8; i++) b[group][four + (i & 3) + (i >> 2) * 16] = int8_t(lanes[l]->in[4 + i / 4] >> (i & 3) * 8);
    for (int i = 0; i < 4; i++) memcpy(&d[group + (i >> 1) * 8][(l & 3) * 2 + (i & 1)], &lanes[l]->in[6 + i], 4);
  }
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 8; c++) {
      uint32_t sum = uint32_t(d[r][c]);
      for (int k = 0; k < 32; k++) sum += uint32_t(int32_t(a[r][k]) * b[c][k]);
      d[r][c] = int32_t(sum);
    }
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) memcpy(&lanes[l]->out[i], &d[(l >> 2) + (i >> 1) * 8][(l & 3) * 2 + (i & 1)], 4);
}
void multiply(int kind, Lane* const lanes[32]) {
  static const Form f16 = {2, half_to_float, -14}, bf16 = {2, bfloat_to_float, -126};
  static const Form e4m3 = {4, e4m3_to_float, -6}, e5m2 = {4, e5m2_to_float, -14};
  switch (kind) {
    case 0: return multiply_floats(lanes, f16);
    case 1: return multiply_floats(lanes, bf16);
    case 2: return multiply_bytes(lanes);
    case 3: return multiply_floats(lanes, e4m3);
    default: return multiply_floats(lanes, e5m2);
  }
}
