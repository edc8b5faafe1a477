// The steps of Winograd's convolution in tiles of several sizes: see winograd/tile_kernels.hpp.
#include "engines/kernels/winograd_products.hpp"
#include "engines/kernels/winograd_transforms.hpp"
#include "engines/kernels/winograd_weights.hpp"
#include "engines/winograd/tile_kernels.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace {

using namespace winograd;

static_assert(kAllPoints == kWinogradMostPoints, "");

/// f(outputs, kernel), both constants, for the sizes of tiles that there are.
template <typename F>
CAFFE_EXT_INLINE void WithSize(int outputs, int kernel, const F& f) {
  const auto with_kernel = [&](auto k) CAFFE_EXT_INLINED {
    if (outputs == 4) {
      f(std::integral_constant<int, 4>{}, k);
    } else if (outputs == 3) {
      f(std::integral_constant<int, 3>{}, k);
    } else {
      f(std::integral_constant<int, 2>{}, k);
    }
  };
  if (kernel == 3) {
    with_kernel(std::integral_constant<int, 3>{});
  } else {
    with_kernel(std::integral_constant<int, 5>{});
  }
}

/// Columns of `strip`, of `points` vectors each, through one transform per row of points and tile.
template <int In, int Out, typename Transform>
CAFFE_EXT_INLINE void AcrossTiles(const float* strip, int points, int count, int step,
                                  const Transform& transform, const WinogradPlaces& to,
                                  int columns_points, int first) {
  for (int t = 0; t < count; ++t, strip += size_t(step) * points * kLanes) {
    float* const tile = to.data + (first + t) * to.tile;
    for (int py = 0; py < points; ++py) {
      const size_t* places = to.places + py * columns_points;
      Vec in[In], out[Out];
      Unroll<In>([&](auto x)
                     CAFFE_EXT_INLINED { in[x] = Load(strip + (x * points + py) * kLanes); });
      transform(in, out);
      Unroll<Out>([&](auto x) CAFFE_EXT_INLINED { Store(tile + places[x], out[x]); });
    }
  }
}

/// f(first tile, tiles, outputs of each) for the larger tiles and for the others.
template <typename F>
CAFFE_EXT_INLINE void EachSize(const WinogradCut& cut, const F& f) {
  if (cut.larger > 0) f(0, cut.larger, cut.size + 1);
  if (cut.larger < cut.tiles) f(cut.larger, cut.tiles - cut.larger, cut.size);
}

void Input(const float* const* pixels, int width, int left, int rows, const WinogradCut& columns,
           float* strip, const WinogradPlaces& to) {
  const int points = rows + columns.kernel - 1;
  const int end = columns.Start(columns.tiles) + columns.kernel - 1;
  WithSize(rows, columns.kernel, [&](auto m, auto k) CAFFE_EXT_INLINED {
    constexpr int n = m + k - 1;
    float* column = strip;
    for (int x = -left; x < end - left; ++x, column += n * kLanes) {
      Vec in[n] = {}, out[n] = {};
      if (x >= 0 && x < width) {
        Unroll<n>([&](auto y) CAFFE_EXT_INLINED { in[y] = Load(pixels[y] + x * kLanes); });
        Times<Pixels<n> >(in, out);
      }
      Unroll<n>([&](auto y) CAFFE_EXT_INLINED { Store(column + y * kLanes, out[y]); });
    }
  });
  EachSize(columns, [&](int first, int count, int size) CAFFE_EXT_INLINED {
    WithSize(size, columns.kernel, [&](auto m, auto k) CAFFE_EXT_INLINED {
      constexpr int n = m + k - 1;
      typedef Pixels<n> T;
      AcrossTiles<n, n>(
          strip + size_t(columns.Start(first)) * points * kLanes, points, count, size,
          [](const Vec* in, Vec* out) CAFFE_EXT_INLINED { Times<T>(in, out); }, to,
          columns.points(), first);
    });
  });
}

