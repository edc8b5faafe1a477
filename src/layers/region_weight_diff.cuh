// Kernels of the Region layer for the gradients of weight and bias.
#ifndef DRML_LAYERS_REGION_WEIGHT_DIFF_CUH_
#define DRML_LAYERS_REGION_WEIGHT_DIFF_CUH_

#include "region_tiles.cuh"

namespace caffe {
namespace region_kernels {

const int kWeightColumns = 3;                    // per thread
const int kWeightTile = kWeightColumns * kWarp;  // taps of a tile: 32 channels of 3 x 3 are three
const int kWeightDepth = 16;                     // pixels of a step
const int kDiffsPerThread = kWeightDepth * kRows / kTileThreads;

// Pixels of a step: where they lie, and where in the patch.
struct StepPixels {
  int n[kWeightDepth], y[kWeightDepth], x[kWeightDepth];
};

// One block per patch, tile of kRows outputs by kWeightTile taps, and share of the images. The
// blocks of the first taps add up the bias as well. Either of the partial sums may be NULL.
template <int Kernel, typename Dtype>
__global__ void __launch_bounds__(kTileThreads)
    WeightDiff(const RegionGeometry geometry, const Norms<Dtype> norms, const Dtype* bottom,
               const Dtype* top_diff, int splits, Dtype* partial_weight, double* partial_bias) {
  __shared__ __align__(16) Dtype diffs[kWeightDepth * kPaddedRows];
  __shared__ __align__(16) Dtype inputs[kWeightDepth * kWeightTile];
  __shared__ StepPixels pixels;
  const int k = Kernel ? Kernel : geometry.kernel_size;
  const int pad = (k - 1) / 2;
  const int tap_tiles = partial_weight ? (geometry.taps() + kWeightTile - 1) / kWeightTile : 1;
  const int row_tiles = (geometry.num_output + kRows - 1) / kRows;
  const int first_tap = blockIdx.x % tap_tiles * kWeightTile;
  const int block_row = blockIdx.x / tap_tiles % row_tiles * kRows;
  const int g = blockIdx.x / tap_tiles / row_tiles % geometry.patches();
  const int split = blockIdx.x / tap_tiles / row_tiles / geometry.patches();
  const RegionPatch patch = geometry.patch(g);
  const int first_image = static_cast<int64_t>(geometry.num) * split / splits;
  const int end_image = static_cast<int64_t>(geometry.num) * (split + 1) / splits;
  // Each thread gathers one tap of every pixel.
  const bool gathers = partial_weight && threadIdx.x < kWeightTile &&
                       first_tap + static_cast<int>(threadIdx.x) < geometry.taps();
  const Tap tap = TapAt<Kernel>(gathers ? first_tap + threadIdx.x : 0, k);
  const Norm<Dtype> norm = norms(geometry.channel_offset(g) + tap.channel);
  const bool sums_bias = partial_bias && first_tap == 0;

  Dtype result[kRowsPerWarp][kWeightColumns] = {};
  double bias = 0;  // of the row that this thread has to itself
  const int bias_row = threadIdx.x;
  PatchWalk walk(patch, threadIdx.x % kWeightDepth, kWeightDepth);
  const int64_t count = static_cast<int64_t>(end_image - first_image) * patch.area();
  for (int64_t step = 0; step < count; step += kWeightDepth) {
    if (threadIdx.x < kWeightDepth) {
      pixels.n[threadIdx.x] = first_image + walk.n;
      pixels.y[threadIdx.x] = walk.y;
      pixels.x[threadIdx.x] = walk.x;
      walk.Advance();
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kDiffsPerThread; ++i) {
      const int p = threadIdx.x % kWeightDepth;
      const int row = threadIdx.x / kWeightDepth + i * (kTileThreads / kWeightDepth);
      diffs[p * kPaddedRows + row] =
          pixels.n[p] < end_image && block_row + row < geometry.num_output
              ? top_diff[geometry.top_offset(pixels.n[p], block_row + row, patch.y0 + pixels.y[p],
                                             patch.x0 + pixels.x[p])]
              : Dtype(0);
    }
    if (threadIdx.x < kWeightTile) {
#pragma unroll
      for (int p = 0; p < kWeightDepth; ++p) {
        const int y = pixels.y[p] + tap.ky - pad;
        const int x = pixels.x[p] + tap.kx - pad;
        inputs[p * kWeightTile + threadIdx.x] =
            gathers && pixels.n[p] < end_image && Inside(patch, y, x)
                ? norm(bottom[geometry.bottom_offset(pixels.n[p], tap.channel, patch.y0 + y,
                                                     patch.x0 + x)])
                : Dtype(0);
      }
    }
    __syncthreads();
    if (partial_weight) {
      MultiplyTiles<kWeightDepth, kWeightColumns>(diffs, inputs, result);
    }
    if (sums_bias && bias_row < kRows) {
      Dtype sum = 0;
      for (int p = 0; p < kWeightDepth; ++p) {
        sum += diffs[p * kPaddedRows + bias_row];
      }
      bias += sum;
    }
    // The next step's pixels may be written now, its tiles only after the barrier that follows.
  }

  if (partial_weight) {
    const int first_row = block_row + threadIdx.x / kWarp * kRowsPerWarp;
    Dtype* const partial = partial_weight +
                           static_cast<size_t>(split) * geometry.weight_offset(geometry.patches()) +
                           geometry.weight_offset(g);
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
#pragma unroll
      for (int j = 0; j < kWeightColumns; ++j) {
        const int at = first_tap + threadIdx.x % kWarp + j * kWarp;
        if (first_row + i < geometry.num_output && at < geometry.taps()) {
          partial[(first_row + i) * geometry.taps() + at] = result[i][j];
        }
      }
    }
  }
  if (sums_bias && bias_row < kRows && block_row + bias_row < geometry.num_output) {
    partial_bias[static_cast<size_t>(split) * geometry.output_offset(geometry.patches()) +
                 geometry.output_offset(g) + block_row + bias_row] = bias;
  }
}

// diff += the sum over the splits.
template <typename Dtype, typename Partial>
__global__ void __launch_bounds__(CAFFE_CUDA_NUM_THREADS)
    AddSplits(const int count, int splits, const Partial* partial, Dtype* diff) {
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < count;
       i += static_cast<int64_t>(blockDim.x) * gridDim.x) {
    Partial sum = 0;
    for (int s = 0; s < splits; ++s) {
      sum += partial[static_cast<size_t>(s) * count + i];
    }
    diff[i] += sum;
  }
}

}  // namespace region_kernels
}  // namespace caffe

#endif  // DRML_LAYERS_REGION_WEIGHT_DIFF_CUH_
