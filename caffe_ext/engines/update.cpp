#include "engines/update.hpp"

#include <algorithm>

namespace caffe_ext {

namespace {

// group(at, size) for all groups of n weights, on all cores. Whether all of them returned true.
template <typename Group>
bool AllGroups(int n, Group group) {
  const int groups = n / kUpdateGroup + (n % kUpdateGroup != 0);
  int faults = 0;
#pragma omp parallel for schedule(static) reduction(+ : faults)
  for (int i = 0; i < groups; ++i) {
    const int at = i * kUpdateGroup;
    faults += !group(at, std::min(kUpdateGroup, n - at));
  }
  return faults == 0;
}

}  // namespace

bool UpdateGroup(int n, const SgdStep<float>& step, float* weight, float* diff, float* history) {
  return update_kernels(ActiveIsa()).sgd_float(n, step, weight, diff, history);
}
bool UpdateGroup(int n, const SgdStep<double>& step, double* weight, double* diff,
                 double* history) {
  return update_kernels(ActiveIsa()).sgd_double(n, step, weight, diff, history);
}
bool UpdateGroup(int n, const AdamStep<float>& step, float* weight, float* diff, float* m,
                 float* v) {
  return update_kernels(ActiveIsa()).adam_float(n, step, weight, diff, m, v);
}
bool UpdateGroup(int n, const AdamStep<double>& step, double* weight, double* diff, double* m,
                 double* v) {
  return update_kernels(ActiveIsa()).adam_double(n, step, weight, diff, m, v);
}

template <typename Dtype>
bool Update(int n, const SgdStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* history) {
  return AllGroups(n, [&](int at, int size) {
    return UpdateGroup(size, step, weight + at, diff + at, history + at);
  });
}

template <typename Dtype>
bool Update(int n, const AdamStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* m, Dtype* v) {
  return AllGroups(n, [&](int at, int size) {
    return UpdateGroup(size, step, weight + at, diff + at, m + at, v + at);
  });
}

template bool Update<float>(int, const SgdStep<float>&, float*, float*, float*);
template bool Update<double>(int, const SgdStep<double>&, double*, double*, double*);
template bool Update<float>(int, const AdamStep<float>&, float*, float*, float*, float*);
template bool Update<double>(int, const AdamStep<double>&, double*, double*, double*, double*);

}  // namespace caffe_ext
