#include "engines/convolution.hpp"

#include <omp.h>

#include <algorithm>

namespace caffe_ext {

using caffe::Blob;
using dnnl::memory;
using onednn::Desc;
using onednn::Dims;

std::vector<int> EngineConvolution::PlanFor(const Blobs& bottom) const {
  std::vector<int> plan = bottom[0]->shape();
  plan.push_back(omp_get_max_threads());
  return plan;
}

bool EngineConvolution::Supported(const Blobs& bottom) const {
  if (bottom.size() != 1 || num_spatial_axes_ != 2 || channel_axis_ != 1 || force_nd_im2col_ ||
      bottom[0]->num_axes() != 4 || bottom[0]->count() == 0) {
    return false;
  }
  const int* dilation = dilation_.cpu_data();
  if (dilation[0] != 1 || dilation[1] != 1) {
    return false;
  }
  const int block = onednn::ChannelBlock();
  return group_ == 1 || (channels_ / group_ % block == 0 && num_output_ / group_ % block == 0);
}

bool EngineConvolution::Plan(const Blobs& bottom, const Blobs& top) {
  if (!Supported(bottom)) {
    return false;
  }
  direct_.clear();
  try {
    MakePrimitives(*bottom[0], *top[0]);
    if (onednn::IsOptimized(forward_desc_) && onednn::IsOptimized(weights_desc_) &&
        onednn::IsOptimized(data_desc_)) {
      direct_ = onednn::Implementation(forward_desc_);
    }
  } catch (const dnnl::error&) {
    // No kernel for this shape.
  }
  if (direct_.empty()) {
    block_ = onednn::ChannelBlock();
    plain_source_ = channels_ < block_ / 2;
  }
  MakeTransforms(*bottom[0], *top[0]);
  // Without AVX-512, oneDNN has no kernel for some images. The gradient of the bottom, which an
  // image needs seldom, is the plain layer's where there is no other.
  if (direct_.empty()) {
    return (fft_forward_ || winograd_forward_) && (fft_weight_diff_ || winograd_weight_diff_);
  }
  if (!fft_forward_ && !winograd_forward_) {
    forward_ = dnnl::convolution_forward(forward_desc_);
  }
  if (!fft_weight_diff_ && !winograd_weight_diff_) {
    backward_weights_ = dnnl::convolution_backward_weights(weights_desc_);
  }
  if (!fft_bottom_diff_ && !winograd_bottom_diff_) {
    backward_data_ = dnnl::convolution_backward_data(data_desc_);
  }
  return true;
}

void EngineConvolution::MakePrimitives(const Blob<float>& bottom, const Blob<float>& top) {
  block_ = onednn::ChannelBlock();
  const int* kernel = kernel_shape_.cpu_data();
  const int* stride = stride_.cpu_data();
  const int* pad = pad_.cpu_data();
  onednn::ConvolutionShape shape;
  shape.stride = {stride[0], stride[1]};
  shape.pad_before = {pad[0], pad[1]};
  // What the last output reads beyond the image; less than none where rows are left unread.
  shape.pad_after.resize(2);
  for (int i = 0; i < 2; ++i) {
    shape.pad_after[i] =
        (top.shape(2 + i) - 1) * stride[i] + kernel[i] - bottom.shape(2 + i) - pad[i];
  }
  const Dims weights =
      group_ == 1 ? Dims{num_output_, channels_, kernel[0], kernel[1]}
                  : Dims{group_, num_output_ / group_, channels_ / group_, kernel[0], kernel[1]};
  plain_weights_ = onednn::PlainDesc(weights);
  const Desc any = onednn::AnyDesc(weights);
  const Desc bias = onednn::PlainDesc({num_output_});
  const Desc* bias_desc = bias_term_ ? &bias : NULL;
  const Desc blocked =
      onednn::BlockedDesc(bottom.shape(0), channels_, bottom.shape(2), bottom.shape(3), block_);
  const Desc target =
      onednn::BlockedDesc(top.shape(0), num_output_, top.shape(2), top.shape(3), block_);
  const dnnl::primitive_attr attr;
  const auto make = [&](const Desc& source) {
    forward_desc_ = onednn::ConvolutionForward(shape, source, any, bias_desc, target, attr);
    weights_desc_ = onednn::ConvolutionBackwardWeights(shape, source, any, bias_desc, target, attr,
                                                       forward_desc_);
    return onednn::IsOptimized(forward_desc_) && onednn::IsOptimized(weights_desc_);
  };
  // An image's few channels would fill a fraction of a block.
  plain_source_ = false;
  if (channels_ < block_ / 2) {
    try {
      plain_source_ =
          make(onednn::PlainDesc({bottom.shape(0), channels_, bottom.shape(2), bottom.shape(3)}));
    } catch (const dnnl::error&) {
    }
  }
  if (!plain_source_) {
    make(blocked);
  }
  // A hint must be of the same memory, and the diff of an image is blocked, too.
  const dnnl::convolution_forward::primitive_desc hint =
      plain_source_ ? onednn::ConvolutionForward(shape, blocked, any, bias_desc, target, attr)
                    : forward_desc_;
  data_desc_ = onednn::ConvolutionBackwardData(shape, blocked, any, target, attr, hint);
}

memory EngineConvolution::Source(const Blob<float>& bottom) {
  if (plain_source_) {
    return onednn::Memory(forward_desc_.src_desc(), bottom.cpu_data());
  }
  return onednn::Memory(ReadBlocked(bottom, kData, block_, &bottom_scratch_));
}

memory EngineConvolution::Pack(const Desc& packed, std::vector<float>* buffer) {
  buffer->resize(packed.get_size() / sizeof(float));
  const memory from = onednn::Memory(plain_weights_, blobs_[0]->cpu_data());
  memory to = onednn::Memory(packed, buffer->data());
  dnnl::reorder(from, to).execute(onednn::Stream(), const_cast<memory&>(from), to);
  return to;
}

void EngineConvolution::PlannedForward(const Blobs& bottom, const Blobs& top) {
  if (fft_forward_ || winograd_forward_) {
    const BlockedPtr out = OutputBlocked(*top[0], kData, block_, &top_scratch_);
    TransformedForward(*bottom[0], out->data());
    PublishBlocked(out, top[0], kData, &top_scratch_);
    return;
  }
  const memory source = Source(*bottom[0]);
  const BlockedPtr out = OutputBlocked(*top[0], kData, block_, &top_scratch_);
  std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC, source},
      {DNNL_ARG_WEIGHTS, Pack(forward_desc_.weights_desc(), &packed_)},
      {DNNL_ARG_DST, onednn::Memory(out)}};
  if (bias_term_) {
    arguments[DNNL_ARG_BIAS] = onednn::Memory(forward_desc_.bias_desc(), blobs_[1]->cpu_data());
  }
  forward_.execute(onednn::Stream(), arguments);
  PublishBlocked(out, top[0], kData, &top_scratch_);
}

