#ifndef DRML_LAYERS_MULTI_LABEL_LOSS_PASSES_CUH_
#define DRML_LAYERS_MULTI_LABEL_LOSS_PASSES_CUH_

#include <algorithm>
#include <vector>

#include "caffe/layers/base_multi_label_loss.hpp"
#include "device_buffer.hpp"
#include "device_sum.cuh"
#include "multi_label_terms.hpp"

// The passes of the multi-label losses on the GPU, for their .cu files: one over values and labels
// forward, one backward. Sums are in double and in an order that the shapes alone decide.

namespace caffe_ext {

const int kTermThreads = 256;

/// A grid for `count` terms, of at least one block.
inline int TermBlocks(int count) {
  return std::max(1, std::min(256, (count + kTermThreads - 1) / kTermThreads));
}

/// What one block found in its share of the batch.
struct TermSums {
  double loss;
  int known;
  int first_bad;  // place of its first bad label, count where there is none
};

template <typename Terms, typename Dtype>
__global__ void __launch_bounds__(kTermThreads)
    AddTerms(const Terms terms, const int count, const Dtype* values, const Dtype* labels,
             const double* weight, const int weights, TermSums* parts) {
  __shared__ double memory[2 * kTermThreads / 32];
  __shared__ int first_bad[kTermThreads];
  double sums[2] = {0, 0};
  int bad = count;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(kTermThreads) + threadIdx.x; i < count;
       i += static_cast<int64_t>(kTermThreads) * gridDim.x) {
    sums[0] += terms.Loss(values[i], labels[i], weight[i % weights]);
    sums[1] += Terms::IsKnown(labels[i]);
    if (bad == count && !Terms::IsLabel(labels[i])) {
      bad = i;
    }
  }
  first_bad[threadIdx.x] = bad;
  BlockSum<2>(sums, memory);  // all have written when it is over
  if (threadIdx.x == 0) {
    for (int t = 1; t < kTermThreads; ++t) {
      bad = min(bad, first_bad[t]);
    }
    const TermSums part = {sums[0], static_cast<int>(sums[1]), bad};
    parts[blockIdx.x] = part;
  }
}

/// One block. normalizer_or_known: Z, or 0 where it is the number of known labels. A bad label
/// makes the loss NaN and is told to the host.
template <typename Dtype>
__global__ void __launch_bounds__(kTermThreads)
    FinishLoss(const int count, const Dtype* labels, const int blocks, const TermSums* parts,
               const double normalizer_or_known, double* normalizer, Dtype* loss,
               BadLabel* bad_label) {
  __shared__ double memory[2 * kTermThreads / 32];
  double sums[2] = {0, 0};
  for (int b = threadIdx.x; b < blocks; b += kTermThreads) {
    sums[0] += parts[b].loss;
    sums[1] += parts[b].known;
  }
  BlockSum<2>(sums, memory);
  if (threadIdx.x != 0) {
    return;
  }
  int first_bad = count;
  for (int b = 0; b < blocks; ++b) {
    first_bad = min(first_bad, parts[b].first_bad);
  }
  const double z = normalizer_or_known > 0 ? normalizer_or_known : max(sums[1], 1.);
  normalizer[0] = z;
  loss[0] = sums[0] / z;
  if (first_bad < count) {
    loss[0] = NAN;
    bad_label->value = labels[first_bad];
    __threadfence_system();  // whoever sees the place sees the value
    bad_label->index = first_bad;
  }
}

template <typename Terms, typename Dtype>
__global__ void __launch_bounds__(kTermThreads)
    SetGradient(const Terms terms, const int count, const Dtype* values, const Dtype* labels,
                const double* weight, const int weights, const Dtype* loss_weight,
                const double* normalizer, Dtype* diff) {
  const double scale = loss_weight[0] / normalizer[0];
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < count;
       i += static_cast<int64_t>(blockDim.x) * gridDim.x) {
    diff[i] = scale * terms.Gradient(values[i], labels[i], weight[i % weights]);
  }
}

}  // namespace caffe_ext

namespace caffe {

template <typename Dtype>
template <typename Terms>
void BaseMultiLabelLossLayer<Dtype>::ForwardTerms_gpu(const Terms& terms,
                                                      const vector<Blob<Dtype>*>& bottom,
                                                      const vector<Blob<Dtype>*>& top) {
  using caffe_ext::BadLabel;
  using caffe_ext::kTermThreads;
  const int count = bottom[0]->count();
  const int classes = bottom[0]->count(1);
  if (!scratch_) {
    scratch_.reset(new caffe_ext::DeviceBuffer());
    BadLabel* shared;
    CUDA_CHECK(cudaHostAlloc(&shared, sizeof(BadLabel), cudaHostAllocMapped));
    shared->index = -1;
    // Unchecked, as in DeviceBuffer: at the end of a process CUDA's runtime may be gone.
    bad_label_.reset(shared, [](BadLabel* memory) { cudaFreeHost(memory); });
  }
  StopAtBadLabel(classes);
  if (this->phase_ == TEST) {
    WatchLabels(*bottom[1]);
  }
  BadLabel* bad_label;
  CUDA_CHECK(cudaHostGetDevicePointer(&bad_label, bad_label_.get(), 0));

  const int blocks = caffe_ext::TermBlocks(count);
  caffe_ext::TermSums* const parts = scratch_->Reserve<caffe_ext::TermSums>(blocks);
  const Dtype* labels = bottom[1]->gpu_data();
  caffe_ext::AddTerms<Terms, Dtype><<<blocks, kTermThreads>>>(
      terms, count, bottom[0]->gpu_data(), labels, weight_.gpu_data(), weight_.count(), parts);
  CUDA_POST_KERNEL_CHECK;
  const bool counts = normalization_ == LossParameter_NormalizationMode_VALID;
  caffe_ext::FinishLoss<Dtype><<<1, kTermThreads>>>(
      count, labels, blocks, parts, counts ? 0 : Normalizer(bottom[0]->shape(0), classes, 0),
      normalizer_.mutable_gpu_data(), top[0]->mutable_gpu_data(), bad_label);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
template <typename Terms>
void BaseMultiLabelLossLayer<Dtype>::BackwardTerms_gpu(const Terms& terms,
                                                       const vector<Blob<Dtype>*>& top,
                                                       const vector<bool>& propagate_down,
                                                       const vector<Blob<Dtype>*>& bottom) {
  CHECK(!propagate_down[1]) << Title() << " cannot backpropagate to its labels.";
  // Caffe has waited for the loss meanwhile, so the forward pass has reported what it found.
  StopAtBadLabel(bottom[0]->count(1));
  const int count = bottom[0]->count();
  if (!propagate_down[0] || count == 0) {
    return;
  }
  if (this->phase_ == TRAIN) {
    WatchLabels(*bottom[1]);
  }
  caffe_ext::SetGradient<Terms, Dtype><<<caffe_ext::TermBlocks(count), caffe_ext::kTermThreads>>>(
      terms, count, bottom[0]->gpu_data(), bottom[1]->gpu_data(), weight_.gpu_data(),
      weight_.count(), top[0]->gpu_diff(), normalizer_.gpu_data(), bottom[0]->mutable_gpu_diff());
  CUDA_POST_KERNEL_CHECK;
}

}  // namespace caffe

#endif  // DRML_LAYERS_MULTI_LABEL_LOSS_PASSES_CUH_
