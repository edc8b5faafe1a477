// Where the kernels of the Region layer find things, what normalises them, and how tiles of two
// matrices are multiplied.
#ifndef DRML_LAYERS_REGION_TILES_CUH_
#define DRML_LAYERS_REGION_TILES_CUH_

#include "caffe/layers/region_layer.hpp"

namespace caffe {
namespace region_kernels {

const int kWarp = 32;
const int kThreads = 256;  // of the kernels that walk over pixels

// The products work on tiles of kRows x (kWarp * columns per thread) results. A block is four
// warps, a warp owns kRowsPerWarp rows, and lane l of it columns l, l + 32, ...: memory is then
// read and written along rows of pixels.
const int kWarps = 4;
const int kRowsPerWarp = 8;
const int kRows = kWarps * kRowsPerWarp;
const int kTileThreads = kWarps * kWarp;
// Four values more than a row has: rows stay aligned for loads of four floats, and what threads
// write down a column falls into different banks.
const int kPaddedRows = kRows + 4;

// Walks over the pixels of a patch, image after image, in steps of a fixed number of pixels. Only
// the start divides.
struct PatchWalk {
  int n, y, x;  // image, and row and column within the patch

  __device__ PatchWalk(const RegionPatch& patch, int64_t first, int step)
      : n(first / patch.area()), h_(patch.height()), w_(patch.width()) {
    const int pixel = first % patch.area();
    y = pixel / w_;
    x = pixel % w_;
    dn_ = step / patch.area();
    dy_ = step % patch.area() / w_;
    dx_ = step % w_;
  }

  __device__ void Advance() {
    x += dx_;
    y += dy_;
    n += dn_;
    if (x >= w_) {
      x -= w_;
      ++y;
    }
    if (y >= h_) {
      y -= h_;
      ++n;
    }
  }

 private:
  int h_, w_, dn_, dy_, dx_;
};

// BN and ReLU of one channel of a patch.
template <typename Dtype>
struct Norm {
  Dtype mean, inv_std, scale, shift;

  // How far BN's result lies from the ReLU's kink.
  __device__ Dtype BeforeReLU(Dtype x) const { return (x - mean) * (inv_std * scale) + shift; }
  // Not max(), which takes NaN for less than anything.
  __device__ Dtype operator()(Dtype x) const {
    const Dtype before = BeforeReLU(x);
    return before < 0 ? Dtype(0) : before;
  }
};

// What normalises every patch and channel, G x C each; scale and shift may be NULL.
template <typename Dtype>
struct Norms {
  const Dtype* mean;
  const Dtype* inv_std;
  const Dtype* scale;
  const Dtype* shift;

  __device__ Norm<Dtype> operator()(int gc) const {
    const Norm<Dtype> norm = {mean[gc], inv_std[gc], scale ? scale[gc] : Dtype(1),
                              shift ? shift[gc] : Dtype(0)};
    return norm;
  }
};

// One input of a convolution's result: channel, and row and column of the kernel.
struct Tap {
  int channel, ky, kx;
};

// Tap number `index` of a k x k kernel; Kernel is k where the compiler may know it, else 0.
template <int Kernel>
__device__ Tap TapAt(int index, int kernel_size) {
  const int k = Kernel ? Kernel : kernel_size;
  const int within = index % (k * k);
  const Tap tap = {index / (k * k), within / k, within % k};
  return tap;
}

__device__ inline bool Inside(const RegionPatch& patch, int y, int x) {
  return y >= 0 && y < patch.height() && x >= 0 && x < patch.width();
}

// What the four warps do with one step's tiles in shared memory, Depth values deep.
template <int Depth, int Columns, typename Dtype>
__device__ void MultiplyTiles(const Dtype* rows, const Dtype* columns, Dtype (*result)[Columns]) {
  const int first_row = threadIdx.x / kWarp * kRowsPerWarp;
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int k = 0; k < Depth; ++k) {
    Dtype row[kRowsPerWarp];
    Dtype column[Columns];
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
      row[i] = rows[k * kPaddedRows + first_row + i];
    }
#pragma unroll
    for (int j = 0; j < Columns; ++j) {
      column[j] = columns[k * Columns * kWarp + lane + j * kWarp];
    }
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
#pragma unroll
      for (int j = 0; j < Columns; ++j) {
        result[i][j] += row[i] * column[j];
      }
    }
  }
}

}  // namespace region_kernels
}  // namespace caffe

#endif  // DRML_LAYERS_REGION_TILES_CUH_
