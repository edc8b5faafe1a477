#include "caffe/layers/batch_layer.hpp"

#include <vector>

namespace caffe {

template <typename Dtype>
void BatchLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                   const vector<Blob<Dtype>*>& top) {
  CHECK(!this->layer_param_.has_batch_norm_param())
      << "Batch layer '" << this->layer_param_.name()
      << "': batch_norm_param is BatchNorm's; this layer reads batch_param.";
  const BatchParameter& param = this->layer_param_.batch_param();
  BatchNormParameter* theirs = this->layer_param_.mutable_batch_norm_param();
  if (param.has_use_global_stats()) {
    theirs->set_use_global_stats(param.use_global_stats());
  }
  theirs->set_moving_average_fraction(param.moving_average_fraction());
  theirs->set_eps(param.eps());
  BatchNormLayer<Dtype>::LayerSetUp(bottom, top);
  // What the layer says of itself, in a snapshot, say, is what the prototxt said.
  this->layer_param_.clear_batch_norm_param();
}

INSTANTIATE_CLASS(BatchLayer);
REGISTER_LAYER_CLASS(Batch);

}  // namespace caffe
