// The region layer's 3 x 3 convolutions by Winograd's algorithm: see winograd.md.
#include <algorithm>

#include "engines/region_work.hpp"
#include "engines/winograd/kernels.hpp"

namespace caffe_ext {

using caffe::RegionPatch;

namespace {

// Spectra of the tiles that are worked on at once: half of a second-level cache, whose other half
// the spectra of the weights fill.
const size_t kSpectraBytes = 512 << 10;
// A thread's scratch, the diffs of BN(x) aside.
const size_t kMostBytes = 12 << 20;

// The spectra of a patch's weights have to stay in that cache.
const size_t kWeightBytes = 640 << 10;

// What the steps cost in multiply-adds, measured: the transforms of a tile beyond what direct
// convolution spends on the same pixels, per channel; and a weight's transform, with the way of its
// spectrum through the cache for each image.
const double kTileCost = 300, kWeightCost = 320;

const WinogradKernels& Kernels() { return Winograd(ActiveIsa()); }

int Tiles(int size) { return (size + 3) / 4; }

}  // namespace

// How a patch is cut into tiles, and these into chunks of whole rows that fit into a cache.
struct EngineRegion::Cut {
  int block, channels, outputs, in_blocks, out_blocks, across, down, rows;

  Cut(const caffe::RegionGeometry& geometry, const RegionPatch& patch, int block_size)
      : block(block_size),
        channels(geometry.channels),
        outputs(geometry.num_output),
        in_blocks(Blocks(channels, block)),
        out_blocks(Blocks(outputs, block)),
        across(Tiles(patch.width())),
        down(Tiles(patch.height())) {
    const size_t row = sizeof(float) * kWinogradPoints * across * block * (in_blocks + out_blocks);
    const int most = std::max<size_t>(1, kSpectraBytes / row);
    const int chunks = (down + most - 1) / most;
    rows = (down + chunks - 1) / chunks;
  }

