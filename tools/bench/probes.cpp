// What the machine itself can do, one "name value" a line: a threaded copy in GB/s, and the
// milliseconds of the memory traffic that an SGD update with momentum cannot avoid (read w, g, m;
// write w, m). Medians of eleven: memory that is shared with other machines is at times much faster
// than what a program can count on. Usage: probes VALUES
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

namespace {

typedef std::unique_ptr<float[]> Floats;

// Touched by the threads that will use them.
Floats MakeFloats(long count) {
  Floats data(new float[count]);
  float* p = data.get();
#pragma omp parallel for
  for (long i = 0; i < count; ++i) p[i] = 1e-3f * (i % 7);
  return data;
}

template <typename Pass>
double MedianSeconds(const Pass& pass) {
  std::vector<double> seconds(11);
  for (double& taken : seconds) {
    const auto start = std::chrono::steady_clock::now();
    pass();
    taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  std::nth_element(seconds.begin(), seconds.begin() + 5, seconds.end());
  return seconds[5];
}

}  // namespace

int main(int argc, char** argv) {
  const long count = argc > 1 ? atol(argv[1]) : 0;
  if (count <= 0) {
    std::fprintf(stderr, "Usage: probes VALUES\n");
    return 1;
  }
  Floats weights = MakeFloats(count), gradients = MakeFloats(count), momenta = MakeFloats(count);
  float *w = weights.get(), *g = gradients.get(), *m = momenta.get();
  const double copy = MedianSeconds([=] {
#pragma omp parallel for simd
    for (long i = 0; i < count; ++i) m[i] = w[i];
  });
  const double update = MedianSeconds([=] {
#pragma omp parallel for simd
    for (long i = 0; i < count; ++i) {
      m[i] = 0.9f * m[i] + 1e-3f * g[i];
      w[i] -= m[i];
    }
  });
  std::printf("copy_gb_per_second %.3f\n", 2 * sizeof(float) * count / copy / 1e9);
  std::printf("update_milliseconds %.3f\n", update * 1e3);
  return w[0] > 1e9f;  // so that nothing above is left out
}
