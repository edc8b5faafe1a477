// The passes of EngineConvolution that go by FFT or by Winograd's algorithm: see fft.md and
// winograd_tiles.md.
#include <algorithm>

#include "engines/convolution.hpp"
#include "engines/fft/choice.hpp"
#include "engines/switch.hpp"
#include "engines/winograd/choice.hpp"

namespace caffe_ext {

using caffe::Blob;

namespace {

int DivideUp(int a, int b) { return (a + b - 1) / b; }

}  // namespace

void EngineConvolution::MakeTransforms(const Blob<float>& bottom, const Blob<float>& top) {
  fft_forward_.reset();
  fft_bottom_diff_.reset();
  fft_weight_diff_.reset();
  winograd_forward_.reset();
  winograd_bottom_diff_.reset();
  winograd_weight_diff_.reset();
  has_phases_ = false;
  const int* stride = stride_.cpu_data();
  const int* kernel = kernel_shape_.cpu_data();
  const int* pad = pad_.cpu_data();
  if (ActiveIsa() == Isa::kGeneric || !TransformsEnabled() || Lanes(ActiveIsa()) != block_) {
    return;
  }
  if (stride[0] == 1 && stride[1] == 1) {
    ChooseTransforms({bottom.shape(0), channels_ / group_, num_output_ / group_, group_,
                      bottom.shape(2), bottom.shape(3), kernel[0], kernel[1], pad[0], pad[1]});
  } else if (plain_source_ && group_ == 1) {
    const int kernel_h = DivideUp(kernel[0], stride[0]), kernel_w = DivideUp(kernel[1], stride[1]);
    const int phases = stride[0] * stride[1];
    ChoosePhases({bottom.shape(0), channels_ * phases, num_output_, 1, top.shape(2) + kernel_h - 1,
                  top.shape(3) + kernel_w - 1, kernel_h, kernel_w, 0, 0},
                 double(kernel[0]) * kernel[1] * top.shape(2) * top.shape(3) / phases);
  }
}

void EngineConvolution::ChooseTransforms(const CorrelationShape& shape) {
  const Isa isa = ActiveIsa();
  const FftKernels& kernels = fft_kernels(isa);
  const double direct =
      double(shape.kernel_h) * shape.kernel_w * shape.out_height() * shape.out_width();
  const auto winograd = [&](ConvolutionPass pass) {
    return !plain_source_ && ChooseWinograd(shape, pass, direct, isa);
  };
  const auto fft = [&](ConvolutionPass pass) {
    return ChooseFft(shape, pass, plain_source_, kernels);
  };
  if (winograd(ConvolutionPass::kForward)) {
    winograd_forward_.reset(new WinogradCorrelation(shape, isa, false, phase_ == caffe::TEST));
  } else if (const FftTransforms* transforms = fft(ConvolutionPass::kForward)) {
    fft_forward_.reset(new FftCorrelation(shape, kernels, *transforms));
  }
  if (winograd(ConvolutionPass::kBottomDiff)) {
    winograd_bottom_diff_.reset(new WinogradCorrelation(shape.Backward(), isa, true, false));
  } else if (const FftTransforms* transforms = fft(ConvolutionPass::kBottomDiff)) {
    fft_bottom_diff_.reset(new FftCorrelation(shape.Backward(), kernels, *transforms));
  }
  if (winograd(ConvolutionPass::kWeightDiff)) {
    winograd_weight_diff_.reset(new WinogradWeightGradient(shape, isa));
  } else if (const FftTransforms* transforms = fft(ConvolutionPass::kWeightDiff)) {
    fft_weight_diff_.reset(new FftWeightGradient(shape, kernels, *transforms));
  }
}

void EngineConvolution::ChoosePhases(const CorrelationShape& shape, double direct) {
  const Isa isa = ActiveIsa();
  if (ChooseWinograd(shape, ConvolutionPass::kForward, direct, isa)) {
    winograd_forward_.reset(new WinogradCorrelation(shape, isa, false, phase_ == caffe::TEST));
  }
  if (ChooseWinograd(shape, ConvolutionPass::kWeightDiff, direct, isa)) {
    winograd_weight_diff_.reset(new WinogradWeightGradient(shape, isa));
  }
  has_phases_ = winograd_forward_ || winograd_weight_diff_;
  phase_channels_ = shape.channels;
  phase_kernel_ = shape.kernel_h;
}

// For the log: what runs forward, and the gradients of the bottom and of the weights.
std::string EngineConvolution::KernelNames() const {
  const auto name = [&](const char* pass, int size, bool winograd) {
    return pass + (size ? "FFT " + std::to_string(size)
                        : std::string(winograd ? has_phases_ ? "Winograd of phases" : "Winograd"
                                      : direct_.empty() ? "plain"
                                                        : "direct"));
  };
  const bool transforms = fft_forward_ || fft_bottom_diff_ || fft_weight_diff_ ||
                          winograd_forward_ || winograd_bottom_diff_ || winograd_weight_diff_;
  if (!transforms) {
    return direct_;
  }
  return name("forward ", fft_forward_ ? fft_forward_->size() : 0, winograd_forward_ != NULL) +
         name(", bottom diff ", fft_bottom_diff_ ? fft_bottom_diff_->size() : 0,
              winograd_bottom_diff_ != NULL) +
         name(", weight diff ", fft_weight_diff_ ? fft_weight_diff_->size() : 0,
              winograd_weight_diff_ != NULL) +
         (direct_.empty() ? "" : " (direct: " + direct_ + ")");
}

const float* EngineConvolution::SourceValues(const Blob<float>& bottom) {
  return plain_source_ ? bottom.cpu_data()
                       : ReadBlocked(bottom, kData, block_, &bottom_scratch_)->data();
}

WinogradSource EngineConvolution::SourceOfWinograd(const Blob<float>& bottom) {
  if (!has_phases_) {
    return WinogradSource::Blocked(SourceValues(bottom));
  }
  const int* stride = stride_.cpu_data();
  const int* pad = pad_.cpu_data();
  return {SourceValues(bottom),
          true,
          channels_,
          bottom.shape(2),
          bottom.shape(3),
          stride[0],
          stride[1],
          pad[0],
          pad[1]};
}

// f(weight, weight of a phase), their numbers, for each weight.
template <typename F>
void EngineConvolution::EachPhaseWeight(const F& f) const {
  const int* stride = stride_.cpu_data();
  const int* kernel = kernel_shape_.cpu_data();
  size_t weight = 0;
  for (int i = 0; i < num_output_ * channels_; ++i) {
    for (int y = 0; y < kernel[0]; ++y) {
      for (int x = 0; x < kernel[1]; ++x, ++weight) {
        const size_t channel = (size_t(i) * stride[0] + y % stride[0]) * stride[1] + x % stride[1];
        f(weight, (channel * phase_kernel_ + y / stride[0]) * phase_kernel_ + x / stride[1]);
      }
    }
  }
}

void EngineConvolution::TransformedForward(const Blob<float>& bottom, float* result) {
  const float* weights = blobs_[0]->cpu_data();
  const float* const bias = bias_term_ ? blobs_[1]->cpu_data() : NULL;
  if (fft_forward_) {
    fft_forward_->SetWeights(weights, false);
    fft_forward_->Run(SourceValues(bottom), plain_source_, bias, result);
    return;
  }
  if (has_phases_) {
    phases_.assign(size_t(num_output_) * phase_channels_ * phase_kernel_ * phase_kernel_, 0.f);
    EachPhaseWeight([&](size_t weight, size_t phase) { phases_[phase] = weights[weight]; });
    weights = phases_.data();
  }
  winograd_forward_->Run(SourceOfWinograd(bottom), weights, bias, result);
}

void EngineConvolution::TransformedBottomDiff(const float* top_diff, float* result) {
  const float* const weights = blobs_[0]->cpu_data();
  if (fft_bottom_diff_) {
    fft_bottom_diff_->SetWeights(weights, true);
    fft_bottom_diff_->Run(top_diff, false, NULL, result);
  } else {
    winograd_bottom_diff_->Run(WinogradSource::Blocked(top_diff), weights, NULL, result);
  }
}

void EngineConvolution::TransformedWeightDiff(const Blob<float>& bottom, const float* top_diff) {
  float* const diff = param_propagate_down_[0] ? blobs_[0]->mutable_cpu_diff() : NULL;
  float* const bias = bias_term_ && param_propagate_down_[1] ? blobs_[1]->mutable_cpu_diff() : NULL;
  if (fft_weight_diff_) {
    fft_weight_diff_->Run(SourceValues(bottom), plain_source_, top_diff, diff, bias);
  } else if (!has_phases_ || !diff) {
    winograd_weight_diff_->Run(SourceOfWinograd(bottom), top_diff, diff, bias);
  } else {
    phases_.assign(size_t(num_output_) * phase_channels_ * phase_kernel_ * phase_kernel_, 0.f);
    winograd_weight_diff_->Run(SourceOfWinograd(bottom), top_diff, phases_.data(), bias);
    EachPhaseWeight([&](size_t weight, size_t phase) { diff[weight] += phases_[phase]; });
  }
}

}  // namespace caffe_ext
