// Weights with a block of outputs in the lanes, and where their spectra lie.
#ifndef CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_WEIGHTS_HPP_
#define CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_WEIGHTS_HPP_

#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace winograd {

CAFFE_EXT_INLINE int Smaller(int a, int b) { return a < b ? a : b; }

/// Where a block of outputs lies in the spectra of weights, and how far its channels are apart.
struct WeightBlock {
  size_t offset, step;

  CAFFE_EXT_INLINE WeightBlock(int block, int blocks, int channels) {
    const int pair = block / 2 * 2;
    step = (pair + 1 < blocks ? 2 : 1) * kLanes;
    offset = size_t(pair) * kLanes * channels + (block - pair) * kLanes;
  }
};

/// One block of the weights outputs x channels x Taps, lanes last: channels x Taps x B. `turned`:
/// from channels x outputs x Taps, with the taps in reverse order.
template <int Taps>
CAFFE_EXT_INLINE void PackWeights(const float* weights, int outputs, int channels, bool turned,
                                  int block, float* packed) {
  const size_t output_step = turned ? Taps : size_t(channels) * Taps;
  const size_t channel_step = turned ? size_t(outputs) * Taps : Taps;
  const int lanes = Smaller(outputs - block * kLanes, kLanes);
  weights += block * kLanes * output_step;
  for (int c = 0; c < channels; ++c, weights += channel_step, packed += Taps * kLanes) {
    for (int k = 0; k < Taps; ++k) {
      const float* from = weights + (turned ? Taps - 1 - k : k);
      float* to = packed + k * kLanes;
      if (lanes == kLanes) {
        Vec all;
#pragma GCC unroll 16
        for (int l = 0; l < kLanes; ++l) all[l] = from[l * output_step];
        Store(to, all);
      } else {
        for (int l = 0; l < kLanes; ++l) to[l] = l < lanes ? from[l * output_step] : 0;
      }
    }
  }
}

/// diff, outputs x channels x Taps, += one packed block.
template <int Taps>
CAFFE_EXT_INLINE void AddPacked(const float* packed, int outputs, int channels, int block,
                                float* diff) {
  for (int l = 0; l < Smaller(outputs - block * kLanes, kLanes); ++l) {
    float* to = diff + (size_t(block) * kLanes + l) * channels * Taps;
    for (int i = 0; i < channels * Taps; ++i) to[i] += packed[i * kLanes + l];
  }
}

}  // namespace winograd
}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_WEIGHTS_HPP_
