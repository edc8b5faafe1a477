// Kernels of the LocallyConnected layer that copy bottom and top with the images last, and back.
#ifndef DRML_LAYERS_LOCALLY_CONNECTED_ORDER_CUH_
#define DRML_LAYERS_LOCALLY_CONNECTED_ORDER_CUH_

#include "caffe/common.hpp"
#include "caffe/layers/locally_connected_layer.hpp"

namespace caffe {
namespace local_kernels {

const int kWarp = 32;
const int kWarps = 4;
const int kTileThreads = kWarps * kWarp;  // of the products

const int kSide = 32;
const int kTransposeThreads = 256;
const int kTransposeRows = kTransposeThreads / kSide;

// The bottom's pixel number s in the copy, which has zeros around each plane.
struct PaddedPixels {
  int height, width, pad_h, pad_w;

  __device__ int operator()(int s) const {
    const int x = s % width;
    const int y = s / width % height;
    const int c = s / width / height;
    return (c * (height + 2 * pad_h) + y + pad_h) * (width + 2 * pad_w) + x + pad_w;
  }
};

struct SamePixels {
  __device__ int operator()(int s) const { return s; }
};

// One block per tile of kSide images by kSide pixels: from[n][s] -> to[place(s)][n].
template <typename Dtype, typename Place>
__global__ void __launch_bounds__(kTransposeThreads)
    PutImagesLast(int num, int pixels, const Place place, const Dtype* from, Dtype* to) {
  __shared__ Dtype tile[kSide * (kSide + 1)];
  const int tiles = (pixels + kSide - 1) / kSide;
  const int first_pixel = blockIdx.x % tiles * kSide;
  const int first_image = blockIdx.x / tiles * kSide;
  const int column = threadIdx.x % kSide;
  for (int row = threadIdx.x / kSide; row < kSide; row += kTransposeRows) {
    if (first_image + row < num && first_pixel + column < pixels) {
      tile[row * (kSide + 1) + column] =
          from[static_cast<size_t>(first_image + row) * pixels + first_pixel + column];
    }
  }
  __syncthreads();
  for (int row = threadIdx.x / kSide; row < kSide; row += kTransposeRows) {
    if (first_pixel + row < pixels && first_image + column < num) {
      to[static_cast<size_t>(place(first_pixel + row)) * num + first_image + column] =
          tile[column * (kSide + 1) + row];
    }
  }
}

// And back: from[s][n] -> to[n][s].
template <typename Dtype>
__global__ void __launch_bounds__(kTransposeThreads)
    PutImagesFirst(int num, int pixels, const Dtype* from, Dtype* to) {
  __shared__ Dtype tile[kSide * (kSide + 1)];
  const int tiles = (pixels + kSide - 1) / kSide;
  const int first_pixel = blockIdx.x % tiles * kSide;
  const int first_image = blockIdx.x / tiles * kSide;
  const int column = threadIdx.x % kSide;
  for (int row = threadIdx.x / kSide; row < kSide; row += kTransposeRows) {
    if (first_pixel + row < pixels && first_image + column < num) {
      tile[row * (kSide + 1) + column] =
          from[static_cast<size_t>(first_pixel + row) * num + first_image + column];
    }
  }
  __syncthreads();
  for (int row = threadIdx.x / kSide; row < kSide; row += kTransposeRows) {
    if (first_image + row < num && first_pixel + column < pixels) {
      to[static_cast<size_t>(first_image + row) * pixels + first_pixel + column] =
          tile[column * (kSide + 1) + row];
    }
  }
}

// How far each tap lies from a window's first pixel in the padded copy of the bottom: a table, so
// that nothing in the products divides.
static __global__ void __launch_bounds__(CAFFE_CUDA_NUM_THREADS)
    PlaceTaps(const int taps, const LocallyConnectedGeometry geometry, int* offsets) {
  CUDA_KERNEL_LOOP(k, taps) {
    const int kx = k % geometry.kernel_w;
    const int ky = k / geometry.kernel_w % geometry.kernel_h;
    const int c = k / geometry.kernel_w / geometry.kernel_h;
    offsets[k] =
        (c * (geometry.height + 2 * geometry.pad_h) + ky) * (geometry.width + 2 * geometry.pad_w) +
        kx;
  }
}

__device__ inline int WindowStart(const LocallyConnectedGeometry& geometry, int p) {
  return p / geometry.output_w * geometry.stride_h * (geometry.width + 2 * geometry.pad_w) +
         p % geometry.output_w * geometry.stride_w;
}

}  // namespace local_kernels
}  // namespace caffe

#endif  // DRML_LAYERS_LOCALLY_CONNECTED_ORDER_CUH_
