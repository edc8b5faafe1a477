// How a convolution's maps are cut into tiles, and where the spectra of the tiles lie.
#ifndef CAFFE_EXT_ENGINES_WINOGRAD_TILING_HPP_
#define CAFFE_EXT_ENGINES_WINOGRAD_TILING_HPP_

#include <stddef.h>

#include "engines/correlation_shape.hpp"
#include "engines/winograd/tile_kernels.hpp"

namespace caffe_ext {

/**
 * @brief The values that are convolved: N x groups * channels of a CorrelationShape.
 *
 * Blocked; or plain images, whose phases are the channels: value (c, i, j) at (y, x) is that of the
 * image's channel c at (y * stride_h + i - pad_h, x * stride_w + j - pad_w), zero outside of it. A
 * convolution of an image with a stride is one of its phases without.
 */
struct WinogradSource {
  const float* values;
  bool plain;
  /// Of plain images.
  int channels, height, width, stride_h, stride_w, pad_h, pad_w;

  static WinogradSource Blocked(const float* values) {
    return {values, false, 0, 0, 0, 1, 1, 0, 0};
  }
};

/// The tiles of a convolution. A unit is a row of tiles of one image: unit u is row
/// u % rows.tiles of image u / rows.tiles.
class WinogradTiling {
 public:
  /// Kernels are square, 3 x 3 or 5 x 5 (WinogradServes).
  WinogradTiling(const CorrelationShape& shape, int lanes);

  const CorrelationShape& shape() const { return shape_; }
  const WinogradCut& rows() const { return rows_; }
  const WinogradCut& columns() const { return columns_; }
  int points() const { return rows_.points() * columns_.points(); }
  int lanes() const { return lanes_; }
  int units() const { return shape_.images * rows_.tiles; }
  int in_blocks() const { return (shape_.channels + lanes_ - 1) / lanes_; }
  int out_blocks() const { return (shape_.outputs + lanes_ - 1) / lanes_; }

  /// Tiles times their points, in one image.
  size_t Values() const;
  /// Floats of the spectra of one group's kernels; from one point to the next.
  size_t WeightPoint() const;
  size_t Weights() const { return WeightPoint() * points(); }
  /// Whether steps are small enough for a thread of its own, as the kernels' spectra are; `sums`:
  /// each step reads and writes these, as a weight gradient does.
  bool SmallSteps(bool sums) const;
  /// Units of a step: those whose spectra, of all channels, are there at once.
  int UnitsAtOnce(bool sums) const;
  /// What a thread needs to transform a row of tiles, in floats.
  size_t Strip() const;
  /// Lines of the source that a unit reads, one block of a group: line y is (*lines)[y], of
  /// shape.width pixels. `room` is scratch for LinesRoom() floats.
  void Lines(const WinogradSource& source, int unit, int group, int block, float* room,
             const float** lines) const;
  size_t LinesRoom() const;

 private:
  CorrelationShape shape_;
  int lanes_;
  WinogradCut rows_, columns_;
};

/// Spectra of all tiles of some units, with a number of blocks of channels each: at each point a
/// matrix of tiles x channels.
class WinogradLayout {
 public:
  WinogradLayout(const WinogradTiling& tiling, int blocks, int first_unit, int end_unit);

  size_t size() const { return start_[tiling_.points()]; }
  /// Floats from tile to tile.
  size_t tile() const { return tile_; }
  /// Of a point.
  size_t start(int point) const { return start_[point]; }
  int tiles(int point) const;
  /// Where the first tile of a unit lies, at each point that it has.
  void Places(int unit, size_t* places) const;

 private:
  int RowsBefore(int unit, int point_y) const;

  const WinogradTiling& tiling_;
  int first_, end_;
  size_t tile_, start_[kWinogradMostPoints * kWinogradMostPoints + 1];
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_WINOGRAD_TILING_HPP_
