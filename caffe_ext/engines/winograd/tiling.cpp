#include "engines/winograd/tiling.hpp"

#include <algorithm>

namespace caffe_ext {

namespace {

// Floats of the spectra that are worked on at once, before and after the products: a second-level
// cache's where the last cache holds the spectra of the kernels, to be read for each step; else as
// many as the last cache holds, so that those are read seldom. (All measured.)
const size_t kAtOnce = (768 << 10) / sizeof(float), kManyAtOnce = (16 << 20) / sizeof(float);
const size_t kCachedWeights = (8 << 20) / sizeof(float);
const size_t kLine = 64 / sizeof(float);

// Floats, at least so many, that are an odd number of cache lines: what lies that far apart does
// not compete for the same lines of the first-level cache.
size_t OddLines(size_t floats) { return ((floats + kLine - 1) / kLine | 1) * kLine; }

// As few tiles as there may be, all of two sizes. With 3 x 3 kernels, tiles of 5 outputs would save
// a fifth of the products, and have three times the error.
WinogradCut Cut(int kernel, int outputs) {
  const int most = kWinogradLargestTile;
  const int tiles = (outputs + most - 1) / most;
  return {kernel, outputs / tiles, outputs % tiles, tiles};
}

size_t CutValues(const WinogradCut& cut) {
  return size_t(cut.tiles) * (cut.size + cut.kernel - 1) + cut.larger;
}

}  // namespace

WinogradTiling::WinogradTiling(const CorrelationShape& shape, int lanes)
    : shape_(shape),
      lanes_(lanes),
      rows_(Cut(shape.kernel_h, shape.out_height())),
      columns_(Cut(shape.kernel_w, shape.out_width())) {}

size_t WinogradTiling::Values() const { return CutValues(rows_) * CutValues(columns_); }

size_t WinogradTiling::WeightPoint() const {
  return OddLines(size_t(out_blocks()) * lanes_ * shape_.channels);
}

bool WinogradTiling::SmallSteps(bool sums) const {
  return (sums ? 2 : 1) * Weights() <= kCachedWeights;
}

int WinogradTiling::UnitsAtOnce(bool sums) const {
  const size_t most = SmallSteps(sums) ? kAtOnce : kManyAtOnce;
  const WinogradLayout in(*this, in_blocks(), 0, rows_.tiles);
  const WinogradLayout out(*this, out_blocks(), 0, rows_.tiles);
  const size_t image = in.size() + out.size();
  if (image <= most) {
    const int images = most / image;
    const int parts = (shape_.images + images - 1) / images;
    return (shape_.images + parts - 1) / parts * rows_.tiles;
  }
  const int units = std::max<size_t>(1, most * rows_.tiles / image);
  const int parts = (rows_.tiles + units - 1) / units;
  return (rows_.tiles + parts - 1) / parts;
}

size_t WinogradTiling::Strip() const {
  return size_t(kWinogradMostPoints) * lanes_ * (shape_.width + 2 * shape_.pad_w);
}

// Lines of the phases, and one of zeros.
size_t WinogradTiling::LinesRoom() const {
  return size_t(kWinogradMostPoints + 1) * lanes_ * shape_.width;
}

void WinogradTiling::Lines(const WinogradSource& source, int unit, int group, int block,
                           float* room, const float** lines) const {
  const int image = unit / rows_.tiles, tile = unit % rows_.tiles;
  const int first = rows_.Start(tile) - shape_.pad_h;
  const int count = rows_.Size(tile) + rows_.kernel - 1;
  const size_t line = size_t(shape_.width) * lanes_;
  if (!source.plain) {
    const size_t map = (size_t(image) * shape_.groups + group) * in_blocks() + block;
    std::fill(room, room + line, 0.f);
    for (int y = 0; y < count; ++y) {
      const bool inside = first + y >= 0 && first + y < shape_.height;
      lines[y] = inside ? source.values + (map * shape_.height + first + y) * line : room;
    }
    return;
  }
  std::fill(room, room + count * line, 0.f);
  for (int lane = 0; lane < std::min(lanes_, shape_.channels - block * lanes_); ++lane) {
    const int phase = block * lanes_ + lane, phases = source.stride_h * source.stride_w;
    const float* const plane = source.values + (size_t(image) * source.channels + phase / phases) *
                                                   source.height * source.width;
    const int left = phase % source.stride_w - source.pad_w;
    // The pixels x with 0 <= x * stride + left < width.
    const int begin = std::max(0, (source.stride_w - 1 - left) / source.stride_w);
    const int end =
        std::min(shape_.width, (source.width - left + source.stride_w - 1) / source.stride_w);
    for (int y = 0; y < count; ++y) {
      const int row =
          (first + y) * source.stride_h + phase % phases / source.stride_w - source.pad_h;
      if (row < 0 || row >= source.height) continue;
      const float* const from = plane + size_t(row) * source.width + left;
      float* const to = room + y * line + lane;
      for (int x = begin; x < end; ++x) {
        to[x * lanes_] = from[x * source.stride_w];
      }
    }
  }
  for (int y = 0; y < count; ++y) {
    lines[y] = room + y * line;
  }
}

WinogradLayout::WinogradLayout(const WinogradTiling& tiling, int blocks, int first_unit,
                               int end_unit)
    : tiling_(tiling),
      first_(first_unit),
      end_(end_unit),
      tile_(OddLines(size_t(blocks) * tiling.lanes())) {
  start_[0] = 0;
  for (int k = 0; k < tiling.points(); ++k) {
    start_[k + 1] = start_[k] + OddLines(tiles(k) * tile_);
  }
}

// Rows of tiles that have the point, in all units before one.
int WinogradLayout::RowsBefore(int unit, int point_y) const {
  const WinogradCut& rows = tiling_.rows();
  const int with = rows.With(point_y);
  return unit / rows.tiles * with + std::min(unit % rows.tiles, with);
}

int WinogradLayout::tiles(int point) const {
  const int y = point / tiling_.columns().points(), x = point % tiling_.columns().points();
  return (RowsBefore(end_, y) - RowsBefore(first_, y)) * tiling_.columns().With(x);
}

void WinogradLayout::Places(int unit, size_t* places) const {
  const WinogradCut& columns = tiling_.columns();
  int k = 0;
  for (int y = 0; y < tiling_.rows().points(); ++y) {
    const size_t row = (RowsBefore(unit, y) - RowsBefore(first_, y)) * tile_;
    for (int x = 0; x < columns.points(); ++x, ++k) {
      places[k] = start_[k] + row * columns.With(x);
    }
  }
}

}  // namespace caffe_ext
