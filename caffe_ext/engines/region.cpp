#include "engines/region.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engines/region_work.hpp"
#include "engines/switch.hpp"

namespace caffe_ext {

using caffe::Blob;
using caffe::RegionGeometry;
using caffe::RegionPatch;
using dnnl::memory;
using onednn::Desc;
using std::vector;

namespace {

// The convolution's input and output of one group of images: about a second-level cache.
const size_t kGroupBytes = 1 << 20;

}  // namespace

// ---------------------------------------------------------------------------------------------
// Primitives

EngineRegion::Kernel::Kernel(const RegionGeometry& geometry, const RegionPatch& patch, int images,
                             int block, bool with_bias) {
  const int k = geometry.kernel_size, pad = (k - 1) / 2;
  const onednn::Dims dims = {geometry.num_output, geometry.channels, k, k};
  const onednn::ConvolutionShape shape = {{1, 1}, {pad, pad}, {pad, pad}};
  plain_weights = onednn::PlainDesc(dims);
  bias = onednn::PlainDesc({geometry.num_output});
  source = onednn::BlockedDesc(images, geometry.channels, patch.height(), patch.width(), block);
  target = onednn::BlockedDesc(images, geometry.num_output, patch.height(), patch.width(), block);
  const Desc any = onednn::AnyDesc(dims);
  const Desc* bias_desc = with_bias ? &bias : NULL;
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  forward_desc = onednn::ConvolutionForward(shape, source, any, bias_desc, target, attr);
  weights_desc =
      onednn::ConvolutionBackwardWeights(shape, source, any, bias_desc, target, attr, forward_desc);
  data_desc = onednn::ConvolutionBackwardData(shape, source, any, target, attr, forward_desc);
  forward = dnnl::convolution_forward(forward_desc);
  backward_weights = dnnl::convolution_backward_weights(weights_desc);
  backward_data = dnnl::convolution_backward_data(data_desc);
  const dnnl::engine& engine = onednn::Engine();
  typedef dnnl::reorder::primitive_desc Reorder;
  pack_forward =
      dnnl::reorder(Reorder(engine, plain_weights, engine, forward_desc.weights_desc(), attr));
  pack_data = dnnl::reorder(Reorder(engine, plain_weights, engine, data_desc.weights_desc(), attr));
  dnnl::post_ops add;
  add.append_sum(1.f);
  dnnl::primitive_attr add_attr;
  add_attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  add_attr.set_post_ops(add);
  unpack_diff = dnnl::reorder(
      Reorder(engine, weights_desc.diff_weights_desc(), engine, plain_weights, add_attr));
}

bool EngineRegion::Kernel::IsOptimized() const {
  return onednn::IsOptimized(forward_desc) && onednn::IsOptimized(weights_desc) &&
         onednn::IsOptimized(data_desc);
}

int EngineRegion::GroupSize(const RegionPatch& patch) const {
  const size_t image = sizeof(float) * block_ * patch.area() *
                       (Blocks(geometry_.channels, block_) + Blocks(geometry_.num_output, block_));
  const int most = std::max<size_t>(1, kGroupBytes / image);
  const int groups = (geometry_.num + most - 1) / most;
  return (geometry_.num + groups - 1) / groups;
}

const EngineRegion::Kernel& EngineRegion::KernelOf(const RegionPatch& patch, int images) const {
  return *kernels_.at(std::make_pair(std::make_pair(patch.height(), patch.width()), images));
}

bool EngineRegion::MakeKernels() {
  kernels_.clear();
  for (int g = 0; g < geometry_.patches(); ++g) {
    const RegionPatch patch = geometry_.patch(g);
    if (UsesWinograd(patch)) {
      continue;
    }
    const int group = GroupSize(patch);
    const int sizes[] = {group, geometry_.num % group};
    for (int images : sizes) {
      const auto key = std::make_pair(std::make_pair(patch.height(), patch.width()), images);
      if (images == 0 || kernels_.count(key)) {
        continue;
      }
      kernels_[key].reset(new Kernel(geometry_, patch, images, block_, bias_term_));
      if (!kernels_[key]->IsOptimized()) {
        return false;
      }
    }
  }
  return true;
}

bool EngineRegion::Plan(const Blobs& bottom, const Blobs& top) {
  if (geometry_.num == 0) {
    return false;
  }
  block_ = onednn::ChannelBlock();
  const Isa isa = ActiveIsa();
  winograd_ = TransformsEnabled() && geometry_.kernel_size == 3 && isa != Isa::kGeneric &&
              Lanes(isa) == block_;
  // One thread runs a primitive: it must be made for one.
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  bool made = false;
  try {
    made = MakeKernels();
  } catch (const dnnl::error&) {
    // No kernel for this shape.
  }
  omp_set_num_threads(threads);
  return made;
}

// What the log says of the patches, which may differ by a row or a column.
std::string EngineRegion::KernelNames() const {
  int winograd = 0;
  for (int g = 0; g < geometry_.patches(); ++g) {
    winograd += UsesWinograd(geometry_.patch(g));
  }
  std::ostringstream text;
  if (winograd) {
    text << "Winograd F(4x4, 3x3) for " << winograd << " of " << geometry_.patches() << " patches";
  }
  if (!kernels_.empty()) {
    text << (winograd ? ", " : "")
         << onednn::Implementation(kernels_.begin()->second->forward_desc);
  }
  return text.str();
}

// ---------------------------------------------------------------------------------------------
// One patch

// The layer's own arrays for a pass; of its parameters' gradients, those that are wanted.
EngineRegion::Maps EngineRegion::MapsOf(bool backward) {
  Maps maps;
  const auto data = [this](int id) { return id < 0 ? nullptr : blobs_[id]->cpu_data(); };
  maps.weights = data(0);
  maps.bias = data(bias_id_);
  maps.scale = data(scale_id_);
  maps.shift = data(shift_id_);
  maps.mean = mean_.mutable_cpu_data();
  maps.variance = variance_.mutable_cpu_data();
  maps.inv_std = inv_std_.mutable_cpu_data();
  if (backward) {
    const auto diff = [this](int id) {
      return WantsDiff(id) ? blobs_[id]->mutable_cpu_diff() : nullptr;
    };
    maps.weight_diff = diff(0);
    maps.bias_diff = diff(bias_id_);
    maps.scale_diff = diff(scale_id_);
    maps.shift_diff = diff(shift_id_);
    maps.norm_diff = maps.scale_diff || maps.shift_diff;
  }
  return maps;
}

// The channel values of patch g from this forward's statistics and the learned scale and shift.
void EngineRegion::LoadChannels(int g, const Maps& maps, Workspace* work) const {
  const int at = geometry_.channel_offset(g);
  for (int c = 0; c < geometry_.channels; ++c) {
    work->mean[c] = maps.mean[at + c];
    work->inv_std[c] = maps.inv_std[at + c];
    work->slope[c] = work->inv_std[c] * (maps.scale ? maps.scale[at + c] : 1.f);
    work->shift[c] = maps.shift ? maps.shift[at + c] : 0.f;
  }
}

// The convolution's input, in work->source.
void EngineRegion::Normalize(int g, int first, int images, const Maps& maps,
                             Workspace* work) const {
  const RegionPatch patch = geometry_.patch(g);
  const int blocks = Blocks(geometry_.channels, block_);
  float* source = work->source.Get(size_t(images) * blocks * block_ * patch.area());
  for (int k = 0; k < blocks; ++k) {
    const int c = k * block_;
    Passes().normalize(block_, Maps::In(maps.bottom, patch, k, first, images), &work->mean[c],
                       &work->slope[c], &work->shift[c],
                       Local(source, patch, block_, blocks, k, images));
  }
}

void EngineRegion::ForwardPatch(int g, const Maps& maps, Workspace* work) {
  const RegionPatch patch = geometry_.patch(g);
  const int in_blocks = Blocks(geometry_.channels, block_);
  const int out_blocks = Blocks(geometry_.num_output, block_);
  if (UsesBatchStatistics()) {
    const int at = geometry_.channel_offset(g);
    for (int k = 0; k < in_blocks; ++k) {
      Passes().measure(block_, Maps::In(maps.bottom, patch, k, 0, geometry_.num),
                       &work->mean[k * block_], &work->variance[k * block_]);
    }
    for (int c = 0; c < geometry_.channels; ++c) {
      maps.mean[at + c] = work->mean[c];
      maps.variance[at + c] = work->variance[c];
      maps.inv_std[at + c] = 1 / std::sqrt(work->variance[c] + eps_);
    }
  }
  LoadChannels(g, maps, work);
  if (UsesWinograd(patch)) {
    ForwardWinograd(g, maps, work);
    return;
  }
  const int group = GroupSize(patch);
  const Desc packed_desc = KernelOf(patch, group).forward_desc.weights_desc();
  memory packed =
      onednn::Memory(packed_desc, work->packed.Get(packed_desc.get_size() / sizeof(float)));
  dnnl::stream& stream = onednn::Stream();
  for (int first = 0; first < geometry_.num; first += group) {
    const int images = std::min(group, geometry_.num - first);
    const Kernel& kernel = KernelOf(patch, images);
    if (first == 0 || kernel.forward_desc.weights_desc() != packed_desc) {
      packed = onednn::Memory(
          kernel.forward_desc.weights_desc(),
          work->packed.Get(kernel.forward_desc.weights_desc().get_size() / sizeof(float)));
      memory plain =
          onednn::Memory(kernel.plain_weights, maps.weights + geometry_.weight_offset(g));
      kernel.pack_forward.execute(stream, plain, packed);
    }
    Normalize(g, first, images, maps, work);
    float* target = work->target.Get(size_t(images) * out_blocks * block_ * patch.area());
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, onednn::Memory(kernel.source, work->source.Get(0))},
        {DNNL_ARG_WEIGHTS, packed},
        {DNNL_ARG_DST, onednn::Memory(kernel.target, target)},
        {DNNL_ARG_SCRATCHPAD, work->Scratchpad(kernel.forward_desc)}};
    if (bias_term_) {
      arguments[DNNL_ARG_BIAS] =
          onednn::Memory(kernel.bias, maps.bias + geometry_.output_offset(g));
    }
    kernel.forward.execute(stream, arguments);
    for (int k = 0; k < out_blocks; ++k) {
      const ConstPatchRows result =
          Local<const float>(target, patch, block_, out_blocks, k, images);
      const PatchRows top = Maps::Out(maps.top, patch, k, first, images);
      if (identity_) {
        Passes().add(block_, Maps::In(maps.bottom, patch, k, first, images), result, top);
      } else {
        Passes().copy(block_, result, top);
      }
    }
  }
}

