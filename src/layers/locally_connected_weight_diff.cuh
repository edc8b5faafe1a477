// Kernels of the LocallyConnected layer for the gradients of weight and bias.
#ifndef DRML_LAYERS_LOCALLY_CONNECTED_WEIGHT_DIFF_CUH_
#define DRML_LAYERS_LOCALLY_CONNECTED_WEIGHT_DIFF_CUH_

#include "caffe/layers/locally_connected_layer.hpp"
#include "locally_connected_order.cuh"

namespace caffe {
namespace local_kernels {

const int kTapTile = 128;
const int kOutputTile = 16;
const int kImageDepth = 16;
const int kPaddedImages = kImageDepth + 4;  // as kPaddedRows
const int kTapGroups = kTileThreads / kOutputTile;
const int kTapsPerThread = kTapTile / kTapGroups;

// One block per position and tile of kTapTile taps by kOutputTile outputs, the outputs along the
// lanes, as they lie in memory. It sums over the images and adds that to the gradient.
template <typename Dtype>
__global__ void __launch_bounds__(kTileThreads)
    SumWeightDiff(const LocallyConnectedGeometry geometry, const int* offsets, const Dtype* inputs,
                  const Dtype* top_diff, Dtype* weight_diff) {
  __shared__ __align__(16) Dtype input_tile[kTapTile * kPaddedImages];
  __shared__ __align__(16) Dtype diff_tile[kOutputTile * kPaddedImages];
  const int tap_tiles = (geometry.taps() + kTapTile - 1) / kTapTile;
  const int output_tiles = (geometry.num_output + kOutputTile - 1) / kOutputTile;
  const int first_tap = blockIdx.x % tap_tiles * kTapTile;
  const int first_output = blockIdx.x / tap_tiles % output_tiles * kOutputTile;
  const int p = blockIdx.x / tap_tiles / output_tiles;
  const int start = WindowStart(geometry, p);
  // A thread loads for one image (of the step) what it multiplies for one output.
  const int own = threadIdx.x % kOutputTile;
  const int group = threadIdx.x / kOutputTile;

  Dtype result[kTapsPerThread] = {};
  for (int first = 0; first < geometry.num; first += kImageDepth) {
    const bool image = first + own < geometry.num;
#pragma unroll
    for (int i = 0; i < kTapsPerThread; ++i) {
      const int tap = group + i * kTapGroups;
      input_tile[tap * kPaddedImages + own] =
          image && first_tap + tap < geometry.taps()
              ? inputs[static_cast<size_t>(start + offsets[first_tap + tap]) * geometry.num +
                       first + own]
              : Dtype(0);
    }
#pragma unroll
    for (int i = 0; i < kOutputTile / kTapGroups; ++i) {
      const int o = group + i * kTapGroups;
      const int plane = (first_output + o) * geometry.positions() + p;
      diff_tile[o * kPaddedImages + own] =
          image && first_output + o < geometry.num_output
              ? top_diff[static_cast<size_t>(plane) * geometry.num + first + own]
              : Dtype(0);
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kImageDepth; n += 4) {
      Dtype diff[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        diff[j] = diff_tile[own * kPaddedImages + n + j];
      }
#pragma unroll
      for (int i = 0; i < kTapsPerThread; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          result[i] += input_tile[(group + i * kTapGroups) * kPaddedImages + n + j] * diff[j];
        }
      }
    }
    __syncthreads();
  }
  if (first_output + own < geometry.num_output) {
#pragma unroll
    for (int i = 0; i < kTapsPerThread; ++i) {
      const int tap = first_tap + group + i * kTapGroups;
      if (tap < geometry.taps()) {
        weight_diff[geometry.weight_offset(p) + tap * geometry.num_output + first_output + own] +=
            result[i];
      }
    }
  }
}

template <typename Dtype>
__global__ void __launch_bounds__(CAFFE_CUDA_NUM_THREADS)
    SumBiasDiff(const int count, int num, const Dtype* top_diff, Dtype* bias_diff) {
  CUDA_KERNEL_LOOP(i, count) {
    Dtype sum = 0;
    for (int n = 0; n < num; ++n) {
      sum += top_diff[static_cast<size_t>(n) * count + i];
    }
    bias_diff[i] += sum;
  }
}

}  // namespace local_kernels
}  // namespace caffe

#endif  // DRML_LAYERS_LOCALLY_CONNECTED_WEIGHT_DIFF_CUH_
