#ifndef DRML_LAYERS_MULTI_LABEL_LOSS_PASSES_HPP_
#define DRML_LAYERS_MULTI_LABEL_LOSS_PASSES_HPP_

#include <vector>

#include "caffe/layers/base_multi_label_loss.hpp"

// The passes of the multi-label losses on the CPU, for their .cpp files.

namespace caffe {

template <typename Dtype>
template <typename Terms>
void BaseMultiLabelLossLayer<Dtype>::ForwardTerms_cpu(const Terms& terms,
                                                      const vector<Blob<Dtype>*>& bottom,
                                                      const vector<Blob<Dtype>*>& top) {
  const int count = bottom[0]->count();
  const int classes = bottom[0]->count(1);
  const Dtype* values = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  const double* weights = weight_.cpu_data();
  if (this->phase_ == TEST) {
    WatchLabels(*bottom[1]);
  }
  double loss = 0;
  int known = 0;
  for (int i = 0; i < count; ++i) {
    if (!Terms::IsLabel(labels[i])) {
      FailAtLabel(i, classes, labels[i]);
    }
    loss += terms.Loss(values[i], labels[i], weights[i % weight_.count()]);
    known += Terms::IsKnown(labels[i]);
  }
  const double normalizer = Normalizer(bottom[0]->shape(0), classes, known);
  normalizer_.mutable_cpu_data()[0] = normalizer;
  top[0]->mutable_cpu_data()[0] = static_cast<Dtype>(loss / normalizer);
}

template <typename Dtype>
template <typename Terms>
void BaseMultiLabelLossLayer<Dtype>::BackwardTerms_cpu(const Terms& terms,
                                                       const vector<Blob<Dtype>*>& top,
                                                       const vector<bool>& propagate_down,
                                                       const vector<Blob<Dtype>*>& bottom) {
  CHECK(!propagate_down[1]) << Title() << " cannot backpropagate to its labels.";
  if (!propagate_down[0]) {
    return;
  }
  if (this->phase_ == TRAIN) {
    WatchLabels(*bottom[1]);
  }
  const Dtype* values = bottom[0]->cpu_data();
  const Dtype* labels = bottom[1]->cpu_data();
  const double* weights = weight_.cpu_data();
  Dtype* diff = bottom[0]->mutable_cpu_diff();
  const double scale = top[0]->cpu_diff()[0] / normalizer_.cpu_data()[0];
  for (int i = 0; i < bottom[0]->count(); ++i) {
    const double weight = weights[i % weight_.count()];
    diff[i] = static_cast<Dtype>(scale * terms.Gradient(values[i], labels[i], weight));
  }
}

}  // namespace caffe

#endif  // DRML_LAYERS_MULTI_LABEL_LOSS_PASSES_HPP_
