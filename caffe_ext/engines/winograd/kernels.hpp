// Winograd's convolution F(4x4, 3x3) of one patch, step by step: see engines/winograd.md.
#ifndef CAFFE_EXT_ENGINES_WINOGRAD_KERNELS_HPP_
#define CAFFE_EXT_ENGINES_WINOGRAD_KERNELS_HPP_

#include <stddef.h>

#include "engines/isa.hpp"

namespace caffe_ext {

/// Points of a tile's spectrum, 6 x 6.
const int kWinogradPoints = 36;

/**
 * @brief The spectra of tiles: point k of channel c of tile t is data[k * point + t * tile + c].
 *
 * Channels come in blocks of B, those beyond the last one are zero.
 */
struct WinogradSpectra {
  float* data;
  size_t point, tile;
};

/// Rows [first, last) of tiles in a patch of one image, one block of B channels: rows of `width`
/// pixels of B floats, `row` floats apart.
struct WinogradPatch {
  size_t row;
  int height, width;
  int first, last;
};

/// z = max(0, (x - mean) * slope + shift), B values each; with mean null z = x.
struct WinogradNorm {
  const float *mean, *slope, *shift;
};

/// Of the forward pass, where the mask z > 0 and BN(x) = (x - mean) * inv_std come from.
struct WinogradMask {
  const float* x;
  size_t row;
  WinogradNorm norm;
  const float* inv_std;
};

/**
 * @brief The steps. B is Lanes(isa), memory is aligned to 64 bytes.
 *
 * Spectra of weights are 36 x (pairs of output blocks) x channels x 2B floats, the outputs of a
 * last odd block alone. `packed` is scratch for channels * 9 * B floats.
 */
struct WinogradKernels {
  /// G w G^T of outputs x channels x 3 x 3 weights; or, transposed, of the weights with which the
  /// convolution's data gradient is a convolution: channels x outputs x 3 x 3, turned by 180
  /// degrees.
  void (*weights)(const float* weights, int outputs, int channels, bool transposed, float* packed,
                  float* spectra);
  /// B^T z B of the patch's tiles of 6 x 6 pixels, zeros beyond the patch, whose first pixel is *x.
  /// `strip` is scratch for (4 ceil(width / 4) + 2) * 6 * B floats.
  void (*input)(const float* x, const WinogradPatch& patch, const WinogradNorm& norm, float* strip,
                const WinogradSpectra& to);
  /// A d A^T of the tiles of 4 x 4 diffs; sum[b] += all of channel b.
  void (*diff)(const float* d, const WinogradPatch& patch, const WinogradSpectra& to, float* sum);
  /// to[k][t] = x[k][t] * weights[k]: the convolution of all channels.
  void (*products)(const WinogradSpectra& x, const float* weights, int tiles, int channels,
                   int output_blocks, const WinogradSpectra& to);
  /// weights[k] += x[k]^T * diff[k]: the weight gradient, summed over tiles.
  void (*add_products)(const WinogradSpectra& x, const WinogradSpectra& diff, int tiles,
                       int channels, int output_blocks, float* weights);
  /// y = A^T m A + bias (B values), plus identity (pixels like y) where that is not null.
  void (*result)(const WinogradSpectra& m, const WinogradPatch& patch, const float* bias,
                 const float* identity, float* y);
  /// d = z > 0 ? A^T m A : 0; sum += d; dot += d * BN(x).
  void (*masked_diff)(const WinogradSpectra& m, const WinogradPatch& patch,
                      const WinogradMask& mask, float* d, double* sum, double* dot);
  /// diff += G^T w G, outputs x channels x 3 x 3.
  void (*add_weight_diff)(const float* spectra, int outputs, int channels, float* packed,
                          float* diff);
};

CAFFE_EXT_KERNEL_TABLE(WinogradKernels, Winograd)

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_WINOGRAD_KERNELS_HPP_
