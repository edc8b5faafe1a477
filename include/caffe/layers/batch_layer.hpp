#ifndef CAFFE_BATCH_LAYER_HPP_
#define CAFFE_BATCH_LAYER_HPP_

#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/batch_norm_layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Caffe's BatchNorm under the name and with the parameters (batch_param: use_global_stats,
 *        moving_average_fraction, eps) that the authors' prototxts give it; see
 *        src/layers/authors_layers.md.
 */
template <typename Dtype>
class BatchLayer : public BatchNormLayer<Dtype> {
 public:
  explicit BatchLayer(const LayerParameter& param) : BatchNormLayer<Dtype>(param) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "Batch"; }
};

}  // namespace caffe

#endif  // CAFFE_BATCH_LAYER_HPP_
