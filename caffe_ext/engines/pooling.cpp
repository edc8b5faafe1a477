#include "engines/pooling.hpp"

namespace caffe_ext {

using caffe::PoolingParameter;
using dnnl::memory;

namespace {

// How far the last window reaches beyond the image; below zero where the image is not all read.
int Overhang(int in, int out, int kernel, int stride, int pad) {
  return (out - 1) * stride + kernel - in - pad;
}

bool AllFinite(size_t size, const float* values) {
  const long long count = size;
  float sum = 0;  // of zeros and of NaNs
#pragma omp parallel for simd schedule(static) reduction(+ : sum)
  for (long long i = 0; i < count; ++i) {
    sum += values[i] * 0;
  }
  return sum == 0;
}

}  // namespace

bool EnginePooling::Plan(const Blobs& bottom, const Blobs& top) {
  if (!Supported(bottom, top)) {
    return false;
  }
  MakePrimitives(bottom, top);
  return onednn::IsOptimized(forward_desc_) && onednn::IsOptimized(backward_desc_);
}

std::string EnginePooling::KernelNames() const { return onednn::Implementation(forward_desc_); }

bool EnginePooling::Supported(const Blobs& bottom, const Blobs& top) const {
  const int overhang_h = Overhang(height_, pooled_height_, kernel_h_, stride_h_, pad_h_);
  const int overhang_w = Overhang(width_, pooled_width_, kernel_w_, stride_w_, pad_w_);
  const PoolingParameter::PoolMethod method = layer_param_.pooling_param().pool();
  if (bottom[0]->count() == 0 || top[0]->count() == 0 || top.size() != 1 ||
      channels_ < onednn::ChannelBlock() / 2 || overhang_h >= kernel_h_ ||
      overhang_w >= kernel_w_) {
    return false;
  }
  return method == PoolingParameter::MAX ||
         (method == PoolingParameter::AVE && overhang_h <= pad_h_ && overhang_w <= pad_w_);
}

void EnginePooling::MakePrimitives(const Blobs& bottom, const Blobs& top) {
  block_ = onednn::ChannelBlock();
  onednn::PoolingShape shape;
  shape.algorithm = layer_param_.pooling_param().pool() == PoolingParameter::MAX
                        ? dnnl::algorithm::pooling_max
                        : dnnl::algorithm::pooling_avg_include_padding;
  shape.kernel = {kernel_h_, kernel_w_};
  shape.stride = {stride_h_, stride_w_};
  shape.pad_before = {pad_h_, pad_w_};
  shape.pad_after = {Overhang(height_, pooled_height_, kernel_h_, stride_h_, pad_h_),
                     Overhang(width_, pooled_width_, kernel_w_, stride_w_, pad_w_)};
  const int num = bottom[0]->shape(0);
  const onednn::Desc source = onednn::BlockedDesc(num, channels_, height_, width_, block_);
  const onednn::Desc target =
      onednn::BlockedDesc(num, channels_, pooled_height_, pooled_width_, block_);
  forward_desc_ = onednn::PoolingForward(shape, source, target);
  backward_desc_ = onednn::PoolingBackward(shape, source, target, forward_desc_);
  forward_ = dnnl::pooling_forward(forward_desc_);
  backward_ = dnnl::pooling_backward(backward_desc_);
  windows_ = {height_,   width_,    pooled_height_, pooled_width_, kernel_h_,
              kernel_w_, stride_h_, stride_w_,      pad_h_,        pad_w_};
  // A block in one register: wider ones are taken to pieces, which oneDNN and a look at all values
  // beat.
  own_ = shape.algorithm == dnnl::algorithm::pooling_max && windows_.Served() &&
         ActiveIsa() != Isa::kGeneric && Lanes(ActiveIsa()) == block_;
  workspace_ = own_ ? memory() : memory(forward_desc_.workspace_desc(), onednn::Engine());
}

void EnginePooling::PlannedForward(const Blobs& bottom, const Blobs& top) {
  // The maximum of rectified values is the rectified maximum, of fewer values. Where nothing in a
  // window is positive another pixel may be its maximum; the ReLU's gradient is zero at both.
  BlockedPtr in;
  if (layer_param_.pooling_param().pool() == PoolingParameter::MAX) {
    in = PrivateUnsettled(*bottom[0], kData, block_);
  }
  if (!in) {
    in = ReadBlocked(*bottom[0], kData, block_, &bottom_scratch_);
  }
  if (own_) {
    OwnForward(*in, bottom, top);
    return;
  }
  // oneDNN's maximum passes over NaN, and takes an infinity below zero for the least number.
  plain_pass_ = layer_param_.pooling_param().pool() == PoolingParameter::MAX &&
                !AllFinite(in->size(), in->data());
  if (plain_pass_) {
    Plain::Forward_cpu(bottom, top);
    return;
  }
  const BlockedPtr out = OutputBlocked(*top[0], kData, block_, &top_scratch_);
  forward_.execute(onednn::Stream(), {{DNNL_ARG_SRC, onednn::Memory(in)},
                                      {DNNL_ARG_DST, onednn::Memory(out)},
                                      {DNNL_ARG_WORKSPACE, workspace_}});
  if (in->rectify_later()) {
    out->RectifyLater();
  }
  PublishBlocked(out, top[0], kData, &top_scratch_);
}

void EnginePooling::OwnForward(const BlockedTensor& in, const Blobs& bottom, const Blobs& top) {
  const BlockedPtr out = OutputBlocked(*top[0], kData, block_, &top_scratch_);
  where_.resize(out->size());
  const int planes = bottom[0]->shape(0) * in.blocks();
  const size_t in_size = in.size() / planes, out_size = out->size() / planes;
  const MaxPooling& passes = max_pooling(ActiveIsa());
#pragma omp parallel for schedule(static)
  for (int plane = 0; plane < planes; ++plane) {
    passes.pool(block_, windows_, in.data() + plane * in_size, out->data() + plane * out_size,
                where_.data() + plane * out_size);
  }
  if (in.rectify_later()) {
    out->RectifyLater();
  }
  PublishBlocked(out, top[0], kData, &top_scratch_);
}

void EnginePooling::PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                                    const Blobs& bottom) {
  if (!propagate_down[0]) {
    return;
  }
  if (plain_pass_) {
    Plain::Backward_cpu(top, propagate_down, bottom);
    return;
  }
  const BlockedPtr top_diff = ReadBlocked(*top[0], kDiff, block_, &top_diff_scratch_);
  const BlockedPtr diff = OutputBlocked(*bottom[0], kDiff, block_, &bottom_diff_scratch_);
  if (own_) {
    const int planes = bottom[0]->shape(0) * diff->blocks();
    const size_t in_size = diff->size() / planes, out_size = top_diff->size() / planes;
    const MaxPooling& passes = max_pooling(ActiveIsa());
#pragma omp parallel for schedule(static)
    for (int plane = 0; plane < planes; ++plane) {
      passes.spread(block_, windows_, where_.data() + plane * out_size,
                    top_diff->data() + plane * out_size, diff->data() + plane * in_size);
    }
  } else {
    backward_.execute(onednn::Stream(), {{DNNL_ARG_DIFF_DST, onednn::Memory(top_diff)},
                                         {DNNL_ARG_DIFF_SRC, onednn::Memory(diff)},
                                         {DNNL_ARG_WORKSPACE, workspace_}});
  }
  PublishBlocked(diff, bottom[0], kDiff, &bottom_diff_scratch_);
}

}  // namespace caffe_ext
