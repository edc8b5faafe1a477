// Convolution by FFT: forward, and the gradient of the bottom.
#ifndef CAFFE_EXT_ENGINES_FFT_CORRELATION_HPP_
#define CAFFE_EXT_ENGINES_FFT_CORRELATION_HPP_

#include <vector>

#include "engines/fft/tiles.hpp"

namespace caffe_ext {

/**
 * @brief y[n][o] = bias[o] + sum over c of the correlation of x[n][c] with the kernel w[o][c].
 *
 * Stride 1, in T x T tiles whose spectra are multiplied: fft.md tells how. An image's result
 * depends on that image alone, to the last bit, and not on the number of threads.
 */
class FftCorrelation {
 public:
  /// For a shape with kernels of at most T/2 + 1, on kernels for blocks of kernels.lanes channels;
  /// with several groups, channels and outputs are multiples of it.
  FftCorrelation(const CorrelationShape& shape, const FftKernels& kernels,
                 const FftTransforms& transforms);

  /// Of the tiles.
  int size() const { return tiling_.size(); }

  /// Kernels (outputs x channels x height x width, plain, of all groups) of the next passes; where
  /// `backward`, those of the convolution whose gradient this is. Made into spectra only where they
  /// differ from those given before, bit by bit.
  void SetWeights(const float* weights, bool backward);

  /**
   * @param source blocked, images x groups * channels; or plain, for one group
   * @param bias outputs of all groups, or null
   * @param result blocked, overwritten
   */
  void Run(const float* source, bool plain, const float* bias, float* result) const;

 private:
  struct Unit;
  void MakeSpectra(int group, int block, int channel, const float* weights, bool backward);
  void RunUnit(const Unit& unit, const float* source, bool plain, const float* bias,
               float* result) const;
  void WriteRows(const Unit& unit, int block, const float* lines, const float* add,
                 float* result) const;
  int UnitRows(bool plain) const;
  size_t ScratchSize(int rows, bool plain) const;

  CorrelationShape shape_;
  FftTiling tiling_;
  int in_blocks_, out_blocks_;  ///< of one group
  size_t column_step_, line_step_;
  std::vector<float> weights_;  ///< those that the spectra are of
  LargeMemory spectra_;
  float* spectrum_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FFT_CORRELATION_HPP_
