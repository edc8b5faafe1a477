// Called by Layer::Forward and Layer::Backward in GPU mode: what a pass is to write is poisoned
// first, so that a value which it leaves out is NaN and not a right one of an earlier pass.
#ifndef CAFFE_ON_HOST_POISON_OUTPUTS_HPP_
#define CAFFE_ON_HOST_POISON_OUTPUTS_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "cuda_on_host/control.hpp"

namespace caffe_on_host {

// Tops whose memory is no bottom's. A layer without bottoms keeps what it has been given.
template <typename Dtype>
void PoisonTops(const std::vector<caffe::Blob<Dtype>*>& bottom,
                const std::vector<caffe::Blob<Dtype>*>& top) {
  for (caffe::Blob<Dtype>* blob : top) {
    bool shared = bottom.empty() || blob->count() == 0;
    for (const caffe::Blob<Dtype>* other : bottom) {
      shared = shared || other->data() == blob->data();
    }
    if (!shared) {
      cuda_on_host::Poison(blob->mutable_gpu_data(), blob->count() * sizeof(Dtype));
    }
  }
}

// Upstream's EuclideanLoss is left alone: it multiplies what stands there by 0.
template <typename Dtype>
void PoisonBottomDiffs(const std::string& type, const std::vector<caffe::Blob<Dtype>*>& top,
                       const std::vector<bool>& propagate_down,
                       const std::vector<caffe::Blob<Dtype>*>& bottom) {
  for (size_t i = 0; i < bottom.size(); ++i) {
    bool shared = type == "EuclideanLoss" || !propagate_down[i] || bottom[i]->count() == 0;
    for (const caffe::Blob<Dtype>* other : top) {
      shared = shared || other->diff() == bottom[i]->diff();
    }
    if (!shared) {
      cuda_on_host::Poison(bottom[i]->mutable_gpu_diff(), bottom[i]->count() * sizeof(Dtype));
    }
  }
}

}  // namespace caffe_on_host

#endif  // CAFFE_ON_HOST_POISON_OUTPUTS_HPP_
