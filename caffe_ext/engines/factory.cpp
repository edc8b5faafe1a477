#include "engines/factory.hpp"

#include <string>

#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"
#include "engines/switch.hpp"
#include "limits/nan_layers.hpp"

#ifndef CPU_ONLY
#include "engines/gpu_convolution.hpp"
#endif
#ifdef USE_ONEDNN
#include "engines/convolution.hpp"
#include "engines/inner_product.hpp"
#include "engines/lrn.hpp"
#include "engines/pooling.hpp"
#include "engines/region.hpp"
#include "engines/relu.hpp"
#endif

namespace caffe_ext {

using caffe::Layer;
using caffe::LayerParameter;
using caffe::shared_ptr;

namespace {

#ifdef USE_ONEDNN

shared_ptr<Layer<float> > EngineLayer(const LayerParameter& param) {
  typedef shared_ptr<Layer<float> > LayerPtr;
  // Layers on the GPU have kernels of their own.
  if (!EngineEnabled() || caffe::Caffe::mode() == caffe::Caffe::GPU) {
    return LayerPtr();
  }
  const std::string& type = param.type();
  if (type == "Convolution" &&
      param.convolution_param().engine() == caffe::ConvolutionParameter::DEFAULT) {
    return LayerPtr(new EngineConvolution(param));
  }
  if (type == "ReLU" && param.relu_param().engine() == caffe::ReLUParameter::DEFAULT) {
    return LayerPtr(new EngineReLU(param));
  }
  if (type == "Pooling" && param.pooling_param().engine() == caffe::PoolingParameter::DEFAULT) {
    return LayerPtr(new EnginePooling(param));
  }
  if (type == "LRN" && param.lrn_param().engine() == caffe::LRNParameter::DEFAULT) {
    return LayerPtr(new EngineLRN(param));
  }
  if (type == "InnerProduct") {
    return LayerPtr(new EngineInnerProduct(param));
  }
  if (type == "Region") {
    return LayerPtr(new EngineRegion(param));
  }
  return LayerPtr();
}

#else

shared_ptr<Layer<float> > EngineLayer(const LayerParameter&) { return shared_ptr<Layer<float> >(); }

#endif  // USE_ONEDNN

// In nets for the GPU, only convolutions are not the plain layers.
template <typename Dtype>
shared_ptr<Layer<Dtype> > GpuLayer(const LayerParameter& param) {
#ifndef CPU_ONLY
  if (EngineEnabled() && caffe::Caffe::mode() == caffe::Caffe::GPU &&
      param.type() == "Convolution" &&
      param.convolution_param().engine() == caffe::ConvolutionParameter::DEFAULT) {
    return shared_ptr<Layer<Dtype> >(new GpuConvolution<Dtype>(param));
  }
#endif
  return shared_ptr<Layer<Dtype> >();
}

}  // namespace

// Where the engine has none, a layer that keeps NaN may take the stock layer's place.
template <>
shared_ptr<Layer<float> > CreateEngineLayer(const LayerParameter& param) {
  shared_ptr<Layer<float> > layer = GpuLayer<float>(param);
  if (!layer) {
    layer = EngineLayer(param);
  }
  return layer ? layer : CreateNanLayer<float>(param);
}

// oneDNN has no convolution in double.
template <>
shared_ptr<Layer<double> > CreateEngineLayer(const LayerParameter& param) {
  const shared_ptr<Layer<double> > layer = GpuLayer<double>(param);
  return layer ? layer : CreateNanLayer<double>(param);
}

}  // namespace caffe_ext
