#include "engines/sgd.hpp"

#include <string.h>

#include <algorithm>

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

void Clear(void* memory, size_t bytes) {
  const size_t piece = 1 << 20;
  char* const begin = static_cast<char*>(memory);
#pragma omp parallel for schedule(static)
  for (size_t at = 0; at < bytes; at += piece) {
    memset(begin + at, 0, std::min(piece, bytes - at));
  }
}

template void SgdUpdate<float>(int, const SgdStep<float>&, float*, float*, float*);
template void SgdUpdate<double>(int, const SgdStep<double>&, double*, double*, double*);

}  // namespace caffe_ext
