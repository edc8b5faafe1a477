#include "caffe/layers/multi_label_counts_layer.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "label_watch.hpp"
#include "multi_label_checks.hpp"
#include "multi_label_terms.hpp"

namespace caffe {

using caffe_ext::OccurrenceTerms;

template <typename Dtype>
MultiLabelCountsLayer<Dtype>::MultiLabelCountsLayer(const LayerParameter& param)
    : Layer<Dtype>(param), watch_(new caffe_ext::LabelWatch) {}

template <typename Dtype>
string MultiLabelCountsLayer<Dtype>::Title() const {
  return caffe_ext::LayerTitle(*this);
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
void MultiLabelCountsLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                           const vector<Blob<Dtype>*>& top) {
  caffe_ext::CheckOneLabelEach(Title(), "score", bottom);
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
  watch_->Watch(*bottom[1], Title(), this->phase_);
  Dtype* counts = top[0]->mutable_cpu_data();
  std::fill(counts, counts + top[0]->count(), Dtype(0));
  for (int i = 0; i < count; ++i) {
    if (!OccurrenceTerms::IsLabel(labels[i])) {
      caffe_ext::FailAtLabel(Title(), i, classes, labels[i], OccurrenceTerms::LabelsAre());
    }
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
