// Discrete Fourier transforms in vectors: lane by lane, so that a register holds one value of as
// many transforms as it has lanes.
#ifndef CAFFE_EXT_ENGINES_KERNELS_DFT_HPP_
#define CAFFE_EXT_ENGINES_KERNELS_DFT_HPP_

#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {

struct Complex {
  Vec re, im;
};

CAFFE_EXT_INLINE Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
CAFFE_EXT_INLINE Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }

/// A complex vector in memory: the real parts of all lanes, then the imaginary parts.
CAFFE_EXT_INLINE Complex Get(const float* p) { return {Load(p), Load(p + kLanes)}; }
CAFFE_EXT_INLINE void Put(float* p, Complex x) {
  Store(p, x.re);
  Store(p + kLanes, x.im);
}

/// a - ib (forward) or a + ib (inverse), and the other of the two.
template <bool Inverse>
CAFFE_EXT_INLINE void AddTurned(Complex a, Complex b, Complex* minus, Complex* plus) {
  const Complex x = {a.re + b.im, a.im - b.re}, y = {a.re - b.im, a.im + b.re};
  *minus = Inverse ? y : x;
  *plus = Inverse ? x : y;
}

/// A transform of N values in registers, in natural order: x[k] = sum of x[n] exp(-+ 2 pi i n k/N).
template <int N, bool Inverse>
struct SmallDft;

template <bool Inverse>
struct SmallDft<3, Inverse> {
  static CAFFE_EXT_INLINE void Run(Complex* x) {
    const Vec sine = All(0.86602540378443864676f), half = All(0.5f);
    const Complex sum = x[1] + x[2], difference = x[1] - x[2];
    const Complex turned = {sine * difference.re, sine * difference.im};
    const Complex middle = {x[0].re - half * sum.re, x[0].im - half * sum.im};
    x[0] = x[0] + sum;
    AddTurned<Inverse>(middle, turned, &x[1], &x[2]);
  }
};

template <bool Inverse>
struct SmallDft<4, Inverse> {
  static CAFFE_EXT_INLINE void Run(Complex* x) {
    const Complex a = x[0] + x[2], b = x[0] - x[2], c = x[1] + x[3], d = x[1] - x[3];
    x[0] = a + c;
    x[2] = a - c;
    AddTurned<Inverse>(b, d, &x[1], &x[3]);
  }
};

template <bool Inverse>
struct SmallDft<5, Inverse> {
  static CAFFE_EXT_INLINE void Run(Complex* x) {
    // Cosines and sines of 72 and 144 degrees.
    const Vec c1 = All(0.30901699437494742410f), c2 = All(-0.80901699437494742410f);
    const Vec s1 = All(0.95105651629515357212f), s2 = All(0.58778525229247312917f);
    const Complex a = x[1] + x[4], b = x[1] - x[4], c = x[2] + x[3], d = x[2] - x[3];
    const Complex p = {x[0].re + c1 * a.re + c2 * c.re, x[0].im + c1 * a.im + c2 * c.im};
    const Complex q = {x[0].re + c2 * a.re + c1 * c.re, x[0].im + c2 * a.im + c1 * c.im};
    const Complex u = {s1 * b.re + s2 * d.re, s1 * b.im + s2 * d.im};
    const Complex v = {s2 * b.re - s1 * d.re, s2 * b.im - s1 * d.im};
    x[0] = x[0] + a + c;
    AddTurned<Inverse>(p, u, &x[1], &x[4]);
    AddTurned<Inverse>(q, v, &x[2], &x[3]);
  }
};

template <bool Inverse>
struct SmallDft<6, Inverse> {
  static CAFFE_EXT_INLINE void Run(Complex* x) {
    // 2 x 3 by the prime factors: no twiddles.
    Complex a[3] = {x[0], x[2], x[4]}, b[3] = {x[3], x[5], x[1]};
    SmallDft<3, Inverse>::Run(a);
    SmallDft<3, Inverse>::Run(b);
    x[0] = a[0] + b[0];
    x[3] = a[0] - b[0];
    x[4] = a[1] + b[1];
    x[1] = a[1] - b[1];
    x[2] = a[2] + b[2];
    x[5] = a[2] - b[2];
  }
};

template <bool Inverse>
struct SmallDft<8, Inverse> {
  static CAFFE_EXT_INLINE void Run(Complex* x) {
    Complex e[4] = {x[0], x[2], x[4], x[6]}, o[4] = {x[1], x[3], x[5], x[7]};
    SmallDft<4, Inverse>::Run(e);
    SmallDft<4, Inverse>::Run(o);
    x[0] = e[0] + o[0];
    x[4] = e[0] - o[0];
    AddTurned<Inverse>(e[2], o[2], &x[2], &x[6]);
    // o[1] times (1 -+ i) / sqrt(2), o[3] times (-1 -+ i) / sqrt(2).
    const Vec root = All(0.70710678118654752440f);
    const Vec a = Inverse ? o[1].re - o[1].im : o[1].re + o[1].im;
    const Vec b = Inverse ? o[1].re + o[1].im : o[1].im - o[1].re;
    x[1] = {e[1].re + root * a, e[1].im + root * b};
    x[5] = {e[1].re - root * a, e[1].im - root * b};
    const Vec c = Inverse ? o[3].re + o[3].im : o[3].re - o[3].im;
    const Vec d = Inverse ? o[3].im - o[3].re : o[3].re + o[3].im;
    x[3] = {e[3].re - root * c, e[3].im - root * d};
    x[7] = {e[3].re + root * c, e[3].im + root * d};
  }
};

