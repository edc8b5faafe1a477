// ReLU in whatever form its blobs have.
#ifndef CAFFE_EXT_ENGINES_RELU_HPP_
#define CAFFE_EXT_ENGINES_RELU_HPP_

#include <vector>

#include "caffe/layers/relu_layer.hpp"
#include "engines/blocked_tensor.hpp"

namespace caffe_ext {

/// The stock ReLU (negative_slope included, in place or not) on all cores: in the blocked form
/// where its bottom or top has one, else on plain memory. It never converts what is plain.
class EngineReLU : public caffe::ReLULayer<float> {
 public:
  typedef std::vector<caffe::Blob<float>*> Blobs;

  explicit EngineReLU(const caffe::LayerParameter& param);

 protected:
  virtual void Forward_cpu(const Blobs& bottom, const Blobs& top);
  virtual void Backward_cpu(const Blobs& top, const std::vector<bool>& propagate_down,
                            const Blobs& bottom);

 private:
  int block_;
  float slope_;
  BlockedPtr data_scratch_, top_diff_scratch_, out_scratch_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_RELU_HPP_
