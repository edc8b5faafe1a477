// Winograd's convolution F(m x n, k x k) of tiles of several sizes, step by step: see
// engines/winograd_tiles.md.
#ifndef CAFFE_EXT_ENGINES_WINOGRAD_TILE_KERNELS_HPP_
#define CAFFE_EXT_ENGINES_WINOGRAD_TILE_KERNELS_HPP_

#include <stddef.h>

#include "engines/isa.hpp"

namespace caffe_ext {

/// Points of the largest tile, in one dimension.
const int kWinogradMostPoints = 8;
/// Outputs of a tile, in one dimension: those of the smallest and of the largest.
const int kWinogradSmallestTile = 2, kWinogradLargestTile = 4;

/// How the outputs of one dimension are cut: `larger` tiles of size + 1 outputs, then others of
/// size. A tile of n outputs has the first n + kernel - 1 of the points that all sizes share.
struct WinogradCut {
  int kernel, size, larger, tiles;

  int Size(int tile) const { return size + (tile < larger ? 1 : 0); }
  int Start(int tile) const { return tile * size + (tile < larger ? tile : larger); }
  int points() const { return Size(0) + kernel - 1; }
  /// Tiles that have the point.
  int With(int point) const { return point < size + kernel - 1 ? tiles : larger; }
};

/// Where the spectra of a row of tiles lie: point (py, px) of tile t, at the first of its channels,
/// is data[places[py * columns.points() + px] + t * tile].
struct WinogradPlaces {
  float* data;
  const size_t* places;
  size_t tile;
};

/**
 * @brief The steps. B is Lanes(isa). All of them take one row of tiles, whose tiles have `rows`
 * outputs from top to bottom and lie side by side as `columns` tells, and one block of channels.
 *
 * `strip` is scratch for 8 B floats per pixel from left to right. Spectra of weights at a point are
 * (pairs of output blocks) x channels x 2B floats, the outputs of a last odd block alone.
 */
struct WinogradTileKernels {
  /// B^T d B of tiles of pixels. pixels[y] are the rows + kernel - 1 lines that the tiles read, of
  /// `width` pixels; `left` zeros are before them, and as many as the tiles need behind.
  void (*input)(const float* const* pixels, int width, int left, int rows,
                const WinogradCut& columns, float* strip, const WinogradPlaces& to);
  /// A d A^T of tiles of diffs, `line` floats from one row of pixels to the next; sum[b] is that
  /// of channel b.
  void (*diff)(const float* d, size_t line, int rows, const WinogradCut& columns, float* strip,
               const WinogradPlaces& to, float* sum);
  /// y = A^T m A + bias (B values).
  void (*result)(const WinogradPlaces& m, int rows, const WinogradCut& columns, const float* bias,
                 float* strip, float* y, size_t line);
  /// At one point, to[t] = x[t] * weights for tiles `x_tile` and `to_tile` floats apart.
  void (*products)(const float* x, size_t x_tile, const float* weights, int tiles, int channels,
                   int output_blocks, float* to, size_t to_tile);
  /// At one point, weights += x^T * d.
  void (*add_products)(const float* x, size_t x_tile, const float* d, size_t d_tile, int tiles,
                       int channels, int output_blocks, float* weights);
  /// G w G^T of the weights outputs x channels x kernel x kernel, or, `turned`, of those of the
  /// gradient of the bottom: channels x outputs x kernel x kernel, turned by 180 degrees. One block
  /// of outputs, at points_h x points_w points, which are `point` floats apart. `packed` is scratch
  /// for channels * kernel * kernel * B floats.
  void (*weights)(const float* weights, int outputs, int channels, int kernel, bool turned,
                  int block, int points_h, int points_w, float* packed, float* spectra,
                  size_t point);
  /// diff += G^T w G of one block of outputs.
  void (*add_weight_diff)(const float* spectra, size_t point, int outputs, int channels, int kernel,
                          int block, int points_h, int points_w, float* packed, float* diff);
};

CAFFE_EXT_KERNEL_TABLE(WinogradTileKernels, winograd_tiles)

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_WINOGRAD_TILE_KERNELS_HPP_
