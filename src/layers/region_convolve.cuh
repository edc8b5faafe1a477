// The convolution of the Region layer on the GPU, forward and through to its input.
#ifndef DRML_LAYERS_REGION_CONVOLVE_CUH_
#define DRML_LAYERS_REGION_CONVOLVE_CUH_

#include "device_sum.cuh"
#include "region_tiles.cuh"

namespace caffe {
namespace region_kernels {

using caffe_ext::WarpSum;

// The layer's own convolution: rows are outputs, inputs are normalised channels.
template <typename Dtype>
struct ForwardPass {
  Norms<Dtype> norms;
  const Dtype* bottom;
  const Dtype* weight;
  const Dtype* bias;      // NULL: none
  const Dtype* identity;  // the bottom, or NULL
  Dtype* top;

  struct RowSums {};

  __host__ __device__ static int Rows(const RegionGeometry& geometry) {
    return geometry.num_output;
  }
  __host__ __device__ static int Inputs(const RegionGeometry& geometry) {
    return geometry.channels;
  }

  __device__ Dtype Weight(const RegionGeometry& geometry, int g, int row, const Tap& tap) const {
    const int k = geometry.kernel_size;
    return weight[geometry.weight_offset(g) + row * geometry.taps() +
                  (tap.channel * k + tap.ky) * k + tap.kx];
  }
  __device__ Dtype Input(const RegionGeometry& geometry, int g, int n, int channel, int y,
                         int x) const {
    return norms(geometry.channel_offset(g) +
                 channel)(bottom[geometry.bottom_offset(n, channel, y, x)]);
  }
  __device__ void Store(const RegionGeometry& geometry, int g, int row, int n, int y, int x,
                        Dtype value, RowSums*) const {
    const int at = geometry.top_offset(n, row, y, x);
    if (bias) {
      value += bias[geometry.output_offset(g) + row];
    }
    top[at] = identity ? identity[at] + value : value;
  }
  __device__ void Finish(const RegionGeometry&, int, int, int, int, const RowSums*) const {}
};

// Its transpose: rows are the bottom's channels, inputs are the top's diffs, the kernel is turned
// around. What comes out goes through the ReLU and is then d, the diff of BN(x).
template <typename Dtype>
struct BackwardPass {
  Norms<Dtype> norms;
  const Dtype* bottom;
  const Dtype* weight;
  const Dtype* top_diff;
  bool identity;
  /// Takes d; or, where the normalisation is a constant, the bottom's diff itself. NULL: neither.
  Dtype* bottom_diff;
  bool constant;
  /// Per patch, channel and tile, two sums: of d, and of d * (x - mean) * inv_std. NULL: none.
  double* sums;

  // Of one row's values that a thread has.
  struct RowSums {
    double diff, dot;
  };

  __host__ __device__ static int Rows(const RegionGeometry& geometry) { return geometry.channels; }
  __host__ __device__ static int Inputs(const RegionGeometry& geometry) {
    return geometry.num_output;
  }

