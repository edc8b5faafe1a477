#include "limits/layer_pass.hpp"

#include <vector>

#include "caffe/layer.hpp"
#include "limits/check_files.hpp"
#include "limits/check_net.hpp"
#include "limits/check_values.hpp"
#include "members.hpp"

namespace caffe_ext {

template <typename Dtype>
LayerPass<Dtype>::LayerPass(Pass pass, const caffe::Layer<Dtype>& layer, const Blobs& bottom,
                            const Blobs& top)
    : at_work_(layer.type(), layer.layer_param().name()) {
  if (pass == Pass::kSetUp) {
    CheckSources(layer.layer_param());
  }
  CheckBottoms(layer.layer_param(), bottom);
  if (caffe::Caffe::mode() == caffe::Caffe::CPU) {
    if (pass == Pass::kForward) {
      CheckValues(layer.layer_param(), layer.type(), bottom);
    } else if (pass == Pass::kBackward) {
      CheckValues(layer.layer_param(), layer.type(), bottom);
      CheckMask(layer.type(), bottom, top);
    }
  }
}

template class LayerPass<float>;
template class LayerPass<double>;

namespace {

template <typename Dtype>
void ReshapeLayers(const caffe::Net<Dtype>& net) {
  for (size_t i = 0; i < net.layers().size(); ++i) {
    const auto& bottom = net.bottom_vecs()[i];
    const auto& top = net.top_vecs()[i];
    const LayerPass<Dtype> pass(Pass::kReshape, *net.layers()[i], bottom, top);
    net.layers()[i]->Reshape(bottom, top);
  }
}

}  // namespace

}  // namespace caffe_ext

namespace caffe {

template <>
void Net<float>::Reshape() {
  caffe_ext::ReshapeLayers(*this);
}

template <>
void Net<double>::Reshape() {
  caffe_ext::ReshapeLayers(*this);
}

}  // namespace caffe
