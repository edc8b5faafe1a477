// The most float32 multiply-adds that the processor makes from its registers, in GFLOP/s, with the
// instruction set that the engine uses and OMP_NUM_THREADS threads: the best of nine short runs,
// since a shared machine is at times slower, but never faster.
#include "fma_peak.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

int main() {
  const caffe_ext::PeakKernels& kernels = caffe_ext::peak_kernels(caffe_ext::ActiveIsa());
  constexpr long kRounds = 20000000;
  double best = 0;
  float kept = 0;
  for (int run = 0; run < 9; ++run) {
    int threads = 0;
    const auto start = std::chrono::steady_clock::now();
#pragma omp parallel reduction(+ : threads, kept)
    {
      threads += 1;
      kept += kernels.multiply_add(kRounds);
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, threads * kRounds * kernels.operations / seconds / 1e9);
  }
  std::printf("fma_peak_gflops %.1f\n", best);
  return kept > 1e9f;  // so that no run is left out
}
