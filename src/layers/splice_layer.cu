// Splice on the GPU: a launch for each patch.

#include <vector>

#include "caffe/layers/splice_layer.hpp"
#include "rectangle_copy.cuh"

namespace caffe {

using caffe_ext::kRectangleThreads;

template <typename Dtype>
void SpliceLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                     const vector<Blob<Dtype>*>& top) {
  Dtype* map = top[0]->mutable_gpu_data();
  for (size_t i = 0; i < bottom.size(); ++i) {
    const int count = bottom[i]->count();
    if (count == 0) {
      continue;
    }
    const caffe_ext::Rectangle at =
        caffe_ext::RectangleOf(this->layer_param_.splice_param(), i, *bottom[i], *top[0]);
    caffe_ext::PasteRectangle<false, Dtype>
        <<<caffe_ext::RectangleBlocks(count), kRectangleThreads>>>(count, at, bottom[i]->gpu_data(),
                                                                   map);
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void SpliceLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
                                      const vector<bool>& propagate_down,
                                      const vector<Blob<Dtype>*>& bottom) {
  const Dtype* map = top[0]->gpu_diff();
  for (size_t i = 0; i < bottom.size(); ++i) {
    const int count = bottom[i]->count();
    if (!propagate_down[i] || count == 0) {
      continue;
    }
    const caffe_ext::Rectangle at =
        caffe_ext::RectangleOf(this->layer_param_.splice_param(), i, *bottom[i], *top[0]);
    caffe_ext::CutRectangle<Dtype><<<caffe_ext::RectangleBlocks(count), kRectangleThreads>>>(
        count, at, map, bottom[i]->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(SpliceLayer);

}  // namespace caffe
