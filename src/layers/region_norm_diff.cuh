// Kernels of the Region layer for the gradients of the normalisation.
#ifndef DRML_LAYERS_REGION_NORM_DIFF_CUH_
#define DRML_LAYERS_REGION_NORM_DIFF_CUH_

#include "device_sum.cuh"
#include "region_convolve.cuh"
#include "region_tiles.cuh"

namespace caffe {
namespace region_kernels {

using caffe_ext::WarpSum;

// One warp per channel of a patch: the sums of its tiles into the first tile's place, and into
// the diffs of scale and shift where those are given.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    AddTiles(const RegionGeometry geometry, int tiles, double* sums, Dtype* scale_diff,
             Dtype* shift_diff) {
  const int64_t gc = (blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x) / kWarp;
  if (gc >= geometry.channel_offset(geometry.patches())) {
    return;
  }
  double* const own = sums + gc * tiles * 2;
  const int used = ConvolveTiles(geometry.num, geometry.patch(gc / geometry.channels));
  double sum = 0, dot = 0;
  for (int t = threadIdx.x % kWarp; t < used; t += kWarp) {
    sum += own[2 * t];
    dot += own[2 * t + 1];
  }
  sum = WarpSum(sum);
  dot = WarpSum(dot);
  if (threadIdx.x % kWarp == 0) {
    own[0] = sum;
    own[1] = dot;
    if (scale_diff) {
      scale_diff[gc] += dot;
    }
    if (shift_diff) {
      shift_diff[gc] += sum;
    }
  }
}

const int kImagesPerBlock = 8;

// One block per channel of a patch in kImagesPerBlock images: d -> the bottom's diff, see
// FinishBottomDiff in region_layer.cpp.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    FinishDiff(const RegionGeometry geometry, const Norms<Dtype> norms, const Dtype* bottom,
               const double* sums, int tiles, const Dtype* identity_diff, Dtype* bottom_diff) {
  const int g = blockIdx.x % geometry.patches();
  const int c = blockIdx.x / geometry.patches() % geometry.channels;
  const int first = blockIdx.x / geometry.patches() / geometry.channels * kImagesPerBlock;
  const int end = min(first + kImagesPerBlock, geometry.num);
  const RegionPatch patch = geometry.patch(g);
  const size_t gc = geometry.channel_offset(g) + c;
  const Norm<Dtype> norm = norms(gc);
  const double values = static_cast<double>(geometry.num) * patch.area();
  const Dtype slope = norm.inv_std * norm.scale;
  const Dtype diff_mean = sums[gc * tiles * 2] / values;
  const Dtype diff_slope = sums[gc * tiles * 2 + 1] / values * norm.inv_std;
  for (PatchWalk at(patch, threadIdx.x, kThreads); first + at.n < end; at.Advance()) {
    const int i = geometry.bottom_offset(first + at.n, c, patch.y0 + at.y, patch.x0 + at.x);
    const Dtype diff = slope * (bottom_diff[i] - diff_mean - (bottom[i] - norm.mean) * diff_slope);
    bottom_diff[i] = identity_diff ? diff + identity_diff[i] : diff;
  }
}

}  // namespace region_kernels
}  // namespace caffe

#endif  // DRML_LAYERS_REGION_NORM_DIFF_CUH_
