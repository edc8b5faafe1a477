// Vectors of floats as wide as the instruction set that a kernel is compiled for.
//
// Every file in this folder is compiled once per instruction set (engines/isa.hpp). The build
// defines CAFFE_EXT_LANES, the floats of a register (16 or 8), and CAFFE_EXT_ISA, the namespace. A
// kernel includes only headers of this folder, and no code of the standard library: the linker
// keeps one copy of an inline function, and it might keep one that this processor cannot run.
#ifndef CAFFE_EXT_ENGINES_KERNELS_VECTOR_HPP_
#define CAFFE_EXT_ENGINES_KERNELS_VECTOR_HPP_

#include <stddef.h>

#include <type_traits>
#include <utility>

#if CAFFE_EXT_LANES == 16 && defined(__AVX512F__)
#include <immintrin.h>
#endif

#define CAFFE_EXT_INLINE inline __attribute__((always_inline))
// For lambdas, which are declared in another order.
#define CAFFE_EXT_INLINED __attribute__((always_inline))

namespace caffe_ext {
namespace CAFFE_EXT_ISA {

constexpr int kLanes = CAFFE_EXT_LANES;
typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));
typedef float LooseVec
    __attribute__((vector_size(kLanes * sizeof(float)), aligned(sizeof(float)), may_alias));

CAFFE_EXT_INLINE Vec Load(const float* p) { return *reinterpret_cast<const LooseVec*>(p); }
CAFFE_EXT_INLINE void Store(float* p, Vec v) { *reinterpret_cast<LooseVec*>(p) = v; }
CAFFE_EXT_INLINE Vec All(float x) { return Vec{} + x; }

/// Stores past the caches; p is aligned to a vector. An ordinary store where there is no such one.
CAFFE_EXT_INLINE void Stream(float* p, Vec v) {
#if CAFFE_EXT_LANES == 16 && defined(__AVX512F__)
  _mm512_stream_ps(p, reinterpret_cast<__m512&>(v));
#else
  Store(p, v);
#endif
}

template <int... I, typename F>
CAFFE_EXT_INLINE void UnrollOver(std::integer_sequence<int, I...>, const F& f) {
  (f(std::integral_constant<int, I>{}), ...);
}

/// f(0), f(1) ... f(N - 1), where the argument is a constant that f may use as a template's.
template <int N, typename F>
CAFFE_EXT_INLINE void Unroll(const F& f) {
  UnrollOver(std::make_integer_sequence<int, N>{}, f);
}

/// The lanes I of a and b after another: lane numbers from kLanes on are those of b.
template <int... I>
CAFFE_EXT_INLINE Vec Shuffle(Vec a, Vec b) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, I...);
#else
  typedef int Lanes __attribute__((vector_size(kLanes * sizeof(int))));
  return __builtin_shuffle(a, b, Lanes{I...});
#endif
}

/// Of two rows, the blocks of S lanes that are to be the upper one's, and those of the lower one.
template <int S, int... I>
CAFFE_EXT_INLINE void ExchangeBlocks(Vec* a, Vec* b, std::integer_sequence<int, I...>) {
  const Vec upper = Shuffle<(I & S ? kLanes + I - S : I)...>(*a, *b);
  *b = Shuffle<(I & S ? kLanes + I : I + S)...>(*a, *b);
  *a = upper;
}

/// rows[i][j] becomes rows[j][i].
template <int S = kLanes / 2>
CAFFE_EXT_INLINE void Transpose(Vec* rows) {
  Unroll<kLanes>([&](auto i) CAFFE_EXT_INLINED {
    if constexpr ((i & S) == 0) {
      ExchangeBlocks<S>(&rows[i], &rows[i + S], std::make_integer_sequence<int, kLanes>{});
    }
  });
  if constexpr (S > 1) {
    Transpose<S / 2>(rows);
  }
}

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_KERNELS_VECTOR_HPP_