void Diff(const float* d, size_t line, int rows, const WinogradCut& columns, float* strip,
          const WinogradPlaces& to, float* sum) {
  const int points = rows + columns.kernel - 1;
  Vec total = {};
  WithSize(rows, columns.kernel, [&](auto m, auto k) CAFFE_EXT_INLINED {
    constexpr int n = m + k - 1;
    typedef Outputs<n, k> T;
    float* column = strip;
    for (int x = 0; x < columns.Start(columns.tiles); ++x, column += n * kLanes) {
      Vec in[m], out[n];
      Unroll<m>([&](auto y) CAFFE_EXT_INLINED { in[y] = Load(d + y * line + x * kLanes); });
      Unroll<m>([&](auto y) CAFFE_EXT_INLINED { total += in[y]; });
      Times<T>(in, out);
      Unroll<n>([&](auto y) CAFFE_EXT_INLINED { Store(column + y * kLanes, out[y]); });
    }
  });
  EachSize(columns, [&](int first, int count, int size) CAFFE_EXT_INLINED {
    WithSize(size, columns.kernel, [&](auto m, auto k) CAFFE_EXT_INLINED {
      constexpr int n = m + k - 1;
      typedef Outputs<n, k> T;
      AcrossTiles<m, n>(
          strip + size_t(columns.Start(first)) * points * kLanes, points, count, size,
          [](const Vec* in, Vec* out) CAFFE_EXT_INLINED { Times<T>(in, out); }, to,
          columns.points(), first);
    });
  });
  Store(sum, total);
}

void Result(const WinogradPlaces& from, int rows, const WinogradCut& columns, const float* bias,
            float* strip, float* y, size_t line) {
  const int points = rows + columns.kernel - 1;
  EachSize(columns, [&](int first, int count, int size) CAFFE_EXT_INLINED {
    WithSize(size, columns.kernel, [&](auto m, auto k) CAFFE_EXT_INLINED {
      constexpr int n = m + k - 1;
      typedef Outputs<n, k> T;
      float* column = strip + size_t(columns.Start(first)) * points * kLanes;
      for (int t = first; t < first + count; ++t, column += size_t(size) * points * kLanes) {
        const float* const tile = from.data + t * from.tile;
        for (int py = 0; py < points; ++py) {
          const size_t* places = from.places + py * columns.points();
          Vec in[n], out[m];
          Unroll<n>([&](auto x) CAFFE_EXT_INLINED { in[x] = Load(tile + places[x]); });
          TransposedTimes<T>(in, out);
          Unroll<m>([&](auto x)
                        CAFFE_EXT_INLINED { Store(column + (x * points + py) * kLanes, out[x]); });
        }
      }
    });
  });
  const Vec add = Load(bias);
  WithSize(rows, columns.kernel, [&](auto m, auto k) CAFFE_EXT_INLINED {
    constexpr int n = m + k - 1;
    typedef Outputs<n, k> T;
    const float* column = strip;
    for (int x = 0; x < columns.Start(columns.tiles); ++x, column += n * kLanes) {
      Vec in[n], out[m];
      Unroll<n>([&](auto i) CAFFE_EXT_INLINED { in[i] = Load(column + i * kLanes); });
      TransposedTimes<T>(in, out);
      Unroll<m>([&](auto i) CAFFE_EXT_INLINED { Store(y + i * line + x * kLanes, out[i] + add); });
    }
  });
}

void Products(const float* x, size_t x_tile, const float* weights, int tiles, int channels,
              int output_blocks, float* to, size_t to_tile) {
  InPairs(output_blocks, channels, weights,
          [&](auto width, int block, const float* w) CAFFE_EXT_INLINED {
            float* out = to + block * kLanes;
            InPieces(tiles, [&](int t, auto size) CAFFE_EXT_INLINED {
              Multiply<width, size>(x + t * x_tile, x_tile, w, channels, out + t * to_tile,
                                    to_tile);
            });
          });
}

