#include "engines/inner_product.hpp"

#include <omp.h>

#include "caffe/util/math_functions.hpp"
#include "engines/few_images_product.hpp"
#include "engines/log.hpp"

namespace caffe_ext {

using onednn::Memory;

bool EngineInnerProduct::Plan() {
  const int threads = omp_get_max_threads();
  if (planned_images_ == M_ && threads_ == threads) {
    return usable_;
  }
  planned_images_ = M_;
  threads_ = threads;
  usable_ = false;
  std::string kernel;
  if (M_ > 0 && !transpose_) {
    source_ = onednn::PlainDesc({M_, K_});
    weights_ = onednn::PlainDesc({N_, K_});
    target_ = onednn::PlainDesc({M_, N_});
    try {
      const auto forward = onednn::InnerProductForward(source_, weights_, NULL, target_);
      const auto backward_weights =
          onednn::InnerProductBackwardWeights(source_, weights_, target_, forward);
      const auto backward_data =
          onednn::InnerProductBackwardData(source_, weights_, target_, forward);
      backward_weights_ = dnnl::inner_product_backward_weights(backward_weights);
      backward_data_ = dnnl::inner_product_backward_data(backward_data);
      kernel = onednn::Implementation(backward_data);
      usable_ = kernel.find("ref") == std::string::npos;
    } catch (const dnnl::error&) {
      // No kernel for this shape.
    }
  }
  LogEngine(layer_param_, usable_, kernel);
  return usable_;
}

void EngineInnerProduct::Forward_cpu(const Blobs& bottom, const Blobs& top) {
  if (transpose_ || M_ == 0 || M_ > kFewImages || !FewImagesProductServes()) {
    Plain::Forward_cpu(bottom, top);
    return;
  }
  FewImagesProduct(M_, K_, N_, bottom[0]->cpu_data(), blobs_[0]->cpu_data(),
                   bias_term_ ? blobs_[1]->cpu_data() : NULL, top[0]->mutable_cpu_data(),
                   &columns_);
}

void EngineInnerProduct::AddWeightDiff(const float* bottom_data, const float* top_diff) {
  if (!blobs_[0]->diff()->known_zero()) {
    caffe::caffe_cpu_gemm<float>(CblasTrans, CblasNoTrans, N_, K_, M_, 1, top_diff, bottom_data, 1,
                                 blobs_[0]->mutable_cpu_diff());
    return;
  }
  backward_weights_.execute(
      onednn::Stream(), {{DNNL_ARG_SRC, Memory(source_, bottom_data)},
                         {DNNL_ARG_DIFF_DST, Memory(target_, top_diff)},
                         {DNNL_ARG_DIFF_WEIGHTS, Memory(weights_, blobs_[0]->mutable_cpu_diff())}});
}

void EngineInnerProduct::Backward_cpu(const Blobs& top, const std::vector<bool>& propagate_down,
                                      const Blobs& bottom) {
  if (!Plan()) {
    Plain::Backward_cpu(top, propagate_down, bottom);
    return;
  }
  const float* top_diff = top[0]->cpu_diff();
  if (param_propagate_down_[0]) {
    AddWeightDiff(bottom[0]->cpu_data(), top_diff);
  }
  if (bias_term_ && param_propagate_down_[1]) {
    caffe::caffe_cpu_gemv<float>(CblasTrans, M_, N_, 1, top_diff, bias_multiplier_.cpu_data(), 1,
                                 blobs_[1]->mutable_cpu_diff());
  }
  if (propagate_down[0]) {
    backward_data_.execute(onednn::Stream(),
                           {{DNNL_ARG_DIFF_DST, Memory(target_, top_diff)},
                            {DNNL_ARG_WEIGHTS, Memory(weights_, blobs_[0]->cpu_data())},
                            {DNNL_ARG_DIFF_SRC, Memory(source_, bottom[0]->mutable_cpu_diff())}});
  }
}

}  // namespace caffe_ext
