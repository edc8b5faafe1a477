#include "caffe/layers/multi_label_euclidean_loss_layer.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "multi_label_terms.hpp"

namespace caffe {

template <typename Dtype>
string MultiLabelEuclideanLossLayer<Dtype>::Title() const {
  return string(this->type()) + " layer '" + this->layer_param_.name() + "'";
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                                     const vector<Blob<Dtype>*>& top) {
  LossLayer<Dtype>::LayerSetUp(bottom, top);

  const LossParameter& loss_param = this->layer_param_.loss_param();
  CHECK(!loss_param.has_ignore_label())
      << Title() << ": loss_param.ignore_label is not supported, as label 9 already means unknown. "
      << "Remove it, and write 9 for labels to ignore.";
  if (loss_param.has_normalization()) {
    normalization_ = loss_param.normalization();
  } else if (loss_param.has_normalize() && loss_param.normalize()) {
    normalization_ = LossParameter_NormalizationMode_VALID;
  } else {
    normalization_ = LossParameter_NormalizationMode_BATCH_SIZE;
  }

  const MultiLabelEuclideanLossParameter& param =
      this->layer_param_.multi_label_euclidean_loss_param();
  delta_ = param.delta();
  CHECK(delta_ >= 0 && std::isfinite(delta_))
      << Title() << ": delta is " << delta_ << "; it must be positive, or 0 for none.";
  weight_.Reshape(vector<int>(1, std::max(1, param.weight_size())));
  weight_.mutable_cpu_data()[0] = 1;
  for (int c = 0; c < param.weight_size(); ++c) {
    const double weight = param.weight(c);
    CHECK(weight > 0 && std::isfinite(weight))
        << Title() << ": weight " << c << " is " << weight << "; it must be positive.";
    weight_.mutable_cpu_data()[c] = weight;
  }
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                                  const vector<Blob<Dtype>*>& top) {
  CHECK_GE(bottom[0]->num_axes(), 1) << Title() << ": the estimates have no batch axis.";
  CHECK_GE(bottom[1]->num_axes(), 1) << Title() << ": the labels have no batch axis.";
  CHECK(bottom[0]->shape(0) == bottom[1]->shape(0) && bottom[0]->count(1) == bottom[1]->count(1))
      << Title() << ": every estimate needs one label, but the estimates are "
      << bottom[0]->shape_string() << " and the labels " << bottom[1]->shape_string() << ".";
  LossLayer<Dtype>::Reshape(bottom, top);
  const int classes = bottom[0]->count(1);
  CHECK(weight_.count() == 1 || weight_.count() == classes)
      << Title() << ": " << weight_.count() << " values of weight for " << classes
      << " classes; give one for each class, or one for all.";
}

template <typename Dtype>
double MultiLabelEuclideanLossLayer<Dtype>::Normalizer(int samples, int classes, int known) const {
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
void MultiLabelEuclideanLossLayer<Dtype>::FailAtLabel(int index, int classes, double value) const {
  LOG(FATAL) << Title() << ": the label of sample " << index / classes << ", class "
             << index % classes << " is " << value
             << "; labels are numbers from 0 (absent) to 5, or 9 (unknown).";
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::StopAtBadLabel(int classes) const {
  if (bad_label_) {
    const int index = *static_cast<volatile int*>(&bad_label_->index);
    if (index >= 0) {
      FailAtLabel(index, classes, bad_label_->value);
    }
  }
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                                      const vector<Blob<Dtype>*>& top) {
  const int count = bottom[0]->count();
  const int classes = bottom[0]->count(1);
  const Dtype* estimates = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  const double* weights = weight_.cpu_data();
  double loss = 0;
  int known = 0;
  for (int i = 0; i < count; ++i) {
    if (!caffe_ext::IsLevel(labels[i])) {
      FailAtLabel(i, classes, labels[i]);
    }
    loss += caffe_ext::DistanceTerm(estimates[i], labels[i], weights[i % weight_.count()], delta_);
    known += labels[i] != caffe_ext::kUnknownLevel;
  }
  const double normalizer = Normalizer(bottom[0]->shape(0), classes, known);
  normalizer_.mutable_cpu_data()[0] = normalizer;
  top[0]->mutable_cpu_data()[0] = static_cast<Dtype>(loss / normalizer);
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                                       const vector<bool>& propagate_down,
                                                       const vector<Blob<Dtype>*>& bottom) {
  CHECK(!propagate_down[1]) << Title() << " cannot backpropagate to its labels.";
  if (!propagate_down[0]) {
    return;
  }
  const Dtype* estimates = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  const double* weights = weight_.cpu_data();
  Dtype* diff = bottom[0]->mutable_cpu_diff();
  const double scale = top[0]->cpu_diff()[0] / normalizer_.cpu_data()[0];
  for (int i = 0; i < bottom[0]->count(); ++i) {
    const double weight = weights[i % weight_.count()];
    diff[i] = static_cast<Dtype>(
        scale * caffe_ext::DistanceGradient(estimates[i], labels[i], weight, delta_));
  }
}

#ifdef CPU_ONLY
STUB_GPU(MultiLabelEuclideanLossLayer);
#endif

INSTANTIATE_CLASS(MultiLabelEuclideanLossLayer);
REGISTER_LAYER_CLASS(MultiLabelEuclideanLoss);

}  // namespace caffe
