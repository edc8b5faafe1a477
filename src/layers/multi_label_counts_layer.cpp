#include "caffe/layers/multi_label_counts_layer.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "label_watch.hpp"
#include "multi_label_terms.hpp"

namespace caffe {

template <typename Dtype>
MultiLabelCountsLayer<Dtype>::MultiLabelCountsLayer(const LayerParameter& param)
    : Layer<Dtype>(param), watch_(new caffe_ext::LabelWatch) {}

template <typename Dtype>
string MultiLabelCountsLayer<Dtype>::Title() const {
  return string(this->type()) + " layer '" + this->layer_param_.name() + "'";
}

template <typename Dtype>
void MultiLabelCountsLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                              const vector<Blob<Dtype>*>& top) {
  // Written so that a NaN is refused, too.
  CHECK(threshold() >= 0 && threshold() <= 1)
      << Title() << ": threshold is " << threshold() << "; it is a probability, from 0 to 1.";
  for (int i = 0; i < this->layer_param_.loss_weight_size(); ++i) {
    CHECK_EQ(this->layer_param_.loss_weight(i), 0)
        << Title() << ": counts are no loss; remove loss_weight.";
  }
  const string fault = watch_->SetUp(this->layer_param_);
  CHECK(fault.empty()) << Title() << ": " << fault << ".";
}

template <typename Dtype>
void MultiLabelCountsLayer<Dtype>::WatchLabels(const Blob<Dtype>& labels) {
  if (!watch_->over()) {
    watch_->Look(labels.cpu_data(), labels.count());
    watch_->Report(Title(), this->phase_);
  }
}

template <typename Dtype>
void MultiLabelCountsLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                           const vector<Blob<Dtype>*>& top) {
  CHECK_GE(bottom[0]->num_axes(), 1) << Title() << ": the scores have no batch axis.";
  CHECK_GE(bottom[1]->num_axes(), 1) << Title() << ": the labels have no batch axis.";
  CHECK(bottom[0]->shape(0) == bottom[1]->shape(0) && bottom[0]->count(1) == bottom[1]->count(1))
      << Title() << ": every score needs one label, but the scores are "
      << bottom[0]->shape_string() << " and the labels " << bottom[1]->shape_string() << ".";
  vector<int> shape(2);
  shape[0] = bottom[0]->count(1);
  shape[1] = caffe_ext::kOutcomes;
  top[0]->Reshape(shape);
  if (top.size() > 1) {
    shape[1] = caffe_ext::kMoments;
    top[1]->Reshape(shape);
  }
}

template <typename Dtype>
void MultiLabelCountsLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                               const vector<Blob<Dtype>*>& top) {
  const int count = bottom[0]->count();
  const int classes = bottom[0]->count(1);
  const Dtype* scores = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  WatchLabels(*bottom[1]);
  Dtype* counts = top[0]->mutable_cpu_data();
  std::fill(counts, counts + top[0]->count(), Dtype(0));
  for (int i = 0; i < count; ++i) {
    CHECK(caffe_ext::IsLabel(labels[i]))
        << Title() << ": the label of sample " << i / classes << ", class " << i % classes << " is "
        << labels[i] << "; labels are -1 (absent), 0 (unknown) or 1 (present).";
    Dtype* of_class = counts + i % classes * caffe_ext::kOutcomes;
    if (scores[i] != scores[i]) {
      std::fill(of_class, of_class + caffe_ext::kOutcomes, std::numeric_limits<Dtype>::quiet_NaN());
    } else if (labels[i] != 0) {
      of_class[caffe_ext::OutcomeOf(scores[i], labels[i], threshold())] += 1;
    }
  }
  if (top.size() > 1) {
    SumMoments(count, classes, scores, labels, top[1]->mutable_cpu_data());
  }
}

template <typename Dtype>
void MultiLabelCountsLayer<Dtype>::SumMoments(int count, int classes, const Dtype* scores,
                                              const Dtype* labels, Dtype* moments) {
  vector<double> sums(classes * caffe_ext::kMoments, 0);
  for (int i = 0; i < count; ++i) {
    // A NaN is one in every sum of its class, as it is in the counts.
    const bool broken = scores[i] != scores[i];
    for (int moment = 0; moment < caffe_ext::kMoments; ++moment) {
      sums[i % classes * caffe_ext::kMoments + moment] +=
          broken ? scores[i] : caffe_ext::MomentTerm(moment, scores[i], labels[i]);
    }
  }
  std::copy(sums.begin(), sums.end(), moments);
}

template <typename Dtype>
void MultiLabelCountsLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                                const vector<bool>& propagate_down,
                                                const vector<Blob<Dtype>*>& bottom) {
  for (size_t i = 0; i < propagate_down.size(); ++i) {
    CHECK(!propagate_down[i]) << Title() << " has no gradient.";
  }
}

#ifdef CPU_ONLY
STUB_GPU_FORWARD(MultiLabelCountsLayer, Forward);
#endif

INSTANTIATE_CLASS(MultiLabelCountsLayer);
REGISTER_LAYER_CLASS(MultiLabelCounts);

}  // namespace caffe
