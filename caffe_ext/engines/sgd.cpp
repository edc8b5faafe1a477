#include "engines/sgd.hpp"

#include <string.h>

#include <algorithm>

#include "caffe/common.hpp"
#include "engines/switch.hpp"

namespace caffe_ext {

bool SgdUpdateServes(const std::string& regularization_type) {
  return EngineEnabled() && caffe::Caffe::mode() == caffe::Caffe::CPU &&
         (regularization_type == "L1" || regularization_type == "L2");
}

namespace {

// Weights that are looked at before they are changed: with gradients and history, what stays in the
// first level of the cache.
const int kGroup = 1024;

// `step` gives what one weight with its gradient adds to the history.
template <typename Dtype, typename Step>
void Change(int n, Dtype momentum, Step step, Dtype* weight, Dtype* diff, Dtype* history) {
#pragma omp simd
  for (int i = 0; i < n; ++i) {
    const Dtype w = weight[i];
    const Dtype h = step(diff[i], w) + momentum * history[i];
    history[i] = h;
    diff[i] = h;
    weight[i] = w - h;
  }
}

// Whether that leaves finite weights: NaN and infinity times 0 are NaN, and all else is 0.
template <typename Dtype, typename Step>
bool StaysFinite(int n, Dtype momentum, Step step, const Dtype* weight, const Dtype* diff,
                 const Dtype* history) {
  Dtype sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < n; ++i) {
    const Dtype w = weight[i];
    sum += (w - (step(diff[i], w) + momentum * history[i])) * 0;
  }
  return sum == 0;
}

template <typename Dtype, typename Step>
bool Pass(int n, Dtype momentum, bool watched, Step step, Dtype* weight, Dtype* diff,
          Dtype* history) {
  int faults = 0;
  const int groups = n / kGroup + (n % kGroup != 0);
#pragma omp parallel for schedule(static) reduction(+ : faults)
  for (int group = 0; group < groups; ++group) {
    const int at = group * kGroup, size = std::min(kGroup, n - at);
    Dtype *w = weight + at, *d = diff + at, *h = history + at;
    if (watched && !StaysFinite(size, momentum, step, w, d, h)) {
      ++faults;
    } else {
      Change(size, momentum, step, w, d, h);
    }
  }
  return faults == 0;
}

}  // namespace

template <typename Dtype>
bool SgdUpdate(int n, const SgdStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* history) {
  const SgdStep<Dtype> s = step;
  const auto run = [=](auto change) {
    return Pass(n, s.momentum, s.watched, change, weight, diff, history);
  };
  // A factor of 0 leaves its term out, as in upstream, even where the term is NaN or infinite.
  if (s.rate == 0) {
    return run([](Dtype, Dtype) { return Dtype(0); });
  }
  if (s.decay == 0) {
    return run([s](Dtype g, Dtype) { return s.rate * (s.scale * g); });
  }
  if (s.l1) {
    return run([s](Dtype g, Dtype w) {
      return s.rate * (s.scale * g + s.decay * (Dtype(w > 0) - Dtype(w < 0)));
    });
  }
  return run([s](Dtype g, Dtype w) { return s.rate * (s.scale * g + s.decay * w); });
}

// One call on one thread: the C library then stores past the caches, which fills the memory's
// bandwidth. Pieces for several threads are too small for that and take twice as long.
void Clear(void* memory, size_t bytes) {
  if (bytes) {  // an empty blob has no memory
    memset(memory, 0, bytes);
  }
}

template bool SgdUpdate<float>(int, const SgdStep<float>&, float*, float*, float*);
template bool SgdUpdate<double>(int, const SgdStep<double>&, double*, double*, double*);

}  // namespace caffe_ext
