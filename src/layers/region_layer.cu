// The Region layer on the GPU. One launch serves all patches; sums are added up in an order that
// depends on the shapes alone, so that a run can be repeated bit by bit. How many bytes and
// operations each kernel costs is worked out in region_layer.md.

#include <algorithm>
#include <climits>
#include <vector>

#include "caffe/layers/region_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "device_buffer.hpp"
#include "device_sum.cuh"

namespace caffe {

namespace {

using caffe_ext::BlockSum;
using caffe_ext::WarpSum;

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

// ---------------------------------------------------------------------------------------------
// Where things are

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

__device__ bool Inside(const RegionPatch& patch, int y, int x) {
  return y >= 0 && y < patch.height() && x >= 0 && x < patch.width();
}

// ---------------------------------------------------------------------------------------------
// Statistics

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

// ---------------------------------------------------------------------------------------------
// Convolution, forward and through to its input

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

// ---------------------------------------------------------------------------------------------
// Gradients of weight and bias

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

// ---------------------------------------------------------------------------------------------
// Gradients of the normalisation

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

// ---------------------------------------------------------------------------------------------
// Group sparsity, see ForwardSparsity and BackwardSparsity in region_layer.cpp

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

// ---------------------------------------------------------------------------------------------
// Launches

// Blocks of a launch, all in the first dimension, which is the only one that may be large.
int Blocks(int64_t a, int64_t b, int64_t c) {
  const double blocks = static_cast<double>(a) * b * c;
  CHECK_LE(blocks, INT_MAX) << "Region: a launch of " << blocks << " blocks; take a coarser grid";
  return static_cast<int>(blocks);
}

// The largest patch is as high and wide as the size over the grid, rounded up.
RegionPatch LargestPatch(const RegionGeometry& geometry) {
  const RegionPatch patch = {0, (geometry.height + geometry.grid_h - 1) / geometry.grid_h, 0,
                             (geometry.width + geometry.grid_w - 1) / geometry.grid_w};
  return patch;
}

template <typename Dtype, typename Pass>
void LaunchConvolve(const RegionGeometry& geometry, int tiles, const Pass& pass) {
  const int row_tiles = (Pass::Rows(geometry) + kRows - 1) / kRows;
  const int blocks = Blocks(tiles, row_tiles, geometry.patches());
  if (geometry.kernel_size == 3) {
    Convolve<3, Dtype, Pass><<<blocks, kTileThreads>>>(geometry, tiles, pass);
  } else {
    Convolve<0, Dtype, Pass><<<blocks, kTileThreads>>>(geometry, tiles, pass);
  }
  CUDA_POST_KERNEL_CHECK;
}

// Into how many shares of images the weight's gradient is cut: enough blocks for any GPU, and the
// same on every one.
int Splits(const RegionGeometry& geometry) {
  const int64_t blocks = static_cast<int64_t>(geometry.patches()) *
                         ((geometry.num_output + kRows - 1) / kRows) *
                         ((geometry.taps() + kWeightTile - 1) / kWeightTile);
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(geometry.num, 2048 / blocks)));
}

template <typename Dtype>
void LaunchWeightDiff(const RegionGeometry& geometry, const Norms<Dtype>& norms,
                      const Dtype* bottom, const Dtype* top_diff, int splits, Dtype* partial_weight,
                      double* partial_bias) {
  const int tap_tiles = partial_weight ? (geometry.taps() + kWeightTile - 1) / kWeightTile : 1;
  const int row_tiles = (geometry.num_output + kRows - 1) / kRows;
  const int blocks =
      Blocks(tap_tiles, row_tiles, static_cast<int64_t>(geometry.patches()) * splits);
  if (geometry.kernel_size == 3) {
    WeightDiff<3, Dtype><<<blocks, kTileThreads>>>(geometry, norms, bottom, top_diff, splits,
                                                   partial_weight, partial_bias);
  } else {
    WeightDiff<0, Dtype><<<blocks, kTileThreads>>>(geometry, norms, bottom, top_diff, splits,
                                                   partial_weight, partial_bias);
  }
  CUDA_POST_KERNEL_CHECK;
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Passes

template <typename Dtype>
void RegionLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                     const vector<Blob<Dtype>*>& top) {
  const vector<shared_ptr<Blob<Dtype>>>& blobs = this->blobs_;
  if (group_sparsity_ > 0) {
    MeasureWeights<Dtype><<<geometry_.patches(), kThreads>>>(geometry_, blobs[0]->gpu_data(),
                                                             weight_norms_.mutable_gpu_data());
    CUDA_POST_KERNEL_CHECK;
    AddNorms<Dtype><<<1, kThreads>>>(geometry_.patches(), weight_norms_.gpu_data(), group_sparsity_,
                                     top[1]->mutable_gpu_data());
    CUDA_POST_KERNEL_CHECK;
  }
  if (geometry_.num == 0) {
    return;
  }
  const Dtype* bottom_data = bottom[0]->gpu_data();
  const int count = mean_.count();
  if (UsesBatchStatistics()) {
    // A test pass never changes the model, not even one on the batch's statistics.
    const bool updates = this->phase_ == TRAIN;
    MeasurePatches<Dtype><<<Blocks(geometry_.patches(), geometry_.channels, 1), kThreads>>>(
        geometry_, bottom_data, eps_, moving_average_fraction_, mean_.mutable_gpu_data(),
        inv_std_.mutable_gpu_data(), updates ? blobs[mean_id_]->mutable_gpu_data() : NULL,
        updates ? blobs[variance_id_]->mutable_gpu_data() : NULL,
        updates ? blobs[factor_id_]->mutable_gpu_data() : NULL);
    CUDA_POST_KERNEL_CHECK;
  } else if (batch_norm_) {
    LoadRunning<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(
        count, blobs[mean_id_]->gpu_data(), blobs[variance_id_]->gpu_data(),
        blobs[factor_id_]->gpu_data(), eps_, mean_.mutable_gpu_data(), inv_std_.mutable_gpu_data());
    CUDA_POST_KERNEL_CHECK;
  } else {
    caffe_gpu_set(count, Dtype(0), mean_.mutable_gpu_data());
    caffe_gpu_set(count, Dtype(1), inv_std_.mutable_gpu_data());
  }
  const Norms<Dtype> norms = {mean_.gpu_data(), inv_std_.gpu_data(),
                              affine_ ? blobs[scale_id_]->gpu_data() : NULL,
                              affine_ ? blobs[shift_id_]->gpu_data() : NULL};
  const ForwardPass<Dtype> pass = {norms,
                                   bottom_data,
                                   blobs[0]->gpu_data(),
                                   bias_term_ ? blobs[bias_id_]->gpu_data() : NULL,
                                   identity_ ? bottom_data : NULL,
                                   top[0]->mutable_gpu_data()};
  LaunchConvolve<Dtype>(geometry_, ConvolveTiles(geometry_.num, LargestPatch(geometry_)), pass);
}

