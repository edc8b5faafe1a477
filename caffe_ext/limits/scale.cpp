// cblas_sscal and cblas_dscal for Caffe's math_functions.cpp, which is compiled with these names in
// their place (compat/compat.cmake): OpenBLAS takes a factor of NaN for 0, and 0 times NaN for 0.
#include <cblas.h>

namespace {

// Whether a factor is one of those.
template <typename Dtype>
bool ByHand(int count, Dtype alpha, Dtype* x, int step) {
  if (alpha != 0 && alpha == alpha) {
    return false;
  }
  for (int i = 0; i < count; ++i) {
    x[i * step] *= alpha;
  }
  return true;
}

}  // namespace

extern "C" void caffe_ext_sscal(int count, float alpha, float* x, int step) {
  if (!ByHand(count, alpha, x, step)) {
    cblas_sscal(count, alpha, x, step);
  }
}

extern "C" void caffe_ext_dscal(int count, double alpha, double* x, int step) {
  if (!ByHand(count, alpha, x, step)) {
    cblas_dscal(count, alpha, x, step);
  }
}
