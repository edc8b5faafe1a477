// The loops behind LocalProducts. No guard: locally_connected_products.cpp includes this once per
// set of instructions, in a namespace that has kVectorBytes, kOutputs and TARGET. (Vectors must be
// of the size that a function's own target has, and a template has one target.)
//
// Weights are used once, and a tap's share of them is one or two cache lines: they are asked for
// ahead of time, line by line, which made all three products a third faster.

template <typename Dtype>
TARGET inline void AskFor(const Dtype* weight) {
  for (size_t i = 0; i < kOutputs; i += 64 / sizeof(Dtype)) {
    __builtin_prefetch(weight + kAheadBytes / sizeof(Dtype) + i);
  }
}

// Sums of kOutputs outputs stay in registers while the taps go by.
template <typename Dtype>
TARGET void SumOutputs(const TapWindow& window, const Dtype* map, const Dtype* weight, int step,
                       Dtype* sums) {
  typedef Dtype Vector
      __attribute__((vector_size(kVectorBytes), aligned(sizeof(Dtype)), may_alias));
  const int kLanes = kVectorBytes / sizeof(Dtype);
  Vector sum[kOutputs] = {};
  for (int c = 0; c < window.channels; ++c) {
    for (int ky = 0; ky < window.kernel_h; ++ky) {
      const Dtype* at = map + c * window.plane + ky * window.row;
      for (int kx = 0; kx < window.kernel_w; ++kx, at += kLanes, weight += step) {
        AskFor(weight);
        const Vector images = *reinterpret_cast<const Vector*>(at);
#pragma GCC unroll 16
        for (int o = 0; o < kOutputs; ++o) {
          sum[o] += weight[o] * images;
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int o = 0; o < kOutputs; ++o) {
    *reinterpret_cast<Vector*>(sums + o * kLanes) = sum[o];
  }
}

// Here outputs are the lanes. The diffs stay in registers, kOutputs of them in whatever type.
template <typename Dtype>
TARGET void AddWeightDiff(const TapWindow& window, const Dtype* map, const Dtype* diffs,
                          Dtype* weight_diff, int step) {
  typedef Dtype Vector
      __attribute__((vector_size(kVectorBytes), aligned(sizeof(Dtype)), may_alias));
  const int kLanes = kVectorBytes / sizeof(Dtype);
  const int kVectors = kOutputs / kLanes;
  Vector diff[kLanes][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      diff[i][v] = *reinterpret_cast<const Vector*>(diffs + i * kOutputs + v * kLanes);
    }
  }
  for (int c = 0; c < window.channels; ++c) {
    for (int ky = 0; ky < window.kernel_h; ++ky) {
      const Dtype* at = map + c * window.plane + ky * window.row;
      for (int kx = 0; kx < window.kernel_w; ++kx, at += kLanes, weight_diff += step) {
        AskFor(weight_diff);
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          Vector* const out = reinterpret_cast<Vector*>(weight_diff + v * kLanes);
          // Two sums: one alone would wait for itself.
          Vector even = *out, odd = {};
#pragma GCC unroll 16
          for (int i = 0; i < kLanes; i += 2) {
            even += at[i] * diff[i][v];
            odd += at[i + 1] * diff[i + 1][v];
          }
          *out = even + odd;
        }
      }
    }
  }
}

template <typename Dtype>
TARGET void AddMapDiff(const TapWindow& window, const Dtype* diffs, const Dtype* weight, int step,
                       Dtype* map_diff) {
  typedef Dtype Vector
      __attribute__((vector_size(kVectorBytes), aligned(sizeof(Dtype)), may_alias));
  const int kLanes = kVectorBytes / sizeof(Dtype);
  Vector diff[kOutputs];
#pragma GCC unroll 16
  for (int o = 0; o < kOutputs; ++o) {
    diff[o] = *reinterpret_cast<const Vector*>(diffs + o * kLanes);
  }
  for (int c = 0; c < window.channels; ++c) {
    for (int ky = 0; ky < window.kernel_h; ++ky) {
      Dtype* at = map_diff + c * window.plane + ky * window.row;
      for (int kx = 0; kx < window.kernel_w; ++kx, at += kLanes, weight += step) {
        AskFor(weight);
        Vector* const out = reinterpret_cast<Vector*>(at);
        Vector even = *out, odd = {};
#pragma GCC unroll 16
        for (int o = 0; o < kOutputs; o += 2) {
          even += weight[o] * diff[o];
          odd += weight[o + 1] * diff[o + 1];
        }
        *out = even + odd;
      }
    }
  }
}
