// Convolution by Winograd's algorithm: forward, and the gradient of the bottom.
#ifndef CAFFE_EXT_ENGINES_WINOGRAD_CORRELATION_HPP_
#define CAFFE_EXT_ENGINES_WINOGRAD_CORRELATION_HPP_

#include <vector>

#include "engines/large_memory.hpp"
#include "engines/winograd/tiling.hpp"

namespace caffe_ext {

/**
 * @brief y[n][o] = bias[o] + sum over c of the correlation of x[n][c] with the kernel w[o][c].
 *
 * Stride 1, kernels 3 x 3 or 5 x 5: winograd_tiles.md tells how. An image's result depends on that
 * image alone, to the last bit, and not on the number of threads.
 */
class WinogradCorrelation {
 public:
  /**
   * @param shape with several groups, channels and outputs are multiples of Lanes(isa)
   * @param backward whether `shape` is another's Backward(), and the kernels are those of that one
   * @param keep whether to keep the spectra of the kernels, made anew only where these differ from
   *     those given before, bit by bit: for nets whose weights change seldom. Else the spectra
   *     lie in memory that all layers of a thread share.
   */
  WinogradCorrelation(const CorrelationShape& shape, Isa isa, bool backward, bool keep);

  /**
   * @param weights of all groups, plain
   * @param bias outputs of all groups, or null
   * @param result blocked, overwritten
   */
  void Run(const WinogradSource& source, const float* weights, const float* bias, float* result);

 private:
  struct Step;
  const float* Spectra(const float* weights, float* room);
  void MakeSpectra(const float* weights, float* spectra) const;
  void RunStep(const Step& step, const WinogradSource& source, const float* spectra,
               const float* bias, float* strip, float* result) const;
  void WriteResult(const Step& step, int unit, int block, const float* bias, float* strip,
                   float* result) const;

  WinogradTiling tiling_;
  const WinogradTileKernels& kernels_;
  bool backward_, keep_;
  std::vector<float> weights_;  ///< those that the kept spectra are of
  LargeMemory spectra_;
};

/// Memory of a pass that its threads share, for one pass at a time; each thread that calls passes
/// has its own.
LargeMemory* WinogradShared();

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_WINOGRAD_CORRELATION_HPP_
