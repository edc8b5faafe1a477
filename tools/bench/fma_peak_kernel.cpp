// Multiply-adds that wait for nothing but each other, compiled once per instruction set as the
// engine's kernels are: see fma_peak.cpp.
#include "engines/kernels/vector.hpp"
#include "fma_peak.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace {

// Two units with a latency of four to five cycles need ten independent sums. (Without AVX, a vector
// takes two registers, and some of the sums wait for memory.)
constexpr int kSums = 12;

float MultiplyAdd(long rounds) {
  Vec sums[kSums];
  Unroll<kSums>([&](auto i) CAFFE_EXT_INLINED { sums[i] = All(1e-3f * i); });
  // Hidden from the compiler, which would otherwise compute the sums itself.
  Vec factor = All(0.999f), term = All(1e-3f);
  __asm__ volatile("" : "+m"(factor), "+m"(term));
  for (long round = 0; round < rounds; ++round) {
    Unroll<kSums>([&](auto i) CAFFE_EXT_INLINED { sums[i] = sums[i] * factor + term; });
  }
  Vec all = {};
  Unroll<kSums>([&](auto i) CAFFE_EXT_INLINED { all += sums[i]; });
  return all[0];
}

}  // namespace

extern const PeakKernels peak_kernels;
const PeakKernels peak_kernels = {MultiplyAdd, 2. * kSums* kLanes};

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext
