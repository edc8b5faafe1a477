// The products of the LocallyConnected layer with its weights on the GPU.
#ifndef DRML_LAYERS_LOCALLY_CONNECTED_MULTIPLY_CUH_
#define DRML_LAYERS_LOCALLY_CONNECTED_MULTIPLY_CUH_

#include "caffe/layers/locally_connected_layer.hpp"
#include "locally_connected_order.cuh"

namespace caffe {
namespace local_kernels {

const int kRows = 16;
// Four more than a row has: rows stay aligned for loads of four floats, and what threads write down
// a column falls into different banks.
const int kPaddedRows = kRows + 4;

// The top: a site is a position, rows are outputs, and the taps are summed over.
template <typename Dtype>
struct ForwardPass {
  static const int kDepth = 32;
  static const bool kRowsAreNeighbours = true;  // in memory; else the values summed over are

  const Dtype* inputs;  // padded, images last
  const int* offsets;
  const Dtype* weight;
  const Dtype* bias;  // NULL: none
  Dtype* top;         // images last

  __host__ __device__ static int Sites(const LocallyConnectedGeometry& geometry) {
    return geometry.positions();
  }
  __host__ __device__ static int Rows(const LocallyConnectedGeometry& geometry) {
    return geometry.num_output;
  }

  // Goes over the taps, kDepth at a time.
  struct Walk {
    int first, start;
    const Dtype* weight;

    __device__ Walk(const ForwardPass& pass, const LocallyConnectedGeometry& geometry, int p)
        : first(0),
          start(WindowStart(geometry, p)),
          weight(pass.weight + geometry.weight_offset(p)) {}
    __device__ bool Ended(const LocallyConnectedGeometry& geometry) const {
      return first >= geometry.taps();
    }
    __device__ void Advance(const LocallyConnectedGeometry&) { first += kDepth; }
    __device__ Dtype Weight(const ForwardPass&, const LocallyConnectedGeometry& geometry, int row,
                            int k) const {
      return first + k < geometry.taps() ? weight[(first + k) * geometry.num_output + row]
                                         : Dtype(0);
    }
    __device__ Dtype Input(const ForwardPass& pass, const LocallyConnectedGeometry& geometry, int k,
                           int n) const {
      return first + k < geometry.taps()
                 ? pass.inputs[static_cast<size_t>(start + pass.offsets[first + k]) * geometry.num +
                               n]
                 : Dtype(0);
    }
  };

  __device__ void Store(const LocallyConnectedGeometry& geometry, int p, int row, int n,
                        Dtype value) const {
    const int plane = row * geometry.positions() + p;
    top[static_cast<size_t>(plane) * geometry.num + n] = bias ? value + bias[plane] : value;
  }
};

// The bottom's gradient: a site is a pixel, rows are channels, and summed over are the outputs of
// every position whose window has the pixel. Each weight is read by the one site that it meets.
template <typename Dtype>
struct BackwardPass {
  static const int kDepth = 16;
  static const bool kRowsAreNeighbours = false;

  const Dtype* top_diff;  // images last
  const Dtype* weight;
  Dtype* bottom_diff;  // images last

  __host__ __device__ static int Sites(const LocallyConnectedGeometry& geometry) {
    return geometry.height * geometry.width;
  }
  __host__ __device__ static int Rows(const LocallyConnectedGeometry& geometry) {
    return geometry.channels;
  }

  // The first position along an axis whose window ends at or behind a padded pixel, and the last
  // one whose window begins at or before it.
  __device__ static int FirstPosition(int pixel, int kernel, int stride) {
    return pixel < kernel ? 0 : (pixel - kernel) / stride + 1;
  }
  __device__ static int LastPosition(int pixel, int stride, int outputs) {
    return min(pixel / stride, outputs - 1);
  }

  // Goes over the positions, and in each over the outputs, kDepth at a time.
  struct Walk {
    int y, x;  // the pixel, padded
    int row, last_row, column, first_column, last_column;
    int first_output;

    __device__ Walk(const BackwardPass&, const LocallyConnectedGeometry& geometry, int site)
        : y(site / geometry.width + geometry.pad_h),
          x(site % geometry.width + geometry.pad_w),
          row(FirstPosition(y, geometry.kernel_h, geometry.stride_h)),
          last_row(LastPosition(y, geometry.stride_h, geometry.output_h)),
          first_column(FirstPosition(x, geometry.kernel_w, geometry.stride_w)),
          last_column(LastPosition(x, geometry.stride_w, geometry.output_w)),
          first_output(0) {
      column = first_column;
      if (first_column > last_column) {
        row = last_row + 1;  // a pixel that no window has
      }
    }
    __device__ bool Ended(const LocallyConnectedGeometry&) const { return row > last_row; }
    __device__ void Advance(const LocallyConnectedGeometry& geometry) {
      first_output += kDepth;
      if (first_output >= geometry.num_output) {
        first_output = 0;
        if (++column > last_column) {
          column = first_column;
          ++row;
        }
      }
    }
    __device__ Dtype Weight(const BackwardPass& pass, const LocallyConnectedGeometry& geometry,
                            int channel, int k) const {
      const int ky = y - row * geometry.stride_h;
      const int kx = x - column * geometry.stride_w;
      const int tap = (channel * geometry.kernel_h + ky) * geometry.kernel_w + kx;
      return first_output + k < geometry.num_output
                 ? pass.weight[geometry.weight_offset(row * geometry.output_w + column) +
                               tap * geometry.num_output + first_output + k]
                 : Dtype(0);
    }
    __device__ Dtype Input(const BackwardPass& pass, const LocallyConnectedGeometry& geometry,
                           int k, int n) const {
      const int plane =
          (first_output + k) * geometry.positions() + row * geometry.output_w + column;
      return first_output + k < geometry.num_output
                 ? pass.top_diff[static_cast<size_t>(plane) * geometry.num + n]
                 : Dtype(0);
    }
  };

