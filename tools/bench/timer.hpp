// The best time of a pass that takes its turn with others, by the clock and by processor time.
#ifndef CAFFE_BENCH_TIMER_HPP_
#define CAFFE_BENCH_TIMER_HPP_

#include <time.h>

#include <algorithm>
#include <cstdio>

inline double Milliseconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return 1e3 * now.tv_sec + 1e-6 * now.tv_nsec;
}

struct Timer {
  const char* name;
  double best = 1e9, best_of_processor = 1e9;  // milliseconds; of the calling thread

  template <typename Pass>
  void Run(const Pass& pass) {
    const double start = Milliseconds(CLOCK_MONOTONIC);
    const double processor_start = Milliseconds(CLOCK_THREAD_CPUTIME_ID);
    pass();
    best_of_processor =
        std::min(best_of_processor, Milliseconds(CLOCK_THREAD_CPUTIME_ID) - processor_start);
    best = std::min(best, Milliseconds(CLOCK_MONOTONIC) - start);
  }
  void Print() const {
    std::printf("%s_milliseconds %.3f\n", name, best);
    std::printf("%s_processor_milliseconds %.3f\n", name, best_of_processor);
  }
};

#endif  // CAFFE_BENCH_TIMER_HPP_
