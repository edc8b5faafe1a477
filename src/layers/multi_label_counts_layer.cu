// The counts on the GPU: a block for each class. Counts are whole numbers, so their order is no
// matter.

#include <vector>

#include "caffe/layers/multi_label_counts_layer.hpp"
#include "device_sum.cuh"
#include "multi_label_terms.hpp"

namespace caffe {

namespace {

using caffe_ext::kOutcomes;

const int kThreads = 128;

// Block c: class c. A score that is no number, or a label that is none, makes its counts NaN.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    CountOutcomes(const int samples, const int classes, const Dtype* scores, const Dtype* labels,
                  const double threshold, Dtype* counts) {
  __shared__ double memory[(kOutcomes + 1) * kThreads / 32];
  double sums[kOutcomes + 1] = {0, 0, 0, 0, 0};  // the last one: faults
  for (int n = threadIdx.x; n < samples; n += kThreads) {
    const int64_t i = static_cast<int64_t>(n) * classes + blockIdx.x;
    if (scores[i] != scores[i] || !caffe_ext::IsLabel(labels[i])) {
      sums[kOutcomes] += 1;
    } else if (labels[i] != 0) {
      const int found = caffe_ext::OutcomeOf(scores[i], labels[i], threshold);
      for (int outcome = 0; outcome < kOutcomes; ++outcome) {  // so that sums may be registers
        sums[outcome] += outcome == found;
      }
    }
  }
  caffe_ext::BlockSum<kOutcomes + 1>(sums, memory);
  if (threadIdx.x == 0) {
    for (int outcome = 0; outcome < kOutcomes; ++outcome) {
      counts[blockIdx.x * kOutcomes + outcome] = sums[kOutcomes] > 0 ? NAN : sums[outcome];
    }
  }
}

}  // namespace

template <typename Dtype>
void MultiLabelCountsLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                               const vector<Blob<Dtype>*>& top) {
  const int classes = bottom[0]->count(1);
  if (classes == 0) {
    return;
  }
  CountOutcomes<Dtype><<<classes, kThreads>>>(bottom[0]->shape(0), classes, bottom[0]->gpu_data(),
                                              bottom[1]->gpu_data(), threshold(),
                                              top[0]->mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
}

INSTANTIATE_LAYER_GPU_FORWARD(MultiLabelCountsLayer);

}  // namespace caffe