/// x times exp(-+ 2 pi i J/N).
template <int N, int J, bool Inverse>
CAFFE_EXT_INLINE Complex Twiddle(Complex x) {
  if constexpr (J % N == 0) {
    return x;
  } else {
    constexpr double kAngle = 2 * 3.14159265358979323846 * J / N;
    const Vec c = All(static_cast<float>(__builtin_cos(kAngle)));
    const Vec s = All(static_cast<float>((Inverse ? 1 : -1) * __builtin_sin(kAngle)));
    return {x.re * c - x.im * s, x.re * s + x.im * c};
  }
}

/// The first of two passes of a transform of R1 * R2 values (Cooley-Tukey): `load(n)` gives value
/// n, a constant, and `between` keeps R1 * R2 complex vectors.
template <int R1, int R2, bool Inverse, typename Load>
CAFFE_EXT_INLINE void FirstPass(Complex* between, const Load& load) {
  Unroll<R2>([&](auto n2) CAFFE_EXT_INLINED {
    Complex x[R1];
    Unroll<R1>([&](auto n1) CAFFE_EXT_INLINED {
      x[n1] = load(std::integral_constant<int, R2 * n1 + n2>{});
    });
    SmallDft<R1, Inverse>::Run(x);
    Unroll<R1>([&](auto k1) CAFFE_EXT_INLINED {
      between[k1 * R2 + n2] = Twiddle<R1 * R2, n2 * k1, Inverse>(x[k1]);
    });
  });
  // Without it, the compiler keeps what it has just written in registers that it has not.
  __asm__ volatile("" ::: "memory");
}

/// Frequencies k1, k1 + R1, k1 + 2 R1 ... from what the first pass left.
template <int R1, int R2, bool Inverse>
CAFFE_EXT_INLINE void SecondPass(const Complex* between, int k1, Complex* x) {
  Unroll<R2>([&](auto n2) CAFFE_EXT_INLINED { x[n2] = between[k1 * R2 + n2]; });
  SmallDft<R2, Inverse>::Run(x);
}

/// Both passes; `store(k, value)` takes value k.
template <int R1, int R2, bool Inverse, typename Load, typename Store>
CAFFE_EXT_INLINE void Transform(const Load& load, const Store& store) {
  Complex between[R1 * R2];
  FirstPass<R1, R2, Inverse>(between, load);
  Unroll<R1>([&](auto k1) CAFFE_EXT_INLINED {
    Complex x[R2];
    SecondPass<R1, R2, Inverse>(between, k1, x);
    Unroll<R2>([&](auto k2) CAFFE_EXT_INLINED {
      store(std::integral_constant<int, k1 + R1 * k2>{}, x[k2]);
    });
  });
}

/// The same, forward, where value k and value N - k are wanted together, for 0 <= k <= N / 2:
/// `store(k, value k, value N - k)`. R1 is even.
template <int R1, int R2, typename Load, typename Store>
CAFFE_EXT_INLINE void TransformInPairs(const Load& load, const Store& store) {
  constexpr int N = R1 * R2;
  Complex between[N];
  FirstPass<R1, R2, false>(between, load);
  Unroll<R1 / 2 + 1>([&](auto k1) CAFFE_EXT_INLINED {
    // The frequencies of group k1 have their counterparts in group R1 - k1, which may be itself.
    Complex x[R2], y[R2];
    SecondPass<R1, R2, false>(between, k1, x);
    if constexpr (k1 != 0 && 2 * k1 != R1) {
      SecondPass<R1, R2, false>(between, R1 - k1, y);
    }
    Unroll<R2>([&](auto k2) CAFFE_EXT_INLINED {
      constexpr int k = k1 + R1 * k2;
      if constexpr (k1 == 0) {
        if constexpr (2 * k <= N) {
          store(std::integral_constant<int, k>{}, x[k2], x[(R2 - k2) % R2]);
        }
      } else if constexpr (2 * k1 == R1) {
        if constexpr (2 * k <= N) {
          store(std::integral_constant<int, k>{}, x[k2], x[R2 - 1 - k2]);
        }
      } else if constexpr (2 * k <= N) {
        store(std::integral_constant<int, k>{}, x[k2], y[R2 - 1 - k2]);
      } else {
        store(std::integral_constant<int, N - k>{}, y[R2 - 1 - k2], x[k2]);
      }
    });
  });
}

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_KERNELS_DFT_HPP_
