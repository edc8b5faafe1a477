#include "caffe/layers/box_layer.hpp"

#include <string>
#include <vector>

#include "caffe/util/math_functions.hpp"
#include "rectangle.hpp"

namespace caffe {

template <typename Dtype>
string BoxLayer<Dtype>::Title() const {
  return "Box layer '" + this->layer_param_.name() + "'";
}

template <typename Dtype>
void BoxLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                 const vector<Blob<Dtype>*>& top) {
  const BoxParameter& param = this->layer_param_.box_param();
  CHECK(param.width() > 0 && param.height() > 0)
      << Title() << ": box_param needs a width and a height of at least 1.";
  const int patches = static_cast<int>(top.size());
  CHECK(param.xcoord_size() == patches && param.ycoord_size() == patches)
      << Title() << ": " << patches << " tops, but " << param.xcoord_size() << " xcoord and "
      << param.ycoord_size() << " ycoord; each top needs one of both.";
}

template <typename Dtype>
void BoxLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  CHECK_EQ(bottom[0]->num_axes(), 4)
      << Title() << ": the bottom must have 4 axes, got " << bottom[0]->shape_string();
  const BoxParameter& param = this->layer_param_.box_param();
  vector<int> shape = bottom[0]->shape();
  for (size_t i = 0; i < top.size(); ++i) {
    CHECK(static_cast<int64_t>(param.ycoord(i)) + param.height() <= bottom[0]->shape(2) &&
          static_cast<int64_t>(param.xcoord(i)) + param.width() <= bottom[0]->shape(3))
        << Title() << ": patch " << i << " of " << param.height() << " x " << param.width()
        << " at row " << param.ycoord(i) << ", column " << param.xcoord(i)
        << " is not inside the map of " << bottom[0]->shape(2) << " x " << bottom[0]->shape(3)
        << ".";
    CHECK(top[i] != bottom[0]) << Title() << " cannot work in place.";
    shape[2] = param.height();
    shape[3] = param.width();
    top[i]->Reshape(shape);
  }
}

template <typename Dtype>
void BoxLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                  const vector<Blob<Dtype>*>& top) {
  const Dtype* map = bottom[0]->cpu_data();
  for (size_t i = 0; i < top.size(); ++i) {
    const caffe_ext::Rectangle at =
        caffe_ext::RectangleOf(this->layer_param_.box_param(), i, *top[i], *bottom[0]);
    Dtype* patch = top[i]->mutable_cpu_data();
    caffe_ext::ForEachRow(at, top[i]->count(0, 2), [&](int64_t in_map, int64_t in_patch) {
      caffe_copy(at.width, map + in_map, patch + in_patch);
    });
  }
}

template <typename Dtype>
void BoxLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                   const vector<bool>& propagate_down,
                                   const vector<Blob<Dtype>*>& bottom) {
  if (!propagate_down[0]) {
    return;
  }
  Dtype* map = bottom[0]->mutable_cpu_diff();
  caffe_set(bottom[0]->count(), Dtype(0), map);
  for (size_t i = 0; i < top.size(); ++i) {
    const caffe_ext::Rectangle at =
        caffe_ext::RectangleOf(this->layer_param_.box_param(), i, *top[i], *bottom[0]);
    const Dtype* patch = top[i]->cpu_diff();
    caffe_ext::ForEachRow(at, top[i]->count(0, 2), [&](int64_t in_map, int64_t in_patch) {
      caffe_axpy(at.width, Dtype(1), patch + in_patch, map + in_map);
    });
  }
}

#ifdef CPU_ONLY
STUB_GPU(BoxLayer);
#endif

INSTANTIATE_CLASS(BoxLayer);
REGISTER_LAYER_CLASS(Box);

}  // namespace caffe
