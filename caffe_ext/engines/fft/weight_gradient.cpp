#include "engines/fft/weight_gradient.hpp"

#include <omp.h>

#include <algorithm>

namespace caffe_ext {

namespace {

// Floats that the threads share, between the transforms along x and those along y, of blocked and
// of plain sources: see correlation.cpp.
const size_t kShared = (2 << 20) / sizeof(float), kPlainShared = (1 << 20) / sizeof(float);
// Parts that a visit's rows are shared out in.
const int kPart = 8;

int Parts(int count) { return (count + kPart - 1) / kPart; }

}  // namespace

/// Some rows of tiles of one image and group.
struct FftWeightGradient::Visit {
  Visit(const FftWeightGradient& of, int image, int group, int first, int end)
      : image(image),
        group(group),
        tiles((end - first) * of.source_tiling_.columns),
        map({NULL, of.shape_.height, of.shape_.width}),
        diff_map({NULL, of.shape_.out_height(), of.shape_.out_width()}),
        source(of.source_tiling_, map, of.in_blocks_, first, end),
        plain(of.source_tiling_, map, of.shape_.channels, first, end),
        diff(of.result_tiling_, diff_map, of.out_blocks_, first, end) {}

  int image, group, tiles;
  FftMap map, diff_map;
  FftRows source;
  FftPlainTiles plain;
  FftRows diff;
};

FftWeightGradient::FftWeightGradient(const CorrelationShape& shape, const FftKernels& kernels,
                                     const FftTransforms& transforms)
    : shape_(shape),
      source_tiling_(SourceTiling(kernels, transforms, shape)),
      result_tiling_(ResultTiling(kernels, transforms, shape)) {
  in_blocks_ = (shape.channels + kernels.lanes - 1) / kernels.lanes;
  out_blocks_ = (shape.outputs + kernels.lanes - 1) / kernels.lanes;
  // Sums: [kx][block of outputs][ky][channel], complex vectors of outputs.
  sums_step_ =
      FftApart(size_t(out_blocks_) * transforms.size * shape.channels * source_tiling_.complex());
  sums_ = sums_memory_.Room(sums_step_ * source_tiling_.frequencies());
  bias_sums_.resize(out_blocks_ * kernels.lanes);
}

size_t FftWeightGradient::SharedSize(int rows, bool plain) const {
  const Visit visit(*this, 0, 0, 0, rows);
  // The first row of others may be odd.
  const size_t more = FftApart(2 * std::max(in_blocks_, out_blocks_) * source_tiling_.columns *
                               source_tiling_.complex()) *
                      source_tiling_.frequencies();
  return (plain ? visit.plain.size() : visit.source.size() + more) + visit.diff.size() + more;
}

void FftWeightGradient::Run(const float* source, bool plain, const float* diff, float* weight_diff,
                            float* bias_diff) {
  const int frequencies = source_tiling_.frequencies();
  int rows = source_tiling_.rows;
  while (rows > 1 && SharedSize(rows, plain) > (plain ? kPlainShared : kShared)) {
    rows = (rows + 1) / 2;
  }
  const size_t shared_size = SharedSize(rows, plain);
  static thread_local LargeMemory shared;
  source_rows_ = shared.Room(shared_size);
  for (int group = 0; group < shape_.groups; ++group) {
    std::fill(bias_sums_.begin(), bias_sums_.end(), 0.);
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int kx = 0; kx < frequencies; ++kx) {
        std::fill(sums_ + kx * sums_step_, sums_ + (kx + 1) * sums_step_, 0.f);
      }
      for (int image = 0; image < shape_.images; ++image) {
        for (int first = 0; first < source_tiling_.rows; first += rows) {
          const Visit visit(*this, image, group, first,
                            std::min(source_tiling_.rows, first + rows));
#pragma omp single
          diff_rows_ = source_rows_ + (plain ? visit.plain.size() : visit.source.size());
          Take(visit, source, plain, diff);
#pragma omp for schedule(static)
          for (int kx = 0; kx < frequencies; ++kx) {
            AddProducts(visit, kx, plain);
          }
        }
      }
      if (weight_diff) {
#pragma omp for schedule(static) collapse(2)
        for (int block = 0; block < out_blocks_; ++block) {
          for (int channel = 0; channel < shape_.channels; ++channel) {
            AddTransformed(group, block, channel, weight_diff);
          }
        }
      }
    }
    for (int output = 0; bias_diff && output < shape_.outputs; ++output) {
      // At frequency 0, 0 there is the sum of all values, twice.
      bias_diff[group * shape_.outputs + output] += bias_sums_[output] / 2;
    }
  }
}

