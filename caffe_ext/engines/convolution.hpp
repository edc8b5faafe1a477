// Convolution on oneDNN.
#ifndef CAFFE_EXT_ENGINES_CONVOLUTION_HPP_
#define CAFFE_EXT_ENGINES_CONVOLUTION_HPP_

#include <memory>
#include <string>
#include <vector>

#include "caffe/layers/conv_layer.hpp"
#include "engines/fft/correlation.hpp"
#include "engines/fft/weight_gradient.hpp"
#include "engines/onednn.hpp"
#include "engines/onednn_layer.hpp"
#include "engines/winograd/correlation.hpp"
#include "engines/winograd/weight_gradient.hpp"

namespace caffe_ext {

/**
 * @brief The stock Convolution, run by oneDNN on blocked memory.
 *
 * Shapes, parameters, blobs and results are those of caffe::ConvolutionLayer; the weights stay
 * plain and are packed anew in every pass, so that whoever changes them need not tell. A bottom of
 * few channels (an image) is read as it is. Passes with large kernels go by FFT, those with small
 * ones by Winograd's algorithm, where that is faster (fft/choice.hpp, winograd/choice.hpp), unless
 * CAFFE_ENGINE=direct. With a stride, an image's phases are convolved. What oneDNN has no kernel
 * for (dilation, groups that are no whole blocks of channels, other than two spatial axes, several
 * bottoms) runs as stock.
 */
class EngineConvolution : public OneDnnLayer<caffe::ConvolutionLayer<float> > {
 public:
  typedef caffe::ConvolutionLayer<float> Plain;

  explicit EngineConvolution(const caffe::LayerParameter& param) : OneDnnLayer(param) {}

 protected:
  /// Also of the number of threads.
  virtual std::vector<int> PlanFor(const Blobs& bottom) const;
  virtual bool Plan(const Blobs& bottom, const Blobs& top);
  virtual std::string KernelNames() const;
  virtual void PlannedForward(const Blobs& bottom, const Blobs& top);
  virtual void PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                               const Blobs& bottom);

 private:
  bool Supported(const Blobs& bottom) const;
  void MakePrimitives(const caffe::Blob<float>& bottom, const caffe::Blob<float>& top);
  void MakeTransforms(const caffe::Blob<float>& bottom, const caffe::Blob<float>& top);
  void ChooseTransforms(const CorrelationShape& shape);
  void ChoosePhases(const CorrelationShape& shape, double direct);
  dnnl::memory Source(const caffe::Blob<float>& bottom);
  dnnl::memory Pack(const onednn::Desc& packed, std::vector<float>* memory);
  void AddWeightDiff(const dnnl::memory& source, const dnnl::memory& top_diff);
  const float* SourceValues(const caffe::Blob<float>& bottom);
  WinogradSource SourceOfWinograd(const caffe::Blob<float>& bottom);
  template <typename F>
  void EachPhaseWeight(const F& f) const;
  void TransformedForward(const caffe::Blob<float>& bottom, float* result);
  void TransformedBottomDiff(const float* top_diff, float* result);
  void TransformedWeightDiff(const caffe::Blob<float>& bottom, const float* top_diff);
  void PlainBottomDiff(const Blobs& top, const Blobs& bottom);

  std::string direct_;  // the name of the primitives; "" where oneDNN has none
  bool plain_source_;
  int block_;
  onednn::Desc plain_weights_;
  dnnl::convolution_forward::primitive_desc forward_desc_;
  dnnl::convolution_backward_weights::primitive_desc weights_desc_;
  dnnl::convolution_backward_data::primitive_desc data_desc_;
  dnnl::convolution_forward forward_;
  dnnl::convolution_backward_weights backward_weights_;
  dnnl::convolution_backward_data backward_data_;

  /// Those of the passes that go by FFT.
  std::unique_ptr<FftCorrelation> fft_forward_, fft_bottom_diff_;
  std::unique_ptr<FftWeightGradient> fft_weight_diff_;
  /// Those of the passes that go by Winograd's algorithm.
  std::unique_ptr<WinogradCorrelation> winograd_forward_, winograd_bottom_diff_;
  std::unique_ptr<WinogradWeightGradient> winograd_weight_diff_;
  /// Whether they convolve an image's phases; and the kernels of these, or their diffs: outputs x
  /// phase_channels_ x phase_kernel_ x phase_kernel_.
  bool has_phases_;
  int phase_channels_, phase_kernel_;
  std::vector<float> phases_;

  BlockedPtr bottom_scratch_, top_scratch_, bottom_diff_scratch_, top_diff_scratch_;
  std::vector<float> packed_, bias_diff_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_CONVOLUTION_HPP_
