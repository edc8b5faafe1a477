#include "engines/fft/correlation.hpp"

#include <omp.h>
#include <string.h>

#include <algorithm>

namespace caffe_ext {

namespace {

// Floats of a unit of work, on blocked and on plain sources: about what the second-level cache
// holds. (Of a row of tiles that is larger, ChooseFft sees to it that it is at most 12 MB.)
const size_t kUnit = (2 << 20) / sizeof(float), kPlainUnit = (1 << 20) / sizeof(float);
// Results larger than this are written past the caches.
const size_t kStreamed = (8 << 20) / sizeof(float);

}  // namespace

/// Some rows of tiles of one image and group.
struct FftCorrelation::Unit {
  int image, group, first, end;
};

FftCorrelation::FftCorrelation(const CorrelationShape& shape, const FftKernels& kernels,
                               const FftTransforms& transforms)
    : shape_(shape), tiling_(SourceTiling(kernels, transforms, shape)) {
  const int lanes = kernels.lanes;
  in_blocks_ = (shape.channels + lanes - 1) / lanes;
  out_blocks_ = (shape.outputs + lanes - 1) / lanes;
  column_step_ = FftApart(tiling_.size() * tiling_.complex());
  line_step_ = FftApart(tiling_.frequencies() * tiling_.complex());
  // Spectra: [group][kx][block of outputs][ky][channel], complex vectors.
  spectrum_ = spectra_.Room(size_t(shape.groups) * tiling_.frequencies() * out_blocks_ *
                            tiling_.size() * shape.channels * tiling_.complex());
}

void FftCorrelation::SetWeights(const float* weights, bool backward) {
  const size_t count =
      size_t(shape_.groups) * shape_.outputs * shape_.channels * shape_.kernel_h * shape_.kernel_w;
  if (weights_.size() == count && memcmp(weights_.data(), weights, count * sizeof(float)) == 0) {
    return;
  }
  weights_.assign(weights, weights + count);
#pragma omp parallel for schedule(static) collapse(3)
  for (int group = 0; group < shape_.groups; ++group) {
    for (int block = 0; block < out_blocks_; ++block) {
      for (int channel = 0; channel < shape_.channels; ++channel) {
        MakeSpectra(group, block, channel, weights_.data(), backward);
      }
    }
  }
}

void FftCorrelation::MakeSpectra(int group, int block, int channel, const float* weights,
                                 bool backward) {
  const int lanes = tiling_.kernels->lanes, size = tiling_.size();
  const int height = shape_.kernel_h, width = shape_.kernel_w;
  const size_t area = height * width;
  const size_t step = FftApart((height + 1) * tiling_.complex());
  float* const taps =
      ThreadScratch()->Room((height + 1) * width * lanes + step * tiling_.frequencies());
  float* const lines = taps + (height + 1) * width * lanes;
  std::fill(taps, lines, 0.f);
  // The two transforms and the way back: T * T; tiles and kernels twice: 4.
  const float scale = 1.f / (4.f * size * size);
  const int end = std::min(lanes, shape_.outputs - block * lanes);
  for (int lane = 0; lane < end; ++lane) {
    const int output = block * lanes + lane;
    const size_t first = backward ? (size_t(group) * shape_.channels + channel) * shape_.outputs
                                  : (size_t(group) * shape_.outputs + output) * shape_.channels;
    const float* const kernel = weights + (first + (backward ? output : channel)) * area;
    for (size_t i = 0; i < area; ++i) {
      taps[i * lanes + lane] = scale * kernel[backward ? area - 1 - i : i];
    }
  }
  for (int row = 0; row < height; row += 2) {
    tiling_.transforms->rows(taps + row * width * lanes, taps + (row + 1) * width * lanes, width,
                             lines + row * tiling_.complex(), lines + (row + 1) * tiling_.complex(),
                             step);
  }
  for (int kx = 0; kx < tiling_.frequencies(); ++kx) {
    float* const to =
        spectrum_ + (((size_t(group) * tiling_.frequencies() + kx) * out_blocks_ + block) * size *
                         shape_.channels +
                     channel) *
                        tiling_.complex();
    tiling_.transforms->columns(lines + kx * step, height, to, shape_.channels * tiling_.complex(),
                                lanes);
  }
}

size_t FftCorrelation::ScratchSize(int rows, bool plain) const {
  const size_t tiles = size_t(rows) * tiling_.columns;
  const FftMap map = {NULL, shape_.height, shape_.width};
  size_t floats = tiles * column_step_;
  if (plain) {
    const FftPlainTiles input(tiling_, map, shape_.channels, 0, rows);
    floats += input.size() + input.extra();
  } else {
    // One row more, where the first one is odd.
    floats += FftApart(size_t(in_blocks_) * tiling_.columns *
                       ((rows - 1) * tiling_.step_h + tiling_.size() + 2) * tiling_.complex()) *
              tiling_.frequencies();
    floats += tiles * in_blocks_ * tiling_.size() * tiling_.complex() +
              2 * tiling_.size() * tiling_.kernels->lanes;
  }
  return floats + (plain ? 1 : out_blocks_) * tiles * tiling_.step_h * line_step_;
}

int FftCorrelation::UnitRows(bool plain) const {
  int rows = tiling_.rows;
  while (rows > 1 && ScratchSize(rows, plain) > (plain ? kPlainUnit : kUnit)) {
    rows = (rows + 1) / 2;
  }
  // Few images have to be shared out among the threads.
  const int threads = omp_get_max_threads(), images = shape_.images * shape_.groups;
  while (rows > 1 && images * ((tiling_.rows + rows - 1) / rows) < 2 * threads &&
         images % threads != 0) {
    rows = (rows + 1) / 2;
  }
  return rows;
}

void FftCorrelation::Run(const float* source, bool plain, const float* bias, float* result) const {
  const int rows = UnitRows(plain), parts = (tiling_.rows + rows - 1) / rows;
  const int units = shape_.images * shape_.groups * parts;
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < units; ++i) {
    Unit unit;
    unit.image = i / parts / shape_.groups;
    unit.group = i / parts % shape_.groups;
    unit.first = i % parts * rows;
    unit.end = std::min(tiling_.rows, unit.first + rows);
    RunUnit(unit, source, plain, bias, result);
  }
}

