// Pooling on oneDNN.
#ifndef CAFFE_EXT_ENGINES_POOLING_HPP_
#define CAFFE_EXT_ENGINES_POOLING_HPP_

#include <string>
#include <vector>

#include "caffe/layers/pooling_layer.hpp"
#include "engines/max_pooling.hpp"
#include "engines/onednn.hpp"
#include "engines/onednn_layer.hpp"

namespace caffe_ext {

/**
 * @brief The stock Pooling on blocked memory, run by oneDNN or by passes of our own.
 *
 * Max pooling, and average pooling whose windows all lie inside the padded image (Caffe divides an
 * overhanging one by the part inside). STOCHASTIC, a second top (the mask), and a bottom that is
 * plain anyway and of fewer than half a block of channels run as stock. So does a maximum over
 * values that are not all finite.
 */
class EnginePooling : public OneDnnLayer<caffe::PoolingLayer<float> > {
 public:
  typedef caffe::PoolingLayer<float> Plain;

  explicit EnginePooling(const caffe::LayerParameter& param) : OneDnnLayer(param) {}

 protected:
  virtual bool Plan(const Blobs& bottom, const Blobs& top);
  virtual std::string KernelNames() const;
  virtual void PlannedForward(const Blobs& bottom, const Blobs& top);
  virtual void PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                               const Blobs& bottom);

 private:
  bool Supported(const Blobs& bottom, const Blobs& top) const;
  void MakePrimitives(const Blobs& bottom, const Blobs& top);
  void OwnForward(const BlockedTensor& in, const Blobs& bottom, const Blobs& top);

  /// Whether the passes are our own (max_pooling.hpp), in which NaN is not lost; their windows, and
  /// where each maximum came from.
  bool own_ = false;
  PoolingWindows windows_;
  std::vector<uint8_t> where_;
  /// Whether the last forward pass was stock's, as values were not finite.
  bool plain_pass_ = false;
  int block_;
  dnnl::pooling_forward::primitive_desc forward_desc_;
  dnnl::pooling_backward::primitive_desc backward_desc_;
  dnnl::pooling_forward forward_;
  dnnl::pooling_backward backward_;
  /// Where each maximum came from.
  dnnl::memory workspace_;
  BlockedPtr bottom_scratch_, top_scratch_, bottom_diff_scratch_, top_diff_scratch_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_POOLING_HPP_
