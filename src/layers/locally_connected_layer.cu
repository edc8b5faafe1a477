// The LocallyConnected layer on the GPU. A launch serves all positions; sums are added up in an
// order that depends on the shapes alone, so that a run can be repeated bit by bit. How many bytes
// each kernel moves is worked out in locally_connected_layer.md.
//
// The products work on copies of bottom and top with the images last: [c][y][x][n]. What the
// threads of a warp take are then neighbours, whatever the kernel's width.

#include <stdint.h>

#include <algorithm>
#include <vector>

#include "caffe/layers/locally_connected_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "device_buffer.hpp"

namespace caffe {

namespace {

const int kWarp = 32;
const int kWarps = 4;
const int kTileThreads = kWarps * kWarp;  // of the products

// ---------------------------------------------------------------------------------------------
// Images last, and back

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
__global__ void __launch_bounds__(CAFFE_CUDA_NUM_THREADS)
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

// ---------------------------------------------------------------------------------------------
// The products with the weights

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

// ---------------------------------------------------------------------------------------------
// Gradients of weight and bias

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

// ---------------------------------------------------------------------------------------------
// Launches. None has more blocks than a blob has values, so their number fits an int.

template <typename Dtype, typename Pass>
void LaunchMultiply(const LocallyConnectedGeometry& geometry, const Pass& pass) {
  const int row_tiles = (Pass::Rows(geometry) + kRows - 1) / kRows;
  const int sites = Pass::Sites(geometry) * row_tiles;
  // The smallest tile that has all images, so that no lane idles; else the largest.
  if (geometry.num <= 8) {
    Multiply<8, Dtype, Pass><<<sites, kTileThreads>>>(geometry, pass);
  } else if (geometry.num <= 16) {
    Multiply<16, Dtype, Pass><<<sites, kTileThreads>>>(geometry, pass);
  } else {
    Multiply<32, Dtype, Pass><<<sites*((geometry.num + 31) / 32), kTileThreads>>>(geometry, pass);
  }
  CUDA_POST_KERNEL_CHECK;
}

int TransposeBlocks(int num, int pixels) {
  return (num + kSide - 1) / kSide * ((pixels + kSide - 1) / kSide);
}

// What a pass needs beside bottom and top, in one piece of memory.
template <typename Dtype>
struct Scratch {
  Dtype* inputs;   // the padded bottom, images last; afterwards the bottom's diff
  Dtype* outputs;  // the top or its diff, images last
  int* offsets;    // of the taps

  Scratch(const LocallyConnectedGeometry& geometry, caffe_ext::DeviceBuffer* buffer) {
    const size_t input_values = InputPixels(geometry) * geometry.num;
    const size_t output_values =
        static_cast<size_t>(geometry.num_output) * geometry.positions() * geometry.num;
    inputs = reinterpret_cast<Dtype*>(buffer->Reserve<char>(
        sizeof(Dtype) * (input_values + output_values) + sizeof(int) * geometry.taps()));
    outputs = inputs + input_values;
    offsets = reinterpret_cast<int*>(outputs + output_values);
  }

  static size_t InputPixels(const LocallyConnectedGeometry& geometry) {
    return static_cast<size_t>(geometry.channels) * (geometry.height + 2 * geometry.pad_h) *
           (geometry.width + 2 * geometry.pad_w);
  }
};

template <typename Dtype>
void PrepareInputs(const LocallyConnectedGeometry& geometry, const Dtype* bottom,
                   const Scratch<Dtype>& scratch) {
  if (geometry.pad_h > 0 || geometry.pad_w > 0) {
    caffe_gpu_memset(sizeof(Dtype) * Scratch<Dtype>::InputPixels(geometry) * geometry.num, 0,
                     scratch.inputs);
  }
  const PaddedPixels place = {geometry.height, geometry.width, geometry.pad_h, geometry.pad_w};
  const int pixels = geometry.channels * geometry.height * geometry.width;
  PutImagesLast<Dtype, PaddedPixels><<<TransposeBlocks(geometry.num, pixels), kTransposeThreads>>>(
      geometry.num, pixels, place, bottom, scratch.inputs);
  CUDA_POST_KERNEL_CHECK;
  PlaceTaps<<<CAFFE_GET_BLOCKS(geometry.taps()), CAFFE_CUDA_NUM_THREADS>>>(
      geometry.taps(), geometry, scratch.offsets);
  CUDA_POST_KERNEL_CHECK;
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Passes

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                               const vector<Blob<Dtype>*>& top) {
  if (geometry_.num == 0) {
    return;
  }
  if (!scratch_) {
    scratch_.reset(new caffe_ext::DeviceBuffer());
  }
  const Scratch<Dtype> scratch(geometry_, scratch_.get());
  PrepareInputs(geometry_, bottom[0]->gpu_data(), scratch);
  const ForwardPass<Dtype> pass = {scratch.inputs, scratch.offsets, this->blobs_[0]->gpu_data(),
                                   bias_term_ ? this->blobs_[1]->gpu_data() : NULL,
                                   scratch.outputs};
  LaunchMultiply<Dtype>(geometry_, pass);
  const int pixels = geometry_.num_output * geometry_.positions();
  PutImagesFirst<Dtype><<<TransposeBlocks(geometry_.num, pixels), kTransposeThreads>>>(
      geometry_.num, pixels, scratch.outputs, top[0]->mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
                                                const vector<bool>& propagate_down,
                                                const vector<Blob<Dtype>*>& bottom) {
  if (geometry_.num == 0) {
    return;
  }
  const Dtype* top_diff = top[0]->gpu_diff();
  const int pixels = geometry_.num_output * geometry_.positions();
  if (WantsDiff(1)) {
    SumBiasDiff<Dtype><<<CAFFE_GET_BLOCKS(pixels), CAFFE_CUDA_NUM_THREADS>>>(
        pixels, geometry_.num, top_diff, this->blobs_[1]->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
  if (!WantsDiff(0) && !propagate_down[0]) {
    return;
  }
  if (!scratch_) {
    scratch_.reset(new caffe_ext::DeviceBuffer());
  }
  const Scratch<Dtype> scratch(geometry_, scratch_.get());
  PutImagesLast<Dtype, SamePixels><<<TransposeBlocks(geometry_.num, pixels), kTransposeThreads>>>(
      geometry_.num, pixels, SamePixels(), top_diff, scratch.outputs);
  CUDA_POST_KERNEL_CHECK;
  if (WantsDiff(0)) {
    PrepareInputs(geometry_, bottom[0]->gpu_data(), scratch);
    const int tiles = (geometry_.taps() + kTapTile - 1) / kTapTile *
                      ((geometry_.num_output + kOutputTile - 1) / kOutputTile);
    SumWeightDiff<Dtype><<<geometry_.positions() * tiles, kTileThreads>>>(
        geometry_, scratch.offsets, scratch.inputs, scratch.outputs,
        this->blobs_[0]->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
  if (propagate_down[0]) {
    const BackwardPass<Dtype> pass = {scratch.outputs, this->blobs_[0]->gpu_data(), scratch.inputs};
    LaunchMultiply<Dtype>(geometry_, pass);
    const int bottom_pixels = geometry_.channels * geometry_.height * geometry_.width;
    PutImagesFirst<Dtype><<<TransposeBlocks(geometry_.num, bottom_pixels), kTransposeThreads>>>(
        geometry_.num, bottom_pixels, scratch.inputs, bottom[0]->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(LocallyConnectedLayer);

}  // namespace caffe