// Both maps' transforms along x, inside of a parallel region.
void FftWeightGradient::Take(const Visit& visit, const float* source, bool plain,
                             const float* diff) {
  const int lanes = source_tiling_.kernels->lanes;
  const size_t image = size_t(visit.image) * shape_.groups + visit.group;
  float* const extra =
      ThreadScratch()->Room(std::max(visit.source.extra(), plain ? visit.plain.extra() : 0));
  const int source_parts = plain ? visit.plain.groups() : Parts(visit.source.pairs());
  const int diff_parts = Parts(visit.diff.pairs());
#pragma omp for schedule(dynamic, 1)
  for (int part = 0; part < source_parts + diff_parts; ++part) {
    if (part >= source_parts) {
      const int first = (part - source_parts) * kPart;
      visit.diff.Transform(
          diff + image * out_blocks_ * visit.diff_map.height * visit.diff_map.width * lanes, first,
          std::min(visit.diff.pairs(), first + kPart), diff_rows_, extra);
    } else if (plain) {
      visit.plain.Transform(source + image * shape_.channels * visit.map.height * visit.map.width,
                            part, part + 1, source_rows_, extra);
    } else {
      visit.source.Transform(
          source + image * in_blocks_ * visit.map.height * visit.map.width * lanes, part * kPart,
          std::min(visit.source.pairs(), (part + 1) * kPart), source_rows_, extra);
    }
  }
}

void FftWeightGradient::AddProducts(const Visit& visit, int kx, bool plain) {
  const FftKernels& kernels = *source_tiling_.kernels;
  const int lanes = kernels.lanes, size = source_tiling_.size();
  const size_t complex = source_tiling_.complex();
  FftTiles x;
  x.tiles = visit.tiles;
  x.tile_step = plain ? shape_.channels : in_blocks_ * lanes;
  x.imaginary = plain ? visit.plain.imaginary() : visit.tiles * x.tile_step;
  x.row_step = 2 * x.imaginary;
  const size_t diff_row = visit.tiles * complex, diff_size = diff_row * size;
  float* const diffs = ThreadScratch()->Room(diff_size + (plain ? 0 : x.row_step * size));
  if (plain) {
    x.values = source_rows_ + kx * visit.plain.frequency_step();
  } else {
    float* const columns = diffs + diff_size;
    visit.source.Columns(source_rows_, kx, columns, x.tile_step, x.row_step, x.imaginary);
    x.values = columns;
  }
  for (int block = 0; block < out_blocks_; ++block) {
    visit.diff.BlockColumns(diff_rows_, kx, block, diffs, complex, diff_row, lanes);
    if (kx == 0) {
      for (int tile = 0; tile < visit.tiles; ++tile) {
        for (int lane = 0; lane < lanes; ++lane) {
          bias_sums_[block * lanes + lane] += diffs[tile * complex + lane];
        }
      }
    }
    kernels.outer_products(
        x, size, shape_.channels, diffs,
        sums_ + kx * sums_step_ + size_t(block) * size * shape_.channels * complex);
  }
}

void FftWeightGradient::AddTransformed(int group, int block, int channel,
                                       float* weight_diff) const {
  const FftTransforms& transforms = *source_tiling_.transforms;
  const int lanes = source_tiling_.kernels->lanes, size = source_tiling_.size();
  const int height = shape_.kernel_h, width = shape_.kernel_w;
  const size_t complex = source_tiling_.complex();
  const size_t line = FftApart(source_tiling_.frequencies() * complex);
  float* const lines = ThreadScratch()->Room(height * line + (height + 1) * width * lanes);
  float* const taps = lines + height * line;
  for (int kx = 0; kx < source_tiling_.frequencies(); ++kx) {
    transforms.columns_back(
        sums_ + kx * sums_step_ + (size_t(block) * size * shape_.channels + channel) * complex,
        shape_.channels * complex, height, lines + kx * complex, line);
  }
  const float zeros[16] = {0};
  for (int row = 0; row < height; row += 2) {
    const float* const second = lines + std::min(row + 1, height - 1) * line;
    transforms.rows_back(lines + row * line, second, width, zeros, false,
                         taps + row * width * lanes, taps + (row + 1) * width * lanes);
  }
  // The two transforms and the way back: T * T; both maps' spectra twice: 4.
  const float scale = 1.f / (4.f * size * size);
  for (int lane = 0; lane < std::min(lanes, shape_.outputs - block * lanes); ++lane) {
    const size_t output = size_t(group) * shape_.outputs + block * lanes + lane;
    float* const kernel = weight_diff + (output * shape_.channels + channel) * height * width;
    for (int i = 0; i < height * width; ++i) {
      kernel[i] += scale * taps[i * lanes + lane];
    }
  }
}

}  // namespace caffe_ext
