// Layers that let NaN of their inputs through to their outputs.
#ifndef CAFFE_EXT_LIMITS_NAN_LAYERS_HPP_
#define CAFFE_EXT_LIMITS_NAN_LAYERS_HPP_

#include "caffe/common.hpp"

namespace caffe {
template <typename Dtype>
class Layer;
class LayerParameter;
}  // namespace caffe

namespace caffe_ext {

/**
 * @brief A layer that is upstream's with NaN brought back, where the comparisons in upstream's code
 * lose it: Accuracy, Clip, Eltwise (MAX), HingeLoss, SoftmaxWithLoss (on the GPU) and Threshold.
 * Null for other types.
 *
 * Where no input is NaN, this costs the sum of the inputs' magnitudes.
 */
template <typename Dtype>
caffe::shared_ptr<caffe::Layer<Dtype> > CreateNanLayer(const caffe::LayerParameter& param);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_NAN_LAYERS_HPP_
