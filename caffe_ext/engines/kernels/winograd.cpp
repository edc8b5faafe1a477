// The steps of Winograd's convolution: see engines/winograd/kernels.hpp, and engines/winograd.md.
#include "engines/kernels/winograd_points.hpp"
#include "engines/kernels/winograd_products.hpp"
#include "engines/kernels/winograd_weights.hpp"
#include "engines/winograd/kernels.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace {

using namespace winograd;

const int kPoints = kWinogradPoints;

CAFFE_EXT_INLINE int Quarters(int size) { return (size + 3) / 4; }

// ---------------------------------------------------------------------------------------------
// Weights

void Weights(const float* weights, int outputs, int channels, bool transposed, float* packed,
             float* spectra) {
  const int blocks = (outputs + kLanes - 1) / kLanes;
  const size_t point = size_t(blocks) * kLanes * channels;
  for (int block = 0; block < blocks; ++block) {
    PackWeights<9>(weights, outputs, channels, transposed, block, packed);
    const WeightBlock at(block, blocks, channels);
    for (int c = 0; c < channels; ++c) {
      const float* from = packed + c * 9 * kLanes;
      float* to = spectra + at.offset + c * at.step;
      BothWays<3, 6>(
          [](const Vec* w, Vec* points) CAFFE_EXT_INLINED { WeightPoints(w, points); },
          [&](int y, int x) CAFFE_EXT_INLINED { return Load(from + (y * 3 + x) * kLanes); },
          [&](int y, int x, Vec v) CAFFE_EXT_INLINED { Store(to + (y * 6 + x) * point, v); });
    }
  }
}

void AddWeightDiff(const float* spectra, int outputs, int channels, float* packed, float* diff) {
  const int blocks = (outputs + kLanes - 1) / kLanes;
  const size_t point = size_t(blocks) * kLanes * channels;
  for (int block = 0; block < blocks; ++block) {
    const WeightBlock at(block, blocks, channels);
    for (int c = 0; c < channels; ++c) {
      const float* from = spectra + at.offset + c * at.step;
      float* to = packed + c * 9 * kLanes;
      BothWays<6, 3>(
          [](const Vec* m, Vec* diffs) CAFFE_EXT_INLINED { WeightDiffs(m, diffs); },
          [&](int y, int x) CAFFE_EXT_INLINED { return Load(from + (y * 6 + x) * point); },
          [&](int y, int x, Vec v) CAFFE_EXT_INLINED { Store(to + (y * 3 + x) * kLanes, v); });
    }
    AddPacked<9>(packed, outputs, channels, block, diff);
  }
}

// ---------------------------------------------------------------------------------------------
// Input

// Six rows of pixels (null: zeros) through B^T, into columns of six points.
template <bool Norm, bool Inside>
CAFFE_EXT_INLINE void StripColumns(const float* const* rows, int width, size_t row,
                                   const WinogradNorm& norm, float* strip) {
  Vec mean = {}, slope = {}, shift = {};
  if (Norm) {
    mean = Load(norm.mean), slope = Load(norm.slope), shift = Load(norm.shift);
  }
  for (int x = 0; x < width; ++x) {
    Vec pixels[6], points[6];
    Unroll<6>([&](auto y) CAFFE_EXT_INLINED {
      Vec v = {};
      if (Inside || rows[y]) {
        const float* from = rows[y] + x * kLanes;
        v = Load(from);
        // Rows of a patch are too short for the processor to see them coming.
        if (y > 1) __builtin_prefetch(from + 4 * row);
        if (Norm) {
          v = (v - mean) * slope + shift;
          v = v < 0 ? Vec{} : v;  // keeps NaN
        }
      }
      pixels[y] = v;
    });
    InputPoints(pixels, points);
    Unroll<6>([&](auto y) CAFFE_EXT_INLINED { Store(strip + (x * 6 + y) * kLanes, points[y]); });
  }
}

