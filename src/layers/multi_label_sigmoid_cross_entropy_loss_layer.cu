#include <vector>

#include "caffe/layers/multi_label_sigmoid_cross_entropy_loss_layer.hpp"
#include "multi_label_loss_passes.cuh"

namespace caffe {

using caffe_ext::OccurrenceTerms;

template <typename Dtype>
__global__ void __launch_bounds__(caffe_ext::kTermThreads)
    SetProbabilities(const int count, const Dtype* scores, Dtype* probabilities) {
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < count;
       i += static_cast<int64_t>(blockDim.x) * gridDim.x) {
    probabilities[i] = caffe_ext::Sigmoid(scores[i]);
  }
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                                                const vector<Blob<Dtype>*>& top) {
  this->ForwardTerms_gpu(OccurrenceTerms(), bottom, top);
  if (top.size() == 2) {
    const int count = bottom[0]->count();
    SetProbabilities<Dtype><<<caffe_ext::TermBlocks(count), caffe_ext::kTermThreads>>>(
        count, bottom[0]->gpu_data(), top[1]->mutable_gpu_data());
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void MultiLabelSigmoidCrossEntropyLossLayer<Dtype>::Backward_gpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  this->BackwardTerms_gpu(OccurrenceTerms(), top, propagate_down, bottom);
}

INSTANTIATE_LAYER_GPU_FUNCS(MultiLabelSigmoidCrossEntropyLossLayer);

}  // namespace caffe
