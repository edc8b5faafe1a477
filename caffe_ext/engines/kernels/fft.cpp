// The kernels of the FFT convolution: see engines/fft/kernels.hpp, and engines/fft.md.
#include "engines/fft/kernels.hpp"
#include "engines/kernels/dft.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace {

// Whether value N of a line is there. (kernels.cmake has the compiler keep the questions apart: it
// would write the code behind each of them again for every answer.)
template <int N>
CAFFE_EXT_INLINE bool Given(int count) {
  return N < count;
}

template <int R1, int R2>
void Rows(const float* a, const float* b, int count, float* to_a, float* to_b, size_t step) {
  TransformInPairs<R1, R2>(
      [&](auto n) CAFFE_EXT_INLINED {
        return Given<n>(count) ? Complex{Load(a + n * kLanes), Load(b + n * kLanes)} : Complex{};
      },
      [&](auto k, Complex x, Complex y) CAFFE_EXT_INLINED {
        if constexpr (k == 0 || 2 * k == R1 * R2) {
          Put(to_a + k * step, {x.re + x.re, Vec{}});
          Put(to_b + k * step, {x.im + x.im, Vec{}});
        } else {
          Put(to_a + k * step, {x.re + y.re, x.im - y.im});
          Put(to_b + k * step, {x.im + y.im, y.re - x.re});
        }
      });
}

template <int R1, int R2>
void Columns(const float* from, int count, float* to, size_t step, size_t imaginary) {
  Transform<R1, R2, false>(
      [&](auto n)
          CAFFE_EXT_INLINED { return Given<n>(count) ? Get(from + n * 2 * kLanes) : Complex{}; },
      [&](auto k, Complex x) CAFFE_EXT_INLINED {
        Store(to + k * step, x.re);
        Store(to + k * step + imaginary, x.im);
      });
}

template <int R1, int R2>
void ColumnsBack(const float* from, size_t from_step, int count, float* to, size_t step) {
  Transform<R1, R2, true>([&](auto k) CAFFE_EXT_INLINED { return Get(from + k * from_step); },
                          [&](auto n, Complex x) CAFFE_EXT_INLINED {
                            if (Given<n>(count)) Put(to + n * step, x);
                          });
}

template <int R1, int R2, bool Past>
void RowsBackOf(const float* a, const float* b, int count, Vec add, float* to_a, float* to_b) {
  constexpr int T = R1 * R2;
  Transform<R1, R2, true>(
      [&](auto k) CAFFE_EXT_INLINED {
        // a + ib; the upper half is conj(a) + i conj(b).
        if constexpr (k == 0 || 2 * k == T) {
          return Complex{Load(a + k * 2 * kLanes), Load(b + k * 2 * kLanes)};
        } else {
          constexpr int j = 2 * k < T ? k : T - k;
          const Complex x = Get(a + j * 2 * kLanes), y = Get(b + j * 2 * kLanes);
          return 2 * k < T ? Complex{x.re - y.im, x.im + y.re} : Complex{x.re + y.im, y.re - x.im};
        }
      },
      [&](auto n, Complex x) CAFFE_EXT_INLINED {
        if (Given<n>(count)) {
          if constexpr (Past) {
            Stream(to_a + n * kLanes, x.re + add);
            Stream(to_b + n * kLanes, x.im + add);
          } else {
            Store(to_a + n * kLanes, x.re + add);
            Store(to_b + n * kLanes, x.im + add);
          }
        }
      });
}

template <int R1, int R2>
void RowsBack(const float* a, const float* b, int count, const float* add, bool stream, float* to_a,
              float* to_b) {
  stream ? RowsBackOf<R1, R2, true>(a, b, count, Load(add), to_a, to_b)
         : RowsBackOf<R1, R2, false>(a, b, count, Load(add), to_a, to_b);
}

// The sums of so many tiles are in registers at a time: two each, of 32 or 16.
constexpr int kMostTiles = kLanes == 16 ? 12 : 5;

template <int Tiles>
void Product(const float* x, size_t tile_step, size_t imaginary, int channels, const float* w,
             float* out, size_t out_step) {
  Complex sums[Tiles] = {};
  for (int c = 0; c < channels; ++c, ++x, w += 2 * kLanes) {
    const Complex v = Get(w);
    // One order of additions for any number of tiles: a tile's result is the same in each.
    Unroll<Tiles>([&](auto t) CAFFE_EXT_INLINED {
      const Vec re = All(x[t * tile_step]), im = All(x[t * tile_step + imaginary]);
      sums[t].re += re * v.re;
      sums[t].im += im * v.re;
      sums[t].re += im * v.im;
      sums[t].im -= re * v.im;
    });
  }
  Unroll<Tiles>([&](auto t) CAFFE_EXT_INLINED { Put(out + t * out_step, sums[t]); });
}

