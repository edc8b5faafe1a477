// The one place that decides which layers the CPU engine runs.
#ifndef CAFFE_EXT_ENGINES_FACTORY_HPP_
#define CAFFE_EXT_ENGINES_FACTORY_HPP_

#include "caffe/common.hpp"

namespace caffe {
template <typename Dtype>
class Layer;
class LayerParameter;
}  // namespace caffe

namespace caffe_ext {

/// A layer of the engine that takes the place of the stock one of the same type, or null: where
/// the engine is off (engines/switch.hpp), not built in, has no such layer, or works in double, and
/// where the prototxt says `engine: CAFFE`. LayerRegistry::CreateLayer asks here first.
template <typename Dtype>
caffe::shared_ptr<caffe::Layer<Dtype> > CreateEngineLayer(const caffe::LayerParameter& param);

template <>
caffe::shared_ptr<caffe::Layer<float> > CreateEngineLayer(const caffe::LayerParameter& param);
template <>
caffe::shared_ptr<caffe::Layer<double> > CreateEngineLayer(const caffe::LayerParameter& param);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FACTORY_HPP_
