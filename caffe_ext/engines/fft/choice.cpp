#include "engines/fft/choice.hpp"

#include <algorithm>

#include "engines/fft/correlation.hpp"

namespace caffe_ext {

namespace {

// The unit is the time of a direct convolution per vector of multiply-adds. The others were
// measured against it (docs/performance.md): per vector of multiply-adds of a complex product; per
// complex vector of a transform along one axis; per vector of the sums of a weight gradient, which
// each image reads and writes.
const double kProduct = 2.2, kTransform = 35, kSums = 4;
// Fewer tiles have too few sums to fill the processor's pipelines.
const double kTiles = 4;
// Larger tiles have fewer values in all, but more of them than the nearest caches hold.
struct SizeFactor {
  int size;
  double factor;
};
const SizeFactor kSizeFactors[] = {{32, 1}, {36, 1.05}, {40, 1.1}, {64, 1.95}};
// A forecast that is not this much better is not followed.
const double kMargin = 1.5;
// Spectra of the kernels that fit into no cache are read from memory for each image.
const size_t kSpectra = (16 << 20) / sizeof(float);

// Memory of a thread for the spectra of one row of tiles.
const size_t kScratch = (12 << 20) / sizeof(float);

int Blocks(int channels, int lanes) { return (channels + lanes - 1) / lanes; }

// Vectors of multiply-adds of one image and group.
double Direct(const CorrelationShape& shape, bool plain, int lanes) {
  const double channels = plain ? shape.channels : double(Blocks(shape.channels, lanes)) * lanes;
  return channels * Blocks(shape.outputs, lanes) * shape.out_height() * shape.out_width() *
         shape.kernel_h * shape.kernel_w;
}

double Fft(const CorrelationShape& shape, bool plain, bool sums, const FftTiling& tiling) {
  const int lanes = tiling.kernels->lanes, size = tiling.size();
  const double tiles = double(tiling.rows) * tiling.columns;
  const double values = tiles * size * tiling.frequencies();
  const double in = plain ? double(shape.channels) / lanes : Blocks(shape.channels, lanes);
  const double out = Blocks(shape.outputs, lanes);
  const double products =
      values * shape.channels * out * 4 * kProduct * std::max(1., kTiles / tiles);
  const double transforms = 2 * values * (in + out) * kTransform;
  double factor = 1;
  for (const SizeFactor& of : kSizeFactors) {
    factor = of.size == size ? of.factor : factor;
  }
  return factor * (products + transforms +
                   (sums ? size * tiling.frequencies() * shape.channels * out * 2 * kSums : 0));
}

// Floats for a row of tiles between its transforms along x and y, before and after the products.
size_t Scratch(const CorrelationShape& shape, const FftTiling& tiling) {
  const int lanes = tiling.kernels->lanes, size = tiling.size();
  const size_t line = tiling.columns * tiling.frequencies() * tiling.complex();
  const size_t blocks = Blocks(shape.channels, lanes) + Blocks(shape.outputs, lanes);
  return (line + tiling.columns * tiling.complex()) * (size + 2) * blocks;
}

}  // namespace

const FftTransforms* ChooseFft(const CorrelationShape& forward, ConvolutionPass pass, bool plain,
                               const FftKernels& kernels) {
  const CorrelationShape shape =
      pass == ConvolutionPass::kBottomDiff ? forward.Backward() : forward;
  if (shape.pad_h < 0 || shape.pad_w < 0 || shape.out_height() < 1 || shape.out_width() < 1) {
    return NULL;
  }
  plain = plain && pass != ConvolutionPass::kBottomDiff;
  const int lanes = kernels.lanes;
  double best = Direct(shape, plain, lanes) / kMargin;
  const FftTransforms* chosen = NULL;
  for (int i = 0; i < kernels.lengths; ++i) {
    const FftTransforms& transforms = kernels.transforms[i];
    if (2 * std::max(shape.kernel_h, shape.kernel_w) > transforms.size) {
      continue;
    }
    const FftTiling tiling = SourceTiling(kernels, transforms, shape);
    const size_t spectra = size_t(shape.groups) * shape.channels * Blocks(shape.outputs, lanes) *
                           transforms.size * tiling.frequencies() * tiling.complex();
    const double cost = Fft(shape, plain, pass == ConvolutionPass::kWeightDiff, tiling);
    if (spectra <= kSpectra && Scratch(shape, tiling) <= kScratch && cost < best) {
      best = cost;
      chosen = &transforms;
    }
  }
  return chosen;
}

}  // namespace caffe_ext
