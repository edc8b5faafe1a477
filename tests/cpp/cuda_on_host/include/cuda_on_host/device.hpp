// What device code finds without including anything. Only files that rewrite_kernels.py produced
// include this: ordinary files must not see names such as ::max.
#ifndef CUDA_ON_HOST_DEVICE_HPP_
#define CUDA_ON_HOST_DEVICE_HPP_

// The C++ library's versions of these put overloads for float and double at global scope.
#include <math.h>
#include <stdlib.h>

#include <cfloat>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda_on_host/launch.hpp"
#include "cuda_runtime.h"

// --- Who am I. Plain globals: one launch runs at a time.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// --- Waiting for others. The caller's line tells two barriers apart.
void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE());
void __syncwarp(unsigned mask = 0xffffffffu, const char* file = __builtin_FILE(),
                int line = __builtin_LINE());
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

namespace cuda_on_host {

// Where a warp's threads exchange 8 bytes each.
struct Exchange {
  uint64_t values[32];
  unsigned mask;  // Which lanes took part.
};
const Exchange& ExchangeInWarp(const char* operation, unsigned mask, uint64_t value,
                               const char* file, int line);
int Lane();

template <typename To, typename From>
To Bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "bits are copied one to one");
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

template <typename T>
T Shuffle(const char* operation, unsigned mask, T value, int lane, const char* file, int line) {
  static_assert(std::is_arithmetic<T>::value && sizeof(T) >= 4 && sizeof(T) <= 8,
                "CUDA shuffles numbers of 4 and of 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  const Exchange& exchange = ExchangeInWarp(operation, mask, bits, file, line);
  // What a lane that takes no part holds is undefined: make that show.
  bits = exchange.mask >> lane & 1 ? exchange.values[lane] : ~uint64_t(0);
  memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename T>
struct NotDeduced {
  typedef T Type;
};
template <typename T>
using NotDeducedT = typename NotDeduced<T>::Type;

template <typename T>
T Replace(T* at, T value) {
  const T old = *at;
  *at = value;
  return old;
}

}  // namespace cuda_on_host

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  const int first = cuda_on_host::Lane() / width * width;
  return cuda_on_host::Shuffle("__shfl_sync", mask, value, first + (lane & (width - 1)), file,
                               line);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int lane = cuda_on_host::Lane();
  const bool inside = lane % width + delta < unsigned(width);
  return cuda_on_host::Shuffle("__shfl_down_sync", mask, value, inside ? lane + delta : lane, file,
                               line);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int lane = cuda_on_host::Lane();
  const bool inside = unsigned(lane % width) >= delta;
  return cuda_on_host::Shuffle("__shfl_up_sync", mask, value, inside ? lane - delta : lane, file,
                               line);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int lane = cuda_on_host::Lane();
  const int other = lane ^ lane_mask;
  // A thread may read from an earlier segment but not from a later one.
  const bool inside = other < (lane / width + 1) * width;
  return cuda_on_host::Shuffle("__shfl_xor_sync", mask, value, inside ? other : lane, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
  const cuda_on_host::Exchange& exchange =
      cuda_on_host::ExchangeInWarp("a vote", mask, predicate != 0, file, line);
  unsigned ballot = 0;
  for (int lane = 0; lane < 32; ++lane) {
    ballot |= unsigned(exchange.mask >> lane & 1 && exchange.values[lane]) << lane;
  }
  return ballot;
}
inline int __any_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, !predicate, file, line) == 0;
}

// --- Atomic operations: a thread runs alone between two places where it waits.
template <typename T>
T atomicAdd(T* at, cuda_on_host::NotDeducedT<T> value) {
  return cuda_on_host::Replace(at, static_cast<T>(*at + value));
}
template <typename T>
T atomicSub(T* at, cuda_on_host::NotDeducedT<T> value) {
  return cuda_on_host::Replace(at, static_cast<T>(*at - value));
}
template <typename T>
T atomicMin(T* at, cuda_on_host::NotDeducedT<T> value) {
  static_assert(std::is_integral<T>::value, "CUDA has atomicMin for integers only");
  return cuda_on_host::Replace(at, value < *at ? value : *at);
}
template <typename T>
T atomicMax(T* at, cuda_on_host::NotDeducedT<T> value) {
  static_assert(std::is_integral<T>::value, "CUDA has atomicMax for integers only");
  return cuda_on_host::Replace(at, value > *at ? value : *at);
}
template <typename T>
T atomicExch(T* at, cuda_on_host::NotDeducedT<T> value) {
  return cuda_on_host::Replace(at, value);
}
template <typename T>
T atomicCAS(T* at, cuda_on_host::NotDeducedT<T> expected, cuda_on_host::NotDeducedT<T> value) {
  static_assert(std::is_integral<T>::value, "CUDA has atomicCAS for integers only");
  return cuda_on_host::Replace(at, *at == expected ? value : *at);
}
template <typename T>
T atomicOr(T* at, cuda_on_host::NotDeducedT<T> value) {
  return cuda_on_host::Replace(at, *at | value);
}
template <typename T>
T atomicAnd(T* at, cuda_on_host::NotDeducedT<T> value) {
  return cuda_on_host::Replace(at, *at & value);
}

// --- Numbers. CUDA's min and max of floating-point numbers pass over a NaN, as fmin and fmax do.
template <typename A, typename B>
typename std::enable_if<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value,
                        typename std::common_type<A, B>::type>::type
max(A a, B b) {
  typedef typename std::common_type<A, B>::type T;
  const T x = a, y = b;
  return x != x || x < y ? y : x;
}
template <typename A, typename B>
typename std::enable_if<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value,
                        typename std::common_type<A, B>::type>::type
min(A a, B b) {
  typedef typename std::common_type<A, B>::type T;
  const T x = a, y = b;
  return x != x || y < x ? y : x;
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }

// CUDA's faster, coarser versions. The C library declares these very names without defining them.
#define __expf expf
#define __exp10f exp10f
#define __logf logf
#define __log2f log2f
#define __log10f log10f
#define __powf powf
#define __sinf sinf
#define __cosf cosf
#define __tanf tanf
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }

inline long long __double_as_longlong(double x) { return cuda_on_host::Bits<long long>(x); }
inline double __longlong_as_double(long long x) { return cuda_on_host::Bits<double>(x); }
inline int __float_as_int(float x) { return cuda_on_host::Bits<int>(x); }
inline unsigned __float_as_uint(float x) { return cuda_on_host::Bits<unsigned>(x); }
inline float __int_as_float(int x) { return cuda_on_host::Bits<float>(x); }
inline float __uint_as_float(unsigned x) { return cuda_on_host::Bits<float>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __umulhi(unsigned x, unsigned y) { return (uint64_t(x) * y) >> 32; }
template <typename T>
T __ldg(const T* pointer) {
  return *pointer;
}

#endif  // CUDA_ON_HOST_DEVICE_HPP_
