// Local response normalisation across channels on oneDNN.
#ifndef CAFFE_EXT_ENGINES_LRN_HPP_
#define CAFFE_EXT_ENGINES_LRN_HPP_

#include <string>
#include <vector>

#include "caffe/layers/lrn_layer.hpp"
#include "engines/onednn.hpp"
#include "engines/onednn_layer.hpp"

namespace caffe_ext {

/// The stock LRN, run by oneDNN on blocked memory. WITHIN_CHANNEL, and what oneDNN has no kernel
/// for (other than local_size 5, or too few channels), run as stock.
class EngineLRN : public OneDnnLayer<caffe::LRNLayer<float> > {
 public:
  typedef caffe::LRNLayer<float> Plain;

  explicit EngineLRN(const caffe::LayerParameter& param) : OneDnnLayer(param) {}

 protected:
  virtual bool Plan(const Blobs& bottom, const Blobs& top);
  virtual std::string KernelNames() const;
  virtual void PlannedForward(const Blobs& bottom, const Blobs& top);
  virtual void PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                               const Blobs& bottom);

 private:
  void RunForward(bool fill_workspace, const BlockedPtr& in, const BlockedPtr& out);
  void MakePrimitives(const caffe::Blob<float>& bottom);

  int block_;
  dnnl::lrn_forward::primitive_desc forward_desc_, inference_desc_;
  dnnl::lrn_backward::primitive_desc backward_desc_;
  dnnl::lrn_forward forward_, inference_;
  dnnl::lrn_backward backward_;
  /// The powers that forward leaves for backward. In the test phase it is only made, from the
  /// bottom, where somebody asks for gradients.
  dnnl::memory workspace_;
  bool workspace_filled_;
  BlockedPtr bottom_scratch_, top_scratch_, bottom_diff_scratch_, top_diff_scratch_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_LRN_HPP_