  __device__ Dtype Weight(const RegionGeometry& geometry, int g, int row, const Tap& tap) const {
    const int k = geometry.kernel_size;
    return weight[geometry.weight_offset(g) + tap.channel * geometry.taps() +
                  (row * k + (k - 1 - tap.ky)) * k + (k - 1 - tap.kx)];
  }
  __device__ Dtype Input(const RegionGeometry& geometry, int g, int n, int channel, int y,
                         int x) const {
    return top_diff[geometry.top_offset(n, channel, y, x)];
  }
  __device__ void Store(const RegionGeometry& geometry, int g, int row, int n, int y, int x,
                        Dtype value, RowSums* row_sums) const {
    const int at = geometry.bottom_offset(n, row, y, x);
    const Norm<Dtype> norm = norms(geometry.channel_offset(g) + row);
    const Dtype d = norm.BeforeReLU(bottom[at]) > 0 ? value : Dtype(0);
    row_sums->diff += d;
    row_sums->dot += d * ((bottom[at] - norm.mean) * norm.inv_std);
    if (bottom_diff && constant) {
      bottom_diff[at] = norm.inv_std * norm.scale * d + (identity ? top_diff[at] : Dtype(0));
    } else if (bottom_diff) {
      bottom_diff[at] = d;
    }
  }
  __device__ void Finish(const RegionGeometry& geometry, int g, int first_row, int tile, int tiles,
                         const RowSums* row_sums) const {
    if (!sums) {
      return;
    }
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
      const double diff = WarpSum(row_sums[i].diff);
      const double dot = WarpSum(row_sums[i].dot);
      if (threadIdx.x % kWarp == 0 && first_row + i < geometry.channels) {
        const size_t gc = geometry.channel_offset(g) + first_row + i;
        sums[(gc * tiles + tile) * 2] = diff;
        sums[(gc * tiles + tile) * 2 + 1] = dot;
      }
    }
  }
};

const int kConvolveColumns = 4;                      // per thread
const int kConvolveTile = kConvolveColumns * kWarp;  // pixels of a tile
const int kConvolveDepth = 9;                        // taps of a step: one channel of 3 x 3
const int kWeightsPerThread = (kConvolveDepth * kRows + kTileThreads - 1) / kTileThreads;

// Tiles that the pixels of a batch's patches need.
__host__ __device__ inline int ConvolveTiles(int num, const RegionPatch& patch) {
  return (static_cast<int64_t>(num) * patch.area() + kConvolveTile - 1) / kConvolveTile;
}

// One block per tile of kRows rows by kConvolveTile pixels of one patch. It gathers its inputs as
// it goes: a matrix of columns would be k * k times the bottom, written and read once more.
template <int Kernel, typename Dtype, typename Pass>
__global__ void __launch_bounds__(kTileThreads)
    Convolve(const RegionGeometry geometry, int tiles, const Pass pass) {
  __shared__ __align__(16) Dtype weights[kConvolveDepth * kPaddedRows];
  __shared__ __align__(16) Dtype inputs[kConvolveDepth * kConvolveTile];
  const int tile = blockIdx.x % tiles;
  const int row_tiles = (Pass::Rows(geometry) + kRows - 1) / kRows;
  const int block_row = blockIdx.x / tiles % row_tiles * kRows;
  const int g = blockIdx.x / tiles / row_tiles;
  const RegionPatch patch = geometry.patch(g);
  if (tile >= ConvolveTiles(geometry.num, patch)) {
    return;  // a smaller patch than the largest
  }
  const int k = Kernel ? Kernel : geometry.kernel_size;
  const int pad = (k - 1) / 2;
  const int taps = Pass::Inputs(geometry) * k * k;
  // The pixel that this thread gathers inputs of.
  const PatchWalk pixel(patch, static_cast<int64_t>(tile) * kConvolveTile + threadIdx.x, 1);

  Dtype result[kRowsPerWarp][kConvolveColumns] = {};
  Dtype next_weights[kWeightsPerThread];
  Dtype next_inputs[kConvolveDepth];
  // The next step's tiles are on their way while this one's are multiplied.
  for (int first = -kConvolveDepth; first < taps; first += kConvolveDepth) {
    const int next = first + kConvolveDepth;
    if (first >= 0) {
#pragma unroll
      for (int i = 0; i < kWeightsPerThread; ++i) {
        const int at = threadIdx.x + i * kTileThreads;
        if (at < kConvolveDepth * kRows) {
          weights[at % kConvolveDepth * kPaddedRows + at / kConvolveDepth] = next_weights[i];
        }
      }
#pragma unroll
      for (int i = 0; i < kConvolveDepth; ++i) {
        inputs[i * kConvolveTile + threadIdx.x] = next_inputs[i];
      }
      __syncthreads();
    }
    if (next < taps) {
#pragma unroll
      for (int i = 0; i < kWeightsPerThread; ++i) {
        const int at = threadIdx.x + i * kTileThreads;
        const int row = block_row + at / kConvolveDepth;
        const int index = next + at % kConvolveDepth;
        next_weights[i] = row < Pass::Rows(geometry) && index < taps
                              ? pass.Weight(geometry, g, row, TapAt<Kernel>(index, k))
                              : Dtype(0);
      }
#pragma unroll
      for (int i = 0; i < kConvolveDepth; ++i) {
        const Tap tap = TapAt<Kernel>(next + i, k);
        const int y = pixel.y + tap.ky - pad;
        const int x = pixel.x + tap.kx - pad;
        next_inputs[i] =
            next + i < taps && pixel.n < geometry.num && Inside(patch, y, x)
                ? pass.Input(geometry, g, pixel.n, tap.channel, patch.y0 + y, patch.x0 + x)
                : Dtype(0);
      }
    }
    if (first >= 0) {
      MultiplyTiles<kConvolveDepth, kConvolveColumns>(weights, inputs, result);
      __syncthreads();
    }
  }

  typename Pass::RowSums row_sums[kRowsPerWarp] = {};
  const int first_row = block_row + threadIdx.x / kWarp * kRowsPerWarp;
  PatchWalk at(patch, static_cast<int64_t>(tile) * kConvolveTile + threadIdx.x % kWarp, kWarp);
#pragma unroll
  for (int j = 0; j < kConvolveColumns; ++j, at.Advance()) {
#pragma unroll
    for (int i = 0; i < kRowsPerWarp; ++i) {
      if (at.n < geometry.num && first_row + i < Pass::Rows(geometry)) {
        pass.Store(geometry, g, first_row + i, at.n, patch.y0 + at.y, patch.x0 + at.x, result[i][j],
                   &row_sums[i]);
      }
    }
  }
  pass.Finish(geometry, g, first_row, tile, tiles, row_sums);
}

}  // namespace region_kernels
}  // namespace caffe

#endif  // DRML_LAYERS_REGION_CONVOLVE_CUH_