void EngineRegion::PlannedForward(const Blobs& bottom, const Blobs& top) {
  ForwardSparsity(top);
  const BlockedPtr in = ReadBlocked(*bottom[0], kData, block_, &bottom_scratch_);
  const BlockedPtr out = OutputBlocked(*top[0], kData, block_, &top_scratch_);
  if (!UsesBatchStatistics()) {
    LoadStatistics();
  }
  Maps maps = MapsOf(false);
  maps.bottom = in.get();
  maps.top = out.get();
#pragma omp parallel
  {
    Workspace work(Blocks(geometry_.channels, block_) * block_,
                   Blocks(geometry_.num_output, block_) * block_);
#pragma omp for schedule(dynamic)
    for (int g = 0; g < geometry_.patches(); ++g) {
      ForwardPatch(g, maps, &work);
    }
  }
  PublishBlocked(out, top[0], kData, &top_scratch_);
  if (UsesBatchStatistics() && phase_ == caffe::TRAIN) {
    UpdateRunningStatistics();
  }
}

// ---------------------------------------------------------------------------------------------
// Gradients

// Adds the patch's sums to the diffs of scale, shift and bias: the patch's own part of each blob.
void EngineRegion::AddPatchDiffs(int g, const Maps& maps, const Workspace& work) const {
  const int at = geometry_.channel_offset(g);
  for (int c = 0; c < geometry_.channels; ++c) {
    if (maps.scale_diff) {
      maps.scale_diff[at + c] += work.dot[c];
    }
    if (maps.shift_diff) {
      maps.shift_diff[at + c] += work.sum[c];
    }
  }
  if (maps.bias_diff) {
    float* diff = maps.bias_diff + geometry_.output_offset(g);
    for (int c = 0; c < geometry_.num_output; ++c) {
      diff[c] += work.bias_sum[c];
    }
  }
}

