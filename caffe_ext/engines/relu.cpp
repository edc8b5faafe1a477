#include "engines/relu.hpp"

#include "engines/onednn.hpp"

namespace caffe_ext {

namespace {

// Zero stays zero, so the channels that fill up a block need no care.
void Rectify(size_t size, float slope, const float* x, float* y) {
  const long long count = size;
#pragma omp parallel for simd schedule(static)
  for (long long i = 0; i < count; ++i) {
    // Stock's max and min by value: a reference to a temporary keeps the compiler from vectorising.
    // NaN stays NaN.
    const float value = x[i];
    const float positive = value < 0 ? 0 : value;
    const float negative = value > 0 ? 0 : value;
    y[i] = positive + slope * negative;
  }
}

void RectifyDiff(size_t size, float slope, const float* x, const float* dy, float* dx) {
  const long long count = size;
#pragma omp parallel for simd schedule(static)
  for (long long i = 0; i < count; ++i) {
    const float factor = x[i] > 0 ? 1 : slope;
    dx[i] = factor * dy[i];
  }
}

}  // namespace

EngineReLU::EngineReLU(const caffe::LayerParameter& param)
    : caffe::ReLULayer<float>(param),
      block_(onednn::ChannelBlock()),
      slope_(param.relu_param().negative_slope()) {}

void EngineReLU::Forward_cpu(const Blobs& bottom, const Blobs& top) {
  if (slope_ == 0 && bottom[0] == top[0]) {
    // What reads it next passes over the values anyway.
    if (const BlockedPtr values = PrivateUnsettled(*bottom[0], kData, block_)) {
      values->RectifyLater();
      return;
    }
  }
  const BlockedPtr in = PrivateBlocked(*bottom[0], kData, block_);
  if (!in) {
    Rectify(bottom[0]->count(), slope_, bottom[0]->cpu_data(), top[0]->mutable_cpu_data());
    return;
  }
  const BlockedPtr out = OutputBlocked(*top[0], kData, block_, &out_scratch_);
  Rectify(in->size(), slope_, in->data(), out->data());
  PublishBlocked(out, top[0], kData, &out_scratch_);
}

void EngineReLU::Backward_cpu(const Blobs& top, const std::vector<bool>& propagate_down,
                              const Blobs& bottom) {
  if (!propagate_down[0]) {
    return;
  }
  if (!PrivateBlocked(*top[0], kDiff, block_)) {
    RectifyDiff(bottom[0]->count(), slope_, bottom[0]->cpu_data(), top[0]->cpu_diff(),
                bottom[0]->mutable_cpu_diff());
    return;
  }
  // Only the sign is read, which rectifying does not change where it matters.
  BlockedPtr in = PrivateUnsettled(*bottom[0], kData, block_);
  if (!in) {
    in = ReadBlocked(*bottom[0], kData, block_, &data_scratch_);
  }
  const BlockedPtr top_diff = ReadBlocked(*top[0], kDiff, block_, &top_diff_scratch_);
  const BlockedPtr out = OutputBlocked(*bottom[0], kDiff, block_, &out_scratch_);
  RectifyDiff(in->size(), slope_, in->data(), top_diff->data(), out->data());
  PublishBlocked(out, bottom[0], kDiff, &out_scratch_);
}

}  // namespace caffe_ext
