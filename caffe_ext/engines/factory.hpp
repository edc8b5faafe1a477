// The one place that decides which layers take the place of stock ones of the same type.
#ifndef CAFFE_EXT_ENGINES_FACTORY_HPP_
#define CAFFE_EXT_ENGINES_FACTORY_HPP_

#include "caffe/common.hpp"

namespace caffe {
template <typename Dtype>
class Layer;
class LayerParameter;
}  // namespace caffe

namespace caffe_ext {

/// A layer that takes the place of the stock one of the same type, or null. It is the engine's,
/// unless the engine is off (engines/switch.hpp), not built in, or has no such layer, the net is in
/// double and on the CPU, or the prototxt says `engine: CAFFE`. Otherwise it is one that lets NaN
/// through (limits/nan_layers.hpp), if the stock layer does not. LayerRegistry::CreateLayer asks
/// here first.
template <typename Dtype>
caffe::shared_ptr<caffe::Layer<Dtype> > CreateEngineLayer(const caffe::LayerParameter& param);

template <>
caffe::shared_ptr<caffe::Layer<float> > CreateEngineLayer(const caffe::LayerParameter& param);
template <>
caffe::shared_ptr<caffe::Layer<double> > CreateEngineLayer(const caffe::LayerParameter& param);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FACTORY_HPP_
