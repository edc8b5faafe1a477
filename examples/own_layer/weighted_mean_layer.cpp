#include "weighted_mean_layer.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "weighted_mean.pb.h"

namespace caffe {

template <typename Dtype>
void WeightedMeanLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                          const vector<Blob<Dtype>*>& top) {
  min_sum_ = this->layer_param_.GetExtension(weighted_mean_param).min_sum();
  CHECK(min_sum_ > 0 && std::isfinite(min_sum_))
      << "WeightedMean layer '" << this->layer_param_.name() << "': min_sum is " << min_sum_
      << "; it must be positive.";
}

template <typename Dtype>
void WeightedMeanLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                       const vector<Blob<Dtype>*>& top) {
  CHECK(bottom[0]->num_axes() >= 2 && bottom[1]->num_axes() >= 1 &&
        bottom[0]->shape(0) == bottom[1]->shape(0) && bottom[0]->count(2) == bottom[1]->count(1))
      << "WeightedMean layer '" << this->layer_param_.name() << "': the maps are "
      << bottom[0]->shape_string() << " and the weights " << bottom[1]->shape_string()
      << "; each sample needs one weight for each position.";
  channels_ = bottom[0]->shape(1);
  positions_ = bottom[0]->count(2);
  top[0]->Reshape({bottom[0]->shape(0), channels_});
  sums_.Reshape({bottom[0]->shape(0)});
}

template <typename Dtype>
void WeightedMeanLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                           const vector<Blob<Dtype>*>& top) {
  const Dtype* maps = bottom[0]->cpu_data();
  const Dtype* weights = bottom[1]->cpu_data();
  Dtype* means = top[0]->mutable_cpu_data();
  double* sums = sums_.mutable_cpu_data();
  for (int n = 0; n < bottom[0]->shape(0); ++n, weights += positions_) {
    sums[n] = 0;
    for (int i = 0; i < positions_; ++i) {
      sums[n] += weights[i];
    }
    for (int c = 0; c < channels_; ++c, maps += positions_) {
      double sum = 0;
      for (int i = 0; i < positions_; ++i) {
        sum += static_cast<double>(weights[i]) * maps[i];
      }
      *means++ = static_cast<Dtype>(sum / std::max(sums[n], min_sum_));
    }
  }
}

template <typename Dtype>
void WeightedMeanLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                            const vector<bool>& propagate_down,
                                            const vector<Blob<Dtype>*>& bottom) {
  const double* sums = sums_.cpu_data();
  for (int n = 0; n < bottom[0]->shape(0); ++n) {
    const double z = std::max(sums[n], min_sum_);
    const Dtype* mean = top[0]->cpu_data() + n * channels_;
    const Dtype* mean_diff = top[0]->cpu_diff() + n * channels_;
    const int map = n * channels_ * positions_;  // where the first map of the sample begins
    for (int i = 0; i < positions_; ++i) {
      if (propagate_down[0]) {
        const double share = bottom[1]->cpu_data()[n * positions_ + i] / z;
        for (int c = 0; c < channels_; ++c) {
          bottom[0]->mutable_cpu_diff()[map + c * positions_ + i] =
              static_cast<Dtype>(share * mean_diff[c]);
        }
      }
      if (propagate_down[1]) {
        double diff = 0;
        for (int c = 0; c < channels_; ++c) {
          const double value = bottom[0]->cpu_data()[map + c * positions_ + i];
          diff += mean_diff[c] * (value - (sums[n] > min_sum_ ? mean[c] : 0));
        }
        bottom[1]->mutable_cpu_diff()[n * positions_ + i] = static_cast<Dtype>(diff / z);
      }
    }
  }
}

#ifdef CPU_ONLY
STUB_GPU(WeightedMeanLayer);
#endif

INSTANTIATE_CLASS(WeightedMeanLayer);
REGISTER_LAYER_CLASS(WeightedMean);

}  // namespace caffe
