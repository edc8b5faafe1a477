// Kernels of the Region layer that measure patches of the bottom, and the weights of patches.
#ifndef DRML_LAYERS_REGION_STATISTICS_CUH_
#define DRML_LAYERS_REGION_STATISTICS_CUH_

#include "device_sum.cuh"
#include "region_tiles.cuh"

namespace caffe {
namespace region_kernels {

using caffe_ext::BlockSum;

// One block per channel of a patch: mean and variance in one reading, sums and squares being
// those of the distance from a pixel of the patch, so that a large mean cancels nothing. Running
// sums, where given, take both in.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    MeasurePatches(const RegionGeometry geometry, const Dtype* bottom, Dtype eps, Dtype keep,
                   Dtype* mean, Dtype* inv_std, Dtype* running_mean, Dtype* running_variance,
                   Dtype* factor) {
  __shared__ double memory[2 * kThreads / kWarp];
  const int g = blockIdx.x % geometry.patches();
  const int c = blockIdx.x / geometry.patches();
  const RegionPatch patch = geometry.patch(g);
  const Dtype pivot = bottom[geometry.bottom_offset(0, c, patch.y0, patch.x0)];
  double sums[2] = {0, 0};
  for (PatchWalk at(patch, threadIdx.x, kThreads); at.n < geometry.num; at.Advance()) {
    const double distance =
        bottom[geometry.bottom_offset(at.n, c, patch.y0 + at.y, patch.x0 + at.x)] - pivot;
    sums[0] += distance;
    sums[1] += distance * distance;
  }
  BlockSum<2>(sums, memory);
  if (threadIdx.x != 0) {
    return;
  }
  const double values = static_cast<double>(geometry.num) * patch.area();
  const double offset = sums[0] / values;
  // Rounding may leave a variance of zero a little below it.
  const double measured = sums[1] / values - offset * offset;
  const double variance = measured < 0 ? 0 : measured;
  const int gc = geometry.channel_offset(g) + c;
  mean[gc] = pivot + offset;
  inv_std[gc] = 1 / sqrt(variance + eps);
  if (running_mean) {
    running_mean[gc] = keep * running_mean[gc] + (pivot + offset);
    // Patches may differ in size, and so in what makes their variance unbiased.
    running_variance[gc] =
        keep * running_variance[gc] + variance * (values > 1 ? values / (values - 1) : 1);
    if (gc == 0) {
      factor[0] = keep * factor[0] + 1;
    }
  }
}

// The running ones as mean and 1 / standard deviation.
template <typename Dtype>
__global__ void __launch_bounds__(CAFFE_CUDA_NUM_THREADS)
    LoadRunning(const int count, const Dtype* running_mean, const Dtype* running_variance,
                const Dtype* factor, const Dtype eps, Dtype* mean, Dtype* inv_std) {
  const Dtype weight = factor[0] == 0 ? Dtype(0) : 1 / factor[0];  // 0: nothing was ever summed
  CUDA_KERNEL_LOOP(i, count) {
    mean[i] = weight * running_mean[i];
    inv_std[i] = 1 / sqrt(weight * running_variance[i] + eps);
  }
}

// Group sparsity, see ForwardSparsity and BackwardSparsity in region_statistics.cpp.

// One block per patch: the norm of its weights.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    MeasureWeights(const RegionGeometry geometry, const Dtype* weight, double* norms) {
  __shared__ double memory[kThreads / kWarp];
  const int end = geometry.weight_offset(blockIdx.x + 1);
  double sum = 0;
  for (int64_t i = geometry.weight_offset(blockIdx.x) + static_cast<int64_t>(threadIdx.x); i < end;
       i += kThreads) {
    sum += static_cast<double>(weight[i]) * weight[i];
  }
  BlockSum<1>(&sum, memory);
  if (threadIdx.x == 0) {
    norms[blockIdx.x] = sqrt(sum);
  }
}

// One block: the term of the loss.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    AddNorms(const int patches, const double* norms, double group_sparsity, Dtype* term) {
  __shared__ double memory[kThreads / kWarp];
  double sum = 0;
  for (int g = threadIdx.x; g < patches; g += kThreads) {
    sum += norms[g];
  }
  BlockSum<1>(&sum, memory);
  if (threadIdx.x == 0) {
    *term = group_sparsity * sum;
  }
}

// One block per patch: the term's gradient, added to that of the weights.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    NormDiff(const RegionGeometry geometry, const Dtype* weight, const double* norms,
             double group_sparsity, const Dtype* term_diff, Dtype* weight_diff) {
  const double norm = norms[blockIdx.x];
  const double scale = norm > 0 ? group_sparsity * *term_diff / norm : 0;
  const int end = geometry.weight_offset(blockIdx.x + 1);
  for (int64_t i = geometry.weight_offset(blockIdx.x) + static_cast<int64_t>(threadIdx.x); i < end;
       i += kThreads) {
    weight_diff[i] += scale * weight[i];
  }
}

}  // namespace region_kernels
}  // namespace caffe

#endif  // DRML_LAYERS_REGION_STATISTICS_CUH_
