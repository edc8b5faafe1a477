#include "engines/fft/tiles.hpp"

#include <algorithm>

namespace caffe_ext {

size_t FftApart(size_t floats) {
  const size_t kPage = 4096 / sizeof(float), kLine = 64 / sizeof(float);
  floats = (floats + kLine - 1) / kLine * kLine;
  return floats % kPage < 2 * kLine ? floats + 2 * kLine : floats;
}

static int Tiles(int length, int step) { return (length + step - 1) / step; }

FftTiling SourceTiling(const FftKernels& kernels, const FftTransforms& transforms,
                       const CorrelationShape& shape) {
  FftTiling tiling;
  tiling.kernels = &kernels;
  tiling.transforms = &transforms;
  tiling.step_h = transforms.size - shape.kernel_h + 1;
  tiling.step_w = transforms.size - shape.kernel_w + 1;
  tiling.take_h = tiling.take_w = transforms.size;
  tiling.top = shape.pad_h;
  tiling.left = shape.pad_w;
  tiling.rows = Tiles(shape.out_height(), tiling.step_h);
  tiling.columns = Tiles(shape.out_width(), tiling.step_w);
  return tiling;
}

FftTiling ResultTiling(const FftKernels& kernels, const FftTransforms& transforms,
                       const CorrelationShape& shape) {
  FftTiling tiling = SourceTiling(kernels, transforms, shape);
  tiling.take_h = tiling.step_h;
  tiling.take_w = tiling.step_w;
  tiling.top = tiling.left = 0;
  return tiling;
}

FftRows::FftRows(const FftTiling& tiling, const FftMap& map, int blocks, int first, int end)
    : tiling_(tiling), map_(map), blocks_(blocks), first_tile_(first), end_tile_(end) {
  first_ = first * tiling.step_h / 2 * 2;
  const int last = std::min((end - 1) * tiling.step_h + tiling.take_h, map.height + tiling.top);
  rows_ = (last - first_ + 1) / 2 * 2;
  step_ = FftApart(size_t(blocks) * tiling.columns * rows_ * tiling.complex());
}

const float* FftRows::Line(const float* map, int block, int row, int column, float* copy) const {
  const int lanes = tiling_.kernels->lanes;
  const int y = row - tiling_.top, x = column * tiling_.step_w - tiling_.left;
  const bool outside = y < 0 || y >= map_.height;
  const float* const line =
      map + ((size_t(block) * map_.height + (outside ? 0 : y)) * map_.width) * lanes;
  if (x >= 0 && !outside) {
    return line + x * lanes;
  }
  const int length = std::min(tiling_.take_w, map_.width - x);
  std::fill(copy, copy + length * lanes, 0.f);
  if (!outside) {
    const int begin = std::max(0, -x);
    if (begin < length) {
      std::copy(line + (x + begin) * lanes, line + (x + length) * lanes, copy + begin * lanes);
    }
  }
  return copy;
}

// Asks for what the same tiles take of the next two rows: tiles are too narrow, and rows too far
// apart, for the processor to see them coming.
void FftRows::FetchAhead(const float* map, const float* a, const float* b) const {
  const int kLine = 64 / sizeof(float);
  const size_t row = size_t(map_.width) * tiling_.kernels->lanes;
  const float* const end = map + row * map_.height * blocks_;
  const size_t length = size_t(tiling_.step_w) * tiling_.kernels->lanes;
  for (const float* const line : {a, b}) {
    if (line >= map && line < end) {
      for (size_t i = 0; i < length; i += kLine) __builtin_prefetch(line + 2 * row + i);
    }
  }
}

void FftRows::Transform(const float* map, int first, int end, float* to, float* extra) const {
  const int lanes = tiling_.kernels->lanes, pairs = rows_ / 2;
  for (int part = first; part < end; ++part) {
    const int block = part / pairs, row = part % pairs * 2;
    for (int column = 0; column < tiling_.columns; ++column) {
      const int count =
          std::min(tiling_.take_w, map_.width - column * tiling_.step_w + tiling_.left);
      const float* const a = Line(map, block, first_ + row, column, extra);
      const float* const b =
          Line(map, block, first_ + row + 1, column, extra + tiling_.size() * lanes);
      FetchAhead(map, a, b);
      float* const out =
          to + ((size_t(block) * tiling_.columns + column) * rows_ + row) * tiling_.complex();
      tiling_.transforms->rows(a, b, count, out, out + tiling_.complex(), step_);
    }
  }
}

void FftRows::BlockColumns(const float* from, int kx, int block, float* to, size_t tile_step,
                           size_t row_step, size_t imaginary) const {
  for (int tile_row = first_tile_; tile_row < end_tile_; ++tile_row) {
    const int row = tile_row * tiling_.step_h - first_;
    const int count = std::min(tiling_.take_h, rows_ - row);
    for (int column = 0; column < tiling_.columns; ++column, to += tile_step) {
      tiling_.transforms->columns(
          from + kx * step_ +
              ((size_t(block) * tiling_.columns + column) * rows_ + row) * tiling_.complex(),
          count, to, row_step, imaginary);
    }
  }
}

void FftRows::Columns(const float* from, int kx, float* to, size_t tile_step, size_t row_step,
                      size_t imaginary) const {
  for (int block = 0; block < blocks_; ++block) {
    BlockColumns(from, kx, block, to + block * tiling_.kernels->lanes, tile_step, row_step,
                 imaginary);
  }
}

FftPlainTiles::FftPlainTiles(const FftTiling& tiling, const FftMap& map, int channels, int first,
                             int end)
    : tiling_(tiling), map_(map), channels_(channels), first_tile_(first * tiling.columns) {
  tiles_ = (end - first) * tiling.columns;
  groups_ = Tiles(tiles_ * channels, tiling.kernels->lanes);
}

// Two rows of all lanes side by side, these rows in the lanes, and the transforms along x.
size_t FftPlainTiles::extra() const {
  const size_t lane = tiling_.size() * tiling_.kernels->lanes;
  return 2 * lane + FftApart(tiling_.size() * tiling_.complex()) * tiling_.frequencies() + lane * 2;
}

void FftPlainTiles::Transform(const float* map, int first, int end, float* to, float* extra) const {
  const int lanes = tiling_.kernels->lanes, size = tiling_.size();
  const size_t plane = size_t(map_.height) * map_.width;
  float* const lines = extra;
  float* const side = lines + 2 * size_t(lanes) * size;
  float* const spectra = side + 2 * size_t(lanes) * size;
  const size_t step = FftApart(size * tiling_.complex());
  const float* from[16];
  for (int group = first; group < end; ++group) {
    for (int row = 0; row < size; row += 2) {
      for (int half = 0; half < 2; ++half) {
        for (int lane = 0; lane < lanes; ++lane) {
          const int job = group * lanes + lane;
          const int tile = first_tile_ + job / channels_;
          const int y = tile / tiling_.columns * tiling_.step_h + row + half - tiling_.top;
          const int x = tile % tiling_.columns * tiling_.step_w - tiling_.left;
          const bool outside = job >= tiles_ * channels_ || y < 0 || y >= map_.height;
          const float* const line =
              map + (outside ? 0 : job % channels_ * plane + size_t(y) * map_.width);
          if (!outside && x >= 0 && x + size <= map_.width) {
            from[lane] = line + x;
            continue;
          }
          float* const copy = lines + (half * lanes + lane) * size;
          std::fill(copy, copy + size, 0.f);
          const int begin = std::max(0, -x), last = std::min(size, map_.width - x);
          if (!outside && begin < last) {
            std::copy(line + x + begin, line + x + last, copy + begin);
          }
          from[lane] = copy;
        }
        tiling_.kernels->interleave(from, size, side + half * lanes * size);
      }
      tiling_.transforms->rows(side, side + lanes * size, size, spectra + row * tiling_.complex(),
                               spectra + (row + 1) * tiling_.complex(), step);
    }
    for (int kx = 0; kx < tiling_.frequencies(); ++kx) {
      tiling_.transforms->columns(spectra + kx * step, size,
                                  to + kx * frequency_step() + group * lanes, row_step(),
                                  imaginary());
    }
  }
}

}  // namespace caffe_ext