  // Floats from one point of the spectra to the next: an odd number of cache lines, so that the 36
  // points of a tile do not compete for the same lines of the first-level cache.
  size_t Point(int blocks) const {
    const size_t lines = (size_t(rows) * across * blocks * block + 15) / 16;
    return (lines | 1) * 16;
  }
  size_t Packed() const { return size_t(9) * block * std::max(channels, outputs); }
  size_t Weights() const {
    return size_t(kWinogradPoints) * block *
           std::max(size_t(out_blocks) * channels, size_t(in_blocks) * outputs);
  }
  size_t Strip() const { return size_t(6) * block * (4 * across + 2); }
  size_t Bytes() const {
    return sizeof(float) * (kWinogradPoints * (Point(in_blocks) + Point(out_blocks)) + Packed() +
                            2 * Weights() + Strip());
  }
};

// By the patch's shape alone: a face's score must not depend on the number of faces.
bool EngineRegion::UsesWinograd(const RegionPatch& patch) const {
  if (!winograd_) {
    return false;
  }
  const Cut cut(geometry_, patch, block_);
  const double tiles = double(cut.across) * cut.down;
  const double pairs = double(cut.channels) * cut.outputs;
  const double winograd = kWinogradPoints * tiles * pairs +
                          kTileCost * tiles * (cut.channels + cut.outputs) + kWeightCost * pairs;
  return winograd < 9. * patch.area() * pairs && cut.Weights() * sizeof(float) <= kWeightBytes &&
         cut.Bytes() <= kMostBytes;
}

namespace {

template <typename Float>
WinogradPatch Rows(const PatchView<Float>& view, int first, int last) {
  const WinogradPatch patch = {view.row_step, view.height, view.width, first, last};
  return patch;
}

WinogradSpectra BlockOf(const WinogradSpectra& all, int k, int block) {
  const WinogradSpectra part = {all.data + k * block, all.point, all.tile};
  return part;
}

}  // namespace

void EngineRegion::ForwardWinograd(int g, const Maps& maps, Workspace* work) {
  const RegionPatch patch = geometry_.patch(g);
  const Cut cut(geometry_, patch, block_);
  const WinogradKernels& run = Kernels();
  float* weights = work->weight_spectra.Get(cut.Weights());
  float* strip = work->strip.Get(cut.Strip());
  const size_t x_point = cut.Point(cut.in_blocks), m_point = cut.Point(cut.out_blocks);
  const WinogradSpectra x = {work->input_spectra.Get(kWinogradPoints * x_point), x_point,
                             size_t(cut.in_blocks) * block_};
  const WinogradSpectra m = {work->output_spectra.Get(kWinogradPoints * m_point), m_point,
                             size_t(cut.out_blocks) * block_};
  run.weights(maps.weights + geometry_.weight_offset(g), cut.outputs, cut.channels, false,
              work->packed.Get(cut.Packed()), weights);
  if (bias_term_) {
    const float* bias = maps.bias + geometry_.output_offset(g);
    std::copy(bias, bias + cut.outputs, work->bias.begin());
  }
  for (int n = 0; n < geometry_.num; ++n) {
    for (int first = 0; first < cut.down; first += cut.rows) {
      const int last = std::min(first + cut.rows, cut.down);
      for (int k = 0; k < cut.in_blocks; ++k) {
        const int c = k * block_;
        const WinogradNorm norm = {&work->mean[c], &work->slope[c], &work->shift[c]};
        const ConstPatchRows bottom = Maps::In(maps.bottom, patch, k, n, 1);
        run.input(bottom.data, Rows(bottom, first, last), norm, strip, BlockOf(x, k, block_));
      }
      run.products(x, weights, (last - first) * cut.across, cut.channels, cut.out_blocks, m);
      for (int k = 0; k < cut.out_blocks; ++k) {
        const PatchRows top = Maps::Out(maps.top, patch, k, n, 1);
        const float* identity = identity_ ? Maps::In(maps.bottom, patch, k, n, 1).data : NULL;
        run.result(BlockOf(m, k, block_), Rows(top, first, last), &work->bias[k * block_], identity,
                   top.data);
      }
    }
  }
}

// As BackwardDirect. The data gradient is the convolution of the top diff with turned weights.
void EngineRegion::BackwardWinograd(int g, const Maps& maps, Workspace* work) {
  const RegionPatch patch = geometry_.patch(g);
  const Cut cut(geometry_, patch, block_);
  const WinogradKernels& run = Kernels();
  const bool weight_diff = maps.weight_diff || maps.bias_diff;
  const size_t image_size = size_t(cut.in_blocks) * block_ * patch.area();
  float* diff = maps.norm_diff ? work->diff.Get(geometry_.num * image_size) : NULL;
  float* strip = work->strip.Get(cut.Strip());
  float* packed = work->packed.Get(cut.Packed());
  float* weights = work->weight_spectra.Get(cut.Weights());
  float* sums = work->weight_sums.Get(cut.Weights());
  const size_t x_point = cut.Point(cut.in_blocks), d_point = cut.Point(cut.out_blocks);
  const WinogradSpectra x = {work->input_spectra.Get(kWinogradPoints * x_point), x_point,
                             size_t(cut.in_blocks) * block_};
  const WinogradSpectra d = {work->output_spectra.Get(kWinogradPoints * d_point), d_point,
                             size_t(cut.out_blocks) * block_};
  if (weight_diff) {
    std::fill(sums, sums + cut.Weights(), 0.f);
  }
  if (maps.norm_diff) {
    run.weights(maps.weights + geometry_.weight_offset(g), cut.channels, cut.outputs, true, packed,
                weights);
  }
  for (int n = 0; n < geometry_.num; ++n) {
    for (int first = 0; first < cut.down; first += cut.rows) {
      const int last = std::min(first + cut.rows, cut.down);
      const int tiles = (last - first) * cut.across;
      if (weight_diff) {
        for (int k = 0; k < cut.in_blocks; ++k) {
          const int c = k * block_;
          const WinogradNorm norm = {&work->mean[c], &work->slope[c], &work->shift[c]};
          const ConstPatchRows bottom = Maps::In(maps.bottom, patch, k, n, 1);
          run.input(bottom.data, Rows(bottom, first, last), norm, strip, BlockOf(x, k, block_));
        }
        for (int k = 0; k < cut.out_blocks; ++k) {
          const ConstPatchRows top = Maps::In(maps.top_diff, patch, k, n, 1);
          run.diff(top.data, Rows(top, first, last), BlockOf(d, k, block_),
                   &work->bias_sum[k * block_]);
        }
        run.add_products(x, d, tiles, cut.channels, cut.out_blocks, sums);
      }
      if (maps.norm_diff) {
        const WinogradNorm as_it_is = {};
        for (int k = 0; k < cut.out_blocks; ++k) {
          const ConstPatchRows top = Maps::In(maps.top_diff, patch, k, n, 1);
          run.input(top.data, Rows(top, first, last), as_it_is, strip, BlockOf(d, k, block_));
        }
        run.products(d, weights, tiles, cut.outputs, cut.in_blocks, x);
        for (int k = 0; k < cut.in_blocks; ++k) {
          const int c = k * block_;
          const ConstPatchRows bottom = Maps::In(maps.bottom, patch, k, n, 1);
          const PatchRows to = Local(diff + n * image_size, patch, block_, cut.in_blocks, k, 1);
          const WinogradMask mask = {bottom.data,
                                     bottom.row_step,
                                     {&work->mean[c], &work->slope[c], &work->shift[c]},
                                     &work->inv_std[c]};
          run.masked_diff(BlockOf(x, k, block_), Rows(to, first, last), mask, to.data,
                          &work->sum[c], &work->dot[c]);
        }
      }
    }
  }
  if (maps.weight_diff) {
    run.add_weight_diff(sums, cut.outputs, cut.channels, packed,
                        maps.weight_diff + geometry_.weight_offset(g));
  }
}

}  // namespace caffe_ext
