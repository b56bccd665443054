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
/** The exponent of a finite factor; those of subnormals are not normalised. */
static int exponent(float x, int least) { return x == 0 ? least : std::max(std::ilogb(x), least); }
/** c + the products, as one step of a unit does it: aligned to the largest exponent, each cut at `bits` below it, added exactly, cut to 24 bits. */
static float step(float c, const float* a, const float* b, int n, int bits, int least) {
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
  while (size >> shift >= (1u << 24)) shift++;
  return float((sum < 0 ? -1.0 : 1.0) * double(size >> shift << shift) * unit);
}
static float add_up(float c, const float* a, const float* b, bool bfloat) {
  const int least = bfloat ? -126 : -14;
  switch (matrix_model) {
    case 0: {
      double sum = c;
      for (int k = 0; k < 16; k++) sum += double(a[k]) * b[k];
      return float(sum);
    }
    case 2: return step(c, a, b, 16, 25, least);
    case 3: return step(step(c, a, b, 8, 24, least), a + 8, b + 8, 8, 24, least);
    default:
      for (int k = 0; k < 16; k++) c += a[k] * b[k];
      return c;
  }
}
static void multiply_floats(Lane* const lanes[32], bool bfloat) {
  static float a[16][16], b[8][16], d[16][8];
  float (*const to_float)(unsigned) = bfloat ? bfloat_to_float : half_to_float;
  for (int l = 0; l < 32; l++) {
    const int group = l >> 2, pair = (l & 3) * 2;
    for (int i = 0; i < 8; i++) a[group + (i >> 1 & 1) * 8][pair + (i & 1) + (i >> 2) * 8] = to_float(lanes[l]->in[i / 2] >> (i & 1) * 16 & 0xffff);
    for (int i = 0; i < 4; i++) b[group][pair + (i & 1) + (i >> 1) * 8] = to_float(lanes[l]->in[4 + i / 2] >> (i & 1) * 16 & 0xffff);
    for (int i = 0; i < 4; i++) memcpy(&d[group + (i >> 1) * 8][pair + (i & 1)], &lanes[l]->in[6 + i], 4);
  }
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 8; c++) d[r][c] = add_up(d[r][c], a[r], b[c], bfloat);
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
  if (kind == 2) multiply_bytes(lanes);
  else multiply_floats(lanes, kind == 1);
}
