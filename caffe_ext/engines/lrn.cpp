#include "engines/lrn.hpp"

namespace caffe_ext {

using caffe::LRNParameter;
using dnnl::memory;
using dnnl::prop_kind;

bool EngineLRN::Plan(const Blobs& bottom, const Blobs& top) {
  if (layer_param_.lrn_param().norm_region() != LRNParameter::ACROSS_CHANNELS ||
      bottom[0]->count() == 0) {
    return false;
  }
  MakePrimitives(*bottom[0]);
  return onednn::IsOptimized(forward_desc_) && onednn::IsOptimized(backward_desc_);
}

std::string EngineLRN::KernelNames() const { return onednn::Implementation(forward_desc_); }

void EngineLRN::MakePrimitives(const caffe::Blob<float>& bottom) {
  block_ = onednn::ChannelBlock();
  const onednn::LrnShape shape = {size_, alpha_, beta_, k_};
  const onednn::Desc desc = onednn::BlockedDesc(bottom.shape(0), bottom.shape(1), bottom.shape(2),
                                                bottom.shape(3), block_);
  forward_desc_ = onednn::LrnForward(prop_kind::forward_training, shape, desc);
  inference_desc_ = onednn::LrnForward(prop_kind::forward_inference, shape, desc);
  backward_desc_ = onednn::LrnBackward(shape, desc, forward_desc_);
  forward_ = dnnl::lrn_forward(forward_desc_);
  inference_ = dnnl::lrn_forward(inference_desc_);
  backward_ = dnnl::lrn_backward(backward_desc_);
  workspace_ = memory();
  workspace_filled_ = false;
}

void EngineLRN::RunForward(bool fill_workspace, const BlockedPtr& in, const BlockedPtr& out) {
  std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, onednn::Memory(in)},
                                               {DNNL_ARG_DST, onednn::Memory(out)}};
  workspace_filled_ = fill_workspace;
  if (!fill_workspace) {
    inference_.execute(onednn::Stream(), arguments);
    return;
  }
  if (!workspace_) {
    workspace_ = memory(forward_desc_.workspace_desc(), onednn::Engine());
  }
  arguments[DNNL_ARG_WORKSPACE] = workspace_;
  forward_.execute(onednn::Stream(), arguments);
}

void EngineLRN::PlannedForward(const Blobs& bottom, const Blobs& top) {
  const BlockedPtr in = ReadBlocked(*bottom[0], kData, block_, &bottom_scratch_);
  const BlockedPtr out = OutputBlocked(*top[0], kData, block_, &top_scratch_);
  RunForward(phase_ == caffe::TRAIN, in, out);
  PublishBlocked(out, top[0], kData, &top_scratch_);
}

void EngineLRN::PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                                const Blobs& bottom) {
  if (!propagate_down[0]) {
    return;
  }
  const BlockedPtr in = ReadBlocked(*bottom[0], kData, block_, &bottom_scratch_);
  if (!workspace_filled_) {
    RunForward(true, in, EmptyBlocked(*top[0], block_));
  }
  const BlockedPtr top_diff = ReadBlocked(*top[0], kDiff, block_, &top_diff_scratch_);
  const BlockedPtr diff = OutputBlocked(*bottom[0], kDiff, block_, &bottom_diff_scratch_);
  backward_.execute(onednn::Stream(), {{DNNL_ARG_SRC, onednn::Memory(in)},
                                       {DNNL_ARG_DIFF_DST, onednn::Memory(top_diff)},
                                       {DNNL_ARG_DIFF_SRC, onednn::Memory(diff)},
                                       {DNNL_ARG_WORKSPACE, workspace_}});
  PublishBlocked(diff, bottom[0], kDiff, &bottom_diff_scratch_);
}

}  // namespace caffe_ext
