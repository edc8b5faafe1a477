#include "engines/gemm_math.hpp"

#include "caffe/common.hpp"
#include "compat/device_attribute.hpp"

namespace caffe_ext {

using caffe::Caffe;
using caffe::SolverParameter;

namespace {

void WarnOnce(const char* why) {
  static const char* said = nullptr;
  if (said != why) {
    said = why;
    LOG(WARNING) << "gemm_math: TF32 has no effect: " << why
                 << ". Matrix products are computed in float32.";
  }
}

}  // namespace

void SetGemmMath(const SolverParameter& solver) {
  const bool wanted = solver.gemm_math() == SolverParameter::TF32;
  if (Caffe::mode() != Caffe::GPU) {
    if (wanted) {
      WarnOnce("this solver runs on the CPU");
    }
    return;
  }
#ifndef CPU_ONLY
  if (wanted && CurrentDeviceAttribute(cudaDevAttrComputeCapabilityMajor) < 8) {
    WarnOnce("this GPU has no TF32 (its compute capability is less than 8.0)");
  }
  // Also back again: another solver may have stepped in this thread before.
  const cublasMath_t mode = wanted ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH;
  cublasMath_t current;
  CUBLAS_CHECK(cublasGetMathMode(Caffe::cublas_handle(), &current));
  if (current != mode) {
    CUBLAS_CHECK(cublasSetMathMode(Caffe::cublas_handle(), mode));
    LOG_IF(INFO, wanted && Caffe::root_solver()) << "Matrix products in TF32 (gemm_math)";
  }
#endif
}

}  // namespace caffe_ext
