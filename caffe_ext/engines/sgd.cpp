#include "engines/sgd.hpp"

#include "caffe/common.hpp"
#include "engines/switch.hpp"

namespace caffe_ext {

bool SgdUpdateServes(const std::string& regularization_type) {
  return EngineEnabled() && caffe::Caffe::mode() == caffe::Caffe::CPU &&
         (regularization_type == "L1" || regularization_type == "L2");
}

template <typename Dtype>
void SgdUpdate(int n, const SgdStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* history) {
  const SgdStep<Dtype> s = step;
  if (s.l1) {
#pragma omp parallel for simd schedule(static)
    for (int i = 0; i < n; ++i) {
      const Dtype w = weight[i];
      const Dtype sign = Dtype(w > 0) - Dtype(w < 0);
      const Dtype h = s.rate * (s.scale * diff[i] + s.decay * sign) + s.momentum * history[i];
      history[i] = h;
      diff[i] = h;
      weight[i] = w - h;
    }
    return;
  }
#pragma omp parallel for simd schedule(static)
  for (int i = 0; i < n; ++i) {
    const Dtype w = weight[i];
    const Dtype h = s.rate * (s.scale * diff[i] + s.decay * w) + s.momentum * history[i];
    history[i] = h;
    diff[i] = h;
    weight[i] = w - h;
  }
}

template <typename Dtype>
void ClearDiff(int n, Dtype* diff) {
#pragma omp parallel for simd schedule(static)
  for (int i = 0; i < n; ++i) {
    diff[i] = 0;
  }
}

#define INSTANTIATE(Dtype)                                                            \
  template void SgdUpdate<Dtype>(int, const SgdStep<Dtype>&, Dtype*, Dtype*, Dtype*); \
  template void ClearDiff<Dtype>(int, Dtype*)
INSTANTIATE(float);
INSTANTIATE(double);
#undef INSTANTIATE

}  // namespace caffe_ext
