// The small transforms of Winograd's F(m, k) for several m and k, one dimension at a time.
//
// All sizes share one list of points, infinity, 0, +-9/16, +-7/4, +-1, of which a tile takes as
// many as it has pixels. The spectrum of a kernel is therefore the same for tiles of all sizes. All
// constants of the pixels' and the outputs' transforms are exact in float32. Derivation:
// engines/winograd_tiles.md.
#ifndef CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_TRANSFORMS_HPP_
#define CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_TRANSFORMS_HPP_

#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace winograd {

constexpr int kAllPoints = 8;
/// After infinity, which is the first.
constexpr double kFinite[kAllPoints - 1] = {0, .5625, -.5625, 1.75, -1.75, 1, -1};

template <int Rows, int Columns>
struct Matrix {
  static constexpr int kRows = Rows, kColumns = Columns;
  float at[Rows][Columns];
};

/// Rows (1, p, p2 ...) of the first N points, infinity's (0 ... 0, 1): values of a polynomial.
template <int N, int Columns>
constexpr Matrix<N, Columns> Values() {
  Matrix<N, Columns> m = {};
  m.at[0][Columns - 1] = 1;
  for (int i = 1; i < N; ++i) {
    double power = 1;
    for (int j = 0; j < Columns; ++j, power *= kFinite[i - 1]) m.at[i][j] = float(power);
  }
  return m;
}

/// A: outputs of a tile of N points.
template <int N, int K>
struct Outputs {
  static constexpr Matrix<N, N - K + 1> kMatrix = Values<N, N - K + 1>();
};

/// G: the K weights, at all points; row p is divided by the product of p - q over the other finite
/// points q.
template <int K>
constexpr Matrix<kAllPoints, K> DividedValues() {
  Matrix<kAllPoints, K> m = Values<kAllPoints, K>();
  for (int i = 1; i < kAllPoints; ++i) {
    double product = 1;
    for (int k = 1; k < kAllPoints; ++k) product *= k == i ? 1 : kFinite[i - 1] - kFinite[k - 1];
    for (int j = 0; j < K; ++j) m.at[i][j] = float(m.at[i][j] / product);
  }
  return m;
}
template <int K>
struct Kernel {
  static constexpr Matrix<kAllPoints, K> kMatrix = DividedValues<K>();
};

/// B^T: row p holds the coefficients of the product of x - q over the tile's other finite points
/// q, times p - q over those that the tile does not have, for which G divides, too.
template <int N>
constexpr Matrix<N, N> Coefficients() {
  Matrix<N, N> m = {};
  for (int i = 0; i < N; ++i) {
    double row[N + 1] = {1};
    for (int k = 1; k < kAllPoints; ++k) {
      const double q = kFinite[k - 1];
      if (k == i || (i == 0 && k >= N)) continue;
      for (int j = N - 1; j >= 0; --j) {
        row[j] = k >= N ? row[j] * (kFinite[i - 1] - q) : (j > 0 ? row[j - 1] : 0) - q * row[j];
      }
    }
    for (int j = 0; j < N; ++j) m.at[i][j] = float(row[j]);
  }
  return m;
}
template <int N>
struct Pixels {
  static constexpr Matrix<N, N> kMatrix = Coefficients<N>();
};

/// s where row i + 1 is row i with the other sign in odd columns, times s = 1 or -1; else 0. So it
/// is for p and -p, and both rows are two sums, which are added and subtracted.
template <int Rows, int Columns>
constexpr int Mirrored(const Matrix<Rows, Columns>& m, int i) {
  for (int s = 1; s >= -1 && i > 0 && i + 1 < Rows; s -= 2) {
    bool all = true;
    for (int j = 0; j < Columns; ++j) {
      all = all && m.at[i + 1][j] == float(j % 2 ? -s : s) * m.at[i][j];
    }
    if (all) return s;
  }
  return 0;
}

/// Whether row i is the second one of two mirrored ones.
template <int Rows, int Columns>
constexpr bool SecondOfPair(const Matrix<Rows, Columns>& m, int i) {
  return i > 0 && Mirrored(m, i - 1) != 0 && !SecondOfPair(m, i - 1);
}

/// Whether at[i][j] is the first of row i that is not zero, in every `step`-th column from `first`.
template <int Rows, int Columns>
constexpr bool FirstInRow(const Matrix<Rows, Columns>& m, int i, int j, int first, int step) {
  for (int k = first; k < j; k += step) {
    if (m.at[i][k] != 0) return false;
  }
  return true;
}

/// Whether at[i][j] is the first of column j that is not zero.
template <int Rows, int Columns>
constexpr bool FirstInColumn(const Matrix<Rows, Columns>& m, int i, int j) {
  for (int k = 0; k < i; ++k) {
    if (m.at[k][j] != 0) return false;
  }
  return true;
}

/// A row times `in`, every Step-th column from First on.
template <typename T, int I, int First, int Step, int Columns>
CAFFE_EXT_INLINE Vec RowSum(const Vec* in) {
  Vec sum = {};
  Unroll<Columns>([&](auto j) CAFFE_EXT_INLINED {
    if constexpr (j >= First && (j - First) % Step == 0 && T::kMatrix.at[I][j] != 0) {
      const Vec term = T::kMatrix.at[I][j] * in[j];
      sum = FirstInRow(T::kMatrix, I, j, First, Step) ? term : sum + term;
    }
  });
  return sum;
}

/// to = T in.
template <typename T>
CAFFE_EXT_INLINE void Times(const Vec* in, Vec* to) {
  constexpr int kColumns = decltype(T::kMatrix)::kColumns;
  Unroll<decltype(T::kMatrix)::kRows>([&](auto i) CAFFE_EXT_INLINED {
    if constexpr (SecondOfPair(T::kMatrix, i)) {
      return;
    } else if constexpr (Mirrored(T::kMatrix, i) != 0) {
      const Vec even = RowSum<T, i, 0, 2, kColumns>(in), odd = RowSum<T, i, 1, 2, kColumns>(in);
      to[i] = even + odd;
      to[i + 1] = Mirrored(T::kMatrix, i) > 0 ? even - odd : odd - even;
    } else {
      to[i] = RowSum<T, i, 0, 1, kColumns>(in);
    }
  });
}

/// to = T^T in.
template <typename T>
CAFFE_EXT_INLINE void TransposedTimes(const Vec* in, Vec* to) {
  constexpr int kColumns = decltype(T::kMatrix)::kColumns;
  Unroll<decltype(T::kMatrix)::kRows>([&](auto i) CAFFE_EXT_INLINED {
    constexpr int pair = Mirrored(T::kMatrix, i);
    if constexpr (SecondOfPair(T::kMatrix, i)) {
      return;
    } else {
      Vec parts[2] = {in[i], in[i]};
      if constexpr (pair != 0) {
        parts[0] = pair > 0 ? in[i] + in[i + 1] : in[i] - in[i + 1];
        parts[1] = pair > 0 ? in[i] - in[i + 1] : in[i] + in[i + 1];
      }
      Unroll<kColumns>([&](auto j) CAFFE_EXT_INLINED {
        if constexpr (T::kMatrix.at[i][j] != 0) {
          const Vec term = T::kMatrix.at[i][j] * parts[j % 2];
          to[j] = FirstInColumn(T::kMatrix, i, j) ? term : to[j] + term;
        }
      });
    }
  });
}

}  // namespace winograd
}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_KERNELS_WINOGRAD_TRANSFORMS_HPP_
