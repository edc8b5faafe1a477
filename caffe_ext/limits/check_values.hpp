// Labels and indices that come with the data.
#ifndef CAFFE_EXT_LIMITS_CHECK_VALUES_HPP_
#define CAFFE_EXT_LIMITS_CHECK_VALUES_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/**
 * @brief A fatal message where a label or an index among a layer's inputs is none: Caffe's layers
 * use such values to address memory, and check them in debug builds only, or not at all.
 *
 * A value counts without its fraction, as it is used. What a layer is told to ignore
 * (ignore_label) is allowed. A table says which input of which type holds them.
 *
 * @param type the layer's own name for its type, which a layer that was made without a prototxt has
 */
template <typename Dtype>
void CheckValues(const caffe::LayerParameter& layer, const std::string& type,
                 const std::vector<caffe::Blob<Dtype>*>& bottom);

/// The same before Backward of a Pooling with a mask as second top, which tells where each maximum
/// was.
template <typename Dtype>
void CheckMask(const std::string& type, const std::vector<caffe::Blob<Dtype>*>& bottom,
               const std::vector<caffe::Blob<Dtype>*>& top);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_CHECK_VALUES_HPP_
