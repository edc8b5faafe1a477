#include "caffe/layers/splice_layer.hpp"

#include <algorithm>
#include <climits>
#include <string>
#include <vector>

#include "caffe/util/math_functions.hpp"
#include "rectangle.hpp"

namespace caffe {

template <typename Dtype>
string SpliceLayer<Dtype>::Title() const {
  return "Splice layer '" + this->layer_param_.name() + "'";
}

template <typename Dtype>
void SpliceLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                    const vector<Blob<Dtype>*>& top) {
  const SpliceParameter& param = this->layer_param_.splice_param();
  const int patches = static_cast<int>(bottom.size());
  CHECK(param.xcoord_size() == patches && param.ycoord_size() == patches)
      << Title() << ": " << patches << " bottoms, but " << param.xcoord_size() << " xcoord and "
      << param.ycoord_size() << " ycoord; each bottom needs one of both.";
}

template <typename Dtype>
void SpliceLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                 const vector<Blob<Dtype>*>& top) {
  const SpliceParameter& param = this->layer_param_.splice_param();
  int64_t height = 0, width = 0;
  for (size_t i = 0; i < bottom.size(); ++i) {
    CHECK(bottom[i]->num_axes() == 4 && bottom[i]->shape(0) == bottom[0]->shape(0) &&
          bottom[i]->shape(1) == bottom[0]->shape(1))
        << Title() << ": bottom " << i << " is " << bottom[i]->shape_string()
        << "; all need 4 axes, and samples and channels as bottom 0, " << bottom[0]->shape_string()
        << ".";
    CHECK(bottom[i] != top[0]) << Title() << " cannot work in place.";
    height = std::max(height, static_cast<int64_t>(param.ycoord(i)) + bottom[i]->shape(2));
    width = std::max(width, static_cast<int64_t>(param.xcoord(i)) + bottom[i]->shape(3));
  }
  CHECK_LE(height * width, INT_MAX)
      << Title() << ": a map of " << height << " x " << width << " is more than a blob can hold.";
  CheckCover(bottom, height, width);
  vector<int> shape = bottom[0]->shape();
  shape[2] = height;
  shape[3] = width;
  top[0]->Reshape(shape);
}

template <typename Dtype>
void SpliceLayer<Dtype>::CheckCover(const vector<Blob<Dtype>*>& bottom, int height,
                                    int width) const {
  const SpliceParameter& param = this->layer_param_.splice_param();
  int64_t area = 0;
  for (size_t i = 0; i < bottom.size(); ++i) {
    area += bottom[i]->count(2);
    for (size_t j = 0; j < i; ++j) {
      const bool apart = param.ycoord(i) + bottom[i]->shape(2) <= param.ycoord(j) ||
                         param.ycoord(j) + bottom[j]->shape(2) <= param.ycoord(i) ||
                         param.xcoord(i) + bottom[i]->shape(3) <= param.xcoord(j) ||
                         param.xcoord(j) + bottom[j]->shape(3) <= param.xcoord(i);
      CHECK(apart) << Title() << ": patches " << j << " and " << i
                   << " overlap; correct xcoord and ycoord.";
    }
  }
  // Without overlaps, as many pixels as the map has are all of them.
  CHECK_EQ(area, static_cast<int64_t>(height) * width)
      << Title() << ": the patches leave gaps in the map of " << height << " x " << width
      << "; correct xcoord and ycoord.";
}

template <typename Dtype>
void SpliceLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                     const vector<Blob<Dtype>*>& top) {
  Dtype* map = top[0]->mutable_cpu_data();
  for (size_t i = 0; i < bottom.size(); ++i) {
    const caffe_ext::Rectangle at =
        caffe_ext::RectangleOf(this->layer_param_.splice_param(), i, *bottom[i], *top[0]);
    const Dtype* patch = bottom[i]->cpu_data();
    caffe_ext::ForEachRow(at, bottom[i]->count(0, 2), [&](int64_t in_map, int64_t in_patch) {
      caffe_copy(at.width, patch + in_patch, map + in_map);
    });
  }
}

template <typename Dtype>
void SpliceLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                      const vector<bool>& propagate_down,
                                      const vector<Blob<Dtype>*>& bottom) {
  const Dtype* map = top[0]->cpu_diff();
  for (size_t i = 0; i < bottom.size(); ++i) {
    if (!propagate_down[i]) {
      continue;
    }
    const caffe_ext::Rectangle at =
        caffe_ext::RectangleOf(this->layer_param_.splice_param(), i, *bottom[i], *top[0]);
    Dtype* patch = bottom[i]->mutable_cpu_diff();
    caffe_ext::ForEachRow(at, bottom[i]->count(0, 2), [&](int64_t in_map, int64_t in_patch) {
      caffe_copy(at.width, map + in_map, patch + in_patch);
    });
  }
}

#ifdef CPU_ONLY
STUB_GPU(SpliceLayer);
#endif

INSTANTIATE_CLASS(SpliceLayer);
REGISTER_LAYER_CLASS(Splice);

}  // namespace caffe
