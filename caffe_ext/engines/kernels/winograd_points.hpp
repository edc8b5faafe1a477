// The six small transforms of Winograd's F(4x4, 3x3), one dimension at a time, B channels at once.
//
// A tile's polynomials are evaluated at 0, +-a, +-b and infinity. a = 5/8 and b = 3/2 lose a fifth
// of the digits that the textbook's 1 and 2 lose, and the constants of A and B are exact in
// float32. Derivation: engines/winograd.md.
#ifndef CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_POINTS_HPP_
#define CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_POINTS_HPP_

#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace winograd {

constexpr float kA = .625f, kA2 = kA * kA, kA3 = kA * kA2;
constexpr float kB = 1.5f, kB2 = kB * kB, kB3 = kB * kB2;
constexpr float kA2B2 = kA2 * kB2, kA2PlusB2 = kA2 + kB2;
// 1 / product over the other finite points q of (p - q), for p = 0, +-a, +-b.
constexpr float k0 = 1 / (double(kA2) * kB2);
constexpr float kAtA = 1 / (2 * double(kA2) * (double(kA2) - kB2));
constexpr float kAtB = 1 / (2 * double(kB2) * (double(kB2) - kA2));

/// B^T: six pixels to six points.
CAFFE_EXT_INLINE void InputPoints(const Vec* d, Vec* to) {
  const Vec p = d[4] - kB2 * d[2], q = d[3] - kB2 * d[1];
  const Vec r = d[4] - kA2 * d[2], s = d[3] - kA2 * d[1];
  to[0] = kA2B2 * d[0] + (d[4] - kA2PlusB2 * d[2]);
  to[1] = p + kA * q;
  to[2] = p - kA * q;
  to[3] = r + kB * s;
  to[4] = r - kB * s;
  to[5] = kA2B2 * d[1] + (d[5] - kA2PlusB2 * d[3]);
}

/// A^T: six points to four results.
CAFFE_EXT_INLINE void Results(const Vec* m, Vec* to) {
  const Vec p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
  to[0] = m[0] + p + r;
  to[1] = kA * q + kB * s;
  to[2] = kA2 * p + kB2 * r;
  to[3] = kA3 * q + (kB3 * s + m[5]);
}

/// A: four diffs to six points.
CAFFE_EXT_INLINE void DiffPoints(const Vec* d, Vec* to) {
  const Vec p = d[0] + kA2 * d[2], q = kA * d[1] + kA3 * d[3];
  const Vec r = d[0] + kB2 * d[2], s = kB * d[1] + kB3 * d[3];
  to[0] = d[0];
  to[1] = p + q;
  to[2] = p - q;
  to[3] = r + s;
  to[4] = r - s;
  to[5] = d[3];
}

/// G: three weights to six points.
CAFFE_EXT_INLINE void WeightPoints(const Vec* w, Vec* to) {
  const Vec p = kAtA * (w[0] + kA2 * w[2]), q = (kAtA * kA) * w[1];
  const Vec r = kAtB * (w[0] + kB2 * w[2]), s = (kAtB * kB) * w[1];
  to[0] = k0 * w[0];
  to[1] = p + q;
  to[2] = p - q;
  to[3] = r + s;
  to[4] = r - s;
  to[5] = w[2];
}

/// G^T: six points to the diffs of three weights.
CAFFE_EXT_INLINE void WeightDiffs(const Vec* m, Vec* to) {
  const Vec p = kAtA * (m[1] + m[2]), q = (kAtA * kA) * (m[1] - m[2]);
  const Vec r = kAtB * (m[3] + m[4]), s = (kAtB * kB) * (m[3] - m[4]);
  to[0] = k0 * m[0] + (p + r);
  to[1] = q + s;
  to[2] = kA2 * p + (kB2 * r + m[5]);
}

/// A transform of rows x columns vectors in both dimensions: Out x In of one dimension is
/// `transform`. load(y, x) gives a vector, store(y, x, v) takes one.
template <int In, int Out, typename Transform, typename Load, typename Store>
CAFFE_EXT_INLINE void BothWays(const Transform& transform, const Load& load, const Store& store) {
  Vec between[Out][In];
  Unroll<In>([&](auto x) CAFFE_EXT_INLINED {
    Vec column[In], points[Out];
    Unroll<In>([&](auto y) CAFFE_EXT_INLINED { column[y] = load(y, x); });
    transform(column, points);
    Unroll<Out>([&](auto y) CAFFE_EXT_INLINED { between[y][x] = points[y]; });
  });
  Unroll<Out>([&](auto y) CAFFE_EXT_INLINED {
    Vec points[Out];
    transform(between[y], points);
    Unroll<Out>([&](auto x) CAFFE_EXT_INLINED { store(y, x, points[x]); });
  });
}

}  // namespace winograd
}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_POINTS_HPP_