typedef void (*ProductOfTiles)(const float*, size_t, size_t, int, const float*, float*, size_t);

template <int... I>
CAFFE_EXT_INLINE ProductOfTiles SelectProduct(int tiles, std::integer_sequence<int, I...>) {
  const ProductOfTiles table[] = {Product<I + 1>...};
  return table[tiles - 1];
}

void Products(const FftTiles& x, int rows, int channels, const float* w, float* out,
              size_t out_step) {
  const int rounds = (x.tiles + kMostTiles - 1) / kMostTiles;
  for (int round = 0; round < rounds; ++round) {
    // Rounds of about the same size.
    const int first = x.tiles * round / rounds, end = x.tiles * (round + 1) / rounds;
    const ProductOfTiles product =
        SelectProduct(end - first, std::make_integer_sequence<int, kMostTiles>{});
    for (int ky = 0; ky < rows; ++ky) {
      product(x.values + ky * x.row_step + first * x.tile_step, x.tile_step, x.imaginary, channels,
              w + size_t(ky) * channels * 2 * kLanes, out + first * out_step + ky * 2 * kLanes,
              out_step);
    }
  }
}

template <int Channels>
CAFFE_EXT_INLINE void OuterProduct(const float* x, const FftTiles& tiles, const float* d,
                                   float* sums) {
  Complex sum[Channels];
  Unroll<Channels>([&](auto c) CAFFE_EXT_INLINED { sum[c] = Get(sums + c * 2 * kLanes); });
  for (int t = 0; t < tiles.tiles; ++t, x += tiles.tile_step, d += 2 * kLanes) {
    const Complex v = Get(d);
    Unroll<Channels>([&](auto c) CAFFE_EXT_INLINED {
      const Vec re = All(x[c]), im = All(x[c + tiles.imaginary]);
      sum[c].re += re * v.re;
      sum[c].im += im * v.re;
      sum[c].re += im * v.im;
      sum[c].im -= re * v.im;
    });
  }
  Unroll<Channels>([&](auto c) CAFFE_EXT_INLINED { Put(sums + c * 2 * kLanes, sum[c]); });
}

void OuterProducts(const FftTiles& x, int rows, int channels, const float* d, float* sums) {
  constexpr int kMany = kLanes == 16 ? 8 : 4;
  for (int ky = 0; ky < rows; ++ky) {
    const float* const values = x.values + ky * x.row_step;
    const float* const diffs = d + size_t(ky) * x.tiles * 2 * kLanes;
    float* const row = sums + size_t(ky) * channels * 2 * kLanes;
    int c = 0;
    for (; c + kMany <= channels; c += kMany) {
      OuterProduct<kMany>(values + c, x, diffs, row + c * 2 * kLanes);
    }
    for (; c + 3 <= channels; c += 3) {
      OuterProduct<3>(values + c, x, diffs, row + c * 2 * kLanes);
    }
    for (; c < channels; ++c) {
      OuterProduct<1>(values + c, x, diffs, row + c * 2 * kLanes);
    }
  }
}

// Squares of the lanes' number are transposed in registers, by exchanging blocks of half their
// size, of a quarter ...
void Interleave(const float* const* from, int count, float* to) {
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Vec rows[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) rows[lane] = Load(from[lane] + i);
    Transpose(rows);
    for (int j = 0; j < kLanes; ++j) Store(to + (i + j) * kLanes, rows[j]);
  }
  for (; i < count; ++i) {
    for (int lane = 0; lane < kLanes; ++lane) to[i * kLanes + lane] = from[lane][i];
  }
}

template <int R1, int R2>
constexpr FftTransforms Of() {
  static_assert(R1 % 2 == 0, "TransformInPairs");
  return {R1 * R2, Rows<R1, R2>, Columns<R1, R2>, ColumnsBack<R1, R2>, RowsBack<R1, R2>};
}

constexpr FftTransforms kTransforms[] = {Of<8, 4>(), Of<6, 6>(), Of<8, 5>(), Of<8, 8>()};

}  // namespace

const FftKernels fft_kernels = {
    kLanes,   kTransforms,   sizeof(kTransforms) / sizeof(kTransforms[0]),
    Products, OuterProducts, Interleave};

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext
