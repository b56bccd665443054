// What emitted CUDA text needs to be a C++ program: threads, barriers, shared memory and intrinsics, by calls into the emulator (machine.h).
// Memory is watched without a word in the text: g++ -fsanitize=thread calls __tsan_* at every access, and memory.cpp defines those.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "place.h"

extern "C" {
void weft_barrier(int line);
void* weft_shared_array(const char* name, size_t offset, size_t bytes);
void weft_sync_warp(unsigned mask, int line);
unsigned weft_shuffle(unsigned mask, unsigned value, int from, int line);
unsigned weft_ballot(unsigned mask, int vote, int line);
void weft_load_matrix(unsigned* r, int count, int transposed, const void* row, int line);
void weft_multiply(int kind, void* d, const unsigned* a, const unsigned* b, int line);
void weft_copy_async(void* to, const void* from, int bytes, int valid);
void weft_copy_async_commit();
void weft_copy_async_wait_for(int pending);
unsigned weft_atomic(unsigned* at, unsigned value, int kind);
unsigned weft_relaxed_load(const unsigned* at);
void weft_define(const char* name, void (*call)(void**));
}

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__
#define __align__(n) alignas(n)
// Shared memory is one array, and every array of a kernel a part of it.
#define WEFT_SHARED(type, name, count, offset) type* const name = (type*)weft_shared_array(#name, offset, sizeof(type) * (count))
// Helpers of emitted text that are PTX are left out of it, and stand here.
#define WEFT_ON_CPU
#define threadIdx weft_place.thread
#define blockIdx weft_place.block
#define blockDim weft_place.threads
#define gridDim weft_place.blocks
#define __syncthreads() weft_barrier(__LINE__)
#define atomicAnd(at, value) weft_atomic(at, value, 0)
#define atomicOr(at, value) weft_atomic(at, value, 1)