void FftCorrelation::RunUnit(const Unit& unit, const float* source, bool plain, const float* bias,
                             float* result) const {
  const FftKernels& kernels = *tiling_.kernels;
  const int lanes = kernels.lanes, size = tiling_.size(), frequencies = tiling_.frequencies();
  const int tiles = (unit.end - unit.first) * tiling_.columns;
  const FftMap map = {NULL, shape_.height, shape_.width};
  const FftRows rows(tiling_, map, in_blocks_, unit.first, unit.end);
  const FftPlainTiles plain_tiles(tiling_, map, shape_.channels, unit.first, unit.end);
  float* const columns = ThreadScratch()->Room(ScratchSize(unit.end - unit.first, plain));
  float* const lines = columns + tiles * column_step_;
  // With the spectra of all tiles at hand, one block of outputs after the other.
  const int together = plain ? 1 : out_blocks_;
  float* const input = lines + size_t(together) * tiles * tiling_.step_h * line_step_;
  float* const spectra = input + (plain ? 0 : rows.size());
  FftTiles x;
  x.tiles = tiles;
  if (plain) {
    plain_tiles.Transform(
        source + size_t(unit.image) * shape_.channels * shape_.height * shape_.width, 0,
        plain_tiles.groups(), input, input + plain_tiles.size());
    x.tile_step = shape_.channels;
    x.row_step = plain_tiles.row_step();
    x.imaginary = plain_tiles.imaginary();
  } else {
    x.tile_step = in_blocks_ * lanes;
    x.imaginary = tiles * x.tile_step;
    x.row_step = 2 * x.imaginary;
    const size_t image = size_t(unit.image) * shape_.groups + unit.group;
    rows.Transform(source + image * in_blocks_ * shape_.height * shape_.width * lanes, 0,
                   rows.pairs(), input, spectra + x.row_step * size);
  }
  for (int first = 0; first < out_blocks_; first += together) {
    for (int kx = 0; kx < frequencies; ++kx) {
      if (plain) {
        x.values = spectra + kx * plain_tiles.frequency_step();
      } else {
        rows.Columns(input, kx, spectra, x.tile_step, x.row_step, x.imaginary);
        x.values = spectra;
      }
      for (int block = 0; block < together; ++block) {
        const float* const w =
            spectrum_ + ((size_t(unit.group) * frequencies + kx) * out_blocks_ + first + block) *
                            size * shape_.channels * tiling_.complex();
        kernels.products(x, size, shape_.channels, w, columns, column_step_);
        for (int tile = 0; tile < tiles; ++tile) {
          tiling_.transforms->columns_back(
              columns + tile * column_step_, tiling_.complex(), tiling_.step_h,
              lines + (size_t(block) * tiles + tile) * tiling_.step_h * line_step_ +
                  kx * tiling_.complex(),
              line_step_);
        }
      }
    }
    for (int block = 0; block < together; ++block) {
      float add[16] = {0};
      const int output = (first + block) * lanes;
      for (int lane = 0; bias && lane < std::min(lanes, shape_.outputs - output); ++lane) {
        add[lane] = bias[unit.group * shape_.outputs + output + lane];
      }
      WriteRows(unit, first + block, lines + size_t(block) * tiles * tiling_.step_h * line_step_,
                add, result);
    }
  }
}

void FftCorrelation::WriteRows(const Unit& unit, int block, const float* lines, const float* add,
                               float* result) const {
  const int lanes = tiling_.kernels->lanes;
  const int height = shape_.out_height(), width = shape_.out_width();
  const size_t map =
      ((size_t(unit.image) * shape_.groups + unit.group) * out_blocks_ + block) * height * width;
  const bool stream =
      size_t(shape_.images) * shape_.groups * out_blocks_ * height * width * lanes >= kStreamed;
  const int used = std::min(lanes, shape_.outputs - block * lanes);
  for (int row = unit.first; row < unit.end; ++row) {
    const int count_h = std::min(tiling_.step_h, height - row * tiling_.step_h);
    for (int y = 0; y < count_h; y += 2) {
      // An odd last row is its own second row.
      const int second = std::min(y + 1, count_h - 1);
      for (int column = 0; column < tiling_.columns; ++column) {
        const int x = column * tiling_.step_w, count = std::min(tiling_.step_w, width - x);
        const size_t tile = (row - unit.first) * tiling_.columns + column;
        const float* const from = lines + tile * tiling_.step_h * line_step_;
        float* const to = result + (map + size_t(row * tiling_.step_h + y) * width + x) * lanes;
        float* const to_second = to + size_t(second - y) * width * lanes;
        tiling_.transforms->rows_back(from + y * line_step_, from + second * line_step_, count, add,
                                      stream, to, to_second);
        // Channels that there are not stay zero, whatever the others hold.
        for (int i = 0; used < lanes && i < count * lanes; i += lanes) {
          std::fill(to + i + used, to + i + lanes, 0.f);
          std::fill(to_second + i + used, to_second + i + lanes, 0.f);
        }
      }
    }
  }
}

}  // namespace caffe_ext
