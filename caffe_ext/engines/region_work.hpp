// What a pass of the region layer on one thread works with; for region.cpp and region_winograd.cpp.
#ifndef CAFFE_EXT_ENGINES_REGION_WORK_HPP_
#define CAFFE_EXT_ENGINES_REGION_WORK_HPP_

#include <stdlib.h>

#include <memory>
#include <vector>

#include "engines/region.hpp"

namespace caffe_ext {

struct FreeMemory {
  void operator()(float* data) const { free(data); }
};

/// Aligned floats that only ever grow.
class Buffer {
 public:
  Buffer() : size_(0) {}
  float* Get(size_t size) {
    if (size > size_) {
      void* memory = NULL;
      data_.reset();
      CHECK_EQ(posix_memalign(&memory, 64, size * sizeof(float)), 0) << "no memory for a patch";
      data_.reset(static_cast<float*>(memory));
      size_ = size;
    }
    return data_.get();
  }

 private:
  std::unique_ptr<float, FreeMemory> data_;
  size_t size_;
};

/// What one thread needs for one patch. The channel arrays are padded to whole blocks with zeros.
struct EngineRegion::Workspace {
  Buffer source, target, diff, packed, packed_diff, scratchpad;
  Buffer strip, input_spectra, output_spectra, weight_spectra, weight_sums;
  std::vector<float> mean, inv_std, variance, slope, shift, bias, bias_diff, bias_sum, diff_mean,
      diff_slope;
  std::vector<double> sum, dot;

  Workspace(int channels, int outputs)
      : mean(channels),
        inv_std(channels),
        variance(channels),
        slope(channels),
        shift(channels),
        bias(outputs),
        bias_diff(outputs),
        bias_sum(outputs),
        diff_mean(channels),
        diff_slope(channels),
        sum(channels),
        dot(channels) {}

  dnnl::memory Scratchpad(const dnnl::primitive_desc_base& desc) {
    const onednn::Desc pad = desc.query_md(dnnl::query::scratchpad_md);
    return onednn::Memory(pad, scratchpad.Get(pad.get_size() / sizeof(float) + 1));
  }
};

/// The whole maps, and the layer's own arrays; what a pass does not need is null. Blobs are asked
/// for their memory before there are several threads: they note who may have changed it.
struct EngineRegion::Maps {
  const BlockedTensor *bottom = nullptr, *top_diff = nullptr;
  BlockedTensor *top = nullptr, *bottom_diff = nullptr;
  bool norm_diff = false;
  const float *weights = nullptr, *bias = nullptr, *scale = nullptr, *shift = nullptr;
  float *mean = nullptr, *variance = nullptr, *inv_std = nullptr;
  float *weight_diff = nullptr, *bias_diff = nullptr, *scale_diff = nullptr, *shift_diff = nullptr;

  /// Block k of a patch, images [first, first + images), in a map.
  template <typename Float, typename Tensor>
  static PatchView<Float> View(Tensor* map, const caffe::RegionPatch& patch, int k, int first,
                               int images) {
    const size_t row = size_t(map->width()) * map->block();
    const size_t plane = row * map->height();
    PatchView<Float> view = {map->data() + (size_t(first) * map->blocks() + k) * plane +
                                 patch.y0 * row + size_t(patch.x0) * map->block(),
                             images,
                             patch.height(),
                             patch.width(),
                             row,
                             plane * map->blocks()};
    return view;
  }
  static ConstPatchRows In(const BlockedTensor* map, const caffe::RegionPatch& patch, int k,
                           int first, int images) {
    return View<const float>(map, patch, k, first, images);
  }
  static PatchRows Out(BlockedTensor* map, const caffe::RegionPatch& patch, int k, int first,
                       int images) {
    return View<float>(map, patch, k, first, images);
  }
};

/// Block k of `blocks` in a group's own memory, where the patches of the images lie one by one.
template <typename Float>
PatchView<Float> Local(Float* data, const caffe::RegionPatch& patch, int block, int blocks, int k,
                       int images) {
  const size_t row = size_t(patch.width()) * block;
  const size_t plane = row * patch.height();
  PatchView<Float> view = {data + k * plane, images, patch.height(),
                           patch.width(),    row,    plane * blocks};
  return view;
}

inline int Blocks(int channels, int block) { return (channels + block - 1) / block; }

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_REGION_WORK_HPP_