// Caffe's gradients of parameters add up (iter_size, shared weights); oneDNN's overwrite.
void EngineConvolution::AddWeightDiff(const memory& source, const memory& top_diff) {
  const Desc packed_desc = weights_desc_.diff_weights_desc();
  packed_.resize(packed_desc.get_size() / sizeof(float));
  memory packed = onednn::Memory(packed_desc, packed_.data());
  std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC, source}, {DNNL_ARG_DIFF_DST, top_diff}, {DNNL_ARG_DIFF_WEIGHTS, packed}};
  if (bias_term_) {
    bias_diff_.resize(num_output_);
    arguments[DNNL_ARG_DIFF_BIAS] =
        onednn::Memory(weights_desc_.diff_bias_desc(), bias_diff_.data());
  }
  backward_weights_.execute(onednn::Stream(), arguments);
  if (param_propagate_down_[0]) {
    memory diff = onednn::Memory(plain_weights_, blobs_[0]->mutable_cpu_diff());
    dnnl::post_ops add;
    add.append_sum(1.f);
    dnnl::primitive_attr attr;
    attr.set_post_ops(add);
    dnnl::reorder(packed, diff, attr).execute(onednn::Stream(), packed, diff);
  }
  if (bias_term_ && param_propagate_down_[1]) {
    float* diff = blobs_[1]->mutable_cpu_diff();
    for (int i = 0; i < num_output_; ++i) {
      diff[i] += bias_diff_[i];
    }
  }
}

void EngineConvolution::PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                                        const Blobs& bottom) {
  const BlockedPtr top_diff = ReadBlocked(*top[0], kDiff, block_, &top_diff_scratch_);
  if (param_propagate_down_[0] || (bias_term_ && param_propagate_down_[1])) {
    if (fft_weight_diff_ || winograd_weight_diff_) {
      TransformedWeightDiff(*bottom[0], top_diff->data());
    } else {
      AddWeightDiff(Source(*bottom[0]), onednn::Memory(top_diff));
    }
  }
  if (!propagate_down[0]) {
    return;
  }
  const bool transformed = fft_bottom_diff_ || winograd_bottom_diff_;
  if (direct_.empty() && !transformed) {
    PlainBottomDiff(top, bottom);
    return;
  }
  const BlockedPtr diff = OutputBlocked(*bottom[0], kDiff, block_, &bottom_diff_scratch_);
  if (transformed) {
    TransformedBottomDiff(top_diff->data(), diff->data());
  } else {
    backward_data_.execute(onednn::Stream(),
                           {{DNNL_ARG_DIFF_DST, onednn::Memory(top_diff)},
                            {DNNL_ARG_WEIGHTS, Pack(data_desc_.weights_desc(), &packed_)},
                            {DNNL_ARG_DIFF_SRC, onednn::Memory(diff)}});
  }
  PublishBlocked(diff, bottom[0], kDiff, &bottom_diff_scratch_);
}

void EngineConvolution::PlainBottomDiff(const Blobs& top, const Blobs& bottom) {
  const std::vector<bool> learned = param_propagate_down_;
  param_propagate_down_.assign(learned.size(), false);
  Plain::Backward_cpu(top, {true}, bottom);
  param_propagate_down_ = learned;
}

}  // namespace caffe_ext
