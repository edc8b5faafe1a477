// A step of SGD or Adam over a group of weights: see engines/update.hpp. Compiled with
// -fno-math-errno: a square root that may set errno is a call for each element, one that may not
// is a vector instruction.
#include "engines/update.hpp"

#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace {

CAFFE_EXT_INLINE float Root(float x) { return __builtin_sqrtf(x); }
CAFFE_EXT_INLINE double Root(double x) { return __builtin_sqrt(x); }

template <typename Dtype>
CAFFE_EXT_INLINE void Copy(int n, const Dtype* from, Dtype* to) {
  for (int i = 0; i < n; ++i) to[i] = from[i];
}

// Calls change(regularised), where regularised(g, w) is the gradient that the rule works with. A
// factor of 0 leaves its term out, as in upstream, even where the term is NaN or infinite.
template <typename Dtype, typename Step, typename Change>
CAFFE_EXT_INLINE bool Regularised(const Step& step, const Change& change) {
  const Dtype scale = step.scale, decay = step.decay;
  if (decay == 0) {
    return change([=](Dtype g, Dtype) CAFFE_EXT_INLINED { return scale * g; });
  }
  if (step.l1) {
    return change([=](Dtype g, Dtype w) CAFFE_EXT_INLINED {
      return scale * g + decay * (Dtype(w > 0) - Dtype(w < 0));
    });
  }
  return change([=](Dtype g, Dtype w) CAFFE_EXT_INLINED { return scale * g + decay * w; });
}

template <typename Dtype>
bool Sgd(int n, const SgdStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* history) {
  const Dtype rate = step.rate, momentum = step.momentum;
  Dtype new_weight[kUpdateGroup], new_history[kUpdateGroup];
  const auto change = [&](const auto& rule) CAFFE_EXT_INLINED {
    Dtype sum = 0;  // of zeros, and of NaN for each value that is not finite
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; ++i) {
      const Dtype w = weight[i];
      const Dtype h = rule(diff[i], w) + momentum * history[i];
      new_history[i] = h;
      new_weight[i] = w - h;
      sum += new_weight[i] * 0;
    }
    if (step.watched && !(sum == 0)) {
      return false;
    }
    Copy(n, new_history, history);
    Copy(n, new_history, diff);
    Copy(n, new_weight, weight);
    return true;
  };
  if (rate == 0) {
    return change([](Dtype, Dtype) CAFFE_EXT_INLINED { return Dtype(0); });
  }
  return Regularised<Dtype>(step, [&](const auto& gradient) CAFFE_EXT_INLINED {
    return change([&](Dtype g, Dtype w) CAFFE_EXT_INLINED { return rate * gradient(g, w); });
  });
}

template <typename Dtype>
bool Adam(int n, const AdamStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* m, Dtype* v) {
  const Dtype beta1 = step.beta1, beta2 = step.beta2, eps = step.eps, rate = step.rate;
  // Kept until all are known to be finite. The moments are computed again instead: with their
  // copies, a group would not stay in the nearest cache.
  Dtype change[kUpdateGroup];
  return Regularised<Dtype>(step, [&](const auto& gradient) CAFFE_EXT_INLINED {
    const auto moments = [&](int i, Dtype* new_m, Dtype* new_v) CAFFE_EXT_INLINED {
      const Dtype g = gradient(diff[i], weight[i]);
      *new_m = beta1 * m[i] + (1 - beta1) * g;
      *new_v = beta2 * v[i] + (1 - beta2) * g * g;
    };
    Dtype sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; ++i) {
      Dtype new_m, new_v;
      moments(i, &new_m, &new_v);
      change[i] = rate * new_m / (Root(new_v) + eps);
      sum += (weight[i] - change[i]) * 0 + new_v * 0;
    }
    if (step.watched && !(sum == 0)) {
      return false;
    }
#pragma omp simd
    for (int i = 0; i < n; ++i) {
      Dtype new_m, new_v;
      moments(i, &new_m, &new_v);
      m[i] = new_m;
      v[i] = new_v;
      diff[i] = change[i];
      weight[i] -= change[i];
    }
    return true;
  });
}

}  // namespace

const UpdateKernels update_kernels = {Sgd<float>, Sgd<double>, Adam<float>, Adam<double>};

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext
