#include "engines/winograd/correlation.hpp"

#include <omp.h>
#include <string.h>

#include <algorithm>

namespace caffe_ext {

LargeMemory* WinogradShared() {
  static thread_local LargeMemory memory;
  return &memory;
}

namespace {

// f(i) for all i below count: shared with the other threads that come here, or all of them.
template <typename F>
void ForAll(bool shared, int count, const F& f) {
  if (shared) {
#pragma omp for schedule(dynamic, 1)
    for (int i = 0; i < count; ++i) {
      f(i);
    }
  } else {
    for (int i = 0; i < count; ++i) {
      f(i);
    }
  }
}

}  // namespace

/// Some units of one group, worked on by one thread or by all of them.
struct WinogradCorrelation::Step {
  bool shared;
  int group, first, end;
  WinogradLayout x, m;
  float *x_data, *m_data;

  Step(const WinogradTiling& tiling, bool shared, int group, int first, int end, float* room)
      : shared(shared),
        group(group),
        first(first),
        end(end),
        x(tiling, tiling.in_blocks(), first, end),
        m(tiling, tiling.out_blocks(), first, end),
        x_data(room),
        m_data(room + x.size()) {}
};

WinogradCorrelation::WinogradCorrelation(const CorrelationShape& shape, Isa isa, bool backward,
                                         bool keep)
    : tiling_(shape, Lanes(isa)), kernels_(winograd_tiles(isa)), backward_(backward), keep_(keep) {}

const float* WinogradCorrelation::Spectra(const float* weights, float* room) {
  if (!keep_) {
    MakeSpectra(weights, room);
    return room;
  }
  const CorrelationShape& shape = tiling_.shape();
  const size_t count =
      size_t(shape.groups) * shape.outputs * shape.channels * shape.kernel_h * shape.kernel_w;
  float* const spectra = spectra_.Room(shape.groups * tiling_.Weights());
  if (weights_.size() != count || memcmp(weights_.data(), weights, count * sizeof(float)) != 0) {
    weights_.assign(weights, weights + count);
    MakeSpectra(weights, spectra);
  }
  return spectra;
}

void WinogradCorrelation::MakeSpectra(const float* weights, float* spectra) const {
  const CorrelationShape& shape = tiling_.shape();
  const int kernel = shape.kernel_h, blocks = tiling_.out_blocks();
  const size_t group_size = size_t(shape.outputs) * shape.channels * kernel * kernel;
#pragma omp parallel for schedule(static)
  for (int i = 0; i < shape.groups * blocks; ++i) {
    const int group = i / blocks;
    float* const packed =
        ThreadScratch()->Room(size_t(shape.channels) * kernel * kernel * tiling_.lanes());
    kernels_.weights(weights + group * group_size, shape.outputs, shape.channels, kernel, backward_,
                     i % blocks, tiling_.rows().points(), tiling_.columns().points(), packed,
                     spectra + group * tiling_.Weights(), tiling_.WeightPoint());
  }
}

void WinogradCorrelation::Run(const WinogradSource& source, const float* weights, const float* bias,
                              float* result) {
  const CorrelationShape& shape = tiling_.shape();
  const int units = tiling_.units();
  const bool shared = !tiling_.SmallSteps(false);
  int at_once = std::min(tiling_.UnitsAtOnce(false), units);
  // Few images have to be shared out among the threads.
  while (!shared && at_once > 1 &&
         shape.groups * ((units + at_once - 1) / at_once) < 2 * omp_get_max_threads()) {
    at_once = (at_once + 1) / 2;
  }
  const int steps = (units + at_once - 1) / at_once;
  // The first units, which begin with an image's larger tiles, need the most.
  const Step largest(tiling_, shared, 0, 0, at_once, NULL);
  const size_t values = largest.x.size() + largest.m.size();
  const size_t strip = tiling_.Strip() + tiling_.LinesRoom();
  float* const room = WinogradShared()->Room((shared ? values : 0) +
                                             (keep_ ? 0 : shape.groups * tiling_.Weights()));
  const float* const spectra = Spectra(weights, room + (shared ? values : 0));
#pragma omp parallel
  {
    float* const own = ThreadScratch()->Room(strip + (shared ? 0 : values));
    const auto run = [&](int i) {
      const int first = i % steps * at_once;
      const Step step(tiling_, shared, i / steps, first, std::min(first + at_once, units),
                      shared ? room : own + strip);
      RunStep(step, source, spectra, bias, own, result);
    };
    if (shared) {
      for (int i = 0; i < shape.groups * steps; ++i) {
        run(i);
      }
    } else {
#pragma omp for schedule(dynamic, 1)
      for (int i = 0; i < shape.groups * steps; ++i) {
        run(i);
      }
    }
  }
}

void WinogradCorrelation::RunStep(const Step& step, const WinogradSource& source,
                                  const float* spectra, const float* bias, float* strip,
                                  float* result) const {
  const CorrelationShape& shape = tiling_.shape();
  const WinogradCut& rows = tiling_.rows();
  const int count = step.end - step.first;
  const int in_blocks = tiling_.in_blocks(), out_blocks = tiling_.out_blocks();
  float* const lines_room = strip + tiling_.Strip();
  ForAll(step.shared, count, [&](int i) {
    const int unit = step.first + i;
    size_t places[kWinogradMostPoints * kWinogradMostPoints];
    step.x.Places(unit, places);
    for (int block = 0; block < in_blocks; ++block) {
      const float* lines[kWinogradMostPoints];
      tiling_.Lines(source, unit, step.group, block, lines_room, lines);
      kernels_.input(lines, shape.width, shape.pad_w, rows.Size(unit % rows.tiles),
                     tiling_.columns(), strip,
                     {step.x_data + block * tiling_.lanes(), places, step.x.tile()});
    }
  });
  ForAll(step.shared, tiling_.points(), [&](int k) {
    kernels_.products(step.x_data + step.x.start(k), step.x.tile(),
                      spectra + step.group * tiling_.Weights() + k * tiling_.WeightPoint(),
                      step.x.tiles(k), shape.channels, out_blocks, step.m_data + step.m.start(k),
                      step.m.tile());
  });
  ForAll(step.shared, count * out_blocks, [&](int i) {
    WriteResult(step, step.first + i / out_blocks, i % out_blocks, bias, strip, result);
  });
}

void WinogradCorrelation::WriteResult(const Step& step, int unit, int block, const float* bias,
                                      float* strip, float* result) const {
  const CorrelationShape& shape = tiling_.shape();
  const WinogradCut& rows = tiling_.rows();
  const int lanes = tiling_.lanes(), row = unit % rows.tiles;
  const int height = shape.out_height(), width = shape.out_width();
  const int used = std::min(lanes, shape.outputs - block * lanes);
  size_t places[kWinogradMostPoints * kWinogradMostPoints];
  step.m.Places(unit, places);
  float add[16] = {0};
  if (bias) {
    std::copy_n(bias + step.group * shape.outputs + block * lanes, used, add);
  }
  const size_t map =
      (size_t(unit / rows.tiles) * shape.groups + step.group) * tiling_.out_blocks() + block;
  float* const to = result + (map * height + rows.Start(row)) * width * lanes;
  kernels_.result({step.m_data + block * lanes, places, step.m.tile()}, rows.Size(row),
                  tiling_.columns(), add, strip, to, size_t(width) * lanes);
  // Channels that there are not stay zero, whatever the others hold.
  for (int i = 0; used < lanes && i < rows.Size(row) * width; ++i) {
    std::fill(to + i * lanes + used, to + (i + 1) * lanes, 0.f);
  }
}

}  // namespace caffe_ext
