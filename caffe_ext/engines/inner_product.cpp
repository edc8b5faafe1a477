#include "engines/inner_product.hpp"

#include "caffe/util/math_functions.hpp"
#include "engines/factored_gradient.hpp"
#include "engines/few_images_product.hpp"

namespace caffe_ext {

bool EngineInnerProduct::FewImages(int most) const {
  return !transpose_ && M_ > 0 && M_ <= most && FewImagesProductServes();
}

bool EngineInnerProduct::Plan(const Blobs& bottom, const Blobs& top) { return !transpose_; }

std::string EngineInnerProduct::KernelNames() const {
  return FewImages(kFewImages) ? "few images" : "BLAS";
}

void EngineInnerProduct::PlannedForward(const Blobs& bottom, const Blobs& top) {
  if (!FewImages(kFewImages)) {
    Plain::Forward_cpu(bottom, top);
    return;
  }
  FewImagesProduct(M_, K_, N_, bottom[0]->cpu_data(), blobs_[0]->cpu_data(),
                   bias_term_ ? blobs_[1]->cpu_data() : NULL, top[0]->mutable_cpu_data(),
                   &scratch_);
}

void EngineInnerProduct::PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                                         const Blobs& bottom) {
  if (M_ == 0) {
    Plain::Backward_cpu(top, propagate_down, bottom);
    return;
  }
  const float* top_diff = top[0]->cpu_diff();
  if (param_propagate_down_[0]) {
    const float* bottom_data = bottom[0]->cpu_data();
    caffe::SyncedMemory* const diff = blobs_[0]->diff().get();
    const bool add = !diff->known_zero();
    if (!FewImages(kFewImages)) {
      caffe::caffe_cpu_gemm<float>(CblasTrans, CblasNoTrans, N_, K_, M_, 1, top_diff, bottom_data,
                                   add, blobs_[0]->mutable_cpu_diff());
    } else if (!add && !diff->plain_seen()) {
      diff->set_private_form(
          boost::shared_ptr<PrivateForm>(new FactoredGradient(M_, K_, N_, bottom_data, top_diff)));
    } else {
      FewImagesWeightDiff(M_, K_, N_, bottom_data, top_diff, add, blobs_[0]->mutable_cpu_diff());
    }
  }
  if (bias_term_ && param_propagate_down_[1]) {
    caffe::caffe_cpu_gemv<float>(CblasTrans, M_, N_, 1, top_diff, bias_multiplier_.cpu_data(), 1,
                                 blobs_[1]->mutable_cpu_diff());
  }
  if (propagate_down[0]) {
    const float* weights = blobs_[0]->cpu_data();
    float* bottom_diff = bottom[0]->mutable_cpu_diff();
    if (FewImages(kFewImagesBottom)) {
      FewImagesBottomDiff(M_, K_, N_, top_diff, weights, bottom_diff);
    } else {
      caffe::caffe_cpu_gemm<float>(CblasNoTrans, CblasNoTrans, M_, K_, N_, 1, top_diff, weights, 0,
                                   bottom_diff);
    }
  }
}

}  // namespace caffe_ext
