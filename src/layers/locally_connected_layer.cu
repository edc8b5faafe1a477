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
#include "locally_connected_multiply.cuh"
#include "locally_connected_order.cuh"
#include "locally_connected_weight_diff.cuh"

namespace caffe {

using namespace local_kernels;

namespace {

// None has more blocks than a blob has values, so their number fits an int.

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