void AddProducts(const float* x, size_t x_tile, const float* d, size_t d_tile, int tiles,
                 int channels, int output_blocks, float* weights) {
  InPairs(output_blocks, channels, weights, [&](auto width, int block, float* w) CAFFE_EXT_INLINED {
    InPieces(channels, [&](int c, auto size) CAFFE_EXT_INLINED {
      Add<width, size>(x + c, x_tile, d + block * kLanes, d_tile, tiles,
                       w + size_t(c) * width * kLanes);
    });
  });
}

// The transform along y and then along x of a block of packed weights; only the first points.
template <int K>
void WeightSpectra(const float* weights, int outputs, int channels, bool turned, int block,
                   int points_h, int points_w, float* packed, float* spectra, size_t point) {
  typedef Kernel<K> T;
  PackWeights<K * K>(weights, outputs, channels, turned, block, packed);
  const WeightBlock at(block, (outputs + kLanes - 1) / kLanes, channels);
  for (int c = 0; c < channels; ++c) {
    Vec between[K][kAllPoints];
    const float* const from = packed + c * K * K * kLanes;
    Unroll<K>([&](auto x) CAFFE_EXT_INLINED {
      Vec in[K];
      Unroll<K>([&](auto y) CAFFE_EXT_INLINED { in[y] = Load(from + (y * K + x) * kLanes); });
      Times<T>(in, between[x]);
    });
    float* to = spectra + at.offset + c * at.step;
    for (int py = 0; py < points_h; ++py) {
      Vec in[K], out[kAllPoints];
      Unroll<K>([&](auto x) CAFFE_EXT_INLINED { in[x] = between[x][py]; });
      Times<T>(in, out);
      Unroll<kAllPoints>([&](auto px) CAFFE_EXT_INLINED {
        if (px < points_w) Store(to + (py * points_w + px) * point, out[px]);
      });
    }
  }
}

void Weights(const float* weights, int outputs, int channels, int kernel, bool turned, int block,
             int points_h, int points_w, float* packed, float* spectra, size_t point) {
  (kernel == 3 ? WeightSpectra<3> : WeightSpectra<5>)(weights, outputs, channels, turned, block,
                                                      points_h, points_w, packed, spectra, point);
}

template <int K>
void AddDiff(const float* spectra, size_t point, int outputs, int channels, int block, int points_h,
             int points_w, float* packed, float* diff) {
  typedef Kernel<K> T;
  const WeightBlock at(block, (outputs + kLanes - 1) / kLanes, channels);
  for (int c = 0; c < channels; ++c) {
    const float* const from = spectra + at.offset + c * at.step;
    Vec between[K][kAllPoints] = {};
    for (int py = 0; py < points_h; ++py) {
      Vec in[kAllPoints], out[K];
      Unroll<kAllPoints>([&](auto px) CAFFE_EXT_INLINED {
        in[px] = px < points_w ? Load(from + (py * points_w + px) * point) : Vec{};
      });
      TransposedTimes<T>(in, out);
      Unroll<K>([&](auto x) CAFFE_EXT_INLINED { between[x][py] = out[x]; });
    }
    float* to = packed + c * K * K * kLanes;
    Unroll<K>([&](auto x) CAFFE_EXT_INLINED {
      Vec out[K];
      TransposedTimes<T>(between[x], out);
      Unroll<K>([&](auto y) CAFFE_EXT_INLINED { Store(to + (y * K + x) * kLanes, out[y]); });
    });
  }
  AddPacked<K * K>(packed, outputs, channels, block, diff);
}

void AddWeightDiff(const float* spectra, size_t point, int outputs, int channels, int kernel,
                   int block, int points_h, int points_w, float* packed, float* diff) {
  (kernel == 3 ? AddDiff<3> : AddDiff<5>)(spectra, point, outputs, channels, block, points_h,
                                          points_w, packed, diff);
}

}  // namespace

const WinogradTileKernels winograd_tiles = {Input,       Diff,    Result,       Products,
                                            AddProducts, Weights, AddWeightDiff};

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext
