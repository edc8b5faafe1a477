#include "engines/winograd/choice.hpp"

#include "engines/winograd/tiling.hpp"

namespace caffe_ext {

namespace {

// The unit is the time of a direct convolution per vector of multiply-adds. The others were
// measured against it (docs/performance.md): per vector of multiply-adds of the products; per
// vector of a spectrum of a tile, before and after the products; per vector of a spectrum of the
// kernels, which come from memory for a single image.
const double kProduct = 1.1, kTransform = 25, kWeight = 4;
// A forecast that is not this much better is not followed.
const double kMargin = 1.2;
// Spectra of the kernels, and of a row of tiles.
const size_t kMostWeights = (32 << 20) / sizeof(float), kMostUnit = (8 << 20) / sizeof(float);

}  // namespace

bool WinogradServes(const CorrelationShape& shape) {
  return shape.kernel_h == shape.kernel_w && (shape.kernel_h == 3 || shape.kernel_h == 5) &&
         shape.pad_h >= 0 && shape.pad_w >= 0 && shape.out_height() >= kWinogradSmallestTile &&
         shape.out_width() >= kWinogradSmallestTile;
}

bool ChooseWinograd(const CorrelationShape& forward, ConvolutionPass pass, double direct, Isa isa) {
  const CorrelationShape shape =
      pass == ConvolutionPass::kBottomDiff ? forward.Backward() : forward;
  if (isa == Isa::kGeneric || !WinogradServes(shape)) {
    return false;
  }
  const WinogradTiling tiling(shape, Lanes(isa));
  const double values = tiling.Values(), pairs = double(shape.channels) * tiling.out_blocks();
  const double cost = values * pairs * kProduct +
                      values * (tiling.in_blocks() + tiling.out_blocks()) * kTransform +
                      tiling.points() * pairs * kWeight;
  const WinogradLayout in(tiling, tiling.in_blocks(), 0, 1), out(tiling, tiling.out_blocks(), 0, 1);
  return kMargin * cost < direct * pairs && shape.groups * tiling.Weights() <= kMostWeights &&
         in.size() + out.size() <= kMostUnit;
}

}  // namespace caffe_ext
