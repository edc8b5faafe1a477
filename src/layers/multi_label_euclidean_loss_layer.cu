// The Euclidean loss on the GPU: one pass over estimates and labels forward, one backward. Sums are
// in double and in an order that the shapes alone decide.

#include <algorithm>
#include <vector>

#include "caffe/layers/multi_label_euclidean_loss_layer.hpp"
#include "device_buffer.hpp"
#include "device_sum.cuh"
#include "multi_label_terms.hpp"

namespace caffe {

namespace {

using caffe_ext::BadLabel;

const int kThreads = 256;
const int kMaxBlocks = 256;

// What one block found in its share of the batch.
struct Part {
  double loss;
  int known;
  int first_bad;  // place of its first bad label, count where there is none
};

// Terms of the loss.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    AddTerms(const int count, const Dtype* estimates, const Dtype* labels, const double* weight,
             const int weights, const double delta, Part* parts) {
  __shared__ double memory[2 * kThreads / 32];
  __shared__ int first_bad[kThreads];
  double sums[2] = {0, 0};
  int bad = count;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; i < count;
       i += static_cast<int64_t>(kThreads) * gridDim.x) {
    sums[0] += caffe_ext::DistanceTerm(estimates[i], labels[i], weight[i % weights], delta);
    sums[1] += labels[i] != caffe_ext::kUnknownLevel;
    if (bad == count && !caffe_ext::IsLevel(labels[i])) {
      bad = i;
    }
  }
  first_bad[threadIdx.x] = bad;
  caffe_ext::BlockSum<2>(sums, memory);  // all have written when it is over
  if (threadIdx.x == 0) {
    for (int t = 1; t < kThreads; ++t) {
      bad = min(bad, first_bad[t]);
    }
    const Part part = {sums[0], static_cast<int>(sums[1]), bad};
    parts[blockIdx.x] = part;
  }
}

// One block. normalizer_or_known: Z, or 0 where it is the number of known labels. A bad label makes
// the loss NaN and is told to the host.
template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    FinishLoss(const int count, const Dtype* labels, const int blocks, const Part* parts,
               const double normalizer_or_known, double* normalizer, Dtype* loss,
               BadLabel* bad_label) {
  __shared__ double memory[2 * kThreads / 32];
  double sums[2] = {0, 0};
  for (int b = threadIdx.x; b < blocks; b += kThreads) {
    sums[0] += parts[b].loss;
    sums[1] += parts[b].known;
  }
  caffe_ext::BlockSum<2>(sums, memory);
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

template <typename Dtype>
__global__ void __launch_bounds__(kThreads)
    EstimateDiff(const int count, const Dtype* estimates, const Dtype* labels, const double* weight,
                 const int weights, const double delta, const Dtype* loss_weight,
                 const double* normalizer, Dtype* diff) {
  const double scale = loss_weight[0] / normalizer[0];
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < count;
       i += static_cast<int64_t>(blockDim.x) * gridDim.x) {
    diff[i] =
        scale * caffe_ext::DistanceGradient(estimates[i], labels[i], weight[i % weights], delta);
  }
}

}  // namespace

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                                      const vector<Blob<Dtype>*>& top) {
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
  BadLabel* bad_label;
  CUDA_CHECK(cudaHostGetDevicePointer(&bad_label, bad_label_.get(), 0));

  const int blocks = std::max(1, std::min(kMaxBlocks, (count + kThreads - 1) / kThreads));
  Part* const parts = scratch_->Reserve<Part>(blocks);
  const Dtype* labels = bottom[1]->gpu_data();
  AddTerms<Dtype><<<blocks, kThreads>>>(count, bottom[0]->gpu_data(), labels, weight_.gpu_data(),
                                        weight_.count(), delta_, parts);
  CUDA_POST_KERNEL_CHECK;
  const bool counts = normalization_ == LossParameter_NormalizationMode_VALID;
  FinishLoss<Dtype><<<1, kThreads>>>(
      count, labels, blocks, parts, counts ? 0 : Normalizer(bottom[0]->shape(0), classes, 0),
      normalizer_.mutable_gpu_data(), top[0]->mutable_gpu_data(), bad_label);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void MultiLabelEuclideanLossLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
                                                       const vector<bool>& propagate_down,
                                                       const vector<Blob<Dtype>*>& bottom) {
  CHECK(!propagate_down[1]) << Title() << " cannot backpropagate to its labels.";
  // Caffe has waited for the loss meanwhile, so the forward pass has reported what it found.
  StopAtBadLabel(bottom[0]->count(1));
  const int count = bottom[0]->count();
  if (!propagate_down[0] || count == 0) {
    return;
  }
  const int blocks = std::min(kMaxBlocks, (count + kThreads - 1) / kThreads);
  EstimateDiff<Dtype><<<blocks, kThreads>>>(
      count, bottom[0]->gpu_data(), bottom[1]->gpu_data(), weight_.gpu_data(), weight_.count(),
      delta_, top[0]->gpu_diff(), normalizer_.gpu_data(), bottom[0]->mutable_gpu_diff());
  CUDA_POST_KERNEL_CHECK;
}

INSTANTIATE_LAYER_GPU_FUNCS(MultiLabelEuclideanLossLayer);

}  // namespace caffe
