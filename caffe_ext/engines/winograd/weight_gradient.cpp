#include "engines/winograd/weight_gradient.hpp"

#include <algorithm>
#include <vector>

#include "engines/winograd/correlation.hpp"

namespace caffe_ext {

WinogradWeightGradient::WinogradWeightGradient(const CorrelationShape& shape, Isa isa)
    : tiling_(shape, Lanes(isa)), kernels_(winograd_tiles(isa)) {}

void WinogradWeightGradient::Run(const WinogradSource& source, const float* diff,
                                 float* weight_diff, float* bias_diff) const {
  const CorrelationShape& shape = tiling_.shape();
  const WinogradCut& rows = tiling_.rows();
  const int at_once = tiling_.UnitsAtOnce(true), units = tiling_.units();
  const int in_blocks = tiling_.in_blocks(), out_blocks = tiling_.out_blocks();
  const int lanes = tiling_.lanes(), kernel = shape.kernel_h;
  const size_t line = size_t(shape.out_width()) * lanes, point = tiling_.WeightPoint();
  // The first units, which begin with an image's larger tiles, need the most.
  const size_t x_size = WinogradLayout(tiling_, in_blocks, 0, std::min(at_once, units)).size();
  const size_t values =
      x_size + WinogradLayout(tiling_, out_blocks, 0, std::min(at_once, units)).size();
  float* const x_data = WinogradShared()->Room(values + tiling_.Weights());
  float* const d_data = x_data + x_size;
  float* const sums = x_data + values;
  // Of each unit and channel, added up in one order.
  std::vector<float> bias_sums(size_t(units) * out_blocks * lanes);
  for (int group = 0; group < shape.groups; ++group) {
#pragma omp parallel
    {
      float* const strip = ThreadScratch()->Room(std::max(
          tiling_.Strip() + tiling_.LinesRoom(), size_t(shape.channels) * kernel * kernel * lanes));
      float* const room = strip + tiling_.Strip();
      size_t places[kWinogradMostPoints * kWinogradMostPoints];
      const float* lines[kWinogradMostPoints];
      for (int first = 0; first < units; first += at_once) {
        const int end = std::min(first + at_once, units);
        const WinogradLayout x(tiling_, in_blocks, first, end);
        const WinogradLayout d(tiling_, out_blocks, first, end);
#pragma omp for schedule(static) nowait
        for (int i = 0; i < (end - first) * in_blocks; ++i) {
          const int unit = first + i / in_blocks, block = i % in_blocks;
          tiling_.Lines(source, unit, group, block, room, lines);
          x.Places(unit, places);
          kernels_.input(lines, shape.width, shape.pad_w, rows.Size(unit % rows.tiles),
                         tiling_.columns(), strip, {x_data + block * lanes, places, x.tile()});
        }
#pragma omp for schedule(static)
        for (int i = 0; i < (end - first) * out_blocks; ++i) {
          const int unit = first + i / out_blocks, block = i % out_blocks;
          const int row = unit % rows.tiles;
          const size_t map =
              (size_t(unit / rows.tiles) * shape.groups + group) * out_blocks + block;
          d.Places(unit, places);
          kernels_.diff(diff + (map * shape.out_height() + rows.Start(row)) * line, line,
                        rows.Size(row), tiling_.columns(), strip,
                        {d_data + block * lanes, places, d.tile()},
                        &bias_sums[(size_t(unit) * out_blocks + block) * lanes]);
        }
#pragma omp for schedule(dynamic, 1)
        for (int k = 0; k < tiling_.points(); ++k) {
          if (first == 0) {
            std::fill(sums + k * point, sums + (k + 1) * point, 0.f);
          }
          kernels_.add_products(x_data + x.start(k), x.tile(), d_data + d.start(k), d.tile(),
                                x.tiles(k), shape.channels, out_blocks, sums + k * point);
        }
      }
      if (weight_diff) {
#pragma omp for schedule(static)
        for (int block = 0; block < out_blocks; ++block) {
          kernels_.add_weight_diff(
              sums, point, shape.outputs, shape.channels, kernel, block, rows.points(),
              tiling_.columns().points(), strip,
              weight_diff + size_t(group) * shape.outputs * shape.channels * kernel * kernel);
        }
      }
    }
    for (int output = 0; bias_diff && output < shape.outputs; ++output) {
      double sum = 0;
      for (int unit = 0; unit < units; ++unit) {
        sum += bias_sums[size_t(unit) * out_blocks * lanes + output];
      }
      bias_diff[group * shape.outputs + output] += sum;
    }
  }
}

}  // namespace caffe_ext
