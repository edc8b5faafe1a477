// WeightedMean on the GPU: one thread for each sum, in the order of the CPU.
#include <vector>

#include "weighted_mean_layer.hpp"

namespace caffe {

namespace {

template <typename Dtype>
__global__ void SumWeights(const int samples, const int positions, const Dtype* weights,
                           double* sums) {
  CUDA_KERNEL_LOOP(n, samples) {
    double sum = 0;
    for (int i = 0; i < positions; ++i) {
      sum += weights[n * positions + i];
    }
    sums[n] = sum;
  }
}

template <typename Dtype>
__global__ void WeightMaps(const int means, const int channels, const int positions,
                           const Dtype* maps, const Dtype* weights, const double* sums,
                           const double min_sum, Dtype* mean) {
  CUDA_KERNEL_LOOP(index, means) {
    const int n = index / channels;
    double sum = 0;
    for (int i = 0; i < positions; ++i) {
      sum += static_cast<double>(weights[n * positions + i]) * maps[index * positions + i];
    }
    mean[index] = sum / (sums[n] < min_sum ? min_sum : sums[n]);
  }
}

template <typename Dtype>
__global__ void MapDiff(const int count, const int channels, const int positions,
                        const Dtype* weights, const double* sums, const double min_sum,
                        const Dtype* mean_diff, Dtype* map_diff) {
  CUDA_KERNEL_LOOP(index, count) {
    const int n = index / positions / channels;
    const double z = sums[n] < min_sum ? min_sum : sums[n];
    map_diff[index] = weights[n * positions + index % positions] / z * mean_diff[index / positions];
  }
}

template <typename Dtype>
__global__ void WeightDiff(const int count, const int channels, const int positions,
                           const Dtype* maps, const Dtype* mean, const double* sums,
                           const double min_sum, const Dtype* mean_diff, Dtype* weight_diff) {
  CUDA_KERNEL_LOOP(index, count) {
    const int n = index / positions;
    const double z = sums[n] < min_sum ? min_sum : sums[n];
    double diff = 0;
    for (int c = 0; c < channels; ++c) {
      const int channel = n * channels + c;
      const double value = maps[channel * positions + index % positions];
      diff += mean_diff[channel] * (value - (sums[n] > min_sum ? mean[channel] : 0));
    }
    weight_diff[index] = diff / z;
  }
}

}  // namespace

template <typename Dtype>
void WeightedMeanLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                           const vector<Blob<Dtype>*>& top) {
  const int samples = bottom[0]->shape(0);
  if (top[0]->count() == 0) {
    return;
  }
  SumWeights<Dtype><<<CAFFE_GET_BLOCKS(samples), CAFFE_CUDA_NUM_THREADS>>>(
      samples, positions_, bottom[1]->gpu_data(), sums_.mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
  WeightMaps<Dtype><<<CAFFE_GET_BLOCKS(top[0]->count()), CAFFE_CUDA_NUM_THREADS>>>(
      top[0]->count(), channels_, positions_, bottom[0]->gpu_data(), bottom[1]->gpu_data(),
      sums_.gpu_data(), min_sum_, top[0]->mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void WeightedMeanLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
                                            const vector<bool>& propagate_down,
                                            const vector<Blob<Dtype>*>& bottom) {
  const int maps = bottom[0]->count(), weights = bottom[1]->count();
  if (propagate_down[0] && maps > 0) {
    MapDiff<Dtype><<<CAFFE_GET_BLOCKS(maps), CAFFE_CUDA_NUM_THREADS>>>(
        maps, channels_, positions_, bottom[1]->gpu_data(), sums_.gpu_data(), min_sum_,
        top[0]->gpu_diff(), bottom[0]->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
  if (propagate_down[1] && weights > 0) {
    WeightDiff<Dtype><<<CAFFE_GET_BLOCKS(weights), CAFFE_CUDA_NUM_THREADS>>>(
        weights, channels_, positions_, bottom[0]->gpu_data(), top[0]->gpu_data(), sums_.gpu_data(),
        min_sum_, top[0]->gpu_diff(), bottom[1]->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(WeightedMeanLayer);

}  // namespace caffe
