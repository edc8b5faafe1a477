// Box on the GPU: a launch for each patch, one after the other, so that overlapping patches add
// their gradients in one order.

#include <vector>

#include "caffe/layers/box_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "rectangle_copy.cuh"

namespace caffe {

using caffe_ext::kRectangleThreads;

template <typename Dtype>
void BoxLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                  const vector<Blob<Dtype>*>& top) {
  const Dtype* map = bottom[0]->gpu_data();
  const int count = top[0]->count();
  if (count == 0) {
    return;
  }
  for (size_t i = 0; i < top.size(); ++i) {
    const caffe_ext::Rectangle at =
        caffe_ext::RectangleOf(this->layer_param_.box_param(), i, *top[i], *bottom[0]);
    caffe_ext::CutRectangle<Dtype><<<caffe_ext::RectangleBlocks(count), kRectangleThreads>>>(
        count, at, map, top[i]->mutable_gpu_data());
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void BoxLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
                                   const vector<bool>& propagate_down,
                                   const vector<Blob<Dtype>*>& bottom) {
  const int count = top[0]->count();
  if (!propagate_down[0] || count == 0) {
    return;
  }
  Dtype* map = bottom[0]->mutable_gpu_diff();
  caffe_gpu_set(bottom[0]->count(), Dtype(0), map);
  for (size_t i = 0; i < top.size(); ++i) {
    const caffe_ext::Rectangle at =
        caffe_ext::RectangleOf(this->layer_param_.box_param(), i, *top[i], *bottom[0]);
    caffe_ext::PasteRectangle<true, Dtype>
        <<<caffe_ext::RectangleBlocks(count), kRectangleThreads>>>(count, at, top[i]->gpu_diff(),
                                                                   map);
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(BoxLayer);

}  // namespace caffe
