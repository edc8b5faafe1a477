// The gradients of a convolution's kernels and biases by Winograd's algorithm.
#ifndef CAFFE_EXT_ENGINES_WINOGRAD_WEIGHT_GRADIENT_HPP_
#define CAFFE_EXT_ENGINES_WINOGRAD_WEIGHT_GRADIENT_HPP_

#include "engines/winograd/tiling.hpp"

namespace caffe_ext {

/**
 * @brief dw[o][c] = sum over n of the correlation of x[n][c] with dy[n][o]; db[o] = sum of
 * dy[n][o].
 *
 * Threads share the points, at each of which all tiles of all images are summed up in their order:
 * sums do not depend on the number of threads.
 */
class WinogradWeightGradient {
 public:
  /// As for WinogradCorrelation, of the same shape.
  WinogradWeightGradient(const CorrelationShape& shape, Isa isa);

  /**
   * @param diff blocked
   * @param weight_diff plain, of all groups, added to; or null
   * @param bias_diff added to; or null
   */
  void Run(const WinogradSource& source, const float* diff, float* weight_diff,
           float* bias_diff) const;

 private:
  WinogradTiling tiling_;
  const WinogradTileKernels& kernels_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_WINOGRAD_WEIGHT_GRADIENT_HPP_
