// The loop of multiply-adds of one instruction set: see fma_peak.cpp.
#ifndef CAFFE_BENCH_FMA_PEAK_HPP_
#define CAFFE_BENCH_FMA_PEAK_HPP_

#include "engines/isa.hpp"

namespace caffe_ext {

struct PeakKernels {
  /// The given number of rounds; returns a value that depends on all of them.
  float (*multiply_add)(long rounds);
  /// Floating-point operations of one round: each multiply-add counts as two.
  double operations;
};

CAFFE_EXT_KERNEL_TABLE(PeakKernels, peak_kernels)

}  // namespace caffe_ext

#endif  // CAFFE_BENCH_FMA_PEAK_HPP_
