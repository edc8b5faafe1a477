#include "caffe/layers/multi_label_euclidean_loss_layer.hpp"

#include <cmath>
#include <vector>

#include "multi_label_loss_passes.hpp"
#include "multi_label_terms.hpp"

namespace caffe {

using caffe_ext::IntensityTerms;

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                                     const vector<Blob<Dtype>*>& top) {
  BaseMultiLabelLossLayer<Dtype>::LayerSetUp(bottom, top);
  CHECK(!this->layer_param_.loss_param().has_ignore_label())
      << this->Title() << ": loss_param.ignore_label is not supported, as label 9 already means "
      << "unknown. Remove it, and write 9 for labels to ignore.";
  const MultiLabelEuclideanLossParameter& param =
      this->layer_param_.multi_label_euclidean_loss_param();
  delta_ = param.delta();
  CHECK(delta_ >= 0 && std::isfinite(delta_))
      << this->Title() << ": delta is " << delta_ << "; it must be positive, or 0 for none.";
  this->SetWeight("weight", param.weight());
}

template <typename Dtype>
const char* MultiLabelEuclideanLossLayer<Dtype>::LabelsAre() const {
  return IntensityTerms::LabelsAre();
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                                      const vector<Blob<Dtype>*>& top) {
  this->ForwardTerms_cpu(IntensityTerms{delta_}, bottom, top);
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                                       const vector<bool>& propagate_down,
                                                       const vector<Blob<Dtype>*>& bottom) {
  this->BackwardTerms_cpu(IntensityTerms{delta_}, top, propagate_down, bottom);
}

#ifdef CPU_ONLY
STUB_GPU(MultiLabelEuclideanLossLayer);
#endif

INSTANTIATE_CLASS(MultiLabelEuclideanLossLayer);
REGISTER_LAYER_CLASS(MultiLabelEuclideanLoss);

}  // namespace caffe
