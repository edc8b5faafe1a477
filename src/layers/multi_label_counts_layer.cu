// The counts and the moments on the GPU: a block for each class, and sums of one fixed order, so
// that two runs give the same bits.

#include <vector>

#include "caffe/layers/multi_label_counts_layer.hpp"
#include "device_sum.cuh"
#include "label_watch.hpp"
#include "multi_label_terms.hpp"

namespace caffe {

namespace {

using caffe_ext::kMoments;
using caffe_ext::kOutcomes;

const int kThreads = 128;

// Block c: class c. A score that is no number, or a label that is none, makes its values NaN.
// moments may be null.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    CountOutcomes(const int samples, const int classes, const Dtype* scores, const Dtype* labels,
                  const double threshold, Dtype* counts, Dtype* moments) {
  // The outcomes, the moments, and last the faults.
  const int kFaults = kOutcomes + kMoments;
  __shared__ double memory[(kFaults + 1) * kThreads / 32];
  double sums[kFaults + 1] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
  for (int n = threadIdx.x; n < samples; n += kThreads) {
    const int64_t i = static_cast<int64_t>(n) * classes + blockIdx.x;
    if (scores[i] != scores[i] || !caffe_ext::OccurrenceTerms::IsLabel(labels[i])) {
      sums[kFaults] += 1;
    } else if (labels[i] != 0) {
      const int found = caffe_ext::OutcomeOf(scores[i], labels[i], threshold);
      for (int outcome = 0; outcome < kOutcomes; ++outcome) {  // so that sums may be registers
        sums[outcome] += outcome == found;
      }
      for (int moment = 0; moment < kMoments; ++moment) {
        sums[kOutcomes + moment] += caffe_ext::MomentTerm(moment, scores[i], labels[i]);
      }
    }
  }
  caffe_ext::BlockSum<kFaults + 1>(sums, memory);
  if (threadIdx.x == 0) {
    for (int outcome = 0; outcome < kOutcomes; ++outcome) {
      counts[blockIdx.x * kOutcomes + outcome] = sums[kFaults] > 0 ? NAN : sums[outcome];
    }
    if (moments != NULL) {
      for (int moment = 0; moment < kMoments; ++moment) {
        moments[blockIdx.x * kMoments + moment] =
            sums[kFaults] > 0 ? NAN : sums[kOutcomes + moment];
      }
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
  watch_->Watch(*bottom[1], Title(), this->phase_);
  Dtype* moments = top.size() > 1 ? top[1]->mutable_gpu_data() : NULL;
  CountOutcomes<Dtype><<<classes, kThreads>>>(bottom[0]->shape(0), classes, bottom[0]->gpu_data(),
                                              bottom[1]->gpu_data(), threshold(),
                                              top[0]->mutable_gpu_data(), moments);
  CUDA_POST_KERNEL_CHECK;
}

INSTANTIATE_LAYER_GPU_FORWARD(MultiLabelCountsLayer);

}  // namespace caffe
