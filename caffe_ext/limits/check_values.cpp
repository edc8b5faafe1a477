#include "limits/check_values.hpp"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "limits/host_memory.hpp"
#include "limits/limits.hpp"

namespace caffe_ext {

namespace {

using caffe::Blob;
using caffe::LayerParameter;

// What the values of one input may be: from `least` to below `count`, or one number besides.
struct Allowed {
  int count;
  bool has_other;
  int other;
  int least;
};

// The size of an axis; INT_MAX where there is none, which the layer itself says.
int Axis(const std::vector<int>& shape, int64_t axis) {
  const int64_t axes = static_cast<int64_t>(shape.size());
  const int64_t index = axis < 0 ? axis + axes : axis;
  return index >= 0 && index < axes ? shape[index] : INT_MAX;
}

// --- What a layer allows, by its parameters and the shape of its first input.

Allowed Accuracy(const LayerParameter& layer, const std::vector<int>& shape) {
  const caffe::AccuracyParameter& param = layer.accuracy_param();
  return Allowed{Axis(shape, param.axis()), param.has_ignore_label(), param.ignore_label(), 0};
}

Allowed BatchReindex(const LayerParameter&, const std::vector<int>& shape) {
  return Allowed{Axis(shape, 0), false, 0, 0};
}

// It asks whether a label is 0.
Allowed ContrastiveLoss(const LayerParameter&, const std::vector<int>&) {
  return Allowed{INT_MAX, false, 0, -INT_MAX};
}

Allowed Embed(const LayerParameter& layer, const std::vector<int>&) {
  const int64_t size = layer.embed_param().input_dim();
  return Allowed{static_cast<int>(std::min<int64_t>(size, INT_MAX)), false, 0, 0};
}

Allowed Loss(const LayerParameter& layer, int classes) {
  const caffe::LossParameter& param = layer.loss_param();
  return Allowed{classes, param.has_ignore_label(), param.ignore_label(), 0};
}

Allowed InfogainLoss(const LayerParameter& layer, const std::vector<int>& shape) {
  return Loss(layer, Axis(shape, layer.infogain_loss_param().axis()));
}

Allowed SoftmaxLoss(const LayerParameter& layer, const std::vector<int>& shape) {
  return Loss(layer, Axis(shape, layer.softmax_param().axis()));
}

// All values of a sample, one class each.
Allowed ClassesOfSample(const LayerParameter&, const std::vector<int>& shape) {
  int64_t classes = 1;
  for (size_t i = 1; i < shape.size(); ++i) {
    classes *= shape[i];
  }
  return Allowed{static_cast<int>(classes), false, 0, 0};
}

// A type whose input number `bottom` holds labels or indices.
struct Rule {
  int bottom;
  const char* what;
  Allowed (*allowed)(const LayerParameter&, const std::vector<int>&);
};

const std::unordered_map<std::string, Rule>& Rules() {
  static const std::unordered_map<std::string, Rule> rules = {
      {"Accuracy", {1, "label", Accuracy}},
      {"BatchReindex", {1, "index", BatchReindex}},
      {"ContrastiveLoss", {2, "label", ContrastiveLoss}},
      {"Embed", {0, "index", Embed}},
      {"HingeLoss", {1, "label", ClassesOfSample}},
      {"InfogainLoss", {1, "label", InfogainLoss}},
      {"MultinomialLogisticLoss", {1, "label", ClassesOfSample}},
      {"SoftmaxWithLoss", {1, "label", SoftmaxLoss}},
  };
  return rules;
}

}  // namespace

template <typename Dtype>
void CheckValues(const LayerParameter& layer, const std::string& type,
                 const std::vector<Blob<Dtype>*>& bottom) {
  const auto found = Rules().find(type);
  if (found == Rules().end() || found->second.bottom >= static_cast<int>(bottom.size())) {
    return;
  }
  const Rule& rule = found->second;
  const Blob<Dtype>& values = *bottom[rule.bottom];
  const Allowed allowed = rule.allowed(layer, bottom[0]->shape());
  const Dtype* value = values.count() ? values.cpu_data() : NULL;
  for (int i = 0; i < values.count(); ++i) {
    const int index = ToIndex(value[i]);
    CHECK((index >= allowed.least && index < allowed.count) ||
          (allowed.has_other && index == allowed.other))
        << Whose() << rule.what << " " << i << " is " << value[i] << "; it must be from "
        << allowed.least << " to " << allowed.count - 1
        << (allowed.has_other ? ", or the one to be ignored" : "");
  }
}

template <typename Dtype>
void CheckMask(const std::string& type, const std::vector<Blob<Dtype>*>& bottom,
               const std::vector<Blob<Dtype>*>& top) {
  if (type != "Pooling" || top.size() < 2 || bottom[0]->num_axes() != 4) {
    return;
  }
  const int map = bottom[0]->shape(2) * bottom[0]->shape(3);
  const Dtype* mask = top[1]->count() ? top[1]->cpu_data() : NULL;
  for (int i = 0; i < top[1]->count(); ++i) {
    const int index = ToIndex(mask[i]);
    CHECK(index >= 0 && index < map) << Whose() << "the mask leads outside of the map: " << mask[i];
  }
}

template void CheckValues(const LayerParameter&, const std::string&,
                          const std::vector<Blob<float>*>&);
template void CheckValues(const LayerParameter&, const std::string&,
                          const std::vector<Blob<double>*>&);
template void CheckMask(const std::string&, const std::vector<Blob<float>*>&,
                        const std::vector<Blob<float>*>&);
template void CheckMask(const std::string&, const std::vector<Blob<double>*>&,
                        const std::vector<Blob<double>*>&);

}  // namespace caffe_ext