// See FinishBottomDiff of the plain layer for the formula.
void EngineRegion::SetBottomDiff(int g, const Maps& maps, Workspace* work) const {
  const RegionPatch patch = geometry_.patch(g);
  const int blocks = Blocks(geometry_.channels, block_), num = geometry_.num;
  const double values = double(num) * patch.area();
  for (int c = 0; c < geometry_.channels; ++c) {
    const bool batch = UsesBatchStatistics();
    work->diff_mean[c] = batch ? work->sum[c] / values : 0;
    work->diff_slope[c] = batch ? work->dot[c] / values * work->inv_std[c] : 0;
  }
  for (int k = 0; k < blocks; ++k) {
    const int c = k * block_;
    ConstPatchRows top_diff = {};
    if (identity_) {
      top_diff = Maps::In(maps.top_diff, patch, k, 0, num);
    }
    Passes().finish_diff(block_, Maps::In(maps.bottom, patch, k, 0, num),
                         Local<const float>(work->diff.Get(0), patch, block_, blocks, k, num),
                         top_diff, &work->mean[c], &work->slope[c], &work->diff_mean[c],
                         &work->diff_slope[c], Maps::Out(maps.bottom_diff, patch, k, 0, num));
  }
}

// The diffs of weights, bias and BN(x), the latter in work->diff, with their sums.
void EngineRegion::BackwardDirect(int g, const Maps& maps, Workspace* work) {
  const RegionPatch patch = geometry_.patch(g);
  const int in_blocks = Blocks(geometry_.channels, block_);
  const int out_blocks = Blocks(geometry_.num_output, block_);
  const bool weight_diff = maps.weight_diff || maps.bias_diff;
  const size_t image_size = size_t(in_blocks) * block_ * patch.area();
  float* diff = maps.norm_diff ? work->diff.Get(geometry_.num * image_size) : NULL;
  dnnl::stream& stream = onednn::Stream();
  const int group = GroupSize(patch);
  for (int first = 0; first < geometry_.num; first += group) {
    const int images = std::min(group, geometry_.num - first);
    const Kernel& kernel = KernelOf(patch, images);
    float* target = work->target.Get(size_t(images) * out_blocks * block_ * patch.area());
    for (int k = 0; k < out_blocks; ++k) {
      Passes().copy(block_, Maps::In(maps.top_diff, patch, k, first, images),
                    Local(target, patch, block_, out_blocks, k, images));
    }
    const memory top_diff = onednn::Memory(kernel.target, target);
    Normalize(g, first, images, maps, work);
    if (weight_diff) {
      const Desc desc = kernel.weights_desc.diff_weights_desc();
      memory packed = onednn::Memory(desc, work->packed_diff.Get(desc.get_size() / sizeof(float)));
      std::unordered_map<int, memory> arguments = {
          {DNNL_ARG_SRC, onednn::Memory(kernel.source, work->source.Get(0))},
          {DNNL_ARG_DIFF_DST, top_diff},
          {DNNL_ARG_DIFF_WEIGHTS, packed},
          {DNNL_ARG_SCRATCHPAD, work->Scratchpad(kernel.weights_desc)}};
      if (bias_term_) {
        arguments[DNNL_ARG_DIFF_BIAS] = onednn::Memory(kernel.bias, work->bias_diff.data());
      }
      kernel.backward_weights.execute(stream, arguments);
      if (maps.weight_diff) {
        memory plain =
            onednn::Memory(kernel.plain_weights, maps.weight_diff + geometry_.weight_offset(g));
        kernel.unpack_diff.execute(stream, packed, plain);
      }
      for (int c = 0; bias_term_ && c < geometry_.num_output; ++c) {
        work->bias_sum[c] += work->bias_diff[c];
      }
    }
    if (maps.norm_diff) {
      const Desc desc = kernel.data_desc.weights_desc();
      memory packed = onednn::Memory(desc, work->packed.Get(desc.get_size() / sizeof(float)));
      memory plain =
          onednn::Memory(kernel.plain_weights, maps.weights + geometry_.weight_offset(g));
      kernel.pack_data.execute(stream, plain, packed);
      float* group_diff = diff + first * image_size;
      kernel.backward_data.execute(stream,
                                   {{DNNL_ARG_DIFF_DST, top_diff},
                                    {DNNL_ARG_WEIGHTS, packed},
                                    {DNNL_ARG_DIFF_SRC, onednn::Memory(kernel.source, group_diff)},
                                    {DNNL_ARG_SCRATCHPAD, work->Scratchpad(kernel.data_desc)}});
      for (int k = 0; k < in_blocks; ++k) {
        const int c = k * block_;
        Passes().mask_diff(
            block_, Maps::In(maps.bottom, patch, k, first, images),
            Local<const float>(work->source.Get(0), patch, block_, in_blocks, k, images),
            &work->mean[c], &work->inv_std[c],
            Local(group_diff, patch, block_, in_blocks, k, images), &work->sum[c], &work->dot[c]);
      }
    }
  }
}

