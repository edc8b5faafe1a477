#ifndef DRML_LAYERS_RECTANGLE_COPY_CUH_
#define DRML_LAYERS_RECTANGLE_COPY_CUH_

#include <algorithm>

#include "caffe/common.hpp"
#include "rectangle.hpp"

namespace caffe_ext {

// Kernels that move `count` elements, a patch's in all planes, between a map and the patch itself.

const int kRectangleThreads = 256;

/// A grid for `count` elements; threads of more blocks than that would have nothing to do.
inline int RectangleBlocks(int count) {
  return std::min(1024, (count + kRectangleThreads - 1) / kRectangleThreads);
}

template <typename Dtype>
__global__ void __launch_bounds__(kRectangleThreads)
    CutRectangle(const int count, const Rectangle at, const Dtype* map, Dtype* patch) {
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < count;
       i += static_cast<int64_t>(blockDim.x) * gridDim.x) {
    patch[i] = map[at.MapOffset(i)];
  }
}

template <bool Add, typename Dtype>
__global__ void __launch_bounds__(kRectangleThreads)
    PasteRectangle(const int count, const Rectangle at, const Dtype* patch, Dtype* map) {
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < count;
       i += static_cast<int64_t>(blockDim.x) * gridDim.x) {
    const int64_t in_map = at.MapOffset(i);
    map[in_map] = Add ? map[in_map] + patch[i] : patch[i];
  }
}

}  // namespace caffe_ext

#endif  // DRML_LAYERS_RECTANGLE_COPY_CUH_
