#ifndef DRML_LAYERS_DEVICE_SUM_CUH_
#define DRML_LAYERS_DEVICE_SUM_CUH_

namespace caffe_ext {

/// Sum over the 32 lanes of a warp, all of which must call this; for lane 0.
__device__ inline double WarpSum(double value) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_down_sync(0xffffffffu, value, distance);
  }
  return value;
}

/// Count sums over a block, all of whose threads (a multiple of 32) must call this; for thread 0.
/// `memory` is shared, Count * threads / 32 values.
template <int Count>
__device__ inline void BlockSum(double* values, double* memory) {
  const int warp = threadIdx.x / 32;
  const int warps = blockDim.x / 32;
  for (int i = 0; i < Count; ++i) {
    values[i] = WarpSum(values[i]);
    if (threadIdx.x % 32 == 0) {
      memory[i * warps + warp] = values[i];
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 0; i < Count; ++i) {
      values[i] = 0;
      for (int w = 0; w < warps; ++w) {
        values[i] += memory[i * warps + w];
      }
    }
  }
}

}  // namespace caffe_ext

#endif  // DRML_LAYERS_DEVICE_SUM_CUH_
