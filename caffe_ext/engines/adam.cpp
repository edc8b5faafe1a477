// Compiled with -fno-math-errno (caffe.cmake): a square root that may set errno is a call for each
// element, one that may not is a vector instruction.
#include "engines/adam.hpp"

#include <cmath>

namespace caffe_ext {

template <typename Dtype>
void AdamUpdate(int n, Dtype beta1, Dtype beta2, Dtype eps, Dtype rate, Dtype* m, Dtype* v,
                Dtype* diff) {
#pragma omp parallel for simd schedule(static)
  for (int i = 0; i < n; ++i) {
    const Dtype g = diff[i];
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    diff[i] = rate * m[i] / (std::sqrt(v[i]) + eps);
  }
}

template void AdamUpdate<float>(int, float, float, float, float, float*, float*, float*);
template void AdamUpdate<double>(int, double, double, double, double, double*, double*, double*);

}  // namespace caffe_ext
