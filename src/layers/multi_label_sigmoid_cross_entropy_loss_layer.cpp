#include "caffe/layers/multi_label_sigmoid_cross_entropy_loss_layer.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "label_watch.hpp"
#include "multi_label_terms.hpp"

namespace caffe {

template <typename Dtype>
MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::MultiLabelSigmoidCrossEntropyLossLayer(
    const LayerParameter& param)
    : LossLayer<Dtype>(param),
      normalization_(LossParameter_NormalizationMode_BATCH_SIZE),
      normalizer_(vector<int>(1, 1)),
      watch_(new caffe_ext::LabelWatch) {}

template <typename Dtype>
string MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Title() const {
  return string(this->type()) + " layer '" + this->layer_param_.name() + "'";
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                                               const vector<Blob<Dtype>*>& top) {
  LossLayer<Dtype>::LayerSetUp(bottom, top);
  if (top.size() == 2) {
    // A weight given for the loss alone means that the probabilities have none.
    if (this->layer_param_.loss_weight_size() == 1) {
      this->layer_param_.add_loss_weight(0);
    }
    CHECK_EQ(this->layer_param_.loss_weight(1), 0)
        << Title() << ": the second top holds probabilities, no loss; its loss_weight must be 0.";
  }

  const LossParameter& loss_param = this->layer_param_.loss_param();
  const string fault = watch_->SetUp(this->layer_param_);
  CHECK(fault.empty()) << Title() << ": " << fault << ".";
  if (loss_param.has_normalization()) {
    normalization_ = loss_param.normalization();
  } else if (loss_param.has_normalize() && loss_param.normalize()) {
    normalization_ = LossParameter_NormalizationMode_VALID;
  } else {
    normalization_ = LossParameter_NormalizationMode_BATCH_SIZE;
  }

  const MultiLabelLossParameter& param = this->layer_param_.multi_label_loss_param();
  pos_weight_.Reshape(vector<int>(1, std::max(1, param.pos_weight_size())));
  pos_weight_.mutable_cpu_data()[0] = 1;
  for (int c = 0; c < param.pos_weight_size(); ++c) {
    const double weight = param.pos_weight(c);
    CHECK(weight > 0 && std::isfinite(weight))
        << Title() << ": pos_weight " << c << " is " << weight << "; it must be positive.";
    pos_weight_.mutable_cpu_data()[c] = weight;
  }
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                                            const vector<Blob<Dtype>*>& top) {
  CHECK_GE(bottom[0]->num_axes(), 1) << Title() << ": the scores have no batch axis.";
  CHECK_GE(bottom[1]->num_axes(), 1) << Title() << ": the labels have no batch axis.";
  CHECK(bottom[0]->shape(0) == bottom[1]->shape(0) && bottom[0]->count(1) == bottom[1]->count(1))
      << Title() << ": every score needs one label, but the scores are "
      << bottom[0]->shape_string() << " and the labels " << bottom[1]->shape_string() << ".";
  LossLayer<Dtype>::Reshape(bottom, top);
  const int classes = bottom[0]->count(1);
  CHECK(pos_weight_.count() == 1 || pos_weight_.count() == classes)
      << Title() << ": " << pos_weight_.count() << " values of pos_weight for " << classes
      << " classes; give one for each class, or one for all.";
  if (top.size() == 2) {
    top[1]->ReshapeLike(*bottom[0]);
  }
}

template <typename Dtype>
double MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Normalizer(int samples, int classes,
                                                                 int known) const {
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
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::FailAtLabel(int index, int classes,
                                                                double value) const {
  LOG(FATAL) << Title() << ": the label of sample " << index / classes << ", class "
             << index % classes << " is " << value
             << "; labels are -1 (absent), 0 (unknown) or 1 (present).";
}

// In TRAIN, labels count where a net learns from them: a gradient check, or somebody who looks at
// one batch, runs forward again and again.
template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::WatchLabels(const Blob<Dtype>& labels) {
  if (!watch_->over()) {
    watch_->Look(labels.cpu_data(), labels.count());
    watch_->Report(Title(), this->phase_);
  }
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::StopAtBadLabel(int classes) const {
  if (bad_label_) {
    const int index = *static_cast<volatile int*>(&bad_label_->index);
    if (index >= 0) {
      FailAtLabel(index, classes, bad_label_->value);
    }
  }
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                                                const vector<Blob<Dtype>*>& top) {
  const int count = bottom[0]->count();
  const int classes = bottom[0]->count(1);
  const Dtype* scores = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  const double* weights = pos_weight_.cpu_data();
  if (this->phase_ == TEST) {
    WatchLabels(*bottom[1]);
  }
  double loss = 0;
  int known = 0;
  for (int i = 0; i < count; ++i) {
    if (!caffe_ext::IsLabel(labels[i])) {
      FailAtLabel(i, classes, labels[i]);
    }
    loss += caffe_ext::LossTerm(scores[i], labels[i], weights[i % pos_weight_.count()]);
    known += labels[i] != 0;
  }
  const double normalizer = Normalizer(bottom[0]->shape(0), classes, known);
  normalizer_.mutable_cpu_data()[0] = normalizer;
  top[0]->mutable_cpu_data()[0] = static_cast<Dtype>(loss / normalizer);
  if (top.size() == 2) {
    Dtype* probabilities = top[1]->mutable_cpu_data();
    for (int i = 0; i < count; ++i) {
      probabilities[i] = static_cast<Dtype>(caffe_ext::Sigmoid(scores[i]));
    }
  }
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Backward_cpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  CHECK(!propagate_down[1]) << Title() << " cannot backpropagate to its labels.";
  if (!propagate_down[0]) {
    return;
  }
  if (this->phase_ == TRAIN) {
    WatchLabels(*bottom[1]);
  }
  const Dtype* scores = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  const double* weights = pos_weight_.cpu_data();
  Dtype* diff = bottom[0]->mutable_cpu_diff();
  const double scale = top[0]->cpu_diff()[0] / normalizer_.cpu_data()[0];
  for (int i = 0; i < bottom[0]->count(); ++i) {
    const double weight = weights[i % pos_weight_.count()];
    diff[i] = static_cast<Dtype>(scale * caffe_ext::GradientTerm(scores[i], labels[i], weight));
  }
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
