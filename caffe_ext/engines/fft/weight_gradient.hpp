// The gradients of a convolution's kernels and biases by FFT.
#ifndef CAFFE_EXT_ENGINES_FFT_WEIGHT_GRADIENT_HPP_
#define CAFFE_EXT_ENGINES_FFT_WEIGHT_GRADIENT_HPP_

#include <vector>

#include "engines/fft/tiles.hpp"

namespace caffe_ext {

/**
 * @brief dw[o][c] = sum over n of the correlation of x[n][c] with dy[n][o]; db[o] = sum of
 * dy[n][o].
 *
 * The spectra of all tiles of all images are multiplied and summed up, and one transform per kernel
 * leads back. Threads share the frequencies: sums do not depend on their number.
 */
class FftWeightGradient {
 public:
  /// As for FftCorrelation, of the same shape.
  FftWeightGradient(const CorrelationShape& shape, const FftKernels& kernels,
                    const FftTransforms& transforms);

  /// Of the tiles.
  int size() const { return source_tiling_.size(); }

  /**
   * @param source as in FftCorrelation::Run
   * @param diff blocked
   * @param weight_diff plain, of all groups, added to; or null
   * @param bias_diff added to; or null
   */
  void Run(const float* source, bool plain, const float* diff, float* weight_diff,
           float* bias_diff);

 private:
  struct Visit;
  size_t SharedSize(int rows, bool plain) const;
  void Take(const Visit& visit, const float* source, bool plain, const float* diff);
  void AddProducts(const Visit& visit, int kx, bool plain);
  void AddTransformed(int group, int block, int channel, float* weight_diff) const;

  CorrelationShape shape_;
  FftTiling source_tiling_, result_tiling_;
  int in_blocks_, out_blocks_;  ///< of one group
  LargeMemory sums_memory_;
  float *sums_, *source_rows_, *diff_rows_;
  size_t sums_step_;  ///< from kx to kx
  std::vector<double> bias_sums_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FFT_WEIGHT_GRADIENT_HPP_
