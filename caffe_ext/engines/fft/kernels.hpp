// What the FFT convolution computes in vectors; kernels/fft.cpp compiled per instruction set.
#ifndef CAFFE_EXT_ENGINES_FFT_KERNELS_HPP_
#define CAFFE_EXT_ENGINES_FFT_KERNELS_HPP_

#include <stddef.h>

#include "engines/isa.hpp"

namespace caffe_ext {

// A vector holds one value of as many channels (or tiles) as it has lanes, L. A complex vector in
// memory is L real parts and then L imaginary parts, 2 L floats. Steps are in floats.

/**
 * @brief Transforms of one length, T, lane by lane.
 *
 * Of a real row only the frequencies 0 to T/2 are kept: the others are their conjugates. Two real
 * rows are transformed at once, as real and imaginary part. Results are not scaled, and those of
 * `rows` are twice the transform: whoever makes the spectra of the weights makes up for all of it.
 */
struct FftTransforms {
  int size;

  /// Two rows of `count` <= T real vectors each, zeros beyond, side by side in memory; frequency k
  /// of the rows goes to to_a + k * step and to_b + k * step.
  void (*rows)(const float* a, const float* b, int count, float* to_a, float* to_b, size_t step);

  /// A column of `count` <= T complex vectors, zeros beyond; the real parts of frequency k go to
  /// to + k * step, the imaginary parts to to + k * step + imaginary.
  void (*columns)(const float* from, int count, float* to, size_t step, size_t imaginary);

  /// Back: T complex vectors at from + k * from_step; the first `count` values to to + n * step.
  void (*columns_back)(const float* from, size_t from_step, int count, float* to, size_t step);

  /// Back: the frequencies 0 to T/2 of two rows; `count` real vectors of each, side by side. A
  /// vector `add` is added to each. `stream` writes them past the caches.
  void (*rows_back)(const float* a, const float* b, int count, const float* add, bool stream,
                    float* to_a, float* to_b);
};

/// The spectra of some tiles and all channels at one kx: x[ky * row_step + tile * tile_step + c],
/// and the imaginary parts further on.
struct FftTiles {
  const float* values;
  int tiles;
  size_t tile_step, row_step, imaginary;
};

struct FftKernels {
  int lanes;
  /// For every length there is, shortest first.
  const FftTransforms* transforms;
  int lengths;

  /// out = sum over c < channels of x[c] * conj(w[c]), for each tile, and for `rows` ky. The
  /// weights are complex vectors w[ky][c]; outputs go to out + tile * out_step + ky * 2 L.
  void (*products)(const FftTiles& x, int rows, int channels, const float* w, float* out,
                   size_t out_step);

  /// sums[ky][c] += sum over tiles of x[c] * conj(d), complex vectors d[ky][tile].
  void (*outer_products)(const FftTiles& x, int rows, int channels, const float* d, float* sums);

  /// Plain rows of values into the lanes: to[i * L + lane] = from[lane][i].
  void (*interleave)(const float* const* from, int count, float* to);
};

CAFFE_EXT_KERNEL_TABLE(FftKernels, fft_kernels)

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FFT_KERNELS_HPP_
