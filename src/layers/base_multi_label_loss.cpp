#include "caffe/layers/base_multi_label_loss.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "multi_label_checks.hpp"
#include "multi_label_terms.hpp"

namespace caffe {

template <typename Dtype>
BaseMultiLabelLossLayer<Dtype>::BaseMultiLabelLossLayer(const LayerParameter& param)
    : LossLayer<Dtype>(param),
      normalization_(LossParameter_NormalizationMode_BATCH_SIZE),
      normalizer_(vector<int>(1, 1)) {}

template <typename Dtype>
string BaseMultiLabelLossLayer<Dtype>::Title() const {
  return caffe_ext::LayerTitle(*this);
}

template <typename Dtype>
void BaseMultiLabelLossLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                                const vector<Blob<Dtype>*>& top) {
  LossLayer<Dtype>::LayerSetUp(bottom, top);
  const LossParameter& param = this->layer_param_.loss_param();
  if (param.has_normalization()) {
    normalization_ = param.normalization();
  } else if (param.normalize()) {
    normalization_ = LossParameter_NormalizationMode_VALID;
  } else {
    normalization_ = LossParameter_NormalizationMode_BATCH_SIZE;
  }
}

template <typename Dtype>
void BaseMultiLabelLossLayer<Dtype>::SetWeight(
    const string& name, const google::protobuf::RepeatedField<float>& values) {
  weight_name_ = name;
  weight_.Reshape(vector<int>(1, std::max(1, values.size())));
  weight_.mutable_cpu_data()[0] = 1;
  for (int c = 0; c < values.size(); ++c) {
    const double weight = values.Get(c);
    CHECK(weight > 0 && std::isfinite(weight))
        << Title() << ": " << name << " " << c << " is " << weight << "; it must be positive.";
    weight_.mutable_cpu_data()[c] = weight;
  }
}

template <typename Dtype>
void BaseMultiLabelLossLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                             const vector<Blob<Dtype>*>& top) {
  caffe_ext::CheckOneLabelEach(Title(), ValueName(), bottom);
  LossLayer<Dtype>::Reshape(bottom, top);
  const int classes = bottom[0]->count(1);
  CHECK(weight_.count() == 1 || weight_.count() == classes)
      << Title() << ": " << weight_.count() << " values of " << weight_name_ << " for " << classes
      << " classes; give one for each class, or one for all.";
}

template <typename Dtype>
double BaseMultiLabelLossLayer<Dtype>::Normalizer(int samples, int classes, int known) const {
  double normalizer = 1;
  switch (normalization_) {
    case LossParameter_NormalizationMode_FULL:
      normalizer = static_cast<double>(samples) * classes;
      break;
    case LossParameter_NormalizationMode_VALID:
      normalizer = known;
      break;
    case LossParameter_NormalizationMode_BATCH_SIZE:
      normalizer = samples;
      break;
    case LossParameter_NormalizationMode_NONE:
      break;
    default:
      LOG(FATAL) << Title() << ": unknown normalization " << normalization_ << ".";
  }
  return std::max(normalizer, 1.0);
}

template <typename Dtype>
void BaseMultiLabelLossLayer<Dtype>::FailAtLabel(int index, int classes, double value) const {
  caffe_ext::FailAtLabel(Title(), index, classes, value, LabelsAre());
}

template <typename Dtype>
void BaseMultiLabelLossLayer<Dtype>::StopAtBadLabel(int classes) const {
  if (bad_label_) {
    const int index = *static_cast<volatile int*>(&bad_label_->index);
    if (index >= 0) {
      FailAtLabel(index, classes, bad_label_->value);
    }
  }
}

INSTANTIATE_CLASS(BaseMultiLabelLossLayer);

}  // namespace caffe