template <typename Dtype>
void RegionLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
                                      const vector<bool>& propagate_down,
                                      const vector<Blob<Dtype>*>& bottom) {
  const vector<shared_ptr<Blob<Dtype>>>& blobs = this->blobs_;
  const bool wants_affine = WantsDiff(scale_id_) || WantsDiff(shift_id_);
  const bool wants_parameters = WantsDiff(0) || WantsDiff(bias_id_);
  if (group_sparsity_ > 0 && WantsDiff(0)) {
    NormDiff<Dtype><<<geometry_.patches(), kThreads>>>(
        geometry_, blobs[0]->gpu_data(), weight_norms_.gpu_data(), group_sparsity_,
        top[1]->gpu_diff(), blobs[0]->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
  if (geometry_.num == 0 || (!propagate_down[0] && !wants_affine && !wants_parameters)) {
    return;
  }
  if (!scratch_) {
    scratch_.reset(new caffe_ext::DeviceBuffer());
  }
  const Dtype* bottom_data = bottom[0]->gpu_data();
  const Dtype* top_diff = top[0]->gpu_diff();
  const Norms<Dtype> norms = {mean_.gpu_data(), inv_std_.gpu_data(),
                              affine_ ? blobs[scale_id_]->gpu_data() : NULL,
                              affine_ ? blobs[shift_id_]->gpu_data() : NULL};
  if (wants_parameters) {
    const int splits = Splits(geometry_);
    const int weights = blobs[0]->count();
    const int biases = geometry_.output_offset(geometry_.patches());
    const size_t bias_bytes = sizeof(double) * splits * biases;
    char* const partials = scratch_->Reserve<char>(bias_bytes + sizeof(Dtype) * splits * weights);
    double* const partial_bias = reinterpret_cast<double*>(partials);
    Dtype* const partial_weight = reinterpret_cast<Dtype*>(partials + bias_bytes);
    LaunchWeightDiff<Dtype>(geometry_, norms, bottom_data, top_diff, splits,
                            WantsDiff(0) ? partial_weight : NULL,
                            WantsDiff(bias_id_) ? partial_bias : NULL);
    if (WantsDiff(0)) {
      AddSplits<Dtype, Dtype><<<CAFFE_GET_BLOCKS(weights), CAFFE_CUDA_NUM_THREADS>>>(
          weights, splits, partial_weight, blobs[0]->mutable_gpu_diff());
      CUDA_POST_KERNEL_CHECK;
    }
    if (WantsDiff(bias_id_)) {
      AddSplits<Dtype, double><<<CAFFE_GET_BLOCKS(biases), CAFFE_CUDA_NUM_THREADS>>>(
          biases, splits, partial_bias, blobs[bias_id_]->mutable_gpu_diff());
      CUDA_POST_KERNEL_CHECK;
    }
  }
  if (!propagate_down[0] && !wants_affine) {
    return;
  }
  const int tiles = ConvolveTiles(geometry_.num, LargestPatch(geometry_));
  const bool finishes = propagate_down[0] && UsesBatchStatistics();
  BackwardPass<Dtype> pass = {norms,
                              bottom_data,
                              blobs[0]->gpu_data(),
                              top_diff,
                              identity_,
                              propagate_down[0] ? bottom[0]->mutable_gpu_diff() : NULL,
                              !UsesBatchStatistics(),
                              NULL};
  if (finishes || wants_affine) {
    pass.sums = scratch_->Reserve<double>(static_cast<size_t>(mean_.count()) * tiles * 2);
  }
  LaunchConvolve<Dtype>(geometry_, tiles, pass);
  if (pass.sums) {
    AddTiles<Dtype>
        <<<Blocks((static_cast<int64_t>(mean_.count()) * kWarp + kThreads - 1) / kThreads, 1, 1),
           kThreads>>>(geometry_, tiles, pass.sums,
                       WantsDiff(scale_id_) ? blobs[scale_id_]->mutable_gpu_diff() : NULL,
                       WantsDiff(shift_id_) ? blobs[shift_id_]->mutable_gpu_diff() : NULL);
    CUDA_POST_KERNEL_CHECK;
  }
  if (finishes) {
    FinishDiff<Dtype><<<Blocks(geometry_.patches(), geometry_.channels,
                               (geometry_.num + kImagesPerBlock - 1) / kImagesPerBlock),
                        kThreads>>>(geometry_, norms, bottom_data, pass.sums, tiles,
                                    identity_ ? top_diff : NULL, pass.bottom_diff);
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(RegionLayer);

}  // namespace caffe
