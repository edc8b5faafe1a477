// In which precision the GPU multiplies matrices: SolverParameter.gemm_math.
#ifndef CAFFE_EXT_ENGINES_GEMM_MATH_HPP_
#define CAFFE_EXT_ENGINES_GEMM_MATH_HPP_

#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/**
 * @brief Sets the precision of this thread's matrix products for a solver that is about to step.
 *
 * With TF32, cuBLAS rounds the factors of float products to 10 bits of mantissa and multiplies them
 * on tensor cores; sums stay float. Products of doubles do not change. Without a GPU, or on one
 * older than compute capability 8.0, products stay float32, and the log warns once.
 */
void SetGemmMath(const caffe::SolverParameter& solver);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_GEMM_MATH_HPP_
