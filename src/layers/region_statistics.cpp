// What the Region layer measures on the CPU: patches of the bottom, and the weights of patches.
#include <cmath>
#include <vector>

#include "caffe/layers/region_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "region_rows.hpp"

namespace caffe {

using caffe_ext::ClearLanes;
using caffe_ext::ForEachRow;
using caffe_ext::SumLanes;

// The running ones, or those that leave the patch as it is.
template <typename Dtype>
void RegionLayer<Dtype>::LoadStatistics() {
  const int count = mean_.count();
  if (!batch_norm_) {
    caffe_set(count, Dtype(0), mean_.mutable_cpu_data());
    caffe_set(count, Dtype(1), inv_std_.mutable_cpu_data());
    return;
  }
  const Dtype factor = this->blobs_[factor_id_]->cpu_data()[0];
  const Dtype weight = factor == 0 ? Dtype(0) : 1 / factor;  // 0: nothing was ever summed
  caffe_cpu_scale(count, weight, this->blobs_[mean_id_]->cpu_data(), mean_.mutable_cpu_data());
  const Dtype* variance = this->blobs_[variance_id_]->cpu_data();
  Dtype* inv_std = inv_std_.mutable_cpu_data();
  for (int i = 0; i < count; ++i) {
    inv_std[i] = 1 / std::sqrt(weight * variance[i] + eps_);
  }
}

// The batch's own: the mean first, then the mean square distance from it. The second round over
// a channel finds it in the cache, and nothing cancels when the mean is large.
template <typename Dtype>
void RegionLayer<Dtype>::MeasurePatch(int g, const Dtype* bottom_data) {
  const RegionPatch patch = geometry_.patch(g);
  const int width = patch.width();
  const double values = static_cast<double>(geometry_.num) * patch.area();
  for (int c = 0; c < geometry_.channels; ++c) {
    ClearLanes(width, &lanes_);
    double* lanes = lanes_.data();
    ForEachRow(geometry_, patch, geometry_.channels, c, 0, geometry_.num, [&](int at, int) {
      const Dtype* x = bottom_data + at;
      for (int i = 0; i < width; ++i) {
        lanes[i] += x[i];
      }
    });
    const double mean = SumLanes(lanes_) / values;
    ClearLanes(width, &lanes_);
    ForEachRow(geometry_, patch, geometry_.channels, c, 0, geometry_.num, [&](int at, int) {
      const Dtype* x = bottom_data + at;
      for (int i = 0; i < width; ++i) {
        lanes[i] += (x[i] - mean) * (x[i] - mean);
      }
    });
    const double variance = SumLanes(lanes_) / values;
    const int gc = geometry_.channel_offset(g) + c;
    mean_.mutable_cpu_data()[gc] = mean;
    variance_.mutable_cpu_data()[gc] = variance;
    inv_std_.mutable_cpu_data()[gc] = 1 / std::sqrt(variance + eps_);
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::UpdateRunningStatistics() {
  Dtype* factor = this->blobs_[factor_id_]->mutable_cpu_data();
  factor[0] = moving_average_fraction_ * factor[0] + 1;
  caffe_cpu_axpby(mean_.count(), Dtype(1), mean_.cpu_data(), moving_average_fraction_,
                  this->blobs_[mean_id_]->mutable_cpu_data());
  Dtype* sum = this->blobs_[variance_id_]->mutable_cpu_data();
  for (int g = 0; g < geometry_.patches(); ++g) {
    // Patches may differ in size, and so in what makes their variance unbiased.
    const double values = static_cast<double>(geometry_.num) * geometry_.patch(g).area();
    const Dtype unbiased = values > 1 ? values / (values - 1) : 1;
    caffe_cpu_axpby(geometry_.channels, unbiased,
                    variance_.cpu_data() + geometry_.channel_offset(g), moving_average_fraction_,
                    sum + geometry_.channel_offset(g));
  }
}

// ---------------------------------------------------------------------------------------------
// Group sparsity: a term of the loss that knows the weights alone, whatever the batch.

template <typename Dtype>
void RegionLayer<Dtype>::ForwardSparsity(const vector<Blob<Dtype>*>& top) {
  if (group_sparsity_ == 0) {
    return;
  }
  const Dtype* weight = this->blobs_[0]->cpu_data();
  double* norms = weight_norms_.mutable_cpu_data();
  const int taps = geometry_.taps();
  double sum = 0;
  for (int g = 0; g < geometry_.patches(); ++g) {
    ClearLanes(taps, &lanes_);
    double* lanes = lanes_.data();
    const Dtype* end = weight + geometry_.weight_offset(g + 1);
    for (const Dtype* w = weight + geometry_.weight_offset(g); w < end; w += taps) {
      for (int i = 0; i < taps; ++i) {
        lanes[i] += static_cast<double>(w[i]) * w[i];
      }
    }
    norms[g] = std::sqrt(SumLanes(lanes_));
    sum += norms[g];
  }
  top[1]->mutable_cpu_data()[0] = group_sparsity_ * sum;
}

// The gradient of |W| is W / |W|, and 0 is one of its subgradients at 0.
template <typename Dtype>
void RegionLayer<Dtype>::BackwardSparsity(const vector<Blob<Dtype>*>& top) {
  if (group_sparsity_ == 0 || !WantsDiff(0)) {
    return;
  }
  const Dtype* weight = this->blobs_[0]->cpu_data();
  Dtype* diff = this->blobs_[0]->mutable_cpu_diff();
  for (int g = 0; g < geometry_.patches(); ++g) {
    const double norm = weight_norms_.cpu_data()[g];
    // In double, for a norm may be so small that a float does not hold its inverse.
    const double scale = norm > 0 ? group_sparsity_ * top[1]->cpu_diff()[0] / norm : 0;
    for (int i = geometry_.weight_offset(g); i < geometry_.weight_offset(g + 1); ++i) {
      diff[i] += scale * weight[i];
    }
  }
}

template void RegionLayer<float>::LoadStatistics();
template void RegionLayer<double>::LoadStatistics();
template void RegionLayer<float>::MeasurePatch(int, const float*);
template void RegionLayer<double>::MeasurePatch(int, const double*);
template void RegionLayer<float>::UpdateRunningStatistics();
template void RegionLayer<double>::UpdateRunningStatistics();
template void RegionLayer<float>::ForwardSparsity(const vector<Blob<float>*>&);
template void RegionLayer<double>::ForwardSparsity(const vector<Blob<double>*>&);
template void RegionLayer<float>::BackwardSparsity(const vector<Blob<float>*>&);
template void RegionLayer<double>::BackwardSparsity(const vector<Blob<double>*>&);

}  // namespace caffe
