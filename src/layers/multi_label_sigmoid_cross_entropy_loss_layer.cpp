#include "caffe/layers/multi_label_sigmoid_cross_entropy_loss_layer.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace caffe {

namespace {

// 1 / (1 + exp(-x)); the exponent is never positive, so nothing overflows.
inline double Sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

// log(1 + exp(x)) = -log(sigmoid(-x)), for any x.
inline double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace

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
  CHECK(!loss_param.has_ignore_label())
      << Title() << ": loss_param.ignore_label is not supported, as label 0 already means unknown. "
      << "Remove it, and write 0 for labels to ignore.";
  if (loss_param.has_normalization()) {
    normalization_ = loss_param.normalization();
  } else if (loss_param.has_normalize() && loss_param.normalize()) {
    normalization_ = LossParameter_NormalizationMode_VALID;
  } else {
    normalization_ = LossParameter_NormalizationMode_BATCH_SIZE;
  }

  const MultiLabelLossParameter& param = this->layer_param_.multi_label_loss_param();
  pos_weight_.assign(param.pos_weight().begin(), param.pos_weight().end());
  for (size_t c = 0; c < pos_weight_.size(); ++c) {
    CHECK(pos_weight_[c] > 0 && std::isfinite(pos_weight_[c]))
        << Title() << ": pos_weight " << c << " is " << pos_weight_[c] << "; it must be positive.";
  }
  if (pos_weight_.empty()) {
    pos_weight_.push_back(1);
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
  CHECK(pos_weight_.size() == 1 || static_cast<int>(pos_weight_.size()) == classes)
      << Title() << ": " << pos_weight_.size() << " values of pos_weight for " << classes
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
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                                                const vector<Blob<Dtype>*>& top) {
  const int samples = bottom[0]->shape(0);
  const int classes = bottom[0]->count(1);
  const Dtype* scores = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  double loss = 0;
  int known = 0;
  for (int n = 0; n < samples; ++n) {
    for (int c = 0; c < classes; ++c) {
      const int i = n * classes + c;
      // Written so that a NaN fails too.
      CHECK(labels[i] == 1 || labels[i] == -1 || labels[i] == 0)
          << Title() << ": the label of sample " << n << ", class " << c << " is " << labels[i]
          << "; labels are -1 (absent), 0 (unknown) or 1 (present).";
      if (labels[i] > 0) {
        loss += PosWeight(c) * Softplus(-static_cast<double>(scores[i]));
        ++known;
      } else if (labels[i] < 0) {
        loss += Softplus(scores[i]);
        ++known;
      }
    }
  }
  normalizer_ = Normalizer(samples, classes, known);
  top[0]->mutable_cpu_data()[0] = static_cast<Dtype>(loss / normalizer_);
  if (top.size() == 2) {
    Dtype* probabilities = top[1]->mutable_cpu_data();
    for (int i = 0; i < bottom[0]->count(); ++i) {
      probabilities[i] = static_cast<Dtype>(Sigmoid(scores[i]));
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
  const int samples = bottom[0]->shape(0);
  const int classes = bottom[0]->count(1);
  const Dtype* scores = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  Dtype* diff = bottom[0]->mutable_cpu_diff();
  const double scale = top[0]->cpu_diff()[0] / normalizer_;
  for (int n = 0; n < samples; ++n) {
    for (int c = 0; c < classes; ++c) {
      const int i = n * classes + c;
      double gradient = 0;
      if (labels[i] > 0) {
        // p - 1, without the cancellation at large scores
        gradient = -PosWeight(c) * Sigmoid(-static_cast<double>(scores[i]));
      } else if (labels[i] < 0) {
        gradient = Sigmoid(scores[i]);
      }
      diff[i] = static_cast<Dtype>(scale * gradient);
    }
  }
}

INSTANTIATE_CLASS(MultiLabelSigmoidCrossEntropyLossLayer);
REGISTER_LAYER_CLASS(MultiLabelSigmoidCrossEntropyLoss);

}  // namespace caffe
