// What emitted CUDA text needs to be a C++ program: threads, barriers, shared memory and intrinsics, by calls into emulator.cpp.
// Memory is watched without a word in the text: g++ -fsanitize=thread calls __tsan_* at every access, and emulator.cpp defines those.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

struct WeftIndex {
  int x, y, z;
};
extern "C" {
extern struct WeftPlace {
  WeftIndex thread, block, threads, blocks;
} weft_place;
void weft_barrier(int line);
unsigned weft_atomic(unsigned* at, unsigned value, int kind);
unsigned weft_relaxed_load(const unsigned* at);
void weft_define(const char* name, void (*call)(void**));
}

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("weft_shared")))
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
