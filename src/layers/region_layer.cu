// The Region layer on the GPU. One launch serves all patches; sums are added up in an order that
// depends on the shapes alone, so that a run can be repeated bit by bit. How many bytes and
// operations each kernel costs is worked out in region_layer.md.

#include <algorithm>
#include <climits>
#include <vector>

#include "caffe/layers/region_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "device_buffer.hpp"
#include "region_convolve.cuh"
#include "region_norm_diff.cuh"
#include "region_statistics.cuh"
#include "region_weight_diff.cuh"

namespace caffe {

using namespace region_kernels;

namespace {

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