  __device__ void Store(const LocallyConnectedGeometry& geometry, int site, int channel, int n,
                        Dtype value) const {
    const int pixel = channel * geometry.height * geometry.width + site;
    bottom_diff[static_cast<size_t>(pixel) * geometry.num + n] = value;
  }
};

// One block per site and tile of kRows rows by Images images. The warps share out what is summed
// over, and add up their sums at the end, always in the same order: a tile is too small to occupy
// four warps with results of their own.
template <int Images, typename Dtype, typename Pass>
__global__ void __launch_bounds__(kTileThreads)
    Multiply(const LocallyConnectedGeometry geometry, const Pass pass) {
  const int kDepth = Pass::kDepth;
  const int kRowsPerLane = kRows * Images / kWarp;
  const int kWeightsPerThread = kDepth * kRows / kTileThreads;
  const int kInputsPerThread = kDepth * Images / kTileThreads;
  __shared__ __align__(16) Dtype weights[Pass::kDepth * kPaddedRows];
  __shared__ __align__(16) Dtype inputs[Pass::kDepth * Images];
  __shared__ Dtype sums[kWarps * kRows * Images];
  const int image_tiles = (geometry.num + Images - 1) / Images;
  const int row_tiles = (Pass::Rows(geometry) + kRows - 1) / kRows;
  // Blocks with the same weights run next to each other.
  const int first_image = blockIdx.x % image_tiles * Images;
  const int first_row = blockIdx.x / image_tiles % row_tiles * kRows;
  const int site = blockIdx.x / image_tiles / row_tiles;
  const int warp = threadIdx.x / kWarp;
  const int image = threadIdx.x % Images;
  const int lane_row = threadIdx.x % kWarp / Images * kRowsPerLane;

  Dtype result[kRowsPerLane] = {};
  Dtype next_weights[kWeightsPerThread];
  Dtype next_inputs[kInputsPerThread];
  typename Pass::Walk walk(pass, geometry, site);
  // The next step's tiles are on their way while this one's are multiplied.
  bool loaded = false;
  while (true) {
    if (loaded) {
#pragma unroll
      for (int i = 0; i < kWeightsPerThread; ++i) {
        const int at = threadIdx.x + i * kTileThreads;
        const int k = Pass::kRowsAreNeighbours ? at / kRows : at % kDepth;
        const int row = Pass::kRowsAreNeighbours ? at % kRows : at / kDepth;
        weights[k * kPaddedRows + row] = next_weights[i];
      }
#pragma unroll
      for (int i = 0; i < kInputsPerThread; ++i) {
        inputs[threadIdx.x + i * kTileThreads] = next_inputs[i];
      }
    }
    __syncthreads();
    const bool more = !walk.Ended(geometry);
    if (more) {
#pragma unroll
      for (int i = 0; i < kWeightsPerThread; ++i) {
        const int at = threadIdx.x + i * kTileThreads;
        const int k = Pass::kRowsAreNeighbours ? at / kRows : at % kDepth;
        const int row = Pass::kRowsAreNeighbours ? at % kRows : at / kDepth;
        next_weights[i] = first_row + row < Pass::Rows(geometry)
                              ? walk.Weight(pass, geometry, first_row + row, k)
                              : Dtype(0);
      }
#pragma unroll
      for (int i = 0; i < kInputsPerThread; ++i) {
        const int at = threadIdx.x + i * kTileThreads;
        next_inputs[i] = first_image + at % Images < geometry.num
                             ? walk.Input(pass, geometry, at / Images, first_image + at % Images)
                             : Dtype(0);
      }
      walk.Advance(geometry);
    }
    if (loaded) {
#pragma unroll
      for (int k = 0; k < kDepth; k += kWarps) {
        const Dtype input = inputs[(k + warp) * Images + image];
#pragma unroll
        for (int i = 0; i < kRowsPerLane; ++i) {
          result[i] += weights[(k + warp) * kPaddedRows + lane_row + i] * input;
        }
      }
    }
    if (!more) {
      break;
    }
    __syncthreads();
    loaded = true;
  }

#pragma unroll
  for (int i = 0; i < kRowsPerLane; ++i) {
    sums[(warp * kRows + lane_row + i) * Images + image] = result[i];
  }
  __syncthreads();
  for (int at = threadIdx.x; at < kRows * Images; at += kTileThreads) {
    const int row = first_row + at / Images;
    const int n = first_image + at % Images;
    if (row < Pass::Rows(geometry) && n < geometry.num) {
      Dtype sum = sums[at];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) {
        sum += sums[w * kRows * Images + at];
      }
      pass.Store(geometry, site, row, n, sum);
    }
  }
}

}  // namespace local_kernels
}  // namespace caffe

#endif  // DRML_LAYERS_LOCALLY_CONNECTED_MULTIPLY_CUH_
