// Inner products of few images: see engines/few_images_kernels.hpp.
#include "engines/few_images_kernels.hpp"
#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace {

void Sums(int inputs, const float* x, const float* const* w, float* sums) {
  const float* rows[kFewImagesRows];
  Vec sum[kFewImagesRows] = {};
  Unroll<kFewImagesRows>([&](auto r) CAFFE_EXT_INLINED { rows[r] = w[r]; });
  for (int k = 0; k < inputs; ++k) {
    const Vec v = Load(x + ptrdiff_t(k) * kLanes);
    Unroll<kFewImagesRows>([&](auto r) CAFFE_EXT_INLINED { sum[r] += rows[r][k] * v; });
  }
  Unroll<kFewImagesRows>([&](auto r) CAFFE_EXT_INLINED { Store(sums + r * kLanes, sum[r]); });
}

// Blocks of kLanes rows and kLanes inputs are transposed in registers. That is hidden behind the
// reading of the weights, which takes longer.
template <int Images>
CAFFE_EXT_INLINE void RowSumsOf(int inputs, const float* x, size_t x_step, const float* const* w,
                                float* sums) {
  const float* rows[kLanes];
  Unroll<kLanes>([&](auto r) CAFFE_EXT_INLINED { rows[r] = w[r]; });
  Vec sum[Images] = {};
  int k = 0;
  for (; k + kLanes <= inputs; k += kLanes) {
    Vec block[kLanes];
    Unroll<kLanes>([&](auto r) CAFFE_EXT_INLINED { block[r] = Load(rows[r] + k); });
    Transpose(block);
    Unroll<Images>([&](auto i) CAFFE_EXT_INLINED {
      Unroll<kLanes>([&](auto j) CAFFE_EXT_INLINED { sum[i] += block[j] * x[i * x_step + k + j]; });
    });
  }
  for (; k < inputs; ++k) {
    float column[kLanes];
    for (int r = 0; r < kLanes; ++r) column[r] = rows[r][k];
    Unroll<Images>([&](auto i) CAFFE_EXT_INLINED { sum[i] += Load(column) * x[i * x_step + k]; });
  }
  Unroll<Images>([&](auto i) CAFFE_EXT_INLINED { Store(sums + i * kLanes, sum[i]); });
}

void RowSums(int images, int inputs, const float* x, size_t x_step, const float* const* w,
             float* sums) {
  Unroll<kFewestImages>([&](auto i) CAFFE_EXT_INLINED {
    if (images == i + 1) {
      RowSumsOf<i + 1>(inputs, x, x_step, w, sums);
    }
  });
}

// Vectors side by side that leave registers for a row of b and a value of a.
constexpr int kVectors = kLanes == 16 ? 4 : 2;

// A register of floats, and a single one.
struct Wide {
  typedef Vec Value;
  static const int kFloats = kLanes;
  static CAFFE_EXT_INLINE Vec Get(const float* p) { return Load(p); }
  static CAFFE_EXT_INLINE void Put(float* p, Vec v) { Store(p, v); }
};
struct Single {
  typedef float Value;
  static const int kFloats = 1;
  static CAFFE_EXT_INLINE float Get(const float* p) { return *p; }
  static CAFFE_EXT_INLINE void Put(float* p, float v) { *p = v; }
};

// A tile of Rows rows and Count values side by side, summed in registers.
template <typename Form, int Rows, int Count>
CAFFE_EXT_INLINE void Tile(int depth, const float* a, const float* b, size_t b_step, bool add,
                           float* c, size_t c_step) {
  typename Form::Value sums[Rows][Count] = {};
  for (int p = 0; p < depth; ++p) {
    const float* const row = b + p * b_step;
    for (int r = 0; r < Rows; ++r) {
      for (int v = 0; v < Count; ++v)
        sums[r][v] += a[p * Rows + r] * Form::Get(row + v * Form::kFloats);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Count; ++v) {
      float* const out = c + r * c_step + v * Form::kFloats;
      Form::Put(out, add ? Form::Get(out) + sums[r][v] : sums[r][v]);
    }
  }
}

template <int Rows>
CAFFE_EXT_INLINE void RowsOfTiles(int columns, int depth, const float* a, const float* b,
                                  size_t b_step, bool add, float* c, size_t c_step) {
  int k = 0;
  for (; k + kLanes * kVectors <= columns; k += kLanes * kVectors) {
    Tile<Wide, Rows, kVectors>(depth, a, b + k, b_step, add, c + k, c_step);
  }
  for (; k + kLanes <= columns; k += kLanes) {
    Tile<Wide, Rows, 1>(depth, a, b + k, b_step, add, c + k, c_step);
  }
  for (; k < columns; ++k) {
    Tile<Single, Rows, 1>(depth, a, b + k, b_step, add, c + k, c_step);
  }
}

void Tiles(int rows, int columns, int depth, const float* a, const float* b, size_t b_step,
           bool add, float* c, size_t c_step) {
  rows == kFewImagesTile ? RowsOfTiles<kFewImagesTile>(columns, depth, a, b, b_step, add, c, c_step)
                         : RowsOfTiles<1>(columns, depth, a, b, b_step, add, c, c_step);
}

}  // namespace

const FewImagesKernels few_images_kernels = {Sums, RowSums, Tiles};

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext
