// Loops of several threads, with and without a race. tools/sanitize.sh runs them to see that
// ThreadSanitizer knows OpenMP's barriers, and that it finds a race in a loop.
// Usage: openmp_loops clean | racy; prints the sum of 1 to 1000, or about that.
#include <omp.h>

#include <cstdio>
#include <string>
#include <vector>

namespace {

const int kCount = 1000;

// As our own loops: what one loop writes, other threads read in the next one, behind the barrier
// that ends the first; a sum by reduction; memory that the region's threads were given before.
long Clean() {
  std::vector<long> values(kCount), sums(kCount);
  long total = 0;
#pragma omp parallel
  {
#pragma omp for schedule(dynamic)
    for (int i = 0; i < kCount; ++i) {
      values[i] = i + 1;
    }
#pragma omp for schedule(static)
    for (int i = 0; i < kCount; ++i) {
      sums[i] = values[kCount - 1 - i];
    }
#pragma omp single
    sums[0] += 0;
#pragma omp for schedule(static) reduction(+ : total)
    for (int i = 0; i < kCount; ++i) {
      total += sums[i];
    }
  }
  return total;
}

long Racy() {
  long total = 0;
#pragma omp parallel for schedule(static)
  for (int i = 0; i < kCount; ++i) {
    total += i + 1;
  }
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  const bool racy = argc > 1 && std::string(argv[1]) == "racy";
  std::printf("%ld\n", racy ? Racy() : Clean());
  return 0;
}
