// Maps cut into tiles, and the spectra of the tiles.
#ifndef CAFFE_EXT_ENGINES_FFT_TILES_HPP_
#define CAFFE_EXT_ENGINES_FFT_TILES_HPP_

#include <stddef.h>

#include "engines/correlation_shape.hpp"
#include "engines/fft/kernels.hpp"
#include "engines/large_memory.hpp"

namespace caffe_ext {

/// Floats such that arrays that far apart do not fall into the same lines of the caches.
size_t FftApart(size_t floats);

/// One image's map: blocks of L channels (H x W x L each, one after another), or plain planes.
struct FftMap {
  const float* values;
  int height, width;
};

/// How a map is cut: tile (i, j) takes `take_h` x `take_w` pixels from (i * step_h - top,
/// j * step_w - left) on; the rest of T x T, and what lies outside of the map, is zero.
struct FftTiling {
  const FftKernels* kernels;
  const FftTransforms* transforms;
  int step_h, step_w, take_h, take_w, top, left;
  int rows, columns;  ///< of tiles

  int size() const { return transforms->size; }
  /// Frequencies along x; those along y are all T.
  int frequencies() const { return size() / 2 + 1; }
  /// Floats of a complex vector.
  size_t complex() const { return 2 * kernels->lanes; }
};

/// Tiles for the source of a convolution (T x T, every T - kernel + 1), and for its result, whose
/// tiles do not overlap.
FftTiling SourceTiling(const FftKernels& kernels, const FftTransforms& transforms,
                       const CorrelationShape& shape);
FftTiling ResultTiling(const FftKernels& kernels, const FftTransforms& transforms,
                       const CorrelationShape& shape);

/**
 * @brief Transforms along x of the rows that the tile rows first to end - 1 take, per tile column.
 *
 * Tiles above each other share them. Rows are transformed two at a time, 2i and 2i + 1 of the map
 * (counted from -top), whichever tile rows are asked for: so each gets the same result always.
 */
class FftRows {
 public:
  FftRows(const FftTiling& tiling, const FftMap& map, int blocks, int first, int end);

  /// Pairs of rows, of all blocks; the work may be done in parts.
  int pairs() const { return blocks_ * rows_ / 2; }
  size_t size() const { return step_ * tiling_.frequencies(); }
  /// Floats for what Transform needs beside: two lines.
  size_t extra() const { return 2 * tiling_.size() * tiling_.kernels->lanes; }
  void Transform(const float* map, int first, int end, float* to, float* extra) const;

  /// Spectra of the tiles of the range at frequency kx, in tile order, at to[ky * row_step +
  /// tile * tile_step + block * L], imaginary parts `imaginary` on.
  void Columns(const float* from, int kx, float* to, size_t tile_step, size_t row_step,
               size_t imaginary) const;
  /// The same for one block, to to[ky * row_step + tile * tile_step].
  void BlockColumns(const float* from, int kx, int block, float* to, size_t tile_step,
                    size_t row_step, size_t imaginary) const;

 private:
  const float* Line(const float* map, int block, int row, int column, float* copy) const;
  void FetchAhead(const float* map, const float* a, const float* b) const;

  FftTiling tiling_;
  FftMap map_;
  int blocks_, first_tile_, end_tile_, first_, rows_;
  size_t step_;
};

/**
 * @brief Spectra of the tiles of a plain map of few channels, whose tiles and channels lie in the
 * lanes: an image of 3 channels would leave most lanes of a block empty.
 *
 * Values of tile t and channel c at kx, ky are at to[kx * frequency_step + ky * row_step + t *
 * channels + c], imaginary parts `imaginary` on.
 */
class FftPlainTiles {
 public:
  FftPlainTiles(const FftTiling& tiling, const FftMap& map, int channels, int first, int end);

  /// Groups of as many tiles and channels as there are lanes: parts of the work.
  int groups() const { return groups_; }
  size_t imaginary() const { return size_t(groups_) * tiling_.kernels->lanes; }
  size_t row_step() const { return 2 * imaginary(); }
  size_t frequency_step() const { return FftApart(row_step() * tiling_.size()); }
  size_t size() const { return frequency_step() * tiling_.frequencies(); }
  size_t extra() const;
  void Transform(const float* map, int first, int end, float* to, float* extra) const;

 private:
  FftTiling tiling_;
  FftMap map_;
  int channels_, first_tile_, tiles_, groups_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FFT_TILES_HPP_