void EngineRegion::BackwardPatch(int g, const Maps& maps, Workspace* work) {
  std::fill(work->sum.begin(), work->sum.end(), 0.);
  std::fill(work->dot.begin(), work->dot.end(), 0.);
  std::fill(work->bias_sum.begin(), work->bias_sum.end(), 0.f);
  LoadChannels(g, maps, work);
  if (UsesWinograd(geometry_.patch(g))) {
    BackwardWinograd(g, maps, work);
  } else {
    BackwardDirect(g, maps, work);
  }
  AddPatchDiffs(g, maps, *work);
  if (maps.bottom_diff) {
    SetBottomDiff(g, maps, work);
  }
}

void EngineRegion::PlannedBackward(const Blobs& top, const vector<bool>& propagate_down,
                                   const Blobs& bottom) {
  BackwardSparsity(top);
  Maps maps = MapsOf(true);
  maps.norm_diff = maps.norm_diff || propagate_down[0];
  if (!maps.norm_diff && !maps.weight_diff && !maps.bias_diff) {
    return;
  }
  const BlockedPtr in = ReadBlocked(*bottom[0], kData, block_, &bottom_scratch_);
  const BlockedPtr top_diff = ReadBlocked(*top[0], kDiff, block_, &top_diff_scratch_);
  BlockedPtr diff;
  if (propagate_down[0]) {
    diff = OutputBlocked(*bottom[0], kDiff, block_, &bottom_diff_scratch_);
  }
  maps.bottom = in.get();
  maps.top_diff = top_diff.get();
  maps.bottom_diff = diff.get();
#pragma omp parallel
  {
    Workspace work(Blocks(geometry_.channels, block_) * block_,
                   Blocks(geometry_.num_output, block_) * block_);
#pragma omp for schedule(dynamic)
    for (int g = 0; g < geometry_.patches(); ++g) {
      BackwardPatch(g, maps, &work);
    }
  }
  if (diff) {
    PublishBlocked(diff, bottom[0], kDiff, &bottom_diff_scratch_);
  }
}

}  // namespace caffe_ext
