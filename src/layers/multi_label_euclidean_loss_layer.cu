#include <vector>

#include "caffe/layers/multi_label_euclidean_loss_layer.hpp"
#include "multi_label_loss_passes.cuh"

namespace caffe {

using caffe_ext::IntensityTerms;

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                                      const vector<Blob<Dtype>*>& top) {
  this->ForwardTerms_gpu(IntensityTerms{delta_}, bottom, top);
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
                                                       const vector<bool>& propagate_down,
                                                       const vector<Blob<Dtype>*>& bottom) {
  this->BackwardTerms_gpu(IntensityTerms{delta_}, top, propagate_down, bottom);
}

INSTANTIATE_LAYER_GPU_FUNCS(MultiLabelEuclideanLossLayer);

}  // namespace caffe
