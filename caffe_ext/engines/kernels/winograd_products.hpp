// The products of Winograd's convolution: at each of the 36 points a small matrix product.
#ifndef CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_PRODUCTS_HPP_
#define CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_PRODUCTS_HPP_

#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace winograd {

// Tiles (or channels) whose sums for two blocks of outputs fit in the registers, 32 or 16, beside
// the two vectors that they are multiplied with.
constexpr int kAtOnce = kLanes == 16 ? 13 : 6;

/// to[t] = sum over channels c of x[t][c] * weights[c], for Tiles tiles and Width vectors of
/// outputs. One order of summation for every tile: a tile's result does not depend on its
/// neighbours.
template <int Width, int Tiles>
CAFFE_EXT_INLINE void Multiply(const float* x, size_t x_step, const float* weights, int channels,
                               float* to, size_t to_step) {
  Vec sum[Tiles][Width] = {};
  for (int c = 0; c < channels; ++c, weights += Width * kLanes) {
    Vec w[Width];
    Unroll<Width>([&](auto i) CAFFE_EXT_INLINED { w[i] = Load(weights + i * kLanes); });
    Unroll<Tiles>([&](auto t) CAFFE_EXT_INLINED {
      const float value = x[t * x_step + c];
      Unroll<Width>([&](auto i) CAFFE_EXT_INLINED { sum[t][i] += value * w[i]; });
    });
  }
  Unroll<Tiles>([&](auto t) CAFFE_EXT_INLINED {
    Unroll<Width>([&](auto i)
                      CAFFE_EXT_INLINED { Store(to + t * to_step + i * kLanes, sum[t][i]); });
  });
}

/// weights[c] += sum over tiles t of x[t][c] * diff[t], for Channels channels.
template <int Width, int Channels>
CAFFE_EXT_INLINE void Add(const float* x, size_t x_step, const float* diff, size_t diff_step,
                          int tiles, float* weights) {
  Vec sum[Channels][Width];
  Unroll<Channels>([&](auto c) CAFFE_EXT_INLINED {
    Unroll<Width>([&](auto i)
                      CAFFE_EXT_INLINED { sum[c][i] = Load(weights + (c * Width + i) * kLanes); });
  });
  for (int t = 0; t < tiles; ++t, x += x_step, diff += diff_step) {
    Vec d[Width];
    Unroll<Width>([&](auto i) CAFFE_EXT_INLINED { d[i] = Load(diff + i * kLanes); });
    Unroll<Channels>([&](auto c) CAFFE_EXT_INLINED {
      Unroll<Width>([&](auto i) CAFFE_EXT_INLINED { sum[c][i] += x[c] * d[i]; });
    });
  }
  Unroll<Channels>([&](auto c) CAFFE_EXT_INLINED {
    Unroll<Width>([&](auto i)
                      CAFFE_EXT_INLINED { Store(weights + (c * Width + i) * kLanes, sum[c][i]); });
  });
}

/// f(constant), where the constant is `size`, 1 to Largest.
template <int Largest, typename F>
CAFFE_EXT_INLINE void WithConstant(int size, const F& f) {
  if constexpr (Largest > 1) {
    if (size != Largest) {
      WithConstant<Largest - 1>(size, f);
      return;
    }
  }
  f(std::integral_constant<int, Largest>{});
}

/// f(begin, constant size) for pieces of [0, count), of equal size give or take one.
template <typename F>
CAFFE_EXT_INLINE void InPieces(int count, const F& f) {
  const int pieces = (count + kAtOnce - 1) / kAtOnce;
  for (int i = 0; i < pieces; ++i) {
    const int begin = count * i / pieces, end = count * (i + 1) / pieces;
    WithConstant<kAtOnce>(end - begin, [&](auto size) CAFFE_EXT_INLINED { f(begin, size); });
  }
}

/// f(constant width, first block, weights) for pairs of output blocks and a last odd one;
/// `weights` moves on by `channels` vectors of the width.
template <typename Float, typename F>
CAFFE_EXT_INLINE void InPairs(int blocks, int channels, Float* weights, const F& f) {
  int block = 0;
  for (; block + 1 < blocks; block += 2, weights += size_t(2) * kLanes * channels) {
    f(std::integral_constant<int, 2>{}, block, weights);
  }
  if (block < blocks) {
    f(std::integral_constant<int, 1>{}, block, weights);
  }
}

}  // namespace winograd
}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_PRODUCTS_HPP_
