#include "caffe/layers/multi_label_sigmoid_cross_entropy_loss_layer.hpp"

#include <string>
#include <vector>

#include "label_watch.hpp"
#include "multi_label_loss_passes.hpp"
#include "multi_label_terms.hpp"

namespace caffe {

using caffe_ext::OccurrenceTerms;

template <typename Dtype>
MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::MultiLabelSigmoidCrossEntropyLossLayer(
    const LayerParameter& param)
    : BaseMultiLabelLossLayer<Dtype>(param), watch_(new caffe_ext::LabelWatch) {}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                                               const vector<Blob<Dtype>*>& top) {
  BaseMultiLabelLossLayer<Dtype>::LayerSetUp(bottom, top);
  if (top.size() == 2) {
    // A weight given for the loss alone means that the probabilities have none.
    if (this->layer_param_.loss_weight_size() == 1) {
      this->layer_param_.add_loss_weight(0);
    }
    CHECK_EQ(this->layer_param_.loss_weight(1), 0)
        << this->Title()
        << ": the second top holds probabilities, no loss; its loss_weight must be 0.";
  }
  const string fault = watch_->SetUp(this->layer_param_);
  CHECK(fault.empty()) << this->Title() << ": " << fault << ".";
  this->SetWeight("pos_weight", this->layer_param_.multi_label_loss_param().pos_weight());
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                                            const vector<Blob<Dtype>*>& top) {
  BaseMultiLabelLossLayer<Dtype>::Reshape(bottom, top);
  if (top.size() == 2) {
    top[1]->ReshapeLike(*bottom[0]);
  }
}

template <typename Dtype>
const char* MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::LabelsAre() const {
  return OccurrenceTerms::LabelsAre();
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::WatchLabels(const Blob<Dtype>& labels) {
  watch_->Watch(labels, this->Title(), this->phase_);
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                                                const vector<Blob<Dtype>*>& top) {
  this->ForwardTerms_cpu(OccurrenceTerms(), bottom, top);
  if (top.size() == 2) {
    const Dtype* scores = bottom[0]->cpu_data();
    Dtype* probabilities = top[1]->mutable_cpu_data();
    for (int i = 0; i < bottom[0]->count(); ++i) {
      probabilities[i] = static_cast<Dtype>(caffe_ext::Sigmoid(scores[i]));
    }
  }
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Backward_cpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  this->BackwardTerms_cpu(OccurrenceTerms(), top, propagate_down, bottom);
}

#ifdef CPU_ONLY
STUB_GPU(MultiLabelSigmoidCrossEntropyLossLayer);
#endif

INSTANTIATE_CLASS(MultiLabelSigmoidCrossEntropyLossLayer);
REGISTER_LAYER_CLASS(MultiLabelSigmoidCrossEntropyLoss);

// Under the name that the authors' prototxts give it; see authors_layers.md.
template <typename Dtype>
class MultiSigmoidCrossEntropyLossLayer : public MultiLabelSigmoidCrossEntropyLossLayer<Dtype> {
 public:
  explicit MultiSigmoidCrossEntropyLossLayer(const LayerParameter& param)
      : MultiLabelSigmoidCrossEntropyLossLayer<Dtype>(param) {}
  virtual inline const char* type() const { return "MultiSigmoidCrossEntropyLoss"; }
};

INSTANTIATE_CLASS(MultiSigmoidCrossEntropyLossLayer);
REGISTER_LAYER_CLASS(MultiSigmoidCrossEntropyLoss);

}  // namespace caffe