template <class To, class From>
static inline To weft_bits(From x) {
  To y;
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}
static inline unsigned __float_as_uint(float x) { return weft_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return weft_bits<int>(x); }
static inline float __uint_as_float(unsigned x) { return weft_bits<float>(x); }
static inline float __int_as_float(int x) { return weft_bits<float>(x); }
// Conversions saturate, and NaN is 0 (CUDA C++ Programming Guide, "Type Casting Intrinsics").
static inline int weft_to_int(double x) { return !(x == x) ? 0 : x >= 2147483647.0 ? 2147483647 : x <= -2147483648.0 ? -2147483647 - 1 : int(x); }
static inline unsigned weft_to_unsigned(double x) { return !(x >= 0.0) ? 0u : x >= 4294967295.0 ? 4294967295u : unsigned(x); }
static inline int __float2int_rz(float x) { return weft_to_int(x); }
static inline unsigned __float2uint_rz(float x) { return weft_to_unsigned(x); }
static inline int __double2int_rz(double x) { return weft_to_int(x); }
static inline unsigned __double2uint_rz(double x) { return weft_to_unsigned(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
template <class T>
static inline T min(T a, T b) { return b < a ? b : a; }
template <class T>
static inline T max(T a, T b) { return a < b ? b : a; }
// IEEE binary16, subnormals, infinity and NaN with it.
static inline float weft_half_to_float(unsigned short h) {
  const unsigned sign = unsigned(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 1023;
  if (e == 31) return __uint_as_float(sign | 0x7f800000u | (m << 13));
  if (e == 0) return __uint_as_float(sign) + (sign ? -1.0f : 1.0f) * float(m) * 0x1p-24f;
  return __uint_as_float(sign | ((e + 112) << 23) | (m << 13));
}

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// Warps. A line says which operation lanes meet at, so each stands on a line of its own.
static inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) { weft_sync_warp(mask, line); }
static inline int weft_lane() { return weft_place.thread.x % 32; }
template <class T>
static inline T weft_shuffle_bits(unsigned mask, T value, int from, int line) {
  static_assert(sizeof(T) == 4, "shuffles move 32 bits");
  return weft_bits<T>(weft_shuffle(mask, weft_bits<unsigned>(value), from, line));
}
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, int line = __builtin_LINE()) {
  return weft_shuffle_bits(mask, value, (weft_lane() & ~(width - 1)) | (from & (width - 1)), line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, int line = __builtin_LINE()) {
  const int from = weft_lane() ^ bits;
  return weft_shuffle_bits(mask, value, from / width == weft_lane() / width ? from : weft_lane(), line);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, int by, int width = 32, int line = __builtin_LINE()) {
  const int from = weft_lane() + by;
  return weft_shuffle_bits(mask, value, from / width == weft_lane() / width ? from : weft_lane(), line);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, int by, int width = 32, int line = __builtin_LINE()) {
  const int from = weft_lane() - by;
  return weft_shuffle_bits(mask, value, from >= (weft_lane() & ~(width - 1)) ? from : weft_lane(), line);
}
static inline unsigned __ballot_sync(unsigned mask, int vote, int line = __builtin_LINE()) { return weft_ballot(mask, vote, line); }
static inline int __any_sync(unsigned mask, int vote, int line = __builtin_LINE()) { return weft_ballot(mask, vote, line) != 0; }
static inline int __all_sync(unsigned mask, int vote, int line = __builtin_LINE()) { return weft_ballot(mask, vote, line) == mask; }
// What compiler/emit/intrinsics.ts says in PTX.
static inline void weft_ldmatrix_x2(unsigned& r0, unsigned& r1, const void* row, int line = __builtin_LINE()) {
  unsigned r[2];
  weft_load_matrix(r, 2, 0, row, line);
  r0 = r[0], r1 = r[1];
}
static inline void weft_ldmatrix_x2_trans(unsigned& r0, unsigned& r1, const void* row, int line = __builtin_LINE()) {
  unsigned r[2];
  weft_load_matrix(r, 2, 1, row, line);
  r0 = r[0], r1 = r[1];
}
static inline void weft_ldmatrix_x4(unsigned& r0, unsigned& r1, unsigned& r2, unsigned& r3, const void* row, int line = __builtin_LINE()) {
  unsigned r[4];
  weft_load_matrix(r, 4, 0, row, line);
  r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3];
}
static inline void weft_ldmatrix_x4_trans(unsigned& r0, unsigned& r1, unsigned& r2, unsigned& r3, const void* row, int line = __builtin_LINE()) {
  unsigned r[4];
  weft_load_matrix(r, 4, 1, row, line);
  r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3];
}
template <class T>
static inline void weft_multiply_add(int kind, T& d0, T& d1, T& d2, T& d3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1, int line) {
  T d[4] = {d0, d1, d2, d3};
  const unsigned a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};
  weft_multiply(kind, d, a, b, line);
  d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
}
#define WEFT_MULTIPLY(name, type, kind) \
  static inline void name(type& d0, type& d1, type& d2, type& d3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1, int line = __builtin_LINE()) { \
    weft_multiply_add(kind, d0, d1, d2, d3, a0, a1, a2, a3, b0, b1, line); \
  }
WEFT_MULTIPLY(weft_mma_f16, float, 0)
WEFT_MULTIPLY(weft_mma_bf16, float, 1)
WEFT_MULTIPLY(weft_mma_s8, int, 2)
#define WEFT_MULTIPLY_FRESH(name, kind) \
  static inline void name(float& d0, float& d1, float& d2, float& d3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1, int line = __builtin_LINE()) { \
    d0 = d1 = d2 = d3 = 0.0f; \
    weft_multiply_add(kind, d0, d1, d2, d3, a0, a1, a2, a3, b0, b1, line); \
  }
WEFT_MULTIPLY_FRESH(weft_mma_f8e4m3, 3)
WEFT_MULTIPLY_FRESH(weft_mma_f8e5m2, 4)
static inline void weft_copy_async_4(void* to, const void* from, bool valid) { weft_copy_async(to, from, 4, valid); }
static inline void weft_copy_async_16(void* to, const void* from, bool valid) { weft_copy_async(to, from, 16, valid); }
template <int N>
static inline void weft_copy_async_wait() { weft_copy_async_wait_for(N); }

// A kernel as a function of pointers to its arguments.
template <class... A, size_t... I>
__attribute__((no_sanitize_thread, noinline)) static void weft_apply(void (*volatile f)(A...), void** a, std::index_sequence<I...>) {
  f(*(A*)a[I]...);
}
template <class... A>
static inline void weft_apply(void (*f)(A...), void** a) {
  weft_apply<A...>(f, a, std::make_index_sequence<sizeof...(A)>());
}
#define WEFT_ENTRY(space, name) \
  static void weft_call_##name(void** a) { weft_apply(&space::name, a); } \
  __attribute__((constructor)) static void weft_define_##name() { weft_define(#name, weft_call_##name); }