// Tiles that lie side by side share the columns of a strip of 4 ceil(width / 4) + 2 pixels.
template <bool Norm>
CAFFE_EXT_INLINE void InputTiles(const float* data, const WinogradPatch& patch,
                                 const WinogradNorm& norm, float* strip,
                                 const WinogradSpectra& to) {
  const int across = Quarters(patch.width), kColumn = 6 * kLanes;
  for (int i = 0; i < kColumn; ++i) strip[i] = 0;
  for (int i = (patch.width + 1) * kColumn; i < (across * 4 + 2) * kColumn; ++i) strip[i] = 0;
  float* tile = to.data;
  for (int ty = patch.first; ty < patch.last; ++ty) {
    const float* rows[6];
    bool inside = true;
    for (int i = 0; i < 6; ++i) {
      const int y = ty * 4 - 1 + i;
      rows[i] = y >= 0 && y < patch.height ? data + y * patch.row : NULL;
      inside = inside && rows[i];
    }
    if (inside) {
      StripColumns<Norm, true>(rows, patch.width, patch.row, norm, strip + kColumn);
    } else {
      StripColumns<Norm, false>(rows, patch.width, patch.row, norm, strip + kColumn);
    }
    for (int tx = 0; tx < across; ++tx, tile += to.tile) {
      const float* from = strip + tx * 4 * kColumn;
      Unroll<6>([&](auto y) CAFFE_EXT_INLINED {
        Vec row[6], points[6];
        Unroll<6>([&](auto x) CAFFE_EXT_INLINED { row[x] = Load(from + (x * 6 + y) * kLanes); });
        InputPoints(row, points);
        Unroll<6>([&](auto x)
                      CAFFE_EXT_INLINED { Store(tile + (y * 6 + x) * to.point, points[x]); });
      });
    }
  }
}

void Input(const float* x, const WinogradPatch& patch, const WinogradNorm& norm, float* strip,
           const WinogradSpectra& to) {
  if (norm.mean) {
    InputTiles<true>(x, patch, norm, strip, to);
  } else {
    InputTiles<false>(x, patch, norm, strip, to);
  }
}

// ---------------------------------------------------------------------------------------------
// Tiles of 4 x 4

// f(pixel's offset in rows of `row`, height, width, tile) for the tiles of a patch; those at the
// lower and right border may be smaller.
template <typename F>
CAFFE_EXT_INLINE void EachTile(const WinogradPatch& patch, const F& f) {
  int tile = 0;
  for (int y = patch.first * 4; y < Smaller(patch.last * 4, patch.height); y += 4) {
    for (int x = 0; x < patch.width; x += 4, ++tile) {
      f(y, x, Smaller(patch.height - y, 4), Smaller(patch.width - x, 4), tile);
    }
  }
}

template <bool Whole>
CAFFE_EXT_INLINE void DiffTile(const float* from, size_t row, int height, int width, float* to,
                               size_t point, Vec* sum) {
  BothWays<4, 6>([](const Vec* d, Vec* points) CAFFE_EXT_INLINED { DiffPoints(d, points); },
                 [&](int y, int x) CAFFE_EXT_INLINED {
                   const float* at = from + y * row + x * kLanes;
                   const Vec v = Whole || (y < height && x < width) ? Load(at) : Vec{};
                   if (Whole) __builtin_prefetch(at + 4 * row);
                   *sum += v;
                   return v;
                 },
                 [&](int y, int x, Vec v)
                     CAFFE_EXT_INLINED { Store(to + (y * 6 + x) * point, v); });
}

void Diff(const float* d, const WinogradPatch& patch, const WinogradSpectra& to, float* sum) {
  Vec total = {};
  EachTile(patch, [&](int y, int x, int height, int width, int tile) CAFFE_EXT_INLINED {
    const float* from = d + y * patch.row + x * kLanes;
    float* spectrum = to.data + tile * to.tile;
    Vec part = {};
    if (height == 4 && width == 4) {
      DiffTile<true>(from, patch.row, 4, 4, spectrum, to.point, &part);
    } else {
      DiffTile<false>(from, patch.row, height, width, spectrum, to.point, &part);
    }
    total += part;
  });
  Store(sum, Load(sum) + total);
}

// finish(y, x, A^T m A) for the pixels of a tile that are there.
template <bool Whole, typename Finish>
CAFFE_EXT_INLINE void ResultTile(const float* m, size_t point, int height, int width,
                                 const Finish& finish) {
  BothWays<6, 4>([](const Vec* points, Vec* results)
                     CAFFE_EXT_INLINED { Results(points, results); },
                 [&](int y, int x) CAFFE_EXT_INLINED { return Load(m + (y * 6 + x) * point); },
                 [&](int y, int x, Vec v) CAFFE_EXT_INLINED {
                   if (Whole || (y < height && x < width)) finish(y, x, v);
                 });
}

