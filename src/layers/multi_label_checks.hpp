#ifndef DRML_LAYERS_MULTI_LABEL_CHECKS_HPP_
#define DRML_LAYERS_MULTI_LABEL_CHECKS_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer.hpp"

// What layers that compare values with labels check alike.

namespace caffe_ext {

/// "Type layer 'name'", the start of a layer's messages.
template <typename Dtype>
std::string LayerTitle(const caffe::Layer<Dtype>& layer) {
  return std::string(layer.type()) + " layer '" + layer.layer_param().name() + "'";
}

/// Stops the run unless every value of the first bottom has one label in the second: N and C are
/// the same. value is what messages call one, such as "score".
template <typename Dtype>
void CheckOneLabelEach(const std::string& title, const std::string& value,
                       const std::vector<caffe::Blob<Dtype>*>& bottom) {
  const caffe::Blob<Dtype>&values = *bottom[0], &labels = *bottom[1];
  CHECK_GE(values.num_axes(), 1) << title << ": the " << value << "s have no batch axis.";
  CHECK_GE(labels.num_axes(), 1) << title << ": the labels have no batch axis.";
  CHECK(values.shape(0) == labels.shape(0) && values.count(1) == labels.count(1))
      << title << ": every " << value << " needs one label, but the " << value << "s are "
      << values.shape_string() << " and the labels " << labels.shape_string() << ".";
}

/// Stops the run at a label that is none, the one at `index` of N x C.
inline void FailAtLabel(const std::string& title, int index, int classes, double value,
                        const char* labels_are) {
  LOG(FATAL) << title << ": the label of sample " << index / classes << ", class "
             << index % classes << " is " << value << "; " << labels_are << ".";
}

}  // namespace caffe_ext

#endif  // DRML_LAYERS_MULTI_LABEL_CHECKS_HPP_
