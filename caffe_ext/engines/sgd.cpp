#include "engines/sgd.hpp"

#include <string.h>

#include "caffe/common.hpp"
#include "engines/switch.hpp"

namespace caffe_ext {

bool SgdUpdateServes(const std::string& regularization_type) {
  return EngineEnabled() && caffe::Caffe::mode() == caffe::Caffe::CPU &&
         (regularization_type == "L1" || regularization_type == "L2");
}

namespace {

// `step` gives what one weight with its gradient adds to the history.
template <typename Dtype, typename Step>
void Pass(int n, Dtype momentum, Step step, Dtype* weight, Dtype* diff, Dtype* history) {
#pragma omp parallel for simd schedule(static)
  for (int i = 0; i < n; ++i) {
    const Dtype w = weight[i];
    const Dtype h = step(diff[i], w) + momentum * history[i];
    history[i] = h;
    diff[i] = h;
    weight[i] = w - h;
  }
}

}  // namespace

template <typename Dtype>
void SgdUpdate(int n, const SgdStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* history) {
  const SgdStep<Dtype> s = step;
  const auto run = [=](auto change) { Pass(n, s.momentum, change, weight, diff, history); };
  // A factor of 0 leaves its term out, as in upstream, even where the term is NaN or infinite.
  if (s.rate == 0) {
    run([](Dtype, Dtype) { return Dtype(0); });
  } else if (s.decay == 0) {
    run([s](Dtype g, Dtype) { return s.rate * (s.scale * g); });
  } else if (s.l1) {
    run([s](Dtype g, Dtype w) {
      return s.rate * (s.scale * g + s.decay * (Dtype(w > 0) - Dtype(w < 0)));
    });
  } else {
    run([s](Dtype g, Dtype w) { return s.rate * (s.scale * g + s.decay * w); });
  }
}

// One call on one thread: the C library then stores past the caches, which fills the memory's
// bandwidth. Pieces for several threads are too small for that and take twice as long.
void Clear(void* memory, size_t bytes) {
  if (bytes) {  // an empty blob has no memory
    memset(memory, 0, bytes);
  }
}

template void SgdUpdate<float>(int, const SgdStep<float>&, float*, float*, float*);
template void SgdUpdate<double>(int, const SgdStep<double>&, double*, double*, double*);

}  // namespace caffe_ext