template <typename Finish>
CAFFE_EXT_INLINE void ResultTiles(const WinogradSpectra& m, const WinogradPatch& patch,
                                  const Finish& finish) {
  EachTile(patch, [&](int y0, int x0, int height, int width, int tile) CAFFE_EXT_INLINED {
    const float* from = m.data + tile * m.tile;
    const auto at = [&](int y, int x, Vec v) CAFFE_EXT_INLINED { finish(y0 + y, x0 + x, v); };
    if (height == 4 && width == 4) {
      ResultTile<true>(from, m.point, 4, 4, at);
    } else {
      ResultTile<false>(from, m.point, height, width, at);
    }
  });
}

void Result(const WinogradSpectra& m, const WinogradPatch& patch, const float* bias,
            const float* identity, float* y) {
  const Vec add = Load(bias);
  if (identity) {
    ResultTiles(m, patch, [&](int row, int x, Vec v) CAFFE_EXT_INLINED {
      const size_t at = row * patch.row + x * kLanes;
      Store(y + at, v + add + Load(identity + at));
    });
  } else {
    ResultTiles(m, patch, [&](int row, int x, Vec v) CAFFE_EXT_INLINED {
      Store(y + row * patch.row + x * kLanes, v + add);
    });
  }
}

void MaskedDiff(const WinogradSpectra& m, const WinogradPatch& patch, const WinogradMask& mask,
                float* d, double* sum, double* dot) {
  const Vec mean = Load(mask.norm.mean), slope = Load(mask.norm.slope);
  const Vec shift = Load(mask.norm.shift), inv_std = Load(mask.inv_std);
  // Summed in float over a row of tiles, in double from there on.
  WinogradPatch row = patch;
  WinogradSpectra from = m;
  for (row.first = patch.first; row.first < patch.last; ++row.first) {
    Vec part = {}, part_dot = {};
    row.last = row.first + 1;
    ResultTiles(from, row, [&](int y, int x, Vec v) CAFFE_EXT_INLINED {
      const Vec centred = Load(mask.x + y * mask.row + x * kLanes) - mean;
      const Vec kept = centred * slope + shift > 0 ? v : Vec{};
      part += kept;
      part_dot += kept * (centred * inv_std);
      Store(d + y * patch.row + x * kLanes, kept);
    });
    from.data += Quarters(patch.width) * m.tile;
    for (int l = 0; l < kLanes; ++l) {
      sum[l] += part[l];
      dot[l] += part_dot[l];
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Products

void Products(const WinogradSpectra& x, const float* weights, int tiles, int channels,
              int output_blocks, const WinogradSpectra& to) {
  const size_t point = size_t(output_blocks) * kLanes * channels;
  for (int k = 0; k < kPoints; ++k) {
    const float* from = x.data + k * x.point;
    InPairs(output_blocks, channels, weights + k * point,
            [&](auto width, int block, const float* w) CAFFE_EXT_INLINED {
              float* out = to.data + k * to.point + block * kLanes;
              InPieces(tiles, [&](int t, auto size) CAFFE_EXT_INLINED {
                Multiply<width, size>(from + t * x.tile, x.tile, w, channels, out + t * to.tile,
                                      to.tile);
              });
            });
  }
}

void AddProducts(const WinogradSpectra& x, const WinogradSpectra& diff, int tiles, int channels,
                 int output_blocks, float* weights) {
  const size_t point = size_t(output_blocks) * kLanes * channels;
  for (int k = 0; k < kPoints; ++k) {
    const float* from = x.data + k * x.point;
    InPairs(output_blocks, channels, weights + k * point,
            [&](auto width, int block, float* w) CAFFE_EXT_INLINED {
              const float* d = diff.data + k * diff.point + block * kLanes;
              InPieces(channels, [&](int c, auto size) CAFFE_EXT_INLINED {
                Add<width, size>(from + c, x.tile, d, diff.tile, tiles,
                                 w + size_t(c) * width * kLanes);
              });
            });
  }
}

}  // namespace

const WinogradKernels Winograd = {Weights,     Input,  Diff,       Products,
                                  AddProducts, Result, MaskedDiff, AddWeightDiff};

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext
